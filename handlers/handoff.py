"""Touches the intake for `/handoff`: its verbs and its form."""

import msgspec
from slack_sdk.errors import SlackApiError

from bot.line.blocks import line, person
from handlers import blocks
from handlers.approvals import approved
from handlers.deck import EVERYBODY, Answer, Asked, Deck, Verb, verbs
from handlers.envelopes import Metadata, Submitted
from handlers.letters import plain
from handlers.uploads import brought
from handlers.words import Form, Request
from plans.errors import Refusal
from plans.events import ReleaseWithdrawn
from plans.quantities import size
from plans.records import Release, Run

TRIGGER_GONE = frozenset({"expired_trigger_id", "exchanged_trigger_id", "trigger_expired", "invalid_trigger_id"})


def open_form(asked: Asked, view: dict[str, object]) -> None:
    """Raises Refusal `form_too_late` where Slack does not open it, or not any more."""
    try:
        asked.client.views_open(trigger_id=asked.trigger or "none", view=view)
    except SlackApiError as error:
        if error.response.get("error") not in TRIGGER_GONE:
            raise
        message = "The form came too late for Slack to open it; nothing was done."
        raise Refusal("form_too_late", message, "Do the same again.") from None


def _open(deck: Deck, asked: Asked) -> Answer:
    rules = deck.settings.config.packages
    metadata = msgspec.json.encode(Metadata(asked.channel, asked.address, asked.thread)).decode()
    open_form(asked, blocks.handoff_form(rules.sources, rules.max_bytes, metadata))
    return None


def _hand_off(deck: Deck, asked: Asked) -> Answer:
    request, rules = asked.request, deck.settings.config.packages
    if not request.file:
        digest = request.digest or None
        found = deck.intake.hand_off(request.source, by=asked.by, digest=digest, notes=request.text)
    else:
        folder = deck.settings.data_dir / "packages"
        with brought(asked.client, request.file, into=folder, most=size(rules.max_bytes)) as (name, path):
            found = deck.intake.hand_off(f"upload: {name}", by=asked.by, notes=request.text, fetched=path)
    return _handed_off(deck, *found)


def _handed_off(deck: Deck, release: Release, new: bool) -> Answer:
    what = f"{release.app} {release.version}"
    if not new:
        return blocks.said(
            f"These bytes are {release.id} already, {line(what)}, handed off by {person(release.by)}.",
            f"Nothing was changed; see it: `/handoff show {release.id}`",
        )
    return blocks.handed_off(
        f"{line(what)} is {release.id} now, `sha256:{release.digest}`; <#{deck.settings.config.slack.channel}>"
        f" is told. Next, an admin types `/stage run {release.id}`.",
        release.warnings,
    )


def form_request(said: Submitted) -> tuple[Request, dict[str, str]]:
    """What a filled form asks for, and what is wrong with it by block."""
    ids = [file.id for file in said.entered("archive").files or ()]
    source = plain(said.entered("source").value or "")
    notes = said.entered("notes").value or ""
    if len(ids) + bool(source) != 1:
        both = "One of the two: a file here, or where it is below."
        return Request(verb=""), {"archive": both, "source": both}
    return Request(verb="", file="".join(ids), source=source, text=notes), {}


def _list(deck: Deck, asked: Asked) -> Answer:
    rows = [release_row(deck, release) for release in newest(deck)]
    none = "Nothing was handed off yet. A developer types `/handoff`."
    return blocks.listing("Releases, the latest first", rows, none=none, more="`/handoff show R-1` shows any of them.")


def newest(deck: Deck) -> list[Release]:
    """All releases, the latest first."""
    return sorted(deck.board.table(Release), key=lambda release: -release.number)


def release_row(deck: Deck, release: Release) -> str:
    return blocks.release_row(release, rehearsal(deck, release), on_prod(deck, release))


def rehearsal(deck: Deck, release: Release) -> Run | None:
    """The latest rehearsal of a release that counts."""
    return deck.board.run(release.rehearsal) if release.rehearsal else None


def on_prod(deck: Deck, release: Release) -> bool:
    app = deck.settings.apps.get(release.app)
    deployed = deck.board.environment(app.prod).deployed.get(release.app, ()) if app else ()
    return deployed[-1:] == (release.id,)


def _show(deck: Deck, asked: Asked) -> Answer:
    found = deck.board.release(asked.request.release)
    return blocks.release(
        found, rehearsal(deck, found), on_prod(deck, found), deck.settings.policy.approvals, approved(deck, found)
    )


def _withdrawer(deck: Deck, user: str, request: Request) -> str:
    return EVERYBODY if deck.board.release(request.release).by == user else "admins"


def _withdraw(deck: Deck, asked: Asked) -> Answer:
    board, name = deck.board, asked.request.release
    with board.deciding:
        release = board.release(name)
        if release.withdrawn is not None:
            raise Refusal("already_withdrawn", f"{name} was withdrawn before.", "There is nothing more to do.")
        for run in board.table(Run):
            if run.active and run.release == name:
                hint = f"Stop it first: /stage abort {run.number}"
                raise Refusal("busy", f"Run {run.number} is a {run.kind} of {name} that goes on.", hint)
        board.record(asked.by, ReleaseWithdrawn(release=name, reason=asked.request.text))
    return blocks.said(f"{name} is withdrawn: it can be neither rehearsed nor promoted, and the channel is told.")


def _help(deck: Deck, asked: Asked) -> Answer:
    return blocks.helped("/handoff", HANDOFF)


HANDOFF = verbs(
    Verb(Form("open", (), "/handoff"), "Opens a form: an archive, or where it is, and notes.", "developers", _open),
    Verb(Form("list", (), "/handoff list"), "All releases.", EVERYBODY, _list, at_once=True),
    Verb(Form("show", ("release",), "/handoff show R-1"), "One of them, whole.", EVERYBODY, _show, at_once=True),
    Verb(
        Form("withdraw", ("release", "reason?"), "/handoff withdraw R-1 [REASON]"),
        "Takes it back, for who handed it off and for admins. `/handoff withdraw R-1 forgot a script`",
        _withdrawer,
        _withdraw,
    ),
    Verb(Form("help", ("reason?",), "/handoff help"), "This.", EVERYBODY, _help, at_once=True),
    otherwise=Verb(
        Form("", ("source", "digest?"), "/handoff SOURCE [sha256:…]"),
        "Hands off what is there, without the form. `/handoff /srv/drops/webshop-2.4.1.tar.gz`",
        "developers",
        _hand_off,
    ),
)
