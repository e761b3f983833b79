"""`mail2sms check`."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from mail2sms.cli import Exit, find_config, is_coloured
from mail2sms.cli.terminal import JsonOption, print_lines


def check(
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", show_default=False)] = None,
    no_environment: Annotated[
        bool, typer.Option("--no-environment", help="Judge the file alone, not this machine.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing unless it is wrong.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Read mail2sms.yaml and say what is wrong with it."""
    from mail2sms import config

    report = config.check(find_config(file), environment=not no_environment, probe_database=_probe_database)
    if as_json:
        print_lines(report.as_json())
    elif report.errors or not quiet:
        print_lines(config.render(report, is_coloured(sys.stdout)).rstrip("\n"))
    raise typer.Exit(Exit.BAD_CONFIG if report.errors else Exit.OK)


def _probe_database(url: str) -> str | None:
    """Knock at PostgreSQL's door: whether it may be used is found out at the start."""
    parts = urlsplit(url)
    if not parts.hostname or "," in parts.netloc:
        return None
    try:
        socket.create_connection((parts.hostname, parts.port or 5432), timeout=3).close()
    except OSError as e:
        return f"the database does not answer: {e.strerror or e}"
    return None
