"""Touches the lab's control port: asks it to do `reboot` or `poweroff` to the VM that this runs on."""

import os
import socket
import sys

host, _, port = os.environ["LAB_POWER"].rpartition(":")
with socket.create_connection((host, int(port)), timeout=10) as control:
    control.sendall(f"{sys.argv[1]} {os.environ['LAB_VM']}\n".encode())
    answer = control.makefile().readline().strip()
if answer != "ok":
    raise SystemExit(f"{sys.argv[1]}: the lab answered: {answer or 'nothing'}")
