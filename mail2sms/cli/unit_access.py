"""Whether the service will be able to read what its configuration names, by modes and owners; changes nothing.

Its user is made by systemd at each start (DynamicUser), so that it counts as one of the others, unless a user of its
name is there already. What only root may look at is not judged when somebody else asks.
"""

from __future__ import annotations

import os
import pwd
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mail2sms.cli import SYSTEM_FOLDER, typed, unit_files
from mail2sms.config import Settings
from mail2sms.config.references import secrets
from mail2sms.options import SECRETS_FOLDER

_READ, _ENTER, _CHANGE = 4, 1, 3  # bits of a mode
_TEMPORARY, _HOME = ("/tmp", "/var/tmp"), "/opt/mail2sms"  # noqa: S108  # the service sees others
_ACL = "system.posix_acl_access"


@dataclass(frozen=True, kw_only=True, slots=True)
class Reader:
    """The service's user, as files know it; without an id it is one of the others."""

    uid: int | None = None
    groups: frozenset[int] = frozenset()

    def may(self, path: Path, bits: int) -> bool:
        """Whether the mode allows it. True where an access list decides. Raises OSError."""
        found = path.stat()
        if _has_list(path):
            return True
        shift = 6 if found.st_uid == self.uid else 3 if found.st_gid in self.groups else 0
        return (found.st_mode >> shift) & bits == bits

    def stopped_by(self, path: Path, bits: int = _READ) -> Path | None:
        """Return the folder above that can't be entered, or the path itself; None when nothing stands in the way.

        Raises OSError. The path is one without symbolic links.
        """
        for folder in reversed(path.parents):
            if not self.may(folder, _ENTER):
                return folder
        return None if self.may(path, bits) else path


def reader() -> Reader:
    """Return the service's user on this machine."""
    try:
        known = pwd.getpwnam(unit_files.USER)
    except KeyError:
        return Reader()
    return Reader(uid=known.pw_uid, groups=frozenset(os.getgrouplist(known.pw_name, known.pw_gid)))


def started(place: unit_files.Place, service: Reader) -> Iterator[str]:
    """Yield why the service could not start the program, and what to do about it."""
    # The program first as it is named: a link in a folder that is closed leads nowhere.
    for path in (Path(place.program[0]), place.package, place.python):
        if path is None:
            continue
        stop = _stop(path, service, _READ | _ENTER)
        if any(path.is_relative_to(folder) for folder in _TEMPORARY):
            why = "it has a /tmp of its own (PrivateTmp)"
        elif stop is not None:
            why = f"{stop} is closed to other users"
        else:
            continue
        way_out = f"keep the checkout in a folder that all may enter, such as {_HOME}"
        if path == place.python:
            again = f"rm -r {sys.prefix} && PYTHON=/usr/bin/python3 {typed('--version')}"
            way_out = f"build the environment with a Python that all may run:  {again}"
        yield f"the service's user could not execute {path}: {why}; {way_out}"
        return


def hints(settings: Settings, config: Path, service: Reader) -> Iterator[str]:
    """Yield what stands in the service's way, and what to do about it."""
    yield from _config(settings, config.resolve(), service)
    secret_files = {Path(name) for name in unit_files.referenced(settings, "file")}
    for path in sorted(set(unit_files.files(settings))):
        yield from _file(path.resolve(), path in secret_files, service)
    for name in sorted(set(unit_files.referenced(settings, "credential"))):
        yield from _credential(SECRETS_FOLDER / name)
    environment = SYSTEM_FOLDER / "environment"
    if any(unit_files.referenced(settings, "env")) and not environment.exists():
        yield f"the service has no environment of yours: what env:NAME stands for belongs into {environment}"
    yield from _database(settings, service)


def _config(settings: Settings, config: Path, service: Reader) -> Iterator[str]:
    stop = _stop(config, service)
    if stop == config:
        has_secrets = any(secret.is_literal for _, secret in secrets(settings))
        first = "move its secrets into files of their own (credential:NAME), then:  " if has_secrets else ""
        yield f"the service's user could not read {config}: {first}chmod o+r {config}"
    elif stop is not None:
        yield f"the service's user could not read {config}: {_opened(stop)}"


def _file(path: Path, is_secret: bool, service: Reader) -> Iterator[str]:
    stop = _stop(path, service)
    if stop is None:
        return
    if is_secret:
        way_out = (
            f"name it as credential:{path.name} and put it into {SECRETS_FOLDER}, which systemd reads as root"
        )
    elif stop == path:
        user = "" if service.uid is not None else f"useradd --system {unit_files.USER} && "
        way_out = f"{user}chgrp {unit_files.USER} {path} && chmod g+r {path}"
    else:
        way_out = _opened(stop)
    yield f"the service's user could not read {path}: {way_out}"


def _credential(path: Path) -> Iterator[str]:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        yield f"{path} is not there yet: without it systemd does not start the service"
    except PermissionError:
        return
    else:
        if mode & _READ:
            yield f"every user of this machine can read {path}: chmod 600 {path}"


def _database(settings: Settings, service: Reader) -> Iterator[str]:
    folder = unit_files.database_folder(settings)
    if folder is None:
        return
    if not folder.exists() or _stop(folder, service, _CHANGE) is not None:
        state = f"database: sqlite:///{unit_files.STATE_FOLDER}/mail2sms.db"
        yield f"the service's user could not write to {folder}: {state} needs no rights of its own"


def _stop(path: Path, service: Reader, bits: int = _READ) -> Path | None:
    try:
        return service.stopped_by(path, bits)
    except OSError:  # not there, which check says, or not for us to see
        return None


def _opened(folder: Path) -> str:
    return f"chmod o+x {folder}, or keep it in {SYSTEM_FOLDER}"


def _has_list(path: Path) -> bool:
    try:
        return bool(os.getxattr(path, _ACL))
    except OSError:
        return False
