"""The lab's vCenter and a login at it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyVim.connect import Disconnect
from pyVmomi import vim
from vcenter_room import Server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    yield server
    server.stop()


@pytest.fixture
def si(server: Server) -> Iterator[vim.ServiceInstance]:
    si = server.connect()
    yield si
    with contextlib.suppress(vim.fault.NotAuthenticated):
        Disconnect(si)
    si._stub.DropConnections()
