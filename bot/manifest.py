"""Decides what the Slack app asks of a workspace: its commands, scopes and events, as a manifest to paste."""

from typing import Any

from bot.config import Commands

SCOPES = (
    "app_mentions:read",
    "channels:history",
    "channels:read",
    "chat:write",
    "commands",
    "files:read",
    "files:write",
    "groups:history",
    "groups:read",
    "im:history",
    "usergroups:read",
    "users:read",
)
EVENTS = ("app_home_opened", "app_mention")


def manifest(commands: Commands) -> dict[str, Any]:
    """The manifest, with the slash commands under these names."""
    typed = (
        (commands.handoff, "Hand a deployment package off", "SOURCE | list | show R-1 | withdraw R-1 | help"),
        (commands.stage, "Rehearse a release on the isolated staging", "run R-1 | check | reset | status | help"),
        (
            commands.promote,
            "Promote a rehearsed release to prod",
            "R-1 | R-1 at 22:00 | check R-1 | rollback R-1 | help",
        ),
    )
    return {
        "display_information": {
            "name": "Quarterdeck",
            "description": "Rehearses deployments on an isolated staging VM and promotes only what passed.",
        },
        "features": {
            "app_home": {"home_tab_enabled": True, "messages_tab_enabled": False},
            "bot_user": {"display_name": "quarterdeck", "always_online": False},
            "slash_commands": [
                {"command": name, "description": what, "usage_hint": hint, "should_escape": True}
                for name, what, hint in typed
            ],
        },
        "oauth_config": {"scopes": {"bot": list(SCOPES)}},
        "settings": {
            "event_subscriptions": {"bot_events": list(EVENTS)},
            "interactivity": {"is_enabled": True},
            "org_deploy_enabled": False,
            "socket_mode_enabled": True,
            "token_rotation_enabled": False,
        },
    }
