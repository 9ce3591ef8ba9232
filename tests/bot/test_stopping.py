"""The bot is stopped by a signal, whichever of its threads the system hands that to."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from deck_room import configured

ELSEWHERE = """
import signal, sys, threading

def take_signals():
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    threading.Event().wait()

signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
threading.Thread(target=take_signals, daemon=True).start()
from bot.__main__ import main
sys.exit(main())
"""
"""A bot of whose threads one takes every SIGTERM, and not the first one."""


def test_a_signal_that_another_thread_was_handed_stops_it(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-c", ELSEWHERE, "serve", "--config", str(configured(tmp_path).path)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as bot:
        assert bot.stderr is not None
        assert any("ready" in line for line in bot.stderr)
        bot.send_signal(signal.SIGTERM)
        try:
            assert bot.wait(30) == 0
        finally:
            bot.kill()
