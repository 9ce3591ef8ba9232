"""Files that go along: the evidence of a release into its thread, and the picture of the weeks beside the digest."""

import io
from pathlib import Path
from typing import Any

from PIL import Image
from test_progress import Team, breaks, lost, once, scene, team

from lab.desk import Message
from plans import events as e
from plans.rule_events import ReportAsked, WeekOver

__all__ = ["scene", "team"]


def named(messages: list[Message]) -> list[dict[str, Any]]:
    return [file for message in messages for file in message.files]


def a_week_is_over(team: Team) -> None:
    over = WeekOver(since="2026-11-16T08:00:00.000Z", until="2026-11-23T08:00:00.000Z")
    team.scene.says(over)


def test_a_week_is_told_in_the_channel_with_a_picture_of_the_weeks(team: Team) -> None:
    a_week_is_over(team)
    team.tells()
    told, picture = team.channel()
    assert "Deployments from 2026-11-16 to 2026-11-23" in told.text
    (file,) = picture.files
    assert file["name"].endswith(".png")
    image = Image.open(io.BytesIO(team.slack.desk.downloads(file["id"])))
    assert image.format == "PNG"
    assert image.size == (1200, 640)


def test_a_picture_whose_answer_was_lost_is_there_once(team: Team, monkeypatch: Any) -> None:
    a_week_is_over(team)
    breaks(monkeypatch, "files.completeUploadExternal", once(lost))
    team.tells()
    assert len(named(team.channel())) == 1


def test_the_evidence_is_put_into_the_run_s_thread_as_one_file(team: Team, tmp_path: Path) -> None:
    team.scene.hands_off()
    team.scene.begins(1)
    team.scene.says(e.RunFinished(run=1, verdict="failed", clean=True, reason="hunter22 was wrong"))
    team.scene.says(ReportAsked(release="R-1", run=1), by="U02ADMIN")
    team.tells()
    (file,) = [file for file in named(team.card(1).replies) if file["name"].endswith(".html")]
    page = team.slack.desk.downloads(file["id"]).decode()
    assert "webshop 2.4.0" in page
    assert "was wrong" in page
    assert "hunter22" not in page
