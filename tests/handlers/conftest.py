import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from deck_room import DeckRoom, deck_room


@pytest.fixture(scope="session")
def closing() -> Iterator[list[threading.Thread]]:
    """Rooms that are being left: the SDK takes a second to let a socket go, which the next test need not wait for."""
    threads: list[threading.Thread] = []
    yield threads
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


@pytest.fixture
def opened(tmp_path: Path, closing: list[threading.Thread]) -> Iterator[Callable[[str], DeckRoom]]:
    """Opens a room whose configuration has what is given added to it."""
    rooms = []

    def open_room(change: str) -> DeckRoom:
        context = deck_room(tmp_path, change)
        rooms.append(context)
        return context.__enter__()

    yield open_room
    for context in rooms:
        closing.append(threading.Thread(target=context.__exit__, args=(None, None, None)))
        closing[-1].start()


@pytest.fixture
def deck(opened: Callable[[str], DeckRoom]) -> DeckRoom:
    return opened("")
