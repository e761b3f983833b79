"""`mail2sms doctor`: looks at the outside world, all at once, and says what to do about what it finds."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mail2sms.cli import Exit, Failed, find_config, is_coloured, read_settings, show, typed
from mail2sms.cli.control import Control
from mail2sms.cli.terminal import ConfigOption, JsonOption, print_lines, progress, reach, to_json
from mail2sms.clock import now_ms
from mail2sms.doctor import Finding, Level, Look, Patient, examine
from mail2sms.model import FINAL, Status
from mail2sms.options import read_endpoint

if TYPE_CHECKING:
    from mail2sms.dns import Dns

_SENT_S = 60.0
_COLOURS = {"ok": "\x1b[32m", "skip": "\x1b[2m", "warn": "\x1b[33m", "FAIL": "\x1b[31m"}
_PLAIN = "\x1b[0m"
_WORDS = (("ok", "ok"), ("warn", "warning"), ("FAIL", "failure"), ("skip", "not looked at"))


def doctor(
    send_test: Annotated[
        str | None, typer.Option("--send-test", metavar="NUMBER", help="Send one SMS there and wait for it.")
    ] = None,
    dns: Annotated[
        str | None, typer.Option("--dns", metavar="HOST:PORT", help="Ask this name server.")
    ] = None,
    as_json: JsonOption = False,
    config_file: ConfigOption = None,
) -> None:
    """Look at the outside world: names, ports, peers.

    Nothing is sent but what --send-test asks for.
    """
    path = find_config(config_file)
    settings = read_settings(path)
    from mail2sms.places import state_folder

    names = name_server(dns)
    control = reach(path, None)
    patient = Patient(
        settings=settings,
        socket=control.path,
        state=state_folder(settings.database, path),
        dns=names,
        now_ms=now_ms(),
        config=config_file,
    )
    with progress("looking"):
        findings = asyncio.run(examine(patient, looks()))
    if send_test is not None:
        with progress("waiting for the phone"):
            findings.append(_sent(control, send_test, config_file))
    print_lines(*([to_json(asdict(one)) for one in findings] if as_json else rendered(findings)))
    if any(one.level == "FAIL" for one in findings):
        raise typer.Exit(Exit.FAILED)


def name_server(dns: str | None) -> Dns:
    """Return whom to ask: HOST:PORT, or the machine's. Raises Failed."""
    from mail2sms.dns import Dns, DnsUnanswered

    try:
        return Dns(read_endpoint(dns if ":" in dns else f"{dns}:53") if dns else None)
    except (DnsUnanswered, ValueError) as e:
        raise Failed(Exit.USAGE, f"{e}; name one with --dns HOST:PORT") from e


def looks() -> tuple[tuple[str, Look], ...]:
    """Return everything that is looked at, in the order it is told."""
    from mail2sms.doctor import machine, names, peers, webhooks

    return (
        ("daemon", machine.daemon),
        ("ports", machine.listeners),
        ("database", machine.database),
        ("clock", machine.clock),
        ("DNS", names.mail_exchanger),
        ("SPF", names.sender_policy),
        ("DKIM", names.signature),
        ("senders", names.proofs),
        ("TLS", machine.certificate),
        ("smarthost", peers.smarthost),
        ("carriers", peers.all_carriers),
        ("webhooks", webhooks.all_webhooks),
        ("hooks", peers.all_hooks),
    )


def _sent(control: Control, number: str, config: Path | None) -> Finding:
    """Send one SMS and wait for its report."""
    order = {"to": [number], "text": "mail2sms: this is a test."}
    try:
        message = control.send(order, is_dry_run=False).messages[0]
        until_s = time.monotonic() + _SENT_S
        while message.status not in FINAL and message.status != Status.UNKNOWN and time.monotonic() < until_s:
            time.sleep(0.3)
            message = control.message(message.id)
    except Failed as e:
        return Finding(name="test", level="FAIL", sentence=show.printable(str(e)))
    way = (f"what happened:  {typed(f'message {message.id}', config)}",)
    if message.status == Status.DELIVERED:
        return Finding(
            name="test", level="ok", sentence=f"{show.number(message.to)} delivered by {message.carrier}"
        )
    level: Level = "warn" if message.status == Status.ENROUTE else "FAIL"
    sentence = f"{show.number(message.to)} {message.status} {message.reason}".rstrip()
    return Finding(name="test", level=level, sentence=sentence, remedy=way)


def rendered(findings: Sequence[Finding]) -> list[str]:
    """Return the lines that are printed: each finding, below it what to do, and the count."""
    width = max(len(one.name) for one in findings) + 2
    lines = []
    for one in findings:
        level = f"{one.level:4}"
        if is_coloured(sys.stdout):
            level = f"{_COLOURS[one.level]}{level}{_PLAIN}"
        lines.append(f"{one.name:{width}}{level}  {show.printable(one.sentence)}")
        lines += [f"{'':{width}}      {show.printable(line)}" for line in one.remedy]
    counted = {word: sum(one.level == level for one in findings) for level, word in _WORDS}
    told = [
        f"{n} {word}{'s' * (n != 1 and word in ('warning', 'failure'))}" for word, n in counted.items() if n
    ]
    return [*lines, ", ".join(told)]
