"""The demo's other story, beat by beat, each judged by Slack, the hosts and the ledger."""

from stories.house import House

from bot.reading import verify
from bot.tales.bad_day import BAD_DAY


def test_the_bad_day(house: House) -> None:
    evening = house.open(prepare=BAD_DAY.prepare)
    for told, play in BAD_DAY.beats:
        assert play(evening), told
    house.close()
    count, _ = verify(house.folder / "var")
    assert count == len(evening.everything())
