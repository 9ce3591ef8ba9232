"""Touches Slack's file host: brings the file that somebody put into a form to this machine."""

import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from bot.archives import files
from plans.errors import Refusal

SILENCE = 30.0
"""Seconds that Slack's file host may say nothing."""


@contextmanager
def brought(client: WebClient, file: str, *, into: Path, most: int) -> Iterator[tuple[str, Path]]:
    """The name and a private copy of an uploaded file, until the context is left; at most `most` bytes.

    The client's token goes to Slack's own file host alone, over no redirect. Raises Refusal: `too_large`,
    `upload_unreadable`.
    """
    try:
        info: dict[str, Any] = client.files_info(file=file)["file"]
    except SlackApiError as error:
        raise _unreadable(f"Slack says {error.response.get('error')}") from None
    name, length, address = str(info.get("name")), int(info.get("size") or 0), str(info.get("url_private_download"))
    if length > most:
        raise Refusal("too_large", f"{name} has {length:,} bytes, at most {most:,} are taken.", "Make it smaller.")
    if not from_slack(address, client.base_url):
        raise _unreadable(f"{name} is not on Slack's own file host")
    with files.beside(into) as (target, path):
        try:
            with _open(address, str(client.token)) as answer:
                if "text/html" in answer.headers.get("Content-Type", ""):
                    raise _unreadable("Slack sent a page to sign in instead of the file")
                files.copy(answer, target, most=most)
        except urllib.error.HTTPError as error:
            with error:
                raise _unreadable(f"Slack's file host answered {error.code}") from None
        except (OSError, HTTPException) as error:
            raise _unreadable(f"Slack's file host failed: {getattr(error, 'reason', error)}") from None
        target.flush()
        if target.tell() != length:
            raise _unreadable(f"{target.tell():,} of {length:,} bytes arrived")
        yield name, path


def from_slack(address: str, api_url: str) -> bool:
    """Whether a file's address is on the host of the API, or on `files.` of its domain, over the same scheme."""
    try:
        file, api = urlsplit(address), urlsplit(api_url)
        place = (file.scheme, file.hostname, file.port)
    except ValueError:  # a port that is no number
        return False
    hosts = (api.hostname, f"files.{api.hostname}")
    return file.username is None and any(place == (api.scheme, host, api.port) for host in hosts)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is an error: the token stays where it was sent."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> None:
        return None


def _open(address: str, token: str) -> Any:
    request = urllib.request.Request(address, headers={"Authorization": f"Bearer {token}"})  # noqa: S310 - `from_slack`
    return urllib.request.build_opener(_NoRedirect).open(request, timeout=SILENCE)


def _unreadable(why: str) -> Refusal:
    return Refusal(
        "upload_unreadable",
        f"The uploaded file could not be read: {why}.",
        "Try again, or hand it off from an allowed source. An admin checks that the app has the scope files:read.",
    )
