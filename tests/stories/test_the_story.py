"""The story that the demo tells, beat by beat, each judged by Slack, the hosts and the ledger."""

from stories.house import House

from bot.reading import verify
from bot.tales.story import FIRST_DEPLOYMENT


def test_the_first_deployment(house: House) -> None:
    evening = house.open()
    for told, play in FIRST_DEPLOYMENT.beats:
        assert play(evening), told
    house.close()
    count, head = verify(house.folder / "var")
    assert count > 100
    assert head == evening.records("message.posted")[-1]["hash"] or len(head) == 64
