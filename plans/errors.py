"""Decides how a refusal reads: the one exception that reaches a user."""


class Refusal(Exception):
    """A refused request: `code` from a closed list of snake_case words, one sentence, and what to do about it."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.code}: {self.message}" + (f" {self.hint}" if self.hint else "")
