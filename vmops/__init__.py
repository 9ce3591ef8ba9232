"""Doing it on machines: pyVmomi and Fabric."""
