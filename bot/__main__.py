"""Touches the command line: composes what each command needs, and gives every ending its words and its exit code."""

import json
import os
import sys
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal
from zoneinfo import ZoneInfo

import msgspec
import typer
from typer.exceptions import Abort, TyperException

from plans.errors import Refusal

if TYPE_CHECKING:
    from plans.findings import Finding

EXITS = {
    "unreadable": 2,
    "search_too_slow": 2,
    "search_ended": 2,
    "unreadable_config": 2,
    "invalid_document": 2,
    "not_utf8": 2,
    "wrong_suffix": 2,
    "inside_itself": 2,
    "bad_call": 2,
    "slack_refused": 2,
    "data_dir_held": 3,
}
"""The exit code of a command that ends with a refusal of this code; 1 for all others."""

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

ConfigFile = Annotated[Path, typer.Option("--config", metavar="FILE", help="The configuration, quarterdeck.yaml.")]
MaybeConfigFile = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="The configuration, quarterdeck.yaml.")
]
AsJson = Annotated[bool, typer.Option("--json", help="The result as JSON on stdout.")]


def main() -> None:
    """The command `quarterdeck`."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Carries a command line out: its exit code. Whatever goes wrong is told in a line or two on stderr."""
    try:
        return int(app(args=arguments, prog_name="quarterdeck", standalone_mode=False) or 0)
    except Refusal as refusal:
        say(f"quarterdeck: {refusal.code}: {refusal.message}", *([refusal.hint] if refusal.hint else []))
        return EXITS.get(refusal.code, 1)
    except TyperException as wrong:
        message = " ".join(wrong.format_message().replace("Value error, ", "").split()).rstrip(".")
        say(f"quarterdeck: {message}. See: quarterdeck --help")
        return 2
    except (Abort, KeyboardInterrupt):
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as unforeseen:
        if "QUARTERDECK_DEBUG" in os.environ:
            raise
        say(
            f"quarterdeck: internal_error: {type(unforeseen).__name__}: {unforeseen}",
            "This is a mistake in Quarterdeck. With QUARTERDECK_DEBUG=1 it shows where; please report that.",
        )
        return 1


def say(*lines: str) -> None:
    """Talk: for people, on stderr."""
    print(*lines, sep="\n", file=sys.stderr)


@app.callback()
def quarterdeck() -> None:
    """Rehearses deployments on an isolated staging VM and promotes only what passed, from Slack."""


@app.command()
def check(
    path: Annotated[Path, typer.Argument(help="A package: a folder, a zip or a tar.gz.")],
    config: MaybeConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Lint a package exactly as the hand-off will."""
    from bot.archives.files import digest_of
    from bot.config import load_config
    from bot.packages import inspect

    settings = load_config(config) if config else None
    package, findings = inspect(path, settings)
    if settings is None:
        say("Without --config: roles of hosts, forbidden content and what the test plan covers are not checked.")
    say("Whether this version was handed off before, with other bytes, is known to the hand-off alone.")
    acceptable = all(finding.level != "error" for finding in findings)
    if as_json:
        result = {
            "digest": digest_of(path),
            "app": package.manifest.app if package else None,
            "version": package.manifest.version if package else None,
            "acceptable": acceptable,
            "findings": [msgspec.to_builtins(finding) for finding in findings],
        }
        print(json.dumps(result, indent=2, ensure_ascii=False))
    else:
        _tell(findings)
        say(f"{path}: {'acceptable' if acceptable else 'refused'}")
    raise typer.Exit(0 if acceptable else 1)


@app.command()
def pack(
    folder: Annotated[Path, typer.Argument(help="The folder of a package.")],
    out: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The .zip or .tar.gz to write.")],
) -> None:
    """Pack a folder reproducibly, and print the archive's digest."""
    from bot.packages import PackageRefused
    from bot.packages import pack as pack_folder

    try:
        print(f"sha256:{pack_folder(folder, out)}")
    except PackageRefused as refused:
        _tell(refused.findings)
        raise


@app.command()
def schema(
    document: Annotated[Literal["package", "tests", "config"], typer.Argument(help="Of which document.")],
) -> None:
    """Print the JSON Schema of a document that people write, for their editors."""
    from bot.config import Configuration
    from plans.package import Manifest
    from plans.schema import schema as schema_of
    from plans.testplan import TestPlan

    kinds: dict[str, type] = {"package": Manifest, "tests": TestPlan, "config": Configuration}
    print(json.dumps(schema_of(kinds[document]), indent=2))


@app.command()
def manifest(config: MaybeConfigFile = None) -> None:
    """Print the Slack app manifest (YAML), ready to paste; with --config under its commands' names."""
    import yaml

    from bot.config import Commands, load_config
    from bot.manifest import manifest as manifest_of

    commands = load_config(config).config.commands if config else Commands()
    print(yaml.safe_dump(manifest_of(commands), sort_keys=False, width=120), end="")


@app.command()
def serve(config: ConfigFile) -> None:
    """Run the bot in the foreground until SIGTERM."""
    from bot.serve import serve as run_bot

    raise typer.Exit(run_bot(config))


@app.command()
def ctl(
    words: Annotated[list[str], typer.Argument(metavar="COMMAND …", help="As in Slack; `help` lists all.")],
    config: ConfigFile,
) -> None:
    """Do on the bot's own host what a command or a button does, for the evening when Slack is down."""
    from bot.config import data_dir_of
    from bot.ctl import ask, typed, watched

    data_dir = data_dir_of(config)
    if (run := watched(words)) is not None:
        from bot.reading import follow, line

        for record in follow(data_dir, run):
            print(line(record), flush=True)
        return
    try:
        reply = ask(data_dir, typed(words))
    except KeyboardInterrupt:
        say("quarterdeck: it may have been begun, and goes on then. Look: quarterdeck ctl status")
        raise
    print(reply.text, file=sys.stderr if reply.code else sys.stdout)
    raise typer.Exit(reply.code)


@app.command()
def doctor(config: ConfigFile, as_json: AsJson = False) -> None:
    """Test everything that a run would need, and say how to mend what is wrong."""
    from bot.doctor import doctor as examine

    raise typer.Exit(examine(config, as_json=as_json))


@app.command()
def lab(
    folder: Annotated[Path, typer.Option("--dir", metavar="DIR", help="Where the lab lives.")] = Path(
        "quarterdeck-lab"
    ),
    slack_port: Annotated[int, typer.Option(metavar="N", help="0: any that is free.")] = 0,
    vcenter_port: Annotated[int, typer.Option(metavar="N", help="0: any that is free.")] = 0,
    ssh_port: Annotated[int, typer.Option(metavar="N", help="Of every host, each at an address of its own.")] = 2222,
) -> None:
    """Run a Slack, a vCenter and hosts on this machine until SIGTERM; writes DIR/quarterdeck.yaml for `serve`."""
    from lab.__main__ import run as run_lab

    raise typer.Exit(run_lab(folder, slack_port, vcenter_port, ssh_port))


@app.command()
def demo(
    plain: Annotated[bool, typer.Option("--plain", help="Without colours.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The ledger's records on stdout, nothing else.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Stay up afterwards, for a browser.")] = False,
    story: Annotated[str, typer.Option(metavar="NAME", help="Which story to play.")] = "first-deployment",
) -> None:
    """Play the main job on an embedded lab: two packages, a failed rehearsal, a clean one, a promotion."""
    from bot.demo import demo as play

    raise typer.Exit(play(plain=plain, as_json=as_json, keep=keep, story=story))


@app.command()
def bench(
    what: Annotated[Literal["machines", "ledger", "commands"], typer.Argument(help="What is measured.")],
    seconds: Annotated[int, typer.Option(metavar="N", min=1, help="How long commands are sent.")] = 60,
) -> None:
    """Measure side by side with what a user would have instead; JSON on stdout."""
    from bot import bench

    measured = {
        "machines": lambda: bench.machines(say),
        "ledger": lambda: bench.ledger(say),
        "commands": lambda: bench.commands(say, seconds),
    }[what]()
    print(json.dumps(measured, indent=2))
    raise typer.Exit(0 if measured.get("ok", True) else 1)


ledger = typer.Typer(rich_markup_mode=None, help="Read the ledger, of a running bot too.", no_args_is_help=True)
app.add_typer(ledger, name="ledger")

DataDir = Annotated[Path | None, typer.Option("--data", metavar="DIR", help="The bot's data_dir.")]


@ledger.command()
def show(
    config: MaybeConfigFile = None,
    data: DataDir = None,
    release: Annotated[str | None, typer.Option(metavar="R-1", help="Only that release and its runs.")] = None,
    number: Annotated[int | None, typer.Option("--run", metavar="N", help="Only that run.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print the ledger's records, one a line."""
    from bot.reading import line, records

    for record in records(_data_dir(config, data), release=release, run=number):
        print(json.dumps(record, ensure_ascii=False, separators=(",", ":")) if as_json else line(record))


@ledger.command()
def verify(config: MaybeConfigFile = None, data: DataDir = None) -> None:
    """Re-compute the hash chain; the first line that is not what was written is named, exit 1."""
    from bot.reading import verify as verified

    count, head = verified(_data_dir(config, data))
    print(f"good: {count} records, head {head}")


@app.command()
def report(
    release: Annotated[str, typer.Argument(metavar="R-1", help="The release.")],
    out: Annotated[Path, typer.Option("--output", "-o", metavar="FILE.html", help="The file to write.")],
    config: MaybeConfigFile = None,
    data: DataDir = None,
) -> None:
    """Write the evidence of one release as one HTML file, from the ledger, of a running bot too."""
    from bot.config import load_config
    from bot.reading import entries
    from bot.report import report as rendered
    from plans.evidence import evidence

    timezone = load_config(config).timezone if config else ZoneInfo("UTC")
    page = rendered(evidence(entries(_data_dir(config, data)), release), made=datetime.now(timezone), timezone=timezone)
    try:
        out.write_text(page, encoding="utf-8")
    except OSError as error:
        raise Refusal("unwritable", f"{out} could not be written: {error.strerror}.", "Name another file.") from None
    print(out)


def _data_dir(config: Path | None, data: Path | None) -> Path:
    from bot.config import load_config

    if (config is None) == (data is None):
        raise Refusal("bad_call", "Name the ledger once: --config FILE or --data DIR.")
    return load_config(config).data_dir if config else Path(data or "")


def _tell(findings: Iterable["Finding"]) -> None:
    for finding in findings:
        say(f"{finding.level}: {finding.code}: {finding.place}: {finding.message}")
        if finding.hint:
            say(f"  {finding.hint}")


if __name__ == "__main__":
    main()
