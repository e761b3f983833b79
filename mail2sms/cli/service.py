"""`mail2sms reload` and `health`: the daemon that runs, as its operator sees it."""

from __future__ import annotations

import sys

import typer

from mail2sms.cli import Exit, Failed, typed
from mail2sms.cli.control import Declined
from mail2sms.cli.terminal import ConfigOption, JsonOption, SocketOption, print_lines, reach, to_json

_INVALID = "config.invalid"


def reload(
    as_json: JsonOption = False,
    config_file: ConfigOption = None,
    socket_path: SocketOption = None,
) -> None:
    """Let the daemon read its configuration again."""
    try:
        done = reach(config_file, socket_path).reload()
    except Declined as e:
        if e.reason != _INVALID:
            raise
        sys.stderr.write(f"{e.detail}\n")
        text = "nothing was changed: the daemon goes on with what it read before"
        raise Failed(Exit.BAD_CONFIG, text) from e
    if as_json:
        print_lines(to_json(done.answer))
        return
    nothing = "nothing else changed" if done.restart else "no option changed"
    applied = ", ".join(done.applied) or f"{nothing}; certificate, template and secrets were read again"
    print_lines(*(f"restart needed for: {place}" for place in done.restart), f"reloaded: {applied}")


def health(
    as_json: JsonOption = False,
    config_file: ConfigOption = None,
    socket_path: SocketOption = None,
) -> None:
    """How the daemon is, part by part: 69 if not well."""
    try:
        found = reach(config_file, socket_path).health()
    except Failed as e:
        if e.code == Exit.TRY_AGAIN:  # no answer in time is no health
            raise Failed(Exit.UNAVAILABLE, str(e)) from e
        raise
    print_lines(*([to_json(found)] if as_json else (f"{name:9} {value}" for name, value in _rows(found))))
    raise typer.Exit(Exit.OK if found["status"] == "ok" else Exit.UNAVAILABLE)


def _rows(found: dict[str, object]) -> list[tuple[str, object]]:
    parts, queue, oldest_s = found["parts"], found["queue"], found["oldest_s"]
    rows = list(parts.items()) if isinstance(parts, dict) else []
    if queue is not None:
        since = f", oldest {oldest_s:.0f} s" if isinstance(oldest_s, float) else ""
        rows.append(("queue", f"{queue or 'empty'}{since}"))
    certificate = found["certificate"]
    if isinstance(certificate, dict):
        fault = f"; its renewed files cannot be used: {certificate['fault']}" if certificate["fault"] else ""
        rows.append(("TLS", f"certificate good for {certificate['days']} days{fault}"))
    balances = found["balances"]
    for name, one in balances.items() if isinstance(balances, dict) else ():
        low = f", less than {one['below']}" * one["is_low"]
        rows.append((name, f"{one['left']} left{low}"))
    if found["stopped_at"]:
        rows.append(("sending", f"stopped since {found['stopped_at']}; {typed('resume-sending')} goes on"))
    return [*rows, ("mode", found["mode"])]
