"""The connection to Slack as the bot has it: what it sends goes out at once."""

import socket

from slack_room import room

from bot.serve import at_once


def test_acknowledgements_go_out_at_once_over_every_connection() -> None:
    with room() as here, here.app(lambda app: None) as handler:
        handler.client.message_listeners.append(at_once)
        here.does(here.workspace.link.disconnect)
        first = handler.client.current_session

        def renewed() -> bool:
            session = handler.client.current_session
            alive = session is not first and session is not None and session.sock is not None
            return alive and session.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1

        assert here.waits(renewed)
