"""Decides what a test plan is: the admins' own checks of one app, the critical ones before the deep ones."""

import msgspec

from plans.checks import Check


class TestPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of `critical` must pass before a check of `deep` starts; each group always runs to its end."""

    __test__ = False

    app: str
    critical: tuple[Check, ...] = ()
    deep: tuple[Check, ...] = ()

    def checks(self) -> tuple[Check, ...]:
        return self.critical + self.deep
