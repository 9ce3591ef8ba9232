"""Decides what a typed line asks for: its verb and its arguments, or a Refusal that says how it is typed."""

import difflib
import re
from collections.abc import Mapping
from datetime import datetime

import msgspec

from handlers.arguments import CALLED, FIELDS, READERS, RELEASE, Found, Surroundings
from handlers.letters import plain, short, split, token
from plans.errors import Refusal


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for. A field that the verb does not take, or that was left out, is empty.

    `release` is written R-1; `question` is that of the run where it was named; `file` the id of an uploaded one; `at`
    is aware, in the configured timezone; `name` is a fact's, an escape's (E-1), what a review is of, or the word that
    confirms; `emergency` is the reason for one; `text` is the rest of the line: a reason or a note.
    """

    verb: str
    release: str = ""
    run: int | None = None
    question: int | None = None
    environment: str = ""
    choice: str = ""
    now: bool = False
    emergency: str = ""
    source: str = ""
    name: str = ""
    person: str = ""
    file: str = ""
    digest: str = ""
    at: datetime | None = None
    text: str = ""


class Form(msgspec.Struct, frozen=True):
    """How a verb is typed: the arguments it takes, in order, with a `?` after one that may be left out.

    `usage` shows it as help does. The form with the key "" is what the command does when its first word is no verb.
    """

    verb: str
    takes: tuple[str, ...]
    usage: str


def parse(command: str, forms: Mapping[str, Form], line: str, around: Surroundings) -> Request:
    """The request in a line typed after `command`, which is written with its slash; `forms` has at least `help`.

    An empty line means `open`, or `help` where there is no such verb.
    Raises Refusal: `unknown_verb` with the nearest one, `missing_word`, `unexpected_words`, and what is wrong with an
    argument: `bad_release`, `bad_run`, `bad_choice`, `bad_time`, `bad_digest`, `unknown_environment`.
    """
    words = plain(line)
    first, rest = split(words)
    verb = token(first)
    if not words:
        return Request(verb="open" if "open" in forms else "help")
    if verb in forms and verb:
        form = forms[verb]
    elif "" in forms and _may_start(forms[""], first):
        form, rest = forms[""], words
    else:
        raise _unknown(command, forms, verb or first)
    found: Found = {}
    for argument in form.takes:
        rest = READERS[argument.rstrip("?")](rest, found, around, form.usage)
        name = FIELDS.get(argument, argument)
        if name not in found and not argument.endswith("?"):
            raise Refusal("missing_word", f"{form.usage} needs {CALLED[argument]}.", f"Type: {form.usage}")
    if rest:
        raise Refusal("unexpected_words", f"“{short(rest)}” was not expected after that.", f"Type: {form.usage}")
    return Request(verb=form.verb, **found)


def _may_start(form: Form, word: str) -> bool:
    if form.takes[0] == "release":
        return RELEASE.fullmatch(token(word)) is not None
    return "/" in word or "\\" in word or bool(re.search(r"\.(zip|tgz|gz)\W*$", word, re.IGNORECASE))


def _unknown(command: str, forms: Mapping[str, Form], verb: str) -> Refusal:
    near = difflib.get_close_matches(verb, [name for name in forms if name], 1, 0.5)
    hint = f"Did you mean {forms[near[0]].usage}? " if near else ""
    message = f"{command} has no “{short(verb)}”."
    return Refusal("unknown_verb", message, f"{hint}All it can do: {command} help")
