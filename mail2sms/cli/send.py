"""`mail2sms send`."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from mail2sms.cli import Exit, Failed, enclosing, show, tell, typed
from mail2sms.cli.control import Control, Message
from mail2sms.cli.moments import now, read_at
from mail2sms.cli.terminal import (
    ConfigOption,
    JsonOption,
    SocketOption,
    print_lines,
    progress,
    reach,
    read_stdin,
    to_json,
)
from mail2sms.model import FINAL, Status

_NUMBER, _DIGIT = re.compile(r"[+(]?\d[\d .()/-]{5,}"), re.compile(r"\d")
_POLL_FIRST_S, _POLL_LAST_S = 0.3, 5.0


def send(  # noqa: PLR0913, PLR0917  # a parameter is an option: typer's way
    words: Annotated[list[str] | None, typer.Argument(metavar="TO... TEXT", show_default=False)] = None,
    as_user: Annotated[str | None, typer.Option("--as", metavar="USER", help="Replies go there.")] = None,
    sender_id: Annotated[str | None, typer.Option("--from", metavar="SENDER_ID")] = None,
    at: Annotated[
        str | None, typer.Option(metavar="T", help="08:00, or 2026-05-12T14:30; of this place.")
    ] = None,
    validity: Annotated[str | None, typer.Option(metavar="D", help="How long to try: 30m, 2h, 1d.")] = None,
    picture: Annotated[
        list[Path] | None,
        typer.Option(
            "--picture", metavar="FILE", help="A picture to go with it; again for more. - reads a pipe."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Until it is delivered or has failed.")] = False,
    as_json: JsonOption = False,
    config_file: ConfigOption = None,
    socket_path: SocketOption = None,
) -> None:
    """Send a text to one or more numbers.

    Numbers first, the text last and as one word: quote it. With - as text, it is read from standard input. Pictures
    need none: "" then.
    """
    files = picture or []
    to, text = _words(words or (), files, config_file)
    order = {"to": to, "text": text, "as": as_user, "sender_id": sender_id}
    order |= {"at": read_at(at, now()) if at else None, "validity": validity}
    pictures = enclosing.read(files)
    control = reach(config_file, socket_path)
    given = {name: value for name, value in order.items() if value is not None}
    with enclosing.named(files):
        receipt = control.send(given | ({"pictures": pictures} if files else {}), is_dry_run=dry_run)
    messages = receipt.messages
    if wait and not dry_run:
        with progress("waiting for the phones", len(messages)) as advance:
            messages = tuple(_until_over(control, message, advance) for message in messages)
    if as_json:
        items = [message.answer for message in messages]
        print_lines(to_json({**receipt.answer, "items": items} if wait else receipt.answer))
    else:
        _print(messages, is_dry_run=dry_run, has_pictures=bool(files))
    for refusal in receipt.refused:
        tell(show.printable(refusal))
    if receipt.refused:
        raise typer.Exit(Exit.REFUSED)
    is_over = wait and not dry_run
    if is_over and any(message.status != Status.DELIVERED for message in messages):
        raise typer.Exit(Exit.UNAVAILABLE)


def _print(messages: Sequence[Message], *, is_dry_run: bool, has_pictures: bool) -> None:
    lines = (show.accepted_line(m, is_dry_run=is_dry_run, has_pictures=has_pictures) for m in messages)
    print_lines(*lines)


def _words(given: Sequence[str], files: Sequence[Path], config_file: Path | None) -> tuple[list[str], str]:
    """Return the numbers and the text that were typed. Raises Failed."""
    words = [*given, *([""] if files and len(given) == 1 else [])]
    if len(words) < 2:
        example = typed('send "06 39 98 12 34" "Hello"', config_file)
        raise Failed(Exit.USAGE, f"numbers and a text are needed, such as: {example}")
    *to, last = words
    return to, _text(to, last, files, config_file)


def _text(to: list[str], last: str, files: Sequence[Path], config_file: Path | None) -> str:
    """Return the text to send, as typed or piped in. Raises Failed."""
    if [last, *map(str, files)].count(enclosing.PIPE) > 1:
        raise Failed(Exit.USAGE, "standard input can be the text or one picture, not both")
    if files and _NUMBER.fullmatch(last):
        example = typed('send "06 39 98 12 34" "06 39 98 56 78" "" --picture FILE', config_file)
        raise Failed(Exit.USAGE, f"the text stands last; pictures alone are sent so: {example}")
    if _NUMBER.fullmatch(last) and not all(map(_DIGIT.search, to)):
        swapped = shlex.join(["send", last, *to])
        raise Failed(Exit.USAGE, f"numbers first, the text last: {typed(swapped, config_file)}")
    text = read_stdin() if last == "-" else last
    if not (text.strip() or files):
        raise Failed(Exit.REFUSED, "there is no text to send: it is the last word, in quotes (text.empty)")
    return text


def _until_over(control: Control, message: Message, advance: Callable[[int], None]) -> Message:
    wait_s = _POLL_FIRST_S
    while True:
        now = control.message(message.id)
        if now.status in FINAL or now.status == Status.UNKNOWN:
            advance(1)
            return now
        time.sleep(wait_s)
        wait_s = min(_POLL_LAST_S, wait_s * 1.3)
