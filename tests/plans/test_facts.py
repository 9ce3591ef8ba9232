"""When two sides agree on a fact, and how a difference reads."""

import pytest

from plans.facts import SHOWN, Fact, compare, digest


def fact(*ignore: str) -> Fact:
    return Fact(name="packages", on="web", run="dpkg-query -W", ignore=ignore)


@pytest.mark.parametrize(
    ("ignore", "ours", "theirs"),
    [
        ((), "", ""),
        ((), "a\nb\n", "a\nb\n"),
        ((), "a\nb", "a\nb\n"),
        ((), "a  \nb\t\n", "a\nb"),
        ((), "\na\n\n", "a"),
        (("^linux-image",), "a\nlinux-image-5 5\n", "a\nlinux-image-6 6\n"),
        (("^x", "y$"), "x1\na\n1y", "a"),
    ],
)
def test_sides_that_agree(ignore: tuple[str, ...], ours: str, theirs: str) -> None:
    assert compare(fact(*ignore), "staging web", ours, "prod web", theirs) is None
    assert digest(fact(*ignore), ours) == digest(fact(*ignore), theirs)


@pytest.mark.parametrize(
    ("ours", "theirs", "shown"),
    [
        ("a\nb", "a\nc", "  only on staging web: b\n  only on prod web: c"),
        ("a", "a\nb", "  only on prod web: b"),
        ("a\nb", "a", "  only on staging web: b"),
        ("  a", "a", "  only on staging web:   a\n  only on prod web: a"),
        ("a\nb", "b\na", "  the same lines, in another order or another number of times"),
        ("a\na", "a", "  the same lines, in another order or another number of times"),
        ("Linux-image-5", "", "  only on staging web: Linux-image-5\n  only on prod web: "),
    ],
)
def test_sides_that_differ(ours: str, theirs: str, shown: str) -> None:
    found = compare(fact("^linux-image"), "staging web", ours, "prod web", theirs)
    assert found is not None
    assert found.brief() == f"packages: staging web and prod web differ\n{shown}"
    assert digest(fact("^linux-image"), ours) != digest(fact("^linux-image"), theirs)


def test_a_long_difference_is_cut_short_and_is_whole_in_the_log() -> None:
    lines = [f"package-{number}" for number in range(SHOWN + 3)]
    found = compare(fact(), "staging web", "\n".join(lines), "prod web", "")
    assert found is not None
    assert found.brief().count("only on staging web: package-") == SHOWN
    assert "  only on staging web: 3 lines more, in the log" in found.brief()
    assert all(f"-{line}" in found.full for line in lines)


def test_the_log_shows_which_side_has_what() -> None:
    found = compare(fact(), "staging web", "a\nb", "prod web", "a\nc")
    assert found is not None
    assert found.full.splitlines()[:2] == ["--- staging web", "+++ prod web"]
    assert found.full.splitlines()[-2:] == ["-b", "+c"]


def test_ten_thousand_lines_are_compared_at_once() -> None:
    ours = "\n".join(f"package-{number} 1.{number}" for number in range(10_000))
    found = compare(fact(), "staging web", ours, "prod web", ours + "\nextra 1")
    assert found is not None
    assert (found.only_here, found.only_there) == ((), ("extra 1",))
