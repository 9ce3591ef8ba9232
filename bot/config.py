"""Reads the admins' configuration, once: the file, the test plans beside it, and the secrets that they name."""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from plans.consistency import problems
from plans.documents import Document, fill
from plans.environment import App, Config, Environment, Policy, VCenter
from plans.errors import Refusal
from plans.quantities import Size, size
from plans.restore_tests import RestoreTest
from plans.testplan import TestPlan

Person = Annotated[str, msgspec.Meta(pattern=r"\A[UW][A-Z0-9]+\Z", description="U02ADMIN (a user's id)")]
Member = Annotated[
    str, msgspec.Meta(pattern=r"\A[UWS][A-Z0-9]+\Z", description="U02ADMIN or S04ADMINS (the id of a user or a group)")
]
Command = Annotated[str, msgspec.Meta(pattern=r"\A/[a-z0-9_-]{1,31}\Z", description="/handoff")]
Channel = Annotated[str, msgspec.Meta(pattern=r"\A[CG][A-Z0-9]+\Z", description="C01DEPLOYS (a channel's id)")]

DATA_DIR = "var/"


class Slack(Config, frozen=True, kw_only=True):
    bot_token: str
    app_token: str
    channel: Channel
    api_url: str = "https://slack.com/api/"

    def __post_init__(self) -> None:
        _check_address(self.api_url)
        if not self.api_url.endswith("/"):
            raise ValueError(f"api_url ends with a slash: {self.api_url}/")


class Roles(Config, frozen=True, kw_only=True):
    """Who may what. Without a list of testers or developers nobody is one."""

    admins: tuple[Member, ...]
    testers: tuple[Member, ...] = ()
    developers: Literal["everybody"] | tuple[Member, ...] = ()


class Packages(Config, frozen=True, kw_only=True):
    """Where packages may come from, how large they may be, and what none may hold (regular expressions)."""

    sources: tuple[str, ...] = ()
    max_bytes: Size = "500MB"
    forbidden_content: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.forbidden()
        for source in self.sources:
            if "://" in source:
                _check_address(source)

    def forbidden(self) -> tuple[re.Pattern[str], ...]:
        """The patterns, compiled: `^` and `$` are the ends of a line."""
        return tuple(_compiled(pattern) for pattern in self.forbidden_content)


class Commands(Config, frozen=True, kw_only=True):
    """The slash commands' names, where the workspace has others of that name."""

    handoff: Command = "/handoff"
    stage: Command = "/stage"
    promote: Command = "/promote"

    def __post_init__(self) -> None:
        if len({self.handoff, self.stage, self.promote}) < 3:
            raise ValueError("two commands have the same name")


class Ctl(Config, frozen=True, kw_only=True):
    """Which of the host's own users is which admin, for the evening without Slack."""

    users: dict[str, Person] = msgspec.field(default_factory=dict)


class Configuration(Config, frozen=True, kw_only=True):
    """The file as its author wrote it (CONTRACT.md, 5), with variables filled in and paths made absolute."""

    slack: Slack
    roles: Roles
    environments: dict[str, Environment]
    apps: dict[str, App]
    timezone: str = "UTC"
    data_dir: str = DATA_DIR
    packages: Packages = Packages()
    vcenters: dict[str, VCenter] = msgspec.field(default_factory=dict)
    policy: Policy = Policy()
    commands: Commands = Commands()
    ctl: Ctl = Ctl()
    restore_tests: tuple[RestoreTest, ...] = ()

    def __post_init__(self) -> None:
        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError(f"timezone: there is no {self.timezone}; one like Europe/Berlin is wanted") from None


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All that the admins decided. `tests`: the test plan of each app, by the app's name.

    `digest` is the SHA-256 (hex) of the files' bytes, and `keys` the beginning of each key's own, both before any
    `${…}` is filled in: four digits tell that a password is another, and too little to guess it by. `secrets` are the
    texts that must never be shown; `warnings` what should be said aloud at the start.
    """

    path: Path
    config: Configuration
    tests: dict[str, TestPlan]
    digest: str
    keys: dict[str, str]
    secrets: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def environments(self) -> dict[str, Environment]:
        return self.config.environments

    @property
    def apps(self) -> dict[str, App]:
        return self.config.apps

    @property
    def policy(self) -> Policy:
        return self.config.policy

    @property
    def data_dir(self) -> Path:
        return self.path.parent / self.config.data_dir

    @property
    def max_bytes(self) -> int:
        return size(self.config.packages.max_bytes)

    @property
    def timezone(self) -> ZoneInfo:
        return ZoneInfo(self.config.timezone)

    def digest_of_plans(self, apps: Iterable[str], package: str, environment: str) -> str:
        """What a run is made of, as one SHA-256 (hex): the package (its digest, or ""), the apps' checks and facts,
        the environment and the policy. Keys and passwords have no part in it, nor have the calendar and what is done at
        night: they may be changed at any time.
        """
        made_of = {
            "package": package,
            "apps": {name: [_said(self.apps[name]), _said(self.tests[name])] for name in apps},
            "environment": [environment, _said(self.environments[environment])],
            "policy": _said(msgspec.structs.replace(self.policy, **_BESIDES)),
        }
        return _digest(made_of)

    def unverified(self, environment: str) -> tuple[str, ...]:
        """A warning for each vCenter of that environment whose certificate is not verified: every run on it says so."""
        used = dict.fromkeys(host.vcenter for host in self.environments[environment].machines().values())
        return tuple(
            f"vCenter {name} ({vcenter.host}) is NOT VERIFIED (verify: false): whoever answers there is believed"
            for name, vcenter in self.config.vcenters.items()
            if name in used and not vcenter.verify
        )

    def digest_of_environment(self, name: str) -> str:
        """Hosts, isolation, restore and backup of an environment, as one SHA-256 (hex); keys and passwords aside."""
        return _digest(_said(self.environments[name]))


def load_config(path: Path | str, *, environ: Mapping[str, str] = os.environ) -> Settings:
    """Everything that the file at `path` says, and the test plans that it names; `environ` fills in `${NAME}`.

    Raises Refusal: `unreadable_config`, `not_utf8`, `invalid_document`, with the file, the line and the key.
    """
    file = Path(path).absolute()
    variables = _Variables(file.parent, environ)
    data = _bytes(file)
    written = Document(data, str(path))
    document = written.mapped(lambda at, text: _absolute(file.parent, at, fill(text, variables)))
    config = document.read(Configuration)
    plans = {name: (app.tests, _bytes(Path(app.tests))) for name, app in config.apps.items()}
    documents = {name: Document(text, source) for name, (source, text) in plans.items()}
    tests = {name: plan.read(TestPlan) for name, plan in documents.items()}
    for problem in problems(config.environments, config.apps, config.vcenters, tests, config.restore_tests):
        about = documents[problem.plan] if problem.plan else document
        about.refuse(about.line(problem.path), problem.path, problem.message, problem.hint)
    keys = dict(written.scalars())
    for name, plan in documents.items():
        keys |= {f"apps.{name}.tests: {at}": text for at, text in plan.scalars()}
    return Settings(
        path=file,
        config=config,
        tests=tests,
        digest=hashlib.sha256(b"".join([data, *(text for _, text in plans.values())])).hexdigest(),
        keys={at: hashlib.sha256(text.encode()).hexdigest()[:4] for at, text in keys.items()},
        secrets=tuple(dict.fromkeys([*variables.values, *_passwords(config)])),
        warnings=tuple(_warnings(config)),
    )


def data_dir_of(path: Path | str, *, environ: Mapping[str, str] = os.environ) -> Path:
    """Where the data of that configuration are, without the secrets that it names: an admin's shell lacks them.

    Raises Refusal as `load_config`.
    """
    file = Path(path).absolute()
    document = Document(_bytes(file), str(path))
    variables = _Variables(file.parent, environ)
    document = document.mapped(lambda at, text: fill(text, variables) if at == "data_dir" else text)
    return file.parent / dict(document.scalars()).get("data_dir", DATA_DIR)


def changed_keys(old: Mapping[str, str], new: Mapping[str, str]) -> tuple[str, ...]:
    """The keys whose text is another, that are gone or that are new, between the `keys` of two Settings."""
    return tuple(sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key)))


class _Variables:
    """Fills in `${NAME}` and `${file:PATH}`, and remembers every value: what stood outside the file is a secret."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self._folder = folder
        self._environ = environ
        self.values: list[str] = []

    def __call__(self, name: str) -> str:
        kind, _, path = name.partition(":")
        value = self._file(path) if kind == "file" and path else self._variable(name)
        self.values.append(value)
        return value

    def _variable(self, name: str) -> str:
        if name not in self._environ:
            raise LookupError(f"the environment variable {name} is not set")
        value = self._environ[name]
        if _surrogates(value):
            raise LookupError(f"the environment variable {name} is not UTF-8")
        return value

    def _file(self, path: str) -> str:
        try:
            return (self._folder / path).read_text("utf-8").rstrip("\n")
        except OSError as error:
            raise LookupError(f"the file {self._folder / path} cannot be read ({error.strerror})") from None
        except UnicodeDecodeError:
            raise LookupError(f"the file {self._folder / path} is not UTF-8") from None


_PATHS = re.compile(
    r"data_dir|packages\.sources\[\d+\]|apps\..+\.tests|vcenters\..+\.ca_file"
    r"|environments\..+\.(ssh|gateway)\.(key_file|known_hosts)|environments\..+\.inspection\.ssh\.people\..+"
)


def _absolute(folder: Path, at: str, text: str) -> str:
    """A path that the configuration names, relative to its own folder; any other text as it is."""
    return str(folder / text) if text and _PATHS.fullmatch(at) and "://" not in text else text


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Refusal("unreadable_config", f"{path} cannot be read: {error.strerror}.") from None


def _passwords(config: Configuration) -> Iterator[str]:
    yield from (config.slack.bot_token, config.slack.app_token)
    yield from (vcenter.password for vcenter in config.vcenters.values())
    for environment in config.environments.values():
        yield from (host.guest.password for host in environment.machines().values() if host.guest)


def _warnings(config: Configuration) -> Iterator[str]:
    for name, vcenter in config.vcenters.items():
        if not vcenter.verify:
            yield f"vcenters.{name}: verify: false: any certificate is taken for that of {vcenter.host}"


def _said(part: msgspec.Struct) -> Any:
    """A part of the configuration as plain values, without what has no part in what a run does."""

    def of(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: of(each) for key, each in value.items() if key not in _PRIVATE}
        return [of(each) for each in value] if isinstance(value, list | tuple) else value

    return of(msgspec.to_builtins(part))


def _digest(values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


_BESIDES: dict[str, Any] = dict.fromkeys(("approvals_expire", "digest", "lookout", "restore_test_max_age"), "") | {
    "freezes": (),
    "office_hours": None,
}
"""What of the policy has no part in what a run does."""
_PRIVATE = {"password", "key_file", "known_hosts", "tests", "people"}


def _check_address(address: str) -> None:
    url = urlsplit(address)
    loopback = url.hostname == "localhost" or (url.hostname or "").startswith("127.")
    if url.scheme != "https" and not (url.scheme == "http" and loopback):
        raise ValueError(f"{address}: an https address is wanted (http only to this machine itself)")
    if not url.hostname or url.username is not None or url.query or url.fragment:
        raise ValueError(f"{address}: an address without a user, a query or a fragment is wanted")


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern, re.MULTILINE)
    except re.error as error:
        raise ValueError(f"{pattern} is not a regular expression: {error}") from None


def _surrogates(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)
