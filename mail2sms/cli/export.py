"""Messages as a spreadsheet takes them. Pure but for the stream it is given.

UTF-8 with a byte order mark and `;`, as Excel opens it in French and German, where a decimal comma makes amounts that
add up. Texts come from strangers: a cell that would be a formula is made text. Numbers go without `+`, which would
make them one.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from typing import TextIO

from mail2sms.cli.control import Message

_HEADS = (
    "id", "created_at", "to", "from", "sender_id", "status", "reason", "detail", "carrier", "parts", "cost",
    "currency", "attempts", "subject", "text",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # https://owasp.org/www-community/attacks/CSV_Injection


def write(found: Iterable[Message], stream: TextIO, advance: Callable[[int], None]) -> None:
    """Write messages as they come; `advance` is told of each."""
    stream.write("\ufeff")
    rows = csv.writer(stream, delimiter=";", lineterminator="\r\n")
    rows.writerow(_HEADS)
    for message in found:
        rows.writerow([cell(value) for value in _values(message)])
        advance(1)


def _values(message: Message) -> tuple[str, ...]:
    amount, _, currency = message.cost.partition(" ")
    created = f"{message.created_at.astimezone():%Y-%m-%d %H:%M:%S}" if message.created_at else ""
    return (
        message.id,
        created,
        message.to,
        message.writer,
        message.sender_id,
        message.status,
        message.reason,
        message.detail,
        message.carrier,
        str(message.parts),
        amount.replace(".", ","),
        currency,
        str(message.attempts),
        message.subject,
        message.text,
    )


def cell(value: str) -> str:
    """Return a value that no spreadsheet calculates."""
    if value.startswith("+") and value[1:].isdigit():
        return value[1:]
    return f"'{value}" if value.startswith(_FORMULA) else value.replace("\0", "")
