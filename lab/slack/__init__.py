"""Exports the lab's Slack: a workspace made from plain data, and the server that speaks for it."""

from lab.slack.app import create_app
from lab.slack.people import Channel, Command, User, UserGroup
from lab.slack.rates import Rate
from lab.slack.workspace import Workspace

__all__ = ["Channel", "Command", "Rate", "User", "UserGroup", "Workspace", "create_app"]
