"""`mail2sms explain`: what would become of a mail, by the code that takes mail. Sends, stores and writes nothing."""

from __future__ import annotations

import asyncio
import email
import email.policy
import ipaddress
import re
import sys
from collections.abc import Sequence
from email.utils import getaddresses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mail2sms.cli import Exit, Failed, find_config, is_coloured, read_settings
from mail2sms.cli.explained import document
from mail2sms.cli.explained_page import page
from mail2sms.cli.terminal import ConfigOption, JsonOption, SocketOption, print_lines, reach, to_json

if TYPE_CHECKING:
    from mail2sms.cli.control import Control
    from mail2sms.cli.judging import Bridge
    from mail2sms.config import Settings

_NOBODY = "someone@sender.invalid"  # the envelope's sender where the mail names none: it decides nothing


def explain(  # noqa: PLR0913, PLR0917  # a parameter is an option: typer's way
    file: Annotated[
        Path, typer.Argument(metavar="FILE.eml", show_default=False, help="- reads it from a pipe.")
    ],
    config_file: ConfigOption = None,
    sender: Annotated[
        str | None, typer.Option("--from", metavar="A", help="The envelope's sender; else the mail's From.")
    ] = None,
    to: Annotated[
        list[str] | None, typer.Option("--to", metavar="B", help="As in RCPT; else the mail's To, ours only.")
    ] = None,
    ip: Annotated[str, typer.Option(metavar="I", help="Where it comes from.")] = "127.0.0.1",
    login: Annotated[str | None, typer.Option(metavar="USER", help="As if logged in.")] = None,
    dns: Annotated[
        str | None, typer.Option("--dns", metavar="HOST:PORT", help="Ask this name server.")
    ] = None,
    show_email: Annotated[
        bool, typer.Option("--show-email", help="Print what the writer would get.")
    ] = False,
    as_json: JsonOption = False,
    socket_path: SocketOption = None,
) -> None:
    """What would become of a mail, and why.

    Nothing is sent or stored; the DNS is asked where a rule of senders does. Where the daemon runs, it says who
    opted out and what is left of the limits; without it all else is told.
    Exit code 65: some of it would be refused.
    """
    from mail2sms import log
    from mail2sms.cli.proofs import author
    from mail2sms.intake.envelope import Client, Envelope

    log.configure("critical")
    path = find_config(config_file)
    settings = read_settings(path)
    _check_client(settings, ip, login)
    content = re.sub(rb"\r?\n", b"\r\n", _read(file))  # as mail programs hand it over
    envelope = Envelope(
        client=Client(ip=ip, login=login, is_tls=login is not None),
        mail_from=(author(content) or _NOBODY) if sender is None else sender.strip("<>"),
        rcpts=tuple(_rcpts(to, content, settings.domain)),
        content=content,
    )
    control = reach(path, socket_path)
    explained = asyncio.run(_bridge(settings, path, dns, control).explain(envelope))
    if as_json:
        print_lines(to_json(document(explained)))
    else:
        print_lines(*page(explained, with_emails=show_email, is_coloured=is_coloured(sys.stdout)))
    raise typer.Exit(explained.exit)


def _bridge(settings: Settings, path: Path, dns: str | None, control: Control) -> Bridge:
    from mail2sms.cli.doctor import name_server
    from mail2sms.cli.judging import Bridge
    from mail2sms.errors import BadOption
    from mail2sms.yamltext import read_file

    try:
        asked = name_server(dns) if dns else None
        return Bridge(settings, read_file(path), path.name, asked, control)
    except (BadOption, OSError, UnicodeDecodeError) as e:
        raise Failed(Exit.BAD_CONFIG, f"template {settings.template} can't be used: {e}") from e


def _check_client(settings: Settings, ip: str, login: str | None) -> None:
    """Raise Failed for a client that there can't be."""
    from mail2sms.addresses import canonical

    try:
        ipaddress.ip_address(ip)
    except ValueError as e:
        raise Failed(Exit.USAGE, f'"{ip}" is no IP address') from e
    known = [canonical(address) for address in settings.users]
    if login is not None and canonical(login) not in known:
        from mail2sms.config.fields import did_you_mean

        hint = did_you_mean(login, known) or "users log in by the address that they have in the configuration"
        raise Failed(Exit.USAGE, f'there is no user "{login}"; {hint}')


def _read(file: Path) -> bytes:
    if str(file) == "-":
        return sys.stdin.buffer.read()
    try:
        return file.read_bytes()
    except OSError as e:
        raise Failed(Exit.USAGE, f"{file} cannot be read: {e.strerror}") from e


def _rcpts(given: Sequence[str] | None, content: bytes, domain: str) -> list[str]:
    """Return the addresses as given (a bare number is one of ours), else those of To in our domain."""
    if given:
        return [to.strip("<>") if "@" in to else f"{to}@{domain}" for to in given]
    fields = email.message_from_bytes(content, policy=email.policy.compat32).get_all("to", [])
    named = [address for _, address in getaddresses([str(value) for value in fields])]
    ours = [address for address in named if address.lower().endswith(f"@{domain}")]
    if not ours:
        raise Failed(Exit.USAGE, f"its To names no address of {domain}; name one with --to ADDRESS")
    return ours
