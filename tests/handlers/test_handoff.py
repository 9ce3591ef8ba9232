"""What developers say and are told with `/handoff`."""

import hashlib
import shutil
from pathlib import Path

import pytest
from deck_room import ADMIN, DEV, GUEST, SAMPLES, TESTER, DeckRoom


def test_a_path_is_handed_off_and_the_same_bytes_are_the_same_release(deck: DeckRoom) -> None:
    path = deck.packed()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    told = deck.types(DEV, f"/handoff {path} sha256:{digest}")
    assert "webshop 2.4.1 is R-1 now" in told
    assert digest in told
    assert "/stage run R-1" in told
    handed = deck.records("package.handed_off")
    assert [(one["release"], one["digest"], one["by"]) for one in handed] == [("R-1", digest, DEV)]
    assert handed[0]["source"] == str(path)
    again = deck.types(TESTER, f"/handoff {path}")
    assert "These bytes are R-1 already" in again
    assert f"<@{DEV}>" in again
    assert len(deck.records("package.handed_off")) == 1


def test_another_digest_refuses_the_bytes(deck: DeckRoom) -> None:
    told = deck.types(DEV, f"/handoff {deck.packed()} sha256:{'0' * 64}")
    assert "digest_differs" in told
    assert deck.records("package.refused")[0]["findings"] == ["digest_differs"]
    assert deck.records("package.handed_off") == []


def test_a_place_that_is_not_allowed_is_refused_with_those_that_are(deck: DeckRoom, tmp_path: Path) -> None:
    told = deck.types(DEV, "/handoff /etc/shadow.zip")
    assert "source_not_allowed" in told
    assert str(tmp_path / "drops") in told


def test_every_finding_is_told_with_its_place_and_what_to_do(deck: DeckRoom) -> None:
    folder = deck.drops / "bad"
    shutil.copytree(SAMPLES / "packages" / "webshop-2.4.1", folder)
    (folder / "DEPLOY.md").unlink()
    (folder / "files" / "stray.txt").write_text("Test Customer\n")
    shutil.make_archive(str(folder), "zip", folder)
    told = deck.types(DEV, f"/handoff {deck.drops / 'bad.zip'}")
    assert "package_refused" in told
    for finding in ("no_document: DEPLOY.md", "uncovered_file: files/stray.txt", "forbidden_content: files/stray.txt"):
        assert finding in told
    assert set(deck.records("package.refused")[0]["findings"]) >= {"no_document", "uncovered_file"}


@pytest.mark.parametrize("by_form", [False, True])
def test_what_it_is_warned_of_is_told_at_once_and_stays_with_the_release(deck: DeckRoom, by_form: bool) -> None:
    deck.release("webshop-2.4.1")
    folder = deck.drops / "risky"
    shutil.copytree(SAMPLES / "packages" / "webshop-2.4.1", folder)
    manifest = folder / "handoff.yaml"
    manifest.write_text(manifest.read_text().replace("id: SHOP-98", "id: SHOP-97"))
    archive = Path(shutil.make_archive(str(folder), "zip", folder))
    if by_form:
        deck.desk.types(DEV, "/handoff")
        deck.desk.wait(lambda: deck.desk.modal(DEV))
        before = len(deck.desk.ephemerals(DEV))
        deck.desk.submits(DEV, {"notes": ""}, {"archive": archive})
        told = deck.desk.wait(lambda: deck.desk.ephemerals(DEV)[before:])[0].text
    else:
        told = deck.types(DEV, f"/handoff {archive}")
    assert "webshop 2.4.1 is R-2 now" in told
    assert "2 things to look at" in told
    for warning in ("changes: SHOP-97: No check of the test plan names SHOP-97.", "R-1 is webshop 2.4.1 too"):
        assert warning in told
        assert warning in deck.types(TESTER, "/handoff show R-2")
        assert [warning in " ".join(one["warnings"]) for one in deck.records("package.handed_off")] == [False, True]


def test_the_form_takes_a_file_and_notes(deck: DeckRoom) -> None:
    assert deck.desk.types(DEV, "/handoff").ok
    deck.desk.wait(lambda: deck.desk.modal(DEV))
    before = len(deck.desk.ephemerals(DEV))
    sent = deck.desk.submits(DEV, {"notes": "Mind the <cache>"}, {"archive": deck.packed()})
    assert sent.ok
    assert deck.desk.modal(DEV) is None
    told = deck.desk.wait(lambda: deck.desk.ephemerals(DEV)[before:])[0].text
    assert "webshop 2.4.1 is R-1 now" in told
    handed = deck.records("package.handed_off")[0]
    assert (handed["source"], handed["notes"]) == ("upload: webshop-2.4.1.zip", "Mind the <cache>")
    shown = deck.types(TESTER, "/handoff show 1")
    assert "Mind the &lt;cache&gt;" in shown
    assert "SHOP-101" in shown


def test_the_form_wants_one_of_the_two_and_stays_open(deck: DeckRoom) -> None:
    deck.desk.types(DEV, "/handoff")
    deck.desk.wait(lambda: deck.desk.modal(DEV))
    neither = deck.desk.submits(DEV, {"notes": "x"})
    assert "One of the two" in neither.errors["archive"]
    both = deck.desk.submits(DEV, {"source": "/srv/x.zip"}, {"archive": deck.packed()})
    assert "One of the two" in both.errors["source"]
    assert deck.desk.modal(DEV)
    assert deck.records("package.handed_off") == []


def test_a_guest_hands_nothing_off(deck: DeckRoom) -> None:
    told = deck.types(GUEST, "/handoff")
    assert "role_needed" in told
    assert deck.desk.modal(GUEST) is None
    assert deck.records("access.denied") == [{"command": "/handoff", "role": "developers", "by": GUEST}]
    assert "members" in deck.types(GUEST, "/handoff list")


def test_releases_are_listed_the_latest_first(deck: DeckRoom) -> None:
    assert "Nothing was handed off yet" in deck.types(TESTER, "/handoff list")
    deck.release("webshop-2.4.0")
    deck.release("webshop-2.4.1")
    deck.rehearsed("R-1", "failed")
    told = deck.types(TESTER, "/handoff list")
    assert told.index("R-2") < told.index("R-1")
    assert "rehearsal failed (run 1)" in told
    assert "not rehearsed" in told


def test_who_handed_it_off_and_admins_withdraw_it_and_its_bytes_stay_withdrawn(deck: DeckRoom) -> None:
    deck.release("webshop-2.4.0")
    deck.release("webshop-2.4.1")
    assert "is for admins" in deck.types(TESTER, "/handoff withdraw R-1 no")
    assert deck.records("access.denied")[0]["command"] == "/handoff withdraw R-1 no"
    assert "R-1 is withdrawn" in deck.types(DEV, "/handoff withdraw R-1 forgot “a script”")
    assert deck.records("release.withdrawn") == [{"release": "R-1", "reason": "forgot “a script”", "by": DEV}]
    assert "already_withdrawn" in deck.types(ADMIN, "/handoff withdraw R-1")
    assert "withdrawn: forgot" in deck.types(DEV, f"/handoff {deck.packed('webshop-2.4.0')}")
    assert "withdrawn" in deck.types(ADMIN, "/stage run R-1")
    deck.runs.start("rehearsal", by=ADMIN, environment="staging", release="R-2")
    busy = deck.types(ADMIN, "/handoff withdraw R-2")
    assert "busy" in busy
    assert "/stage abort 1" in busy


def test_an_unknown_release_and_a_wrong_word_are_told_with_what_to_type(deck: DeckRoom) -> None:
    assert "There is no release R-9" in deck.types(DEV, "/handoff show R-9")
    assert "Did you mean /handoff list?" in deck.types(DEV, "/handoff lits")
    told = deck.types(GUEST, "/handoff nonsense")
    assert "unknown_verb" in told


def test_secrets_in_notes_and_reasons_are_masked(deck: DeckRoom) -> None:
    deck.release()
    deck.types(DEV, "/handoff withdraw R-1 the password hunter2 is secret was in it")
    assert deck.records("release.withdrawn")[0]["reason"] == "the password [masked] was in it"
    assert "hunter2" not in deck.board.ledger.path.read_text()
