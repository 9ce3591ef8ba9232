"""Decides how a Web API call is refused: the error's name, what goes with it, the HTTP status."""

from typing import Any


class Refused(Exception):
    """A call that is answered with `ok: false`; `extra` goes beside the error's name."""

    def __init__(self, error: str, status: int = 200, headers: dict[str, str] | None = None, **extra: Any) -> None:
        super().__init__(error)
        self.error = error
        self.status = status
        self.headers = headers or {}
        self.extra = extra

    def body(self) -> dict[str, Any]:
        """The JSON of the answer."""
        return {"ok": False, "error": self.error, **self.extra}


def malformed(error: str, messages: list[str]) -> Refused:
    """A refusal that lists what is wrong, as Slack does under `response_metadata`."""
    return Refused(error, response_metadata={"messages": messages})
