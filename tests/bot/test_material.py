"""What a run is made of: the machines that it may touch."""

from types import SimpleNamespace
from typing import Any

import pytest
from builders import PROD, STAGING

from bot.material import Materials
from plans.documents import load
from plans.environment import App, Environment
from plans.errors import Refusal
from vmops.transport import Unreachable

IDENTITIES = {
    "staging web": "center/uuid-1",
    "staging db": "center/uuid-2",
    "prod web": "center/uuid-3",
    "prod web/2": "center/uuid-4",
    "prod db": "ssh:127.0.0.1:22",
}


def machines(environment: str, identities: dict[str, str], **options: Any) -> tuple[str, ...]:
    """Of a house with a staging and a prod, in which each host is the machine of that identity."""
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
    performer: Any = SimpleNamespace(identity=identity)
    return Materials(anything, settings, anything).machines(environment, performer, **options)


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
