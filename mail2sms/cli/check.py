"""`mail2sms check`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from mail2sms.cli import Exit, Failed, find_config, is_coloured, show
from mail2sms.cli.terminal import ConfigOption, JsonOption, print_lines, progress, reach, to_json


def check(
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", show_default=False)] = None,
    no_environment: Annotated[
        bool, typer.Option("--no-environment", help="Judge the file alone, not this machine.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing unless it is wrong.")] = False,
    as_json: JsonOption = False,
    config_file: ConfigOption = None,
) -> None:
    """Read mail2sms.yaml and say what is wrong with it.

    Where a daemon runs with it, also what is used of its limits.
    """
    from mail2sms import config

    path = find_config(file or config_file)
    with progress("checking"):
        report = config.check(path, environment=not no_environment, probe_database=_probe_database)
        limits = [] if no_environment or report.errors else _limits(path)
    if as_json:
        print_lines(to_json({**json.loads(report.as_json()), "limits": limits}))
    elif report.errors or not quiet:
        print_lines(config.render(report, is_coloured(sys.stdout)).rstrip("\n"))
        used = [each for each in limits if each["used"].split()[0] != "0"]
        print_lines(*(show.row("" if at else "Used", show.limit(each)) for at, each in enumerate(used)))
    raise typer.Exit(Exit.BAD_CONFIG if report.errors else Exit.OK)


def _limits(path: Path) -> list[dict[str, Any]]:
    """Return what is used of the limits, where a daemon runs with this file."""
    try:
        return reach(path, None).quotas()
    except Failed:
        return []


def _probe_database(url: str) -> str | None:
    """Log in to PostgreSQL as the daemon would, and ask whether it keeps what it commits. Seconds at most."""
    from mail2sms.errors import StoreUnavailable
    from mail2sms.store.look import look

    try:
        look(url)
    except StoreUnavailable as e:
        return f"the database can't be used: {e}"
    return None
