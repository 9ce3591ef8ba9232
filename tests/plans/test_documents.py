"""What people write is read as text, typed strictly, and refused with the line and the key of what is wrong."""

import re
from pathlib import Path

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from plans import nodes
from plans.checks import Expect, HttpCheck, RunCheck
from plans.documents import Document, fill, load
from plans.environment import Environment, Host
from plans.errors import Refusal
from plans.package import Manifest
from plans.steps import Copy, Manual, Reboot, Run, Script
from plans.testplan import TestPlan

EXAMPLES = Path(__file__).parents[1] / "examples"
PACKAGE = (EXAMPLES / "handoff.yaml").read_text()

PLAN = (EXAMPLES / "webshop.tests.yaml").read_text()

HOST = "{vcenter: main, vm: x, guest: {username: root, password: secret}}"


class Words(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    text: str = "-"
    count: int = -1
    switch: bool = False
    maybe: str | None = None
    items: tuple[str, ...] = ()
    pairs: dict[str, str] = msgspec.field(default_factory=dict)


def refused(text: str | bytes, kind: type = Words, **more: object) -> Refusal:
    with pytest.raises(Refusal) as caught:
        load(text if isinstance(text, bytes) else text.encode(), kind, "file.yaml", **more)  # type: ignore[arg-type]
    return caught.value


def test_each_kind_of_step_is_told_by_its_key() -> None:
    manifest = load(PACKAGE.encode(), Manifest, "handoff.yaml")
    assert [type(step) for step in manifest.deploy] == [Run, Script, Copy, Reboot, Manual]
    assert manifest.version == "1.10"
    migrate = manifest.deploy[1]
    assert isinstance(migrate, Script)
    assert (migrate.on, migrate.once, migrate.args, migrate.timeout) == ("db", True, ("--fast",), "5m")


def test_each_kind_of_check_is_told_by_its_key() -> None:
    plan = load(PLAN.encode(), TestPlan, "webshop.tests.yaml")
    answers, archived = plan.critical
    assert isinstance(answers, HttpCheck)
    assert answers.http.status == 200
    assert isinstance(archived, RunCheck)
    assert archived.expect == Expect(exit=0, stdout="^[0-9]+$")


def test_a_role_is_a_host_or_a_list_of_hosts() -> None:
    text = f"hosts:\n  web: {HOST}\n  db: [{HOST}, {HOST}]\n"
    environment = load(text.encode(), Environment, "e.yaml")
    assert isinstance(environment.hosts["web"], Host)
    assert list(environment.named()) == ["web", "db", "db/2"]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("text: on", Words(text="on")),
        ("text: 1.10", Words(text="1.10")),
        ("text: null", Words(text="null")),
        ("text: ~", Words(text="~")),
        ("text:", Words(text="")),
        ("text: ''", Words(text="")),
        ("maybe: null", Words(maybe="null")),
        ("maybe:", Words(maybe="")),
        ("count: 12", Words(count=12)),
        ("count: '12'", Words(count=12)),
        ("count: -3", Words(count=-3)),
        ("switch: true", Words(switch=True)),
        ("switch: false", Words(switch=False)),
        ("items: []", Words()),
        ("items: [on, 1, null]", Words(items=("on", "1", "null"))),
        ("pairs: {on: off, 1: 2}", Words(pairs={"on": "off", "1": "2"})),
        ("text: |\n  two\n  lines\n", Words(text="two\nlines\n")),
        ("%YAML 1.1\n---\ntext: x\n...\n", Words(text="x")),
        ("\ufefftext: x", Words(text="x")),
    ],
)
def test_scalars_are_the_text_that_stands_there(written: str, read: Words) -> None:
    assert load(written.encode(), Words, "w.yaml") == read


@pytest.mark.parametrize(
    ("written", "line", "says"),
    [
        ("text: a\ntxet: b", 2, "txet: this key is not known. Did you mean text?"),
        ("zzz: b", 1, "zzz: this key is not known. Known here: text, count,"),
        ("text: a\ncount: many", 2, "count: a whole number is wanted, found “many”"),
        ("count: 1.5", 1, "count: a whole number is wanted, found “1.5”"),
        ("count: " + "9" * 5000, 1, "count: a whole number is wanted"),
        ("count:", 1, "count: a whole number is wanted, found nothing"),
        ("switch: yes", 1, "switch: true or false is wanted, found “yes”"),
        ("text: [a]", 1, "text: a text is wanted, found a list"),
        ("text: {a: b}", 1, "text: a text is wanted, found a mapping"),
        ("items:", 1, "items: a list is wanted, found nothing. For none write []."),
        ("items:\n  - a\n  - {b: c}", 3, "items[1]: a text is wanted, found a mapping"),
        ("pairs: {a: [b]}", 1, "pairs.a: a text is wanted, found a list"),
        ("maybe: [a]", 1, "maybe: a text is wanted, found a list"),
        ("- a", 1, "a mapping is wanted, found a list"),
        ("", 1, "the document is empty"),
        ("# nothing\n", 1, "the document is empty"),
        ("text: a\n\ntext: b", 3, "the key text is there twice (first in line 1)"),
        ("pairs: {a: b, a: c}", 1, "the key a is there twice"),
        ("text: &x a\nmaybe: *x", 1, "anchors and aliases"),
        ("maybe: *x", 1, "anchors and aliases"),
        ("pairs: &x {}", 1, "anchors and aliases"),
        ("text: !!str a", 1, "the tag tag:yaml.org,2002:str is not allowed"),
        ("text: !x a", 1, "the tag !x is not allowed"),
        ("pairs: !!python/object:os.system {}", 1, "is not allowed"),
        ("text: a\n---\ntext: b", 2, "a second document"),
        ("? [a]\n: b", 1, "a key must be a plain word"),
        ("pairs:\n  <<: {a: b}", 2, "a text is wanted"),
        ("text: 'a", 1, "not readable as YAML"),
        ("text: a\n\tcount: 1", 2, "not readable as YAML"),
        ("text: @a", 1, "not readable as YAML"),
        ('text: "\\0"', 1, "a NUL"),
        ('text: "\\ud800"', 1, ""),
        ('text: "\\UFFFFFFFF"', 1, "not readable as YAML"),
    ],
)
def test_what_does_not_fit_is_refused_with_line_and_key(written: str, line: int, says: str) -> None:
    refusal = refused(written)
    assert refusal.code == "invalid_document"
    assert str(refusal).startswith(f"invalid_document: file.yaml, line {line}")
    assert says in str(refusal)


@pytest.mark.parametrize(
    ("step", "says"),
    [
        ("{name: x, on: db}", "deploy[0]: exactly one of run, script, copy, reboot or manual is wanted, found none"),
        ("{name: x, on: db, run: a, script: b}", "is wanted, found run and script"),
        ("{name: x, on: db, scirpt: a}", "Did you mean script?"),
        ("{name: x, on: db, run: a, tiemout: 5m}", "deploy[0].tiemout: this key is not known. Did you mean timeout?"),
        ("{name: x, on: db, run: a, kind: script}", "deploy[0].kind: this key is not known"),
        ("{name: x, on: db, run: a, timeout: 5 minutes}", "a text like 30s, 10m, 2h, 7d is wanted, found “5 minutes”"),
        ("{name: x, on: db, run: a, timeout: 99999999999999h}", "a text like 30s"),
        ("{name: x, on: db, run: a, rerun: maybe}", "deploy[0].rerun: never or safe is wanted, found “maybe”"),
        ("{name: x, run: a}", "`on:` is missing"),
        ("{name: x, script: a}", "`on:` is missing"),
        ("{name: x, copy: {from: a, to: b}}", "`on:` is missing"),
        ("{name: x, reboot: true}", "`on:` is missing"),
        ("{name: x, on: web, reboot: false}", "deploy[0].reboot: true is wanted, found “false”"),
        ("{on: web, run: a}", "deploy[0].name: this key is missing"),
        ("{name: ' ', on: web, run: a}", "a step needs a name"),
        ("{name: x, on: web, run: a, serial: -1}", "serial is a number of hosts"),
        ("{name: x, on: web, copy: {from: a}}", "deploy[0].copy.to: this key is missing"),
        ("{name: x, on: web, copy: {from: a, to: ''}}", "both are wanted"),
        ("./deploy.sh", "deploy[0]: a mapping is wanted, found “./deploy.sh”"),
    ],
)
def test_a_step_that_does_not_fit_is_refused_with_its_place(step: str, says: str) -> None:
    text = f"app: a\nversion: '1'\nsummary: s\nchanges: []\ndeploy:\n  - {step}\n"
    refusal = refused(text, Manifest)
    assert ", line 6, deploy[0]" in refusal.message
    assert says in str(refusal)


def test_what_stands_deeper_than_anybody_writes_is_refused_without_a_deep_stack() -> None:
    assert "nested more than" in refused("[" * 1000 + "]" * 1000).message
    assert "nested more than" in refused("{a: " * 1000 + "}" * 1000).message
    assert "nested more than" in refused("".join("  " * i + "a:\n" for i in range(400))).message
    assert "nested more than" in refused("- " * 500 + "x").message


def test_aliases_that_multiply_are_refused_at_the_first() -> None:
    laughs = "a: &a [x, x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [*{chr(97 + i)}, *{chr(97 + i)}]\n" for i in range(9)
    )
    assert "line 1: anchors and aliases" in refused(laughs).message


def test_a_document_of_more_than_a_megabyte_is_refused() -> None:
    assert "more than 1000 KB" in refused(b"text: " + b"x" * 1_000_000).message


@pytest.mark.parametrize("data", [b"text: a\nmaybe: \xff", "text: a\nmaybe: ä".encode("latin-1")])
def test_what_is_not_utf8_is_refused_with_its_line(data: bytes) -> None:
    refusal = refused(data)
    assert (refusal.code, refusal.message) == ("not_utf8", "file.yaml, line 2: this is not UTF-8.")


def answers(name: str) -> str:
    values = {"NAME": "value", "PORT": "22", "file:keys/a": "a key"}
    if name not in values:
        raise LookupError(f"the environment variable {name} is not set")
    return values[name]


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("${NAME}", "value"),
        ("a ${NAME}, ${file:keys/a}", "a value, a key"),
        ("$${NAME}", "${NAME}"),
        ("$NAME and $(date) and 5$", "$NAME and $(date) and 5$"),
    ],
)
def test_variables_are_filled_in(text: str, filled: str) -> None:
    assert fill(text, answers) == filled


def test_a_filled_in_value_is_never_read_as_yaml() -> None:
    text = b"text: ${X}\ncount: ${X}"
    refusal = refused(text, variables=lambda _: "5, maybe: [")
    assert refusal.message == "file.yaml, line 2, count: a whole number is wanted, found “${X}”."
    assert load(b"text: ${X}", Words, "w", variables=lambda _: "a: [b\n- c") == Words(text="a: [b\n- c")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("pairs:\n  a: ${MISSING}", "line 2, pairs.a: the environment variable MISSING is not set"),
        ("items: [a, '${}']", "line 1, items[1]: ${} is neither ${NAME} nor ${file:PATH}"),
        ("text: ${A-b}", "line 1, text: ${A-b} is neither"),
    ],
)
def test_a_variable_that_is_missing_is_refused_with_line_and_key(text: str, says: str) -> None:
    assert says in refused(text, variables=answers).message


def test_without_variables_nothing_is_filled_in() -> None:
    assert load(b"text: ${HOME}", Words, "w.yaml").text == "${HOME}"


def test_a_document_knows_its_scalars_and_their_lines() -> None:
    document = Document(b"text: a\nitems:\n  - b\n  - c\npairs: {d.e: f}\n", "w.yaml")
    assert dict(document.scalars()) == {"text": "a", "items[0]": "b", "items[1]": "c", "pairs.d.e": "f"}
    assert [document.line(path) for path in ("text", "items[1]", "items[7].x", "pairs.zzz", "no]thing")] == [
        1,
        4,
        3,
        5,
        1,
    ]


BITS = st.sampled_from(
    [
        *"ab:-,[]{}&*!|>'\"#%@`?~<\\ \n\t0.",
        "a: ",
        "\n  ",
        "- ",
        "---\n",
        "...",
        "<<: ",
        "!!str ",
        "\0",
        '"\\U0',
        "\\xff",
    ]
)
TEXTS = st.lists(BITS, max_size=60).map("".join)
KEYS = st.sampled_from(
    ["app", "version", "deploy", "changes", "name", "run", "on", "copy", "from", "to", "kind", "paths"]
)
SHAPES = st.recursive(
    st.text(alphabet="ab1", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=20,
)
READ_OR_REFUSED = re.compile(r"read|file\.yaml, line [1-9]\d*[:,] .+", re.DOTALL)


def ending(data: bytes, kind: type) -> str:
    """How reading ends: `read`, or what the refusal says. Anything else that is raised fails the test."""
    try:
        load(data, kind, "file.yaml")
    except Refusal as refusal:
        return refusal.message
    return "read"


@given(TEXTS)
def test_no_text_raises_anything_but_a_refusal(text: str) -> None:
    for kind in (Words, Manifest, TestPlan):
        assert READ_OR_REFUSED.fullmatch(ending(text.encode(), kind))


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_a_refusal(data: bytes) -> None:
    assert READ_OR_REFUSED.fullmatch(ending(data, Words))


@given(TEXTS)
def test_nor_where_yaml_comes_without_libyaml(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nodes, "_Loader", yaml.BaseLoader)
        assert READ_OR_REFUSED.fullmatch(ending(text.encode(), Words))


@given(SHAPES)
def test_no_shape_raises_anything_but_a_refusal(shape: object) -> None:
    assert READ_OR_REFUSED.fullmatch(ending(yaml.safe_dump(shape).encode(), Manifest))
