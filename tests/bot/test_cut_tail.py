"""A ledger whose end was cut off is a good chain; the channel remembers what it had."""

from pathlib import Path

import pytest
from teams import CHANNEL, Team, refuses
from test_progress import scene, team

from bot.examinations.tail import first_told, missing, told
from bot.line.channel import Channel

__all__ = ["scene", "team"]


def lost(team: Team, path: Path) -> list[str]:
    since = first_told(path)
    assert since is not None
    marks, why = told(Channel(team.slack.client(), CHANNEL), since)
    assert why == ""
    return [mark.key for mark in missing(path, marks)]


def test_what_the_channel_was_told_of_and_the_ledger_has_not_is_found(team: Team, tmp_path: Path) -> None:
    scene = team.scene
    scene.hands_off()
    for run in (1, 2):
        scene.begins(run)
        scene.does(run, 1, "deploy", "Stop the shop", "web", written=True)
        scene.finishes(run, "passed")
        team.tells()
    lines = scene.board.ledger.path.read_bytes().splitlines(keepends=True)
    cut = tmp_path / "cut.jsonl"
    cut.write_bytes(b"".join(lines))
    assert lost(team, cut) == []
    begun = next(n for n, line in enumerate(lines) if b'"type":"run.finished"' in line and b'"run":2' in line)
    cut.write_bytes(b"".join(lines[:begun]))
    assert lost(team, cut) == ["run/2/end"]
    posted = next(n for n, line in enumerate(lines) if b'"type":"message.posted"' in line)
    cut.write_bytes(b"".join(lines[: posted + 1]))
    assert {"run/2", "run/2/step/1/1", "run/2/end"} <= set(lost(team, cut))


def test_messages_of_a_ledger_before_this_one_are_nobodys(team: Team, tmp_path: Path) -> None:
    team.scene.hands_off()
    team.tells()
    first = team.slack.desk.messages(CHANNEL)[0].ts
    team.scene.begins(1)
    team.tells()
    lines = team.scene.board.ledger.path.read_bytes().splitlines(keepends=True)
    another = tmp_path / "another.jsonl"
    another.write_bytes(b"".join(line for line in lines if first.encode() not in line))
    assert lost(team, another) == []


def test_what_slack_does_not_show_is_said(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    refuses(monkeypatch, "conversations.history", "missing_scope")
    assert told(Channel(team.slack.client(), CHANNEL), 0.0) == ([], "Slack refuses it: missing_scope")
