"""Peers that come from a package index, each the newest there is, in an environment of its own under a cache folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from shutil import which

_TIMEOUT_S = 600


class CannotInstall(RuntimeError):
    """pip did not get it; the text ends with what it said."""


def folder() -> Path:
    """Return where the environments are kept between runs."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache, "mail2sms-bench")


def installed(package: str, *more: str) -> Path:
    """Return the `bin` folder of the package's environment, made when it is not there, with `more` beside it.

    Raises CannotInstall.
    """
    environment = folder() / package
    programs, stamp = environment / "bin", environment / ".installed"
    if not stamp.exists():
        print(f"installing {package} into {environment}", file=sys.stderr, flush=True)
        _run(sys.executable, "-m", "venv", "--clear", str(environment))
        pip = (str(programs / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check")
        _run(*pip, "--upgrade", package, *more)
        stamp.touch()
    return programs


def installed_node(package: str) -> None:
    """Make sure that npm has put a package into the cache folder's `node`. Raises CannotInstall."""
    environment = folder() / "node"
    if (environment / "node_modules" / package).exists():
        return
    npm = which("npm")
    if npm is None:
        raise CannotInstall("there is no npm")
    environment.mkdir(parents=True, exist_ok=True)
    print(f"installing {package} into {environment}", file=sys.stderr, flush=True)
    _run(npm, "install", "--prefix", str(environment), "--no-audit", "--no-fund", "--silent", package)


def version(package: str) -> str:
    """Return which version `installed` gave."""
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    return _run(str(folder() / package / "bin/python"), "-c", code).strip()


def _run(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as e:
        raise CannotInstall(f"{command[-1]}: no end after {_TIMEOUT_S} s") from e
    if done.returncode:
        raise CannotInstall(f"{command[-1]}: {done.stderr.strip()[-300:]}")
    return done.stdout
