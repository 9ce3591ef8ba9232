"""Decides the references of what every lab's inventory has one of, and of its VM folders."""

import zlib

from pyVmomi import vim

ROOT = vim.Folder("group-d1")
DATACENTER = vim.Datacenter("datacenter-2")
VMS = vim.Folder("group-v3")
HOSTS = vim.Folder("group-h4")
DATASTORES = vim.Folder("group-s5")
NETWORKS = vim.Folder("group-n6")
CLUSTER = vim.ClusterComputeResource("domain-c7")
POOL = vim.ResourcePool("resgroup-9")
DATASTORE = vim.Datastore("datastore-10")


def folder(place: str) -> vim.Folder:
    """The inventory folder of VMs at that path below the datacenter's own."""
    return vim.Folder(f"group-v{zlib.crc32(place.encode())}") if place else VMS
