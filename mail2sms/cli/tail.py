"""`mail2sms tail`: what happens, as it happens. It asks for what came after the last event that it showed.

The place in the log is kept here, so a daemon that is started anew, or a socket that closes, loses nothing.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated

import typer

from mail2sms.cli import Exit, Failed, show, tell, typed
from mail2sms.cli.control import Control, Happened
from mail2sms.cli.terminal import ConfigOption, JsonOption, SocketOption, print_now, reach, to_json

_FIRST_S, _LAST_S = 0.2, 1.0
_PASSING = (Exit.UNAVAILABLE, Exit.TRY_AGAIN)


def tail(
    to: Annotated[str | None, typer.Option(metavar="NUMBER", help="Only what is about that phone.")] = None,
    user: Annotated[
        str | None, typer.Option("--user", metavar="ADDRESS", help="Only what they wrote or are told.")
    ] = None,
    as_json: JsonOption = False,
    config_file: ConfigOption = None,
    socket_path: SocketOption = None,
) -> None:
    """What happens, as it happens: messages, replies, notices.

    Ctrl-C ends it. A daemon that is started anew is waited for, and nothing is missed.
    """
    control = reach(config_file, socket_path)
    if sys.stderr.isatty():
        tell("what happens from now on; Ctrl-C ends it")
    for happened in follow(control, to=to, user=user):
        print_now(to_json(happened.answer) if as_json else show.event_line(happened))


def follow(control: Control, **search: str | None) -> Iterator[Happened]:
    """Yield what happens from now on, for ever. Raises Failed when the daemon is not there at the beginning."""
    seen, is_lost, wait_s = control.follow(None, **search), False, _FIRST_S
    _tell_switch(was_stopped=False, is_stopped=seen.is_stopped)
    while True:
        was_stopped = seen.is_stopped
        try:
            seen = control.follow(seen.next, **search)
        except Failed as e:
            if e.code not in _PASSING:
                raise
            if not is_lost:
                tell(f"{e}; waiting for it")
            seen, is_lost = replace(seen, items=()), True
        else:
            if is_lost:
                tell("it is there again; nothing was missed")
            is_lost = False
        yield from seen.items
        _tell_switch(was_stopped=was_stopped, is_stopped=seen.is_stopped)
        wait_s = _FIRST_S if seen.items else min(_LAST_S, wait_s * 1.5)
        time.sleep(wait_s)


def _tell_switch(*, was_stopped: bool, is_stopped: bool) -> None:
    if is_stopped and not was_stopped:
        tell(f"sending is stopped: messages wait; {typed('resume-sending')} goes on")
    elif was_stopped and not is_stopped:
        tell("messages leave again")
