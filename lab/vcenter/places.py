"""Decides the references of the objects that every lab's inventory has exactly one of."""

from pyVmomi import vim

ROOT = vim.Folder("group-d1")
DATACENTER = vim.Datacenter("datacenter-2")
VMS = vim.Folder("group-v3")
HOSTS = vim.Folder("group-h4")
DATASTORES = vim.Folder("group-s5")
NETWORKS = vim.Folder("group-n6")
CLUSTER = vim.ClusterComputeResource("domain-c7")
HOST = vim.HostSystem("host-8")
POOL = vim.ResourcePool("resgroup-9")
DATASTORE = vim.Datastore("datastore-10")
