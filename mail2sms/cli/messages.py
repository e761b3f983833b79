"""`mail2sms messages` and `message`: what the daemon has, and exporting it."""

from __future__ import annotations

import io
import sys
from typing import Annotated

import typer

from mail2sms.cli import Exit, Failed, export, show, tell
from mail2sms.cli.moments import read_since
from mail2sms.cli.terminal import (
    ConfigOption,
    IdArgument,
    JsonOption,
    SocketOption,
    print_lines,
    print_table,
    progress,
    reach,
    to_json,
)
from mail2sms.model import Status

_LIMIT = 100


def messages(  # noqa: PLR0913, PLR0917  # a parameter is an option: typer's way
    to: Annotated[str | None, typer.Option(metavar="NUMBER")] = None,
    writer: Annotated[str | None, typer.Option("--from", metavar="ADDRESS", help="Who wrote them.")] = None,
    status: Annotated[Status | None, typer.Option(metavar="STATUS", help=", ".join(Status))] = None,
    reason: Annotated[str | None, typer.Option(metavar="CODE", help="As the WHY column says it.")] = None,
    since: Annotated[str | None, typer.Option(metavar="T", help="2h, 7d, or 2026-05-12T14:30.")] = None,
    until: Annotated[str | None, typer.Option(metavar="T", help="And before that.")] = None,
    carrier: Annotated[str | None, typer.Option(metavar="NAME")] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="How many.", show_default=f"{_LIMIT}; with --csv all")
    ] = None,
    as_json: JsonOption = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="For a spreadsheet.")] = False,
    config_file: ConfigOption = None,
    socket_path: SocketOption = None,
) -> None:
    """Messages, the newest first."""
    if as_json and as_csv:
        raise Failed(Exit.USAGE, "--json or --csv, not both")
    search = {"to": to, "from": writer, "status": status.value if status else None, "reason": reason}
    search |= {"carrier": carrier, "since": _moment(since), "until": _moment(until)}
    limit = limit if as_csv else limit or _LIMIT
    found = reach(config_file, socket_path).every(limit, **search)
    if as_csv:
        stream = io.TextIOWrapper(sys.stdout.buffer, "utf-8", newline="", write_through=True)
        try:
            with progress("exporting", is_shown=not sys.stdout.isatty()) as advance:
                export.write(found, stream, advance)
        finally:
            stream.detach()  # standard output stays open
    elif as_json:
        for one in found:
            print_lines(to_json(one.answer))
    elif rows := [show.message_row(one) for one in found]:
        print_table(show.MESSAGE_HEADS, rows)
        if len(rows) == limit:
            tell(f"there may be more than {limit}: --limit N shows more, --csv all")
    else:
        tell("there are no such messages")


def _moment(text: str | None) -> str | None:
    return read_since(text) if text else None


def message(
    id_: IdArgument,
    as_json: JsonOption = False,
    config_file: ConfigOption = None,
    socket_path: SocketOption = None,
) -> None:
    """One message and what happened to it."""
    found = reach(config_file, socket_path).message(id_)
    print_lines(*([to_json(found.answer)] if as_json else show.timeline(found)))
