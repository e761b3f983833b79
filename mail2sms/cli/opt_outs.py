"""`mail2sms optout`: who must not be written to; looked at, changed, taken from a spreadsheet and written to one."""

from __future__ import annotations

import csv
import getpass
import io
import os
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from mail2sms.cli import Exit, Failed, export, show, tell
from mail2sms.cli.control import Control, sentence
from mail2sms.cli.terminal import (
    ConfigOption,
    JsonOption,
    SocketOption,
    YesOption,
    ask_first,
    print_lines,
    print_table,
    progress,
    reach,
    to_json,
)

_TOGETHER = 100  # numbers a request
_HEADS = ("TO", "FROM", "SOURCE", "BY", "SINCE")
_COLUMNS = ("to", "sender_id", "source", "keyword", "by", "at")
_OF_NUMBERS = frozenset({"to", "number", "phone", "msisdn", "tel", "mobile"})
"""What the column with the numbers may be called in a file that is imported."""

NumbersArgument = Annotated[list[str], typer.Argument(metavar="NUMBER...", show_default=False)]
SenderIdOption = Annotated[
    str | None, typer.Option("--from", metavar="SENDER_ID", help="From this number or name of ours only.")
]


def optout_list(
    as_json: JsonOption = False, config_file: ConfigOption = None, socket_path: SocketOption = None
) -> None:
    """Phones that must not be written to, the oldest first."""
    found = list(_every(reach(config_file, socket_path)))
    if as_json:
        print_lines(*map(to_json, found))
    elif found:
        print_table(_HEADS, [_row(one) for one in found])
    else:
        tell("nobody has opted out")


def optout_lookup(
    number: Annotated[str, typer.Argument(metavar="NUMBER", show_default=False)],
    as_json: JsonOption = False,
    config_file: ConfigOption = None,
    socket_path: SocketOption = None,
) -> None:
    """Whether a phone may be written to, and what happened."""
    known = reach(config_file, socket_path).opt_outs_of(number)
    if as_json:
        print_lines(to_json(known))
    else:
        print_lines(*_known(known))


def optout_add(
    numbers: NumbersArgument,
    sender_id: SenderIdOption = None,
    as_json: JsonOption = False,
    config_file: ConfigOption = None,
    socket_path: SocketOption = None,
) -> None:
    """Write to these phones no more.

    Waiting messages are cancelled and their writers told. START from the phone does not undo it; remove does.
    """
    control = reach(config_file, socket_path)
    _change(control, "", numbers, as_json=as_json, sender_id=sender_id)


def optout_remove(
    numbers: NumbersArgument,
    sender_id: SenderIdOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
    config_file: ConfigOption = None,
    socket_path: SocketOption = None,
) -> None:
    """Let these phones be written to again.

    Only for who asked for it: in most countries the law wants a proof.
    """
    control = reach(config_file, socket_path)
    ask_first(f"Did the people behind {show.count(len(numbers), 'phone')} ask for SMS again?", yes)
    _change(control, "remove", numbers, as_json=as_json, sender_id=sender_id)


def optout_forget(
    numbers: NumbersArgument,
    as_json: JsonOption = False,
    config_file: ConfigOption = None,
    socket_path: SocketOption = None,
) -> None:
    """Keep the block, forget the number.

    The phone is still not written to; the list knows it by a keyed hash alone.
    """
    _change(reach(config_file, socket_path), "forget", numbers, as_json=as_json)


def optout_import(
    file: Annotated[
        Path, typer.Argument(metavar="FILE.csv", show_default=False, help="- reads it from a pipe.")
    ],
    sender_id: SenderIdOption = None,
    as_json: JsonOption = False,
    config_file: ConfigOption = None,
    socket_path: SocketOption = None,
) -> None:
    """Add the phones of a spreadsheet.

    One number a line, or a column named to, number, phone, msisdn, tel or mobile.
    """
    wanted = _numbers(file)
    control = reach(config_file, socket_path)
    _change(control, "", wanted, as_json=as_json, sender_id=sender_id, imported=True)


def optout_export(config_file: ConfigOption = None, socket_path: SocketOption = None) -> None:
    """The whole list for a spreadsheet; import reads it."""
    found = _every(reach(config_file, socket_path))
    stream = io.TextIOWrapper(sys.stdout.buffer, "utf-8", newline="", write_through=True)
    try:
        stream.write("\ufeff")
        rows = csv.writer(stream, delimiter=";", lineterminator="\r\n")
        rows.writerow(_COLUMNS)
        rows.writerows([export.cell(str(one[name] or "")) for name in _COLUMNS] for one in found)
    finally:
        stream.detach()  # standard output stays open


def _every(control: Control) -> Iterator[dict[str, Any]]:
    after: str | None = None
    while True:
        page = control.opt_outs(after)
        yield from page["items"]
        after = page["next"]
        if after is None:
            return


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    since = show.clock(datetime.fromisoformat(one["at"]))
    source = " ".join(filter(None, (one["source"], one["keyword"])))
    ours = show.number(one["sender_id"]) if one["sender_id"] else "all of ours"
    return show.number(one["to"]), ours, show.printable(source), show.printable(one["by"]), since


def _known(known: dict[str, Any]) -> Iterator[str]:
    state = "must not be written to" if known["items"] else "may be written to"
    yield f"{show.number(known['to'])} {state}"
    for one in known["items"]:
        _, ours, source, by, since = _row(one)
        yield f"  from {ours}: {source}, by {by}, since {since}"
    for one in known["history"]:
        did = {"opt_out.add": "added", "opt_out.remove": "removed"}.get(one["did"], one["did"])
        at = show.clock(datetime.fromisoformat(one["at"]))
        yield show.printable(f"{at}  {did} by {one['by']}: {one['detail']}")


def _numbers(file: Path) -> list[str]:
    """Read the numbers of a CSV file, whichever separator it has. Raises Failed."""
    try:
        text = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        lines = text.decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as e:
        raise Failed(Exit.USAGE, f"{file} cannot be read as UTF-8 text") from e
    separator = max(";,\t", key=lines[0].count) if lines else ";"
    rows = [row for row in csv.reader(lines, delimiter=separator) if any(cell.strip() for cell in row)]
    heads = [cell.strip().lower() for cell in rows[0]] if rows else []
    column = next((at for at, head in enumerate(heads) if head in _OF_NUMBERS), None)
    if column is None and (not rows or any(c.isalpha() for c in "".join(heads))):
        raise Failed(Exit.REFUSED, f"{file}: no column is named {', '.join(sorted(_OF_NUMBERS))}")
    found = [row[column or 0].strip() for row in rows[column is not None :] if len(row) > (column or 0)]
    numbers = [_international(cell) for cell in found if cell and not cell.startswith("#")]
    if not numbers:
        raise Failed(Exit.REFUSED, f"{file}: there are no numbers in it")
    return numbers


def _international(cell: str) -> str:
    """Spreadsheets take the + away, and so does our export."""
    return f"+{cell}" if cell.isdigit() and not cell.startswith("0") and len(cell) > 10 else cell


def _change(control: Control, word: str, numbers: Sequence[str], *, as_json: bool, **more: Any) -> None:
    """Ask for it in pieces and tell what became of it; exit 65 when a number could not be read."""
    by = os.environ.get("SUDO_USER") or getpass.getuser()
    wanted = {name: value for name, value in {**more, "by": by}.items() if value}
    items: list[dict[str, Any]] = []
    refused: list[dict[str, Any]] = []
    with progress(word or "add", len(numbers)) as advance:
        for start in range(0, len(numbers), _TOGETHER):
            some = list(numbers[start : start + _TOGETHER])
            answer = control.change_opt_outs(word, {"to": some, **wanted})
            items += answer["items"]
            refused += answer["refused"]
            advance(len(some))
    if as_json:
        print_lines(*map(to_json, items))
    else:
        changed = sum(one["changed"] for one in items)
        cancelled = sum(one["cancelled"] for one in items)
        done = {"": "added", "remove": "removed", "forget": "forgotten, still blocked"}[word]
        lines = [f"{show.count(changed, 'phone')} {done}"]
        if len(items) > changed:
            lines.append(f"{show.count(len(items) - changed, 'phone')} as before")
        if cancelled:
            lines.append(f"{show.count(cancelled, 'waiting message')} cancelled; the writers are told")
        print_lines(", ".join(lines))
    for one in refused:
        tell(show.printable(f"{one['to']}: {sentence(one)}"))
    if refused:
        raise typer.Exit(Exit.REFUSED)
