"""Touches an SSH server's door: opens a connection with strict host keys, or says in a sentence why it could not."""

import logging
import shlex
import socket
from contextlib import suppress
from typing import Any, NoReturn

import fabric
import paramiko

from plans.environment import Gateway, Ssh
from vmops.transport import LoginRefused, Refused, Trouble, Unreachable

SECONDS = 15.0
"""For each of connecting, the banner, logging in, opening a channel."""

FROZEN_MS = 90_000
"""How long sent bytes may stay unacknowledged until the kernel gives the connection up."""

KEEPALIVE = 15

RENEWED = 1 << 36
"""Bytes after which a connection has new keys: OpenSSH's own limit for ciphers of 128-bit blocks (RFC 4344, 3.2)."""

# Paramiko logs its failures with tracebacks; whoever asked gets a sentence instead.
logging.getLogger("paramiko").setLevel(logging.CRITICAL)


class Connection:
    """One SSH connection, through its gateway where it has one. Raises Refused, Unreachable."""

    def __init__(self, ssh: Ssh) -> None:
        self._gateway = _open(ssh.gateway, None) if ssh.gateway else None
        try:
            self._target = _open(ssh, self._gateway)
        except BaseException:
            self._close_gateway()
            raise

    @property
    def alive(self) -> bool:
        """Whether it is connected as far as is known: a machine that lost its power does not say so."""
        return bool(self._target.is_connected)

    def session(self, seconds: float) -> paramiko.Channel:
        """A new channel for one command. Raises Unreachable when there is none within that time."""
        try:
            return self._target.transport.open_session(timeout=seconds)
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise Unreachable(f"{self._target.host} opens no new session: {error}") from error

    def close(self) -> None:
        """Closes it; commands that detached themselves are left running."""
        self._target.client.close()
        self._close_gateway()

    def _close_gateway(self) -> None:
        if self._gateway:
            self._gateway.client.close()


def _open(door: Ssh | Gateway, gateway: fabric.Connection | None) -> fabric.Connection:
    connection = fabric.Connection(
        door.host,
        user=door.user,
        port=door.port,
        gateway=gateway,
        # Lazy: nobody's ~/.ssh/config or ~/.fabric.yaml has a say.
        config=fabric.Config(lazy=True),
        connect_timeout=SECONDS,
        connect_kwargs={
            "pkey": _key(door),
            "allow_agent": False,
            "look_for_keys": False,
            "banner_timeout": SECONDS,
            "auth_timeout": SECONDS,
            "channel_timeout": SECONDS,
            "transport_factory": _transport,
        },
    )
    # Fabric loads no known hosts and takes any key unless both are said, and before it connects.
    try:
        connection.client.load_host_keys(door.known_hosts)
    except OSError as error:
        raise Refused(f"{_name(door)}: known_hosts {door.known_hosts} cannot be read: {error.strerror}") from error
    connection.client.set_missing_host_key_policy(paramiko.RejectPolicy())
    try:
        connection.open()
    except (paramiko.SSHException, EOFError, OSError) as error:
        connection.client.close()
        _explain(error, door, gateway)
    connection.transport.set_keepalive(KEEPALIVE)
    if not gateway:
        with suppress(OSError):  # it broke already, which the first use will tell
            connection.transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, FROZEN_MS)
    return connection


def _transport(*about: Any, **more: Any) -> paramiko.Transport:
    """Paramiko's own, but for two things.

    AES-GCM is first, where Paramiko has it last: a cipher that is its own MAC costs half. And keys are renewed as
    seldom as by OpenSSH: where a channel ends while they are, Paramiko waits for itself, for half a minute.
    """
    transport = paramiko.Transport(*about, **more)
    security = transport.get_security_options()
    security.ciphers = sorted(security.ciphers, key=lambda name: "gcm" not in name)
    transport.packetizer.REKEY_BYTES = RENEWED
    return transport


def _key(door: Ssh | Gateway) -> paramiko.PKey:
    try:
        return paramiko.PKey.from_path(door.key_file)
    except OSError as error:
        raise Refused(f"{_name(door)}: the key {door.key_file} cannot be read: {error.strerror}") from error
    except (paramiko.PasswordRequiredException, TypeError) as error:
        raise Refused(
            f"{_name(door)}: the key {door.key_file} has a passphrase; give Quarterdeck a key of its own without one"
        ) from error
    except (paramiko.SSHException, paramiko.UnknownKeyType, ValueError) as error:
        raise Refused(f"{_name(door)}: {door.key_file} is not a private SSH key that can be used: {error}") from error


def _explain(error: Exception, door: Ssh | Gateway, gateway: fabric.Connection | None) -> NoReturn:
    trouble = _sentence(error, door)
    if gateway and isinstance(error, paramiko.ChannelException):
        trouble = Unreachable(f"{_name(door)} cannot be reached from the gateway {gateway.host}: {error.text}")
    raise trouble from error


def _sentence(error: Exception, door: Ssh | Gateway) -> Trouble:
    name, file = _name(door), shlex.quote(door.known_hosts)
    known_as = door.host if door.port == paramiko.config.SSH_PORT else f"[{door.host}]:{door.port}"
    scan = f"ssh-keyscan -p {door.port} {shlex.quote(door.host)} >> {file}"
    match error:
        case paramiko.BadHostKeyException():
            return Refused(
                f"{name}: its host key is not the one in {door.known_hosts}: the machine was set up anew, or somebody "
                f"stands between. Compare it on the machine's console ({error.key.fingerprint}); if it is the "
                f"machine's: ssh-keygen -R {shlex.quote(known_as)} -f {file} && {scan}"
            )
        # Paramiko says with the same exception that the connection broke, or nothing came, while logging in.
        case paramiko.AuthenticationException() if "timeout" in str(error).lower() or "EOF" in str(error):
            return Unreachable(f"{name} broke off the login, or did not answer it within {SECONDS:.0f} s")
        case paramiko.AuthenticationException():
            return LoginRefused(
                f"{name} refused user {door.user} with the key {door.key_file}: its public half belongs into "
                f"~{door.user}/.ssh/authorized_keys there"
            )
        case paramiko.SSHException() if "known_hosts" in str(error):
            return Refused(
                f"{name}: its host key is unknown: no line for {known_as} in {door.known_hosts}. After comparing it on "
                f"the machine's console: {scan}"
            )
        case paramiko.IncompatiblePeer():
            return Refused(f"{name} and Quarterdeck have no method in common: {error}")
        case paramiko.ssh_exception.NoValidConnectionsError():
            cause = next(iter(error.errors.values()))
            return Unreachable(f"{name} cannot be reached: {cause.strerror or cause}")
        case TimeoutError():
            return Unreachable(f"{name} cannot be reached: no answer within {SECONDS:.0f} s")
        case socket.gaierror():
            return Unreachable(f"{name} cannot be reached: the name {door.host} is not known: {error.strerror}")
        case OSError():
            return Unreachable(f"{name} cannot be reached: {error.strerror or error}")
        case EOFError():
            return Unreachable(f"{name} closed the connection before the login")
        case _:
            return Unreachable(f"{name} takes connections, but SSH fails: {error}")


def _name(door: Ssh | Gateway) -> str:
    where = f"{door.host}:{door.port}"
    return where if isinstance(door, Ssh) else f"the gateway {where}"
