"""How a script's answer is read, however it is cut into pieces; what is never handed to a shell."""

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmops.answers import Answer
from vmops.scripts import MAX_COMMAND, Spec, whole
from vmops.transport import Refused


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """The data cut at those places."""
    places = sorted(min(cut, len(data)) for cut in cuts)
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


@given(st.binary(max_size=60), st.binary(max_size=60), st.lists(st.integers(0, 260), max_size=12))
def test_an_answer_is_the_same_however_it_arrives(noise: bytes, output: bytes, cuts: list[int]) -> None:
    out, err = bytearray(), bytearray()
    answer = Answer(out.extend, err.extend)
    token = answer.token.encode()
    for piece in pieces(noise + token + output + token[:9], cuts):
        answer.out(piece)
    for piece in pieces(noise + token + output + token + b"3 stopped\n", cuts):
        answer.err(piece)
    assert bytes(out) == output + token[:9]
    assert bytes(err) == output
    assert answer.result == "3 stopped"


@given(st.binary(max_size=60), st.integers(0, 200))
def test_an_answer_that_broke_off_has_no_result_and_its_output_only_what_is_certain(output: bytes, at: int) -> None:
    err = bytearray()
    answer = Answer(bytearray().extend, err.extend)
    token = answer.token.encode()
    answer.err((token + output + token + b"0\n")[:at])
    assert output.startswith(bytes(err))
    assert (answer.result is None) == (at < len(token + output + token + b"0\n"))


def test_what_an_answer_that_never_began_said_is_why() -> None:
    answer = Answer(bytearray().extend, bytearray().extend)
    answer.err(b"mkdir: cannot create directory: Permission denied")
    assert (answer.begun, answer.noise) == (False, "mkdir: cannot create directory: Permission denied")


def test_a_script_that_arrives_in_part_runs_in_no_part() -> None:
    script = whole("echo one\necho two\n")
    for length in range(len(script) - len(")\n") + 1):
        ran = subprocess.run(["/bin/sh", "-s"], input=script[:length].encode(), capture_output=True, check=False)
        assert ran.stdout == b""


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"command": "a\0b"}, "zero byte"),
        ({"command": "x" * (MAX_COMMAND + 1)}, "longer than"),
        ({"command": "env", "env": {"A": "\0"}}, "zero byte"),
        ({"command": "env", "env": {"A\nB": ""}}, "cannot be the name"),
    ],
)
def test_what_a_shell_cannot_be_given_is_refused(spec: dict[str, str], said: str) -> None:
    with pytest.raises(Refused, match=said):
        Spec("base", "namespace", "job", **spec)  # type: ignore[arg-type]
