"""`mail2sms check`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from mail2sms.cli import Exit, find_config, is_coloured
from mail2sms.cli.terminal import ConfigOption, JsonOption, print_lines, progress


def check(
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", show_default=False)] = None,
    no_environment: Annotated[
        bool, typer.Option("--no-environment", help="Judge the file alone, not this machine.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing unless it is wrong.")] = False,
    as_json: JsonOption = False,
    config_file: ConfigOption = None,
) -> None:
    """Read mail2sms.yaml and say what is wrong with it."""
    from mail2sms import config

    path = find_config(file or config_file)
    with progress("checking"):
        report = config.check(path, environment=not no_environment, probe_database=_probe_database)
    if as_json:
        print_lines(report.as_json())
    elif report.errors or not quiet:
        print_lines(config.render(report, is_coloured(sys.stdout)).rstrip("\n"))
    raise typer.Exit(Exit.BAD_CONFIG if report.errors else Exit.OK)


def _probe_database(url: str) -> str | None:
    """Log in to PostgreSQL as the daemon would, and ask whether it keeps what it commits. Seconds at most."""
    from mail2sms.errors import StoreUnavailable
    from mail2sms.store.look import look

    try:
        look(url)
    except StoreUnavailable as e:
        return f"the database can't be used: {e}"
    return None
