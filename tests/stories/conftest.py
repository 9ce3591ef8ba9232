from collections.abc import Iterator
from pathlib import Path

import pytest
from stories.house import House


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path / "lab")
    yield made
    made.close()
