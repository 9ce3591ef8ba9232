"""Decides how the two streams of a script's answer are cut into noise, output and result, however they arrive."""

import secrets

from vmops.transport import Sink


def new_token() -> str:
    """Something that no output holds. Hardly any ends with its first byte, so that little is held back for it."""
    return "\x1d" + secrets.token_hex(16)


class Answer:
    """Reads the two streams of a script's answer: what comes before the token is noise of the login shell's.

    After the token come the bytes themselves, which go to `out` and `err`; the token again, on standard error, and the
    result end them. The token is new and random for each call, so that no output can be taken for it.
    """

    def __init__(self, out: Sink, err: Sink) -> None:
        self.token = new_token()
        self._noise = _Tail()
        self._rest = bytearray()
        self.out = Cut(self.token, _Tail(), out)
        self.err = Cut(self.token, self._noise, err, self._rest.extend)

    @property
    def begun(self) -> bool:
        """Whether the script was reached at all."""
        return self.err.passed > 0

    @property
    def result(self) -> str | None:
        """What the script came to, or None while, or because, it did not tell."""
        return self._rest.decode(errors="replace").strip() if self._rest.endswith(b"\n") else None

    @property
    def noise(self) -> str:
        """The end of what was said on standard error before the answer began: why it never did."""
        return "" if self.begun else (self._noise.end + self.err.held).decode(errors="replace").strip()


class Cut:
    """One stream, cut at its tokens: what comes before the first goes to the first sink, and so on to the last."""

    def __init__(self, token: str, *sinks: Sink) -> None:
        self._token, self._sinks = token.encode(), sinks
        self.passed = 0
        """How many tokens have come by."""
        self.held = b""
        """What may be the beginning of the token, held back until more has come."""

    def __call__(self, data: bytes) -> None:
        while self.passed < len(self._sinks) - 1:
            before, found, data = (self.held + data).partition(self._token)
            keep = 0 if found else _overlap(before, self._token)
            self.held = before[len(before) - keep :]
            self._pass(before[: len(before) - keep])
            if not found:
                return
            self.passed += 1
        self._pass(data)

    def _pass(self, data: bytes) -> None:
        if data:
            self._sinks[self.passed](data)


class _Tail:
    """Keeps the end of what it is given."""

    end = b""

    def __call__(self, data: bytes) -> None:
        self.end = (self.end + data)[-1000:]


def _overlap(data: bytes, token: bytes) -> int:
    """How many bytes at the end of `data` may be the beginning of the token."""
    return next((n for n in range(min(len(token) - 1, len(data)), 0, -1) if token.startswith(data[-n:])), 0)
