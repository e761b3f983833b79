"""What the verbs for people share: the options they all take, and how they print. Knows typer and rich, no verb.

Data goes to standard output, messages to standard error.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.cells import cell_len
from rich.console import Console, ConsoleDimensions
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

from mail2sms.cli import SYSTEM_FOLDER, Exit, Failed, find_config, is_coloured, read_settings
from mail2sms.cli.control import Control
from mail2sms.places import control_path, state_folder
from mail2sms.yamltext import read_file

_RUNTIME_FOLDER = Path("/run/mail2sms")  # RuntimeDirectory=mail2sms of the systemd unit
_CUTTABLE, _CUT, _GAP = ("FROM", "WHY"), 8, 2  # columns, what is left of them at least, and what is between
_STYLES = {
    "delivered": "green",
    "sent": "green",
    "failed": "red",
    "enroute": "cyan",
    "undeliverable": "red",
    "rejected": "red",
    "expired": "red",
    "unknown": "yellow",
}

ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", metavar="FILE", help="mail2sms.yaml, or its folder.")
]
SocketOption = Annotated[
    Path | None, typer.Option("--socket", metavar="PATH", help="The daemon's control socket.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="For programs.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
IdArgument = Annotated[str, typer.Argument(metavar="ID", show_default=False)]


def reach(config_file: Path | None, socket_path: Path | None) -> Control:
    """Return the daemon that runs with this configuration, or behind this socket."""
    if socket_path is not None:
        return Control(socket_path)
    path = find_config(config_file)
    if path.resolve().parent == SYSTEM_FOLDER and _RUNTIME_FOLDER.is_dir():
        return Control(_RUNTIME_FOLDER / "control.sock")
    # An error in the file does not concern the daemon that runs: it was started with another.
    database = read_file(path).tree.get("database")
    if not isinstance(database, str):
        database = read_settings(path).database
    return Control(control_path(state_folder(database, path)))


def print_lines(*lines: str) -> None:
    """Print data."""
    for line in lines:
        print(line)


def print_now(line: str) -> None:
    """Print data at once, though more may come: what reads it must not wait for a full buffer."""
    print(line, flush=True)


def to_json(answer: Any) -> str:
    """Return an answer of the daemon for programs."""
    return json.dumps(answer, ensure_ascii=False)


def read_stdin() -> str:
    """Return what is piped in, without the last line's end. Raises Failed."""
    try:
        return sys.stdin.buffer.read().decode().rstrip("\r\n")
    except UnicodeDecodeError as e:
        raise Failed(Exit.REFUSED, "standard input is not UTF-8 text") from e


def ask_first(question: str, is_agreed: bool) -> None:
    """Ask `[y/N]` unless it is agreed. Raises Failed when the answer is no, or when nobody can answer."""
    if is_agreed:
        return
    if not sys.stdin.isatty():
        raise Failed(Exit.USAGE, f"{question} Nobody can answer here: --yes agrees")
    if input(f"{question} [y/N] ").strip().lower() not in ("y", "yes"):
        raise Failed(Exit.OK, "nothing was done")


@contextmanager
def progress(
    what: str, total: int | None = None, *, is_shown: bool = True
) -> Iterator[Callable[[int], None]]:
    """Show on a terminal how far it is, of `total` or just that it goes on; the value is called with more done.

    On standard error, and gone at the end. Where there is no terminal, nothing is shown.
    """
    console = Console(stderr=True, no_color=not is_coloured(sys.stderr), highlight=False)
    columns = (BarColumn(), MofNCompleteColumn()) if total is not None else (SpinnerColumn(),)
    all_columns = (TextColumn("{task.description}"), *columns, TimeElapsedColumn())
    with Progress(
        *all_columns, console=console, transient=True, disable=not (is_shown and sys.stderr.isatty())
    ) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.advance(task, done)


def print_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table without lines; on a narrow terminal what was written by others is cut, ids and numbers never."""
    cells = [tuple(row) for row in rows]
    console = Console(no_color=not is_coloured(sys.stdout), highlight=False)
    widths = [max(map(cell_len, column)) for column in zip(heads, *cells, strict=True)]
    if sys.stdout.isatty():
        widths = _fit(heads, widths, console.width)
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    for head, width in zip(heads, widths, strict=True):
        table.add_column(head, no_wrap=True, overflow="ellipsis", width=width)
    for row in cells:
        table.add_row(*(Text(cell, style=_STYLES.get(cell.partition(",")[0], "")) for cell in row))
    # Wider than the terminal: it wraps, and nothing is lost. Without a height a dumb terminal would stay at 80.
    console.size = ConsoleDimensions(sum(widths) + _GAP * len(widths), len(cells) + 1)
    console.print(table)


def _fit(heads: Sequence[str], widths: Sequence[int], room: int) -> list[int]:
    """Narrow the columns that may be cut, the last of them most, until the table fits or they are at their least."""
    fitted = list(widths)
    for position in reversed(range(len(heads))):
        excess = sum(fitted) + _GAP * len(fitted) - room
        if heads[position] in _CUTTABLE and excess > 0:
            fitted[position] = max(min(_CUT, fitted[position]), fitted[position] - excess)
    return fitted
