"""PLACEHOLDER by the lead, so that `serve` runs before the real command line is here. Overwrite this file."""

import sys
from pathlib import Path

import uvloop

from mail2sms import log
from mail2sms.config import load
from mail2sms.daemon import serve


def main() -> None:
    """Serve."""
    log.configure()
    path = Path(sys.argv[sys.argv.index("--config") + 1])
    uvloop.run(serve(load(path), path))
