"""`mail2sms messages`, `message`, `cancel` and `queue`: what the daemon has, and stopping it."""

from __future__ import annotations

from typing import Annotated

import typer

from mail2sms.cli import show, tell
from mail2sms.cli.moments import now, read_since
from mail2sms.cli.terminal import (
    ConfigOption,
    IdArgument,
    JsonOption,
    SocketOption,
    print_lines,
    print_table,
    reach,
    to_json,
)
from mail2sms.model import Status


def messages(
    to: Annotated[str | None, typer.Option(metavar="NUMBER")] = None,
    status: Annotated[Status | None, typer.Option(metavar="STATUS", help=", ".join(Status))] = None,
    since: Annotated[str | None, typer.Option(metavar="T", help="2h, 7d, or 2026-05-12T14:30.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 100,
    as_json: JsonOption = False,
    config_file: ConfigOption = None,
    socket_path: SocketOption = None,
) -> None:
    """Messages, the newest first."""
    moment = read_since(since) if since else None
    control = reach(config_file, socket_path)
    found = control.messages(to=to, status=status.value if status else None, since=moment, limit=limit)
    if as_json:
        print_lines(*(to_json(message.answer) for message in found))
    elif found:
        print_table(show.MESSAGE_HEADS, [show.message_row(message) for message in found])
    else:
        tell("there are no such messages")


def message(
    id_: IdArgument,
    as_json: JsonOption = False,
    config_file: ConfigOption = None,
    socket_path: SocketOption = None,
) -> None:
    """One message and what happened to it."""
    found = reach(config_file, socket_path).message(id_)
    print_lines(*([to_json(found.answer)] if as_json else show.timeline(found)))


def queue_list(
    as_json: JsonOption = False,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 1000,
    config_file: ConfigOption = None,
    socket_path: SocketOption = None,
) -> None:
    """Messages whose work is not over, the oldest first."""
    found = reach(config_file, socket_path).queue(limit)
    at = now()
    if as_json:
        print_lines(*(to_json(message.answer) for message in found))
    elif found:
        print_table(show.QUEUE_HEADS, [show.queue_row(message, at) for message in found])
        print_lines(show.queue_end(found, at))
    else:
        tell("the queue is empty")


def cancel(
    id_: IdArgument,
    as_json: JsonOption = False,
    config_file: ConfigOption = None,
    socket_path: SocketOption = None,
) -> None:
    """Stop a message that no carrier has yet."""
    answer = reach(config_file, socket_path).cancel(id_)
    print_lines(to_json(answer) if as_json else f"{answer['id']}  {answer['status']}")
