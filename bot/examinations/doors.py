"""Decides why an SSH server's door stays shut: what its host key, the key file or the login say, and the mend."""

import shlex
from pathlib import Path

import paramiko

from bot.examinations import Finding, bad, good
from plans.environment import Gateway, Ssh
from vmops.transport import LoginRefused, Trouble, Unreachable

Door = Ssh | Gateway


def known(subject: str, door: Door) -> Finding:
    """Whether a line of the door's known_hosts is about it, which can be told while the machine is off."""
    name, file = known_as(door), door.known_hosts
    try:
        line = _line(door)
    except OSError as error:
        mend = f"Write the host's key there, once it is compared on the machine's console: {_scan(door)} >> {_q(file)}"
        return bad("host_key", subject, f"known_hosts {file} cannot be read: {error.strerror}", mend)
    if line is None:
        return _unknown(subject, door)
    return good("host_key", subject, f"line {line} of {file} is about {name}")


def why_shut(subject: str, door: Door, trouble: Trouble) -> Finding:
    """What a refused or failed connection means."""
    name = known_as(door)
    match trouble.__cause__:
        case paramiko.BadHostKeyException() as error:
            shown, wanted = error.key, error.expected_key
            detail = (
                f"{name} shows the key {shown.get_name()} {shown.fingerprint}, but line "
                f"{_line(door, wanted.get_name())} of {door.known_hosts} has {wanted.get_name()} "
                f"{wanted.fingerprint}: the machine was set up anew, or somebody stands between"
            )
            return bad("host_key", subject, detail, _changed(door))
        case paramiko.SSHException() as error if "known_hosts" in str(error):
            return _unknown(subject, door)
    if isinstance(trouble, LoginRefused):
        mend = (
            f"Put the key's public half (ssh-keygen -y -f {_q(door.key_file)}) into ~{door.user}/.ssh/authorized_keys "
            f"there; the server's log says why it refused."
        )
        return bad("login", subject, str(trouble), mend)
    if isinstance(trouble, Unreachable):
        mend = (
            f"See whether the machine is on, its sshd runs, and nothing between keeps port {door.port} shut: "
            f"nc -vz {_q(door.host)} {door.port}"
        )
        return bad("login", subject, str(trouble), mend)
    mend = (
        f"Quarterdeck needs a private key of its own in {door.key_file}, without a passphrase, which the user that "
        f"runs it can read: ssh-keygen -t ed25519 -N '' -f {_q(door.key_file)}"
    )
    return bad("login", subject, str(trouble), mend)


def _unknown(subject: str, door: Door) -> Finding:
    detail = f"the host key of {known_as(door)} is unknown: no line of {door.known_hosts} is about it"
    mend = (
        f"Compare {_scan(door)} | ssh-keygen -lf - with ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub on the "
        f"machine's own console. If both are the same: {_scan(door)} >> {_q(door.known_hosts)}"
    )
    return bad("host_key", subject, detail, mend)


def known_as(door: Door) -> str:
    """The door's name in a known_hosts file."""
    return door.host if door.port == paramiko.config.SSH_PORT else f"[{door.host}]:{door.port}"


def _line(door: Door, kind: str = "") -> int | None:
    """The first line that is about the door, with a key of that kind; None where none is. Raises OSError."""
    for number, text in enumerate(Path(door.known_hosts).read_text(errors="replace").splitlines(), 1):
        try:
            entry = paramiko.hostkeys.HostKeyEntry.from_line(text, number)
        except paramiko.hostkeys.InvalidHostKey:
            continue
        if entry is None or entry.key is None:  # a comment, or a kind of key that is not known
            continue
        keys = paramiko.HostKeys()
        for hostname in entry.hostnames:
            keys.add(hostname, entry.key.get_name(), entry.key)
        if keys.lookup(known_as(door)) and kind in ("", entry.key.get_name()):
            return number
    return None


def _changed(door: Door) -> str:
    file, name = _q(door.known_hosts), _q(known_as(door))
    return (
        f"Compare, on the machine's own console and not over this network, ssh-keygen -lf "
        f"/etc/ssh/ssh_host_ed25519_key.pub with what comes here: {_scan(door)} | ssh-keygen -lf - . Only if both are "
        f"the same: ssh-keygen -R {name} -f {file} && {_scan(door)} >> {file}"
    )


def _scan(door: Door) -> str:
    return f"ssh-keyscan -p {door.port} {_q(door.host)}"


def _q(text: str) -> str:
    return shlex.quote(text)
