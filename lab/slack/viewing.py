"""The Web API's methods for modals and homes."""

from typing import Any

from lab.slack.api import Answer, Call, method
from lab.slack.blocks import VIEW_BUDGET, size, view_complaints
from lab.slack.errors import Refused, malformed
from lab.slack.things import View


def _body(call: Call, kind: str) -> dict[str, Any]:
    view = call.json("view", "invalid_arguments")
    found = view_complaints(view, kind)
    if found:
        raise malformed("invalid_arguments", found)
    if size(view) > VIEW_BUDGET:
        raise Refused("view_too_large")
    return dict(view)


def _by_external_id(call: Call, name: str) -> View | None:
    return next((view for view in call.workspace.views.values() if name and view.body.get("external_id") == name), None)


@method("views.open", tier=4)
def open_view(call: Call) -> Answer:
    """A modal for the person of the trigger; a trigger is spent only by a view that is well-formed."""
    trigger, body = call.need("trigger_id"), _body(call, "modal")
    if _by_external_id(call, body.get("external_id", "")):
        raise Refused("duplicate_external_id")
    view = call.workspace.new_view(call.workspace.redeem(trigger), body)
    call.workspace.open_modal(view)
    return {"view": call.workspace.view_payload(view)}


@method("views.update", tier=4)
def update_view(call: Call) -> Answer:
    """Another content for a view that is open, by its id or its external id."""
    body = _body(call, "modal")
    view = call.workspace.views.get(call.text("view_id")) or _by_external_id(call, call.text("external_id"))
    if view is None:
        raise Refused("not_found")
    if call.text("hash") not in ("", view.hash):
        raise Refused("hash_conflict")
    call.workspace.change_view(view, body)
    return {"view": call.workspace.view_payload(view)}


@method("views.publish", tier=4)
def publish(call: Call) -> Answer:
    """The app's home as one person sees it."""
    workspace = call.workspace
    body, user = _body(call, "home"), workspace.user(call.need("user_id"))
    view = workspace.homes.get(user.id)
    if view is None:
        view = workspace.homes[user.id] = workspace.new_view(user.id, body)
    elif call.text("hash") not in ("", view.hash):
        raise Refused("hash_conflict")
    else:
        workspace.change_view(view, body)
    payload = workspace.view_payload(view)
    workspace.journal.tell("home", user=user.id, view=payload)
    return {"view": payload}
