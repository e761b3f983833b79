"""The verbs for people at a terminal, as clients of the running daemon. The only importer of typer and rich."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from datetime import time as clock_time
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text
from typer.core import TyperGroup

from mail2sms import __version__
from mail2sms.cli import (
    EXPLAINED,
    SYSTEM_FOLDER,
    Exit,
    Failed,
    find_config,
    is_coloured,
    read_settings,
    show,
    tell,
)
from mail2sms.cli.control import Control, Message
from mail2sms.errors import BadOption
from mail2sms.model import FINAL, Status

_RUNTIME_FOLDER = Path("/run/mail2sms")  # RuntimeDirectory=mail2sms of the systemd unit
_WIDE = 10_000  # columns where there is no terminal: nothing is cut
_POLL_FIRST_S, _POLL_LAST_S = 0.3, 5.0
_STYLES = {
    "delivered": "green",
    "enroute": "cyan",
    "undeliverable": "red",
    "rejected": "red",
    "expired": "red",
    "unknown": "yellow",
}
_TRY, _RUN, _LOOK, _FIX = _GROUPS = ("Try", "Run", "Look", "Fix")


class _Verbs(TyperGroup):
    """All verbs on one screen, by what they are for, and the exit codes."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the screen."""
        lines = ["Usage: mail2sms VERB [OPTIONS]          mail2sms VERB --help explains one", ""]
        lines += ["An email becomes a text message; the answer comes back as an email.", ""]
        verbs = list(_flat(self.commands))
        for group in _GROUPS:
            members = [(name, text) for name, text, panel in verbs if panel == group]
            for i, (name, text) in enumerate(members):
                lines.append(f"  {group if i == 0 else '':5} {name:14} {text}")
        codes = [f"{code:d} {text}" for code, text in EXPLAINED.items()]
        lines += ["", f"Exit codes: {', '.join(codes[:3])},"]
        lines += [f"  {', '.join(codes[3:5])},", f"  {', '.join(codes[5:])}."]
        lines += ["Looking verbs take --json. NO_COLOR is respected. --version tells the version."]
        formatter.write("\n".join(lines) + "\n")


def _flat(commands: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    for name, command in commands.items():
        if isinstance(command, TyperGroup):
            yield from _flat(command.commands, f"{name} ")
        else:
            summary = (command.help or "").partition("\n")[0].rstrip(".")
            yield f"{prefix}{name}", summary, command.rich_help_panel


_PLAIN: dict[str, Any] = {"add_completion": False, "rich_markup_mode": None, "no_args_is_help": True}
app = typer.Typer(name="mail2sms", cls=_Verbs, **_PLAIN)
_queue = typer.Typer(name="queue", help="Messages whose work is not over.", **_PLAIN)
_template = typer.Typer(name="template", help="The form that mails follow.", **_PLAIN)

ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", metavar="FILE", help="mail2sms.yaml, or its folder.")
]
SocketOption = Annotated[
    Path | None, typer.Option("--socket", metavar="PATH", help="The daemon's control socket.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="For programs.")]
IdArgument = Annotated[str, typer.Argument(metavar="ID", show_default=False)]


def run(arguments: Sequence[str]) -> int:
    """Run one verb; return the exit code. Raises Failed."""
    try:
        done = app(list(arguments), prog_name="mail2sms", standalone_mode=False)
        sys.stdout.flush()
    except typer.Abort:
        return 130
    except typer.TyperException as e:
        raise _misused(e) from e
    except (BrokenPipeError, SystemExit):  # `| head` has seen enough; typer makes an exit of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK
    return done if isinstance(done, int) else Exit.OK


def _misused(error: typer.TyperException) -> Failed:
    context = getattr(error, "ctx", None)
    verb = context.command_path if context else "mail2sms"
    text = error.format_message()
    if type(error).__name__ == "NoArgsIsHelpError":
        return Failed(Exit.USAGE, f"a verb is missing\n\n{text}")
    return Failed(Exit.USAGE, f"{text.rstrip('.')}; {verb} --help explains it")


def _tell_version(is_asked: bool) -> None:
    if is_asked:
        _print(f"mail2sms {__version__}")
        raise typer.Exit(Exit.OK)


@app.callback()
def _all(
    version: Annotated[bool, typer.Option("--version", callback=_tell_version, is_eager=True)] = False,
) -> None:
    pass


@app.command("demo", rich_help_panel=_TRY)
def _demo() -> None:
    """Everything on this computer, with simulated phones."""


@app.command("serve", rich_help_panel=_RUN)
def _serve() -> None:
    """The daemon, as systemd starts it."""


@app.command("check", rich_help_panel=_RUN)
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
        _print(report.as_json())
    elif report.errors or not quiet:
        _print(config.render(report, is_coloured(sys.stdout)).rstrip("\n"))
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


@app.command("send", rich_help_panel=_RUN)
def send(  # noqa: PLR0913, PLR0917  # a parameter is an option: typer's way
    words: Annotated[list[str] | None, typer.Argument(metavar="TO... TEXT", show_default=False)] = None,
    as_user: Annotated[str | None, typer.Option("--as", metavar="USER", help="Replies go there.")] = None,
    sender_id: Annotated[str | None, typer.Option("--from", metavar="SENDER_ID")] = None,
    at: Annotated[
        str | None, typer.Option(metavar="T", help="08:00, or 2026-05-12T14:30; of this place.")
    ] = None,
    validity: Annotated[str | None, typer.Option(metavar="D", help="How long to try: 30m, 2h, 1d.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Until it is delivered or has failed.")] = False,
    as_json: JsonOption = False,
    config_file: ConfigOption = None,
    socket_path: SocketOption = None,
) -> None:
    """Send a text to one or more numbers.

    Numbers first, the text last and as one word: quote it. With - as text, it is read from standard input.
    """
    if not words or len(words) < 2:
        raise Failed(
            Exit.USAGE, 'numbers and a text are needed, such as: mail2sms send "06 39 98 12 34" "Hello"'
        )
    *to, text = words
    order = {"to": to, "text": _stdin() if text == "-" else text, "as": as_user, "sender_id": sender_id}
    order |= {"at": read_at(at, datetime.now().astimezone()) if at else None, "validity": validity}
    control = _control(config_file, socket_path)
    given = {name: value for name, value in order.items() if value is not None}
    receipt = control.send(given, is_dry_run=dry_run)
    messages = receipt.messages
    if wait and not dry_run:
        messages = tuple(_until_over(control, message) for message in messages)
    if as_json:
        items = [message.answer for message in messages]
        _print(_json({**receipt.answer, "items": items} if wait else receipt.answer))
    else:
        _print(*(show.accepted_line(message, is_dry_run=dry_run) for message in messages))
    for refusal in receipt.refused:
        tell(show.printable(refusal))
    if receipt.refused:
        raise typer.Exit(Exit.REFUSED)
    is_over = wait and not dry_run
    if is_over and any(message.status != Status.DELIVERED for message in messages):
        raise typer.Exit(Exit.UNAVAILABLE)


def _stdin() -> str:
    try:
        return sys.stdin.buffer.read().decode().rstrip("\r\n")
    except UnicodeDecodeError as e:
        raise Failed(Exit.REFUSED, "standard input is not UTF-8 text") from e


def _until_over(control: Control, message: Message) -> Message:
    wait_s = _POLL_FIRST_S
    while True:
        now = control.message(message.id)
        if now.status in FINAL or now.status == Status.UNKNOWN:
            return now
        time.sleep(wait_s)
        wait_s = min(_POLL_LAST_S, wait_s * 1.3)


def read_at(text: str, now: datetime) -> str:
    """Return a moment of this place as ISO 8601 with its offset. A time alone is the next such time."""
    try:
        found = clock_time.fromisoformat(text)
    except ValueError:
        return _iso(text)
    moment = datetime.combine(now.date(), found)
    if moment.astimezone() <= now:
        moment += timedelta(days=1)
    return moment.astimezone().isoformat()


def _iso(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as e:
        raise Failed(Exit.USAGE, f'"{text}" is no time; write it like 2026-05-12T14:30') from e
    return (moment if moment.tzinfo else moment.astimezone()).isoformat()


@app.command("messages", rich_help_panel=_LOOK)
def messages(
    to: Annotated[str | None, typer.Option(metavar="NUMBER")] = None,
    status: Annotated[Status | None, typer.Option(metavar="STATUS", help=", ".join(Status))] = None,
    since: Annotated[str | None, typer.Option(metavar="T", help="2h, 7d, or 2026-05-12T14:30.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 100,
    as_json: JsonOption = False,
    config_file: ConfigOption = None,
    socket_path: SocketOption = None,
) -> None:
    """Messages, the newest first."""
    moment = _since(since) if since else None
    control = _control(config_file, socket_path)
    found = control.messages(to=to, status=status.value if status else None, since=moment, limit=limit)
    if as_json:
        _print(*(_json(message.answer) for message in found))
    elif found:
        _table(show.MESSAGE_HEADS, [show.message_row(message) for message in found])
    else:
        tell("there are no such messages")


def _since(text: str) -> str:
    from mail2sms.options import read_duration_ms

    try:
        return (datetime.now(UTC) - timedelta(milliseconds=read_duration_ms(text))).isoformat()
    except BadOption:
        return _iso(text)


@app.command("message", rich_help_panel=_LOOK)
def message(
    id_: IdArgument,
    as_json: JsonOption = False,
    config_file: ConfigOption = None,
    socket_path: SocketOption = None,
) -> None:
    """One message and what happened to it."""
    found = _control(config_file, socket_path).message(id_)
    _print(*([_json(found.answer)] if as_json else show.timeline(found)))


@_queue.command("list", rich_help_panel=_LOOK)
def queue_list(
    as_json: JsonOption = False,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 1000,
    config_file: ConfigOption = None,
    socket_path: SocketOption = None,
) -> None:
    """Messages whose work is not over, the oldest first."""
    found = _control(config_file, socket_path).queue(limit)
    now = datetime.now(UTC)
    if as_json:
        _print(*(_json(message.answer) for message in found))
    elif found:
        _table(show.QUEUE_HEADS, [show.queue_row(message, now) for message in found])
        _print(show.queue_end(found, now))
    else:
        tell("the queue is empty")


@_template.command("show", rich_help_panel=_LOOK)
def template_show(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="strict, subject or a file.")] = "strict",
    country: Annotated[str, typer.Option(metavar="XX", help="Whose numbers are shown.")] = "FR",
    language: Annotated[str, typer.Option(metavar="XX")] = "en",
) -> None:
    """The form that mails to sms@ follow, filled in."""
    from mail2sms.intake.template import compile_template
    from mail2sms.render import own_folder

    shipped = own_folder() / "intake" / f"{name}.txt"
    path = shipped if name in ("strict", "simple", "subject") else Path(name)
    try:
        template = compile_template(path.read_text(encoding="utf-8"), name)
    except (OSError, UnicodeDecodeError, BadOption) as e:
        raise Failed(Exit.BAD_CONFIG, f"{path} is no template: {e}") from e
    _print(template.example(country, language))


@app.command("cancel", rich_help_panel=_FIX)
def cancel(
    id_: IdArgument,
    as_json: JsonOption = False,
    config_file: ConfigOption = None,
    socket_path: SocketOption = None,
) -> None:
    """Stop a message that no carrier has yet."""
    answer = _control(config_file, socket_path).cancel(id_)
    _print(_json(answer) if as_json else f"{answer['id']}  {answer['status']}")


app.add_typer(_queue)
app.add_typer(_template)


def _control(config_file: Path | None, socket_path: Path | None) -> Control:
    """Return the daemon that runs with this configuration, or behind this socket."""
    if socket_path is not None:
        return Control(socket_path)
    path = find_config(config_file)
    if path.resolve().parent == SYSTEM_FOLDER and _RUNTIME_FOLDER.is_dir():
        return Control(_RUNTIME_FOLDER / "control.sock")
    settings = read_settings(path)
    from mail2sms.places import control_path, state_folder

    return Control(control_path(state_folder(settings.database, path)))


def _print(*lines: str) -> None:
    for line in lines:
        print(line)


def _json(answer: Any) -> str:
    return json.dumps(answer, ensure_ascii=False)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table without lines; on a narrow terminal, what was written by others is cut first."""
    is_terminal = sys.stdout.isatty()
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for head in heads:
        is_cut = head in ("FROM", "WHY")
        table.add_column(head, no_wrap=True, overflow="ellipsis", min_width=None if is_cut else len(head))
    for row in rows:
        table.add_row(*(Text(cell, style=_STYLES.get(cell.partition(",")[0], "")) for cell in row))
    Console(
        width=None if is_terminal else _WIDE, no_color=not is_coloured(sys.stdout), highlight=False
    ).print(table)
