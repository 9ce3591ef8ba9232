"""When two sides agree on a fact, and how a difference reads."""

import pytest

from plans.facts import SHOWN, WIDTH, Difference, Fact, brief, compare, digest


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
    assert brief([found]) == f"packages: staging web and prod web differ\n{shown}"
    assert digest(fact("^linux-image"), ours) != digest(fact("^linux-image"), theirs)


def differing(ours: int, theirs: int, name: str = "packages") -> Difference:
    found = compare(
        Fact(name=name, on="web", run="true"),
        "staging web",
        "\n".join(f"package-{number}" for number in range(ours)),
        "prod web",
        "\n".join(f"parcel-{number}" for number in range(theirs)),
    )
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("ours", "theirs", "of_ours", "of_theirs"),
    [(15, 1, 9, 1), (1, 15, 1, 9), (15, 15, 5, 4), (5, 6, 5, 6), (6, 6, 6, 4), (20, 3, 7, 3)],
)
def test_a_long_difference_is_cut_short_on_both_sides_and_is_whole_in_the_log(
    ours: int, theirs: int, of_ours: int, of_theirs: int
) -> None:
    found = differing(ours, theirs)
    shown = brief([found])
    assert len(shown.splitlines()) <= SHOWN
    assert shown.count("only on staging web: package-") == of_ours
    assert shown.count("only on prod web: parcel-") == of_theirs
    for side, left in (("staging web", ours - of_ours), ("prod web", theirs - of_theirs)):
        assert (f"  only on {side}: {left} lines more, in the log" in shown) is (left > 0)
    assert all(f"-package-{number}" in found.full for number in range(ours))


@pytest.mark.parametrize(("count", "named"), [(2, 2), (4, 4), (5, 3), (40, 3)])
def test_several_differences_share_the_room(count: int, named: int) -> None:
    shown = brief([differing(9, 9, f"fact-{number}") for number in range(count)])
    assert len(shown.splitlines()) <= SHOWN + 1
    assert shown.count(" differ\n") == named
    assert (f"{count - named} facts more differ: see the log" in shown) is (count > named)


def test_a_long_line_is_cut() -> None:
    found = compare(fact(), "staging web", "x" * 1000, "prod web", "")
    assert found is not None
    assert [len(line) for line in brief([found]).splitlines()] == [41, WIDTH, 20]


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
