"""The command line. Here is what all verbs share; it imports neither typer nor rich, since the daemon starts here too.

Data goes to standard output, messages to standard error.
"""

from __future__ import annotations

import errno
import os
import shlex
import ssl
import sys
from collections.abc import Coroutine
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from mail2sms.errors import BadOption, StoreUnavailable

if TYPE_CHECKING:
    from mail2sms.config import Settings

CONFIG = "mail2sms.yaml"
PROGRAM = os.environ.get("MAIL2SMS_PROGRAM") or "mail2sms"
"""What is typed to run us: `./run` in a checkout."""
SYSTEM_FOLDER = Path("/etc/mail2sms")


class Exit(IntEnum):
    """Every exit code there is; any other is a failure of ours. Numbers: sysexits(3), but for 1."""

    OK = 0
    FAILED = 1
    USAGE = 64
    REFUSED = 65
    UNAVAILABLE = 69
    TRY_AGAIN = 75
    NOT_ALLOWED = 77
    BAD_CONFIG = 78


EXPLAINED = {
    Exit.OK: "ok",
    Exit.FAILED: "doctor found a failure",
    Exit.USAGE: "usage",
    Exit.REFUSED: "mail or number refused",
    Exit.UNAVAILABLE: "unavailable",
    Exit.TRY_AGAIN: "try again later",
    Exit.NOT_ALLOWED: "not allowed",
    Exit.BAD_CONFIG: "bad configuration",
}
"""The one table of exit codes; `mail2sms --help` shows it."""


class Failed(Exception):
    """A verb can't go on. The text is for the person at the terminal and says what to do."""

    def __init__(self, code: Exit, text: str) -> None:
        super().__init__(text)
        self.code = code


def typed(words: str, config: Path | None = None) -> str:
    """Return a command as it can be typed here: `./run check --config FILE`, where a configuration is named."""
    named = f" --config {shlex.quote(str(config))}" if config is not None else ""
    return f"{PROGRAM} {words}{named}"


def tell(text: str) -> None:
    """Say something to the person at the terminal."""
    print(f"mail2sms: {text}", file=sys.stderr)


def is_coloured(stream: TextIO) -> bool:
    """Whether colours may be used: a terminal, and nobody minds (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def find_config(given: Path | None) -> Path:
    """Return the configuration's path: as given, $MAIL2SMS_CONFIG, here, or the system's. A folder may hold it."""
    named = given or Path(os.environ.get("MAIL2SMS_CONFIG", ""))
    if named != Path():
        return named / CONFIG if named.is_dir() else named
    for place in (Path(CONFIG), SYSTEM_FOLDER / CONFIG):
        if os.access(place, os.F_OK):
            return place
    raise Failed(
        Exit.BAD_CONFIG,
        f"there is no {CONFIG} here or in {SYSTEM_FOLDER}; name one with --config FILE. "
        f"{typed('demo')} needs none",
    )


def read_settings(path: Path) -> Settings:
    """Return the settings. When there are errors, they are shown and Failed is raised."""
    from mail2sms import config

    try:
        return config.load(path)
    except config.ConfigInvalid as e:
        if os.access(path, os.F_OK) and not os.access(path, os.R_OK):
            message = f"{path} may not be read by this user; try as root or as the daemon's user"
            raise Failed(Exit.NOT_ALLOWED, message) from e
        report = config.Report(path=str(path), findings=e.findings, stages=())
        sys.stderr.write(config.render(report, is_coloured(sys.stderr)))
        raise Failed(Exit.BAD_CONFIG, f"{path} can't be used; put right what is said above") from e


def run_loop(work: Coroutine[Any, Any, None], check: str = "") -> None:
    """Run the daemon's work in its event loop. What keeps it from beginning becomes Failed.

    `check` is the command that says more about it, where there is one.
    """
    import uvloop

    try:
        uvloop.run(work)
    except StoreUnavailable as e:
        raise Failed(Exit.TRY_AGAIN, f"the database can't be used: {e}") from e
    except BadOption as e:
        hint = f"; {e.hint}" if e.hint else ""
        raise Failed(Exit.BAD_CONFIG, f"{e}{hint}") from e
    except ssl.SSLError as e:
        raise Failed(Exit.BAD_CONFIG, f"tls: the certificate or its key can't be used ({e.reason})") from e
    except OSError as e:
        raise _not_started(e, check) from e


def _not_started(error: OSError, check: str) -> Failed:
    what = f"{error.filename}: " if error.filename else ""
    text = f"{what}{error.strerror or error}"
    if error.errno == errno.EADDRINUSE:
        return Failed(Exit.UNAVAILABLE, f"{text}; {check} names the port" if check else text)
    if error.errno in (errno.EACCES, errno.EPERM):
        return Failed(Exit.NOT_ALLOWED, f"{text}; {check} names the file or port" if check else text)
    return Failed(Exit.BAD_CONFIG if error.filename else Exit.UNAVAILABLE, text)
