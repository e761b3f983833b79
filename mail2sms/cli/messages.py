"""`mail2sms messages`, `notices` and `message`: what the daemon has, and exporting it."""

from __future__ import annotations

import io
import sys
from typing import Annotated, Literal, get_args

import typer

from mail2sms.cli import Exit, Failed, export, show, tell, typed
from mail2sms.cli.moments import now, read_since
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
from mail2sms.model import NoticeKind, Status

_LIMIT = 100

Told = Literal["queued", "sent", "failed", "dropped"]


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
    """One message or notice, and what happened to it.

    A notice is what somebody is told: n-... is the id that SMTP gives to a mail whose refusal is told by an email.
    """
    if not id_.startswith(("m-", "n-")):
        looks = f"m-1QHV0WC8E7K9HXJP, or n-... for a notice; {typed('messages', config_file)} lists them"
        raise Failed(Exit.REFUSED, f'"{show.printable(id_)}" is no id: ids look like {looks}')
    control = reach(config_file, socket_path)
    if id_.startswith("n-"):
        notice = control.notice(id_)
        print_lines(*([to_json(notice.answer)] if as_json else show.notice_page(notice, now())))
        return
    found = control.message(id_)
    print_lines(*([to_json(found.answer)] if as_json else show.timeline(found)))


def notices(  # noqa: PLR0913, PLR0917  # a parameter is an option: typer's way
    kind: Annotated[
        NoticeKind | None, typer.Option(metavar="KIND", help=", ".join(get_args(NoticeKind)))
    ] = None,
    to: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Who is told.")] = None,
    status: Annotated[Told | None, typer.Option(metavar="STATUS", help=", ".join(get_args(Told)))] = None,
    about: Annotated[
        str | None, typer.Option(metavar="ID", help="The message or reply that it tells of.")
    ] = None,
    since: Annotated[str | None, typer.Option(metavar="T", help="2h, 7d, or 2026-05-12T14:30.")] = None,
    until: Annotated[str | None, typer.Option(metavar="T", help="And before that.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = _LIMIT,
    as_json: JsonOption = False,
    config_file: ConfigOption = None,
    socket_path: SocketOption = None,
) -> None:
    """Who was told what: replies, refusals, failures, holds.

    The newest first. A refusal that a program heard by SMTP itself stands in the log alone, as mail_refused.
    """
    search = {"kind": kind, "to": to, "status": status, "about": about}
    search |= {"since": _moment(since), "until": _moment(until)}
    found = reach(config_file, socket_path).notices(**search, limit=limit)
    if as_json:
        print_lines(*(to_json(one.answer) for one in found))
    elif found:
        print_table(show.NOTICE_HEADS, [show.notice_row(one) for one in found])
        if len(found) == limit:
            tell(f"there may be more than {limit}: --limit N shows more")
    else:
        tell("there are no such notices")
