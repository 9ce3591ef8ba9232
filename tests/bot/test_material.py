"""What a run is made of: the machines that it may touch."""

from types import SimpleNamespace
from typing import Any

import pytest
from builders import PROD, STAGING, Story, begun, finished, planned

from bot.material import Materials
from plans import events as e
from plans.documents import load
from plans.environment import App, Environment
from plans.errors import Refusal
from plans.isolation import Isolation
from plans.restoring import MakeAnew
from vmops.transport import Unreachable

IDENTITIES = {
    "staging web": "center/uuid-1",
    "staging db": "center/uuid-2",
    "prod web": "center/uuid-3",
    "prod web/2": "center/uuid-4",
    "prod db": "ssh:127.0.0.1:22",
}


def house(identities: dict[str, str]) -> tuple[Materials, Any]:
    """A staging and a prod, and a performer for which each host is the machine of that identity."""
    settings: Any = SimpleNamespace(
        environments={
            "staging": load(STAGING.encode(), Environment, "staging"),
            "prod": load(PROD.encode(), Environment, "prod"),
        },
        apps={"webshop": App(tests="t", staging="staging", prod="prod")},
    )

    def identity(at: Any) -> str:
        if str(at) not in identities:
            raise Unreachable("vCenter main cannot be reached")
        return identities[str(at)]

    anything: Any = None
    return Materials(anything, settings, anything), SimpleNamespace(identity=identity)


def machines(environment: str, identities: dict[str, str], **options: Any) -> tuple[str, ...]:
    materials, performer = house(identities)
    return materials.machines(environment, performer, **options)


def test_machines_go_by_their_identities() -> None:
    assert machines("staging", IDENTITIES) == ("center/uuid-1", "center/uuid-2")
    assert machines("prod", IDENTITIES) == ("center/uuid-3", "center/uuid-4", "ssh:127.0.0.1:22")


def test_a_staging_that_is_a_prod_under_another_name_is_refused_with_both() -> None:
    with pytest.raises(Refusal) as refused:
        machines("staging", IDENTITIES | {"staging db": "center/uuid-4"})
    assert refused.value.code == "staging_is_prod"
    assert refused.value.message == "staging db and prod web/2 are the same machine (center/uuid-4)."


@pytest.mark.parametrize("unknown", ["staging db", "prod web"])
def test_what_cannot_be_told_apart_is_not_reverted(unknown: str) -> None:
    known = {name: identity for name, identity in IDENTITIES.items() if name != unknown}
    with pytest.raises(Refusal) as refused:
        machines("staging", known)
    assert refused.value.code == "machine_unknown"
    assert refused.value.message.startswith(f"{unknown}: vCenter main cannot be reached")


def test_prod_needs_no_vcenter_to_be_rolled_back() -> None:
    assert "main/prod-web-1" in machines("prod", {"prod db": "ssh:127.0.0.1:22"}, strict=False)


class TestRecognised:
    """After a start of the bot: whether the machines are still those that the run holds."""

    ANEW = MakeAnew(
        name="Clone",
        sources={"db": "prod-db"},
        snapshot="fresh",
        timeout="4h",
        isolation=Isolation(networks=()),
        attested=None,
        older={},
    )
    CLONE = planned(1, "restore", "db", step=ANEW)

    def recognise(self, identities: dict[str, str], *told: e.AnyEvent, held: tuple[str, ...] = ()) -> None:
        held = held or machines("staging", IDENTITIES)
        start = e.RunStarted(run=1, kind="check", release=None, environment="staging", plans="p", machines=held)
        run = Story().tell(start, *told).run()
        materials, performer = house(IDENTITIES | identities)
        materials.recognise(run, [self.CLONE] if run.steps else [], performer)

    def test_the_same_machines_are(self) -> None:
        self.recognise({})

    def test_another_one_under_the_same_name_is_not(self) -> None:
        with pytest.raises(Refusal) as refused:
            self.recognise({"staging db": "center/uuid-9"})
        assert refused.value.code == "another_machine"
        assert refused.value.message.startswith("staging db is another machine now (center/uuid-9)")

    def test_while_a_clone_takes_its_place_it_is_neither(self) -> None:
        self.recognise({"staging db": "center/uuid-9"}, begun(1, self.CLONE, "db", 1))
        with pytest.raises(Refusal, match="another_machine"):
            self.recognise({"staging web": "center/uuid-9"}, begun(1, self.CLONE, "db", 1))

    def test_the_clone_that_took_its_place_is_held_instead(self) -> None:
        replaced = e.MachineReplaced(run=1, environment="staging", host="db", old="center/uuid-2", new="center/uuid-9")
        over = (begun(1, self.CLONE, "db", 1), replaced, finished(1, 1, "db", 1, "ok"))
        self.recognise({"staging db": "center/uuid-9"}, *over)
        with pytest.raises(Refusal, match="another_machine"):
            self.recognise({"staging db": "center/uuid-8"}, *over)

    def test_what_was_only_ever_known_by_its_name_is_taken_by_it(self) -> None:
        self.recognise({"staging db": "center/uuid-9"}, held=("center/uuid-1", "main/staging-db"))

    def test_a_vcenter_that_tells_nothing_makes_it_no_other(self) -> None:
        materials, performer = house({})
        start = e.RunStarted(run=1, kind="check", release=None, environment="staging", plans="p", machines=("m",))
        with pytest.raises(Refusal, match="machine_unknown: staging web: whether it is still the same"):
            materials.recognise(Story().tell(start).run(), [], performer)
