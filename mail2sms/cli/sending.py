"""`mail2sms stop-sending` and `resume-sending`: the switch for when something goes wrong."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from mail2sms.cli import show, typed
from mail2sms.cli.control import Control
from mail2sms.cli.terminal import ConfigOption, JsonOption, SocketOption, print_lines, reach, to_json


def stop_sending(
    refuse: Annotated[
        bool, typer.Option("--refuse", help="Refuse mail and API calls meanwhile; else they wait.")
    ] = False,
    as_json: JsonOption = False,
    config_file: ConfigOption = None,
    socket_path: SocketOption = None,
) -> None:
    """Let nothing leave any more, on any node, until resume-sending.

    It holds through restarts. What a carrier has already can't be called back.
    """
    answer = reach(config_file, socket_path).switch("stop", refuse=refuse)
    what = "new mail is refused" if refuse else "new mail is taken and waits"
    again = typed("resume-sending", config_file)
    print_lines(to_json(answer) if as_json else f"sending is stopped; {what}; {again} goes on")


def resume_sending(
    as_json: JsonOption = False,
    config_file: ConfigOption = None,
    socket_path: SocketOption = None,
) -> None:
    """Go on after stop-sending."""
    answer = reach(config_file, socket_path).switch("resume")
    print_lines(to_json(answer) if as_json else "messages leave again")


def stopped_line(control: Control) -> str:
    """Return what must be known of a queue that does not move; nothing while messages leave."""
    answer = control.sending()
    if not answer["is_stopped"]:
        return ""
    since = show.clock(datetime.fromisoformat(answer["since"]))
    return f"sending is stopped since {since}: {typed('resume-sending')} goes on"
