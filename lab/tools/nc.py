"""Touches one TCP address as `nc -z` does: from this VM, which reaches those VMs alone that share a network with it.

All traffic of a lab is loopback and would arrive anywhere. What is no VM's address is tried as it is. Messages and
exit codes are those of OpenBSD's nc.
"""

import json
import os
import socket
import sys
from pathlib import Path

HOME = Path(sys.argv[0]).parents[2]
"""The lab's folder."""


class Complaint(Exception):
    """What nc says on stderr."""


def parse(arguments: list[str]) -> tuple[str, str, float]:
    """Host, port and the seconds to wait. Raises Complaint for what this nc does not know."""
    places, seconds, scan = [], 30.0, False
    words = iter(arguments)
    for word in words:
        if word == "-w":
            seconds = float(next(words, "30"))
        elif word in ("-z", "-v", "-vz", "-zv"):
            scan = scan or "z" in word
        elif word.startswith("-"):
            raise Complaint(f"nc: invalid option -- '{word[1:]}'")
        else:
            places.append(word)
    if not scan or len(places) != 2:
        raise Complaint("usage: nc -z [-v] [-w timeout] destination port")
    return places[0], places[1], seconds


def address(name: str) -> str:
    """The address of a host as this VM sees it. Raises Complaint."""
    if name in ("localhost", "127.0.0.1"):
        return os.environ["LAB_ADDRESS"]
    found = known().get(name, name)
    try:
        socket.inet_aton(found)
    except OSError:
        raise Complaint(f'nc: getaddrinfo for host "{name}": Name or service not known') from None
    return found


def known() -> dict[str, str]:
    """The lab's VMs: name to address."""
    lines = (line.split() for line in (HOME / "hosts").read_text().splitlines())
    return {name: address for address, name in lines}


def wires(address: str) -> set[str] | None:
    """The networks that the VM of that address is connected to; None where it is no VM's."""
    name = next((name for name, one in known().items() if one == address), None)
    if name is None:
        return None
    for file in HOME.glob("vms/*/vm.json"):
        record = json.loads(file.read_bytes())
        if record["name"] == name:
            return {nic["network"] for nic in record["nics"] if nic["connected"]}
    return set()


def main(arguments: list[str]) -> int:
    """Tries one address. Returns the exit code."""
    try:
        host, port, seconds = parse(arguments)
        place = address(host)
        trying = f"nc: connect to {host} port {port} (tcp)"
        there, here = wires(place), wires(os.environ["LAB_ADDRESS"])
        if there is not None and here is not None and place != os.environ["LAB_ADDRESS"] and not there & here:
            raise Complaint(f"{trying} failed: No route to host")
        try:
            socket.create_connection((place, int(port)), seconds).close()
        except TimeoutError:
            raise Complaint(f"{trying} timed out: Operation now in progress") from None
        except OSError as error:
            raise Complaint(f"{trying} failed: {error.strerror}") from None
    except Complaint as complaint:
        print(complaint, file=sys.stderr)
        return 1
    print(f"Connection to {host} {port} port [tcp/*] succeeded!", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
