"""`mail2sms quota`: what is used of the limits, and when they open again."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from mail2sms.cli import show, tell
from mail2sms.cli.terminal import (
    ConfigOption,
    JsonOption,
    SocketOption,
    print_lines,
    print_table,
    reach,
    to_json,
)

_HEADS = ("LIMIT", "OF", "USED", "LEFT", "OPENS AGAIN")


def quota(
    user: Annotated[
        str | None,
        typer.Option(
            "--user", metavar="ADDRESS", help='Of this writer; "key NAME" of an API key, "device NAME".'
        ),
    ] = None,
    to: Annotated[str | None, typer.Option(metavar="NUMBER", help="Of this phone and its country.")] = None,
    as_json: JsonOption = False,
    config_file: ConfigOption = None,
    socket_path: SocketOption = None,
) -> None:
    """What is used of the limits."""
    found = reach(config_file, socket_path).quotas(user=user, to=to)
    if as_json:
        print_lines(*map(to_json, found))
    elif found:
        print_table(_HEADS, [_row(one) for one in found])
    else:
        tell("there are no such limits in the configuration")


def _row(one: dict[str, str]) -> tuple[str, ...]:
    of = one["kind"] if one["of"] == "all" else f"{one['kind']} {show.number(one['of'])}"
    opens = show.clock(datetime.fromisoformat(one["until"]))
    return (one["limit"], of, one["used"], one["left"], opens)
