"""Where `mail2sms VERB` begins. `serve` and `demo` go their own way: a daemon has no use for typer and rich."""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from mail2sms.cli import Exit, Failed, find_config, read_settings, run_loop, tell, typed

_GC_THRESHOLD = (
    100_000  # new objects; modules are no garbage, and looking for some is a tenth of what imports cost
)
_INTERRUPTED = 130  # as shells count it: 128 + SIGINT


def main() -> NoReturn:
    """Run the command line and exit with its code."""
    gc.set_threshold(_GC_THRESHOLD)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal that can't show a letter shows something else
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one verb with its arguments; return the exit code."""
    try:
        if arguments and arguments[0] in ("serve", "demo"):
            return _serve(arguments[1:]) if arguments[0] == "serve" else _demo(arguments[1:])
        from mail2sms.cli import console

        return console.run(arguments)
    except Failed as e:
        tell(str(e))
        return e.code
    except KeyboardInterrupt:
        return _INTERRUPTED


class Parser(argparse.ArgumentParser):
    """A parser that says what is wrong as the other verbs do."""

    def __init__(self, verb: str, description: str, epilog: str = "") -> None:
        super().__init__(typed(verb), description=description, epilog=epilog, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Raise Failed."""
        raise Failed(Exit.USAGE, f"{message}; {self.prog} --help explains it")


def serve_parser() -> Parser:
    """Return the parser of `serve`."""
    parser = Parser(
        "serve",
        description="Run the daemon until SIGTERM. systemd starts it like this.",
        epilog="Without --config: $MAIL2SMS_CONFIG, ./mail2sms.yaml, /etc/mail2sms/mail2sms.yaml.",
    )
    parser.add_argument(
        "--config", "-c", type=Path, metavar="FILE", help="mail2sms.yaml, or the folder it is in"
    )
    return parser


def _serve(arguments: Sequence[str]) -> int:
    given: Path | None = serve_parser().parse_args(arguments).config
    path = find_config(given)
    settings = read_settings(path)

    from mail2sms import daemon, log

    log.configure()
    run_loop(daemon.serve(settings, path), typed("check", given))
    return Exit.OK


def _demo(arguments: Sequence[str]) -> int:
    from mail2sms.cli import demo

    return demo.run(arguments)
