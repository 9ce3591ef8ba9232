"""The contract's far ends as fixtures."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from far_ends import Bot, Lab, Sshd, Target, open_lab, open_sshd

from plans.actions import At


@pytest.fixture
def bot(target: Target) -> Iterator[Bot]:
    one = Bot(target, target.performer())
    yield one
    one.performer.close()


@pytest.fixture(params=["local", "sshd", "lab"])
def target(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Target:
    """Every host that the contract holds for."""
    if request.param == "local":
        monkeypatch.setenv("HOME", str(tmp_path))
        return Target("local", At("staging", "runner"), {}, tmp_path / ".quarterdeck", archives=tmp_path)
    if request.param == "lab":
        lab: Lab = request.getfixturevalue("lab")
        return lab.target("qa", "web", lab.host("qa-web"), tmp_path)
    return request.getfixturevalue("sshd").target(tmp_path)  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with open_sshd(tmp_path_factory.mktemp("sshd")) as one:
        yield one


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with open_lab(tmp_path_factory.mktemp("lab")) as one:
        yield one
