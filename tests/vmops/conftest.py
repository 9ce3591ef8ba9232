"""The contract's far ends as fixtures."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from far_ends import Bot, Lab, Sshd, Target, open_lab, open_sshd
from vcenters import Center, open_lab_center, open_simulator

from plans.actions import At


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(what): expected to fail where the vCenter cannot show that")


@pytest.fixture
def bot(target: Target) -> Iterator[Bot]:
    one = Bot(target, target.performer())
    yield one
    one.performer.close()


@pytest.fixture(params=["local", "sshd", "lab", "guest"])
def target(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Target:
    """Every host that the contract holds for."""
    if request.param == "local":
        monkeypatch.setenv("HOME", str(tmp_path))
        return Target("local", At("staging", "runner"), {}, tmp_path / ".quarterdeck", archives=tmp_path)
    if request.param in ("lab", "guest"):
        lab: Lab = request.getfixturevalue("lab")
        host = lab.host("qa-web") if request.param == "lab" else lab.without_a_network("qa-web")
        return lab.target("qa", "web", host, tmp_path)
    return request.getfixturevalue("sshd").target(tmp_path)  # type: ignore[no-any-return]


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with open_sshd(tmp_path_factory.mktemp("sshd")) as one:
        yield one


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with open_lab(tmp_path_factory.mktemp("lab")) as one:
        yield one


@pytest.fixture(scope="session", params=["lab", "simulator"])
def centers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Center]:
    """Every vCenter that the contract holds for."""
    folder = tmp_path_factory.mktemp("vcenter")
    cache = request.config.cache.mkdir("vcsim")
    with open_lab_center(folder) if request.param == "lab" else open_simulator(folder, cache) as one:
        yield one


@pytest.fixture
def center(request: pytest.FixtureRequest, centers: Center) -> Center:
    """Its VM is off and has no snapshot; a test that is marked with what this one cannot show is expected to fail."""
    for mark in request.node.iter_markers("needs"):
        if reason := centers.cannot.get(mark.args[0]):
            request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
    centers.reset()
    return centers
