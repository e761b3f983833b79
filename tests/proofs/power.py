"""Power loss at random points: what was written and not yet synced is lost by chance, and no 250 with it.

Usage: power [MAILS] [POINTS]. SQLite only. strace records what the daemon writes and syncs while mails come in. For
each point the files are rebuilt as a disk may hold them then: all that was synced, and of what was written since, a
random subset of pages, truncations, and new or removed names. Each must pass SQLite's checks and hold every message
whose 250 had begun to leave. The same after some syncs failed, whose pages a kernel forgets while it still shows them.
Controls that must fail: synchronous=NORMAL loses mails, so does a writer that lets SQLite recover its log after a
failed sync, and a disk whose syncs do nothing damages databases too.
"""

from __future__ import annotations

import random
import re
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.proofs import _strace
from tests.proofs._broken import ALONE, NOT_SYNCED, breaker
from tests.proofs.fsync import send
from tests.servers._server import answers
from tests.servers.daemon import Daemon

PAGE_BYTES = 4096
FAILING = ("20..21", "20..23", "30..31")  # syncs of one thread; a start needs less than 20
_CALLS = ("openat", "unlink", "unlinkat", "rename", "renameat2", "link", "truncate", "ftruncate", "fallocate")
_WRITES = ("write", "writev", "sendto", "sendmsg", "pwrite64", "pwritev", "pwritev2", "fsync", "fdatasync")
_KEPT = (0.0, 0.1, 0.5, 0.9, 1.0)  # shares of what was not synced
_ANSWER = re.compile(rb"250 2\.0\.0 (m-\w+)\r\n")
_NAME = re.compile(r'"([^"]+)"')
_FILES = re.compile(r"mail2sms\.db(-wal|-journal)?\Z")  # SQLite makes -shm anew after a crash
_WHOLE = "SELECT message.id FROM message JOIN content ON content.id = message.content"


@dataclass(frozen=True, slots=True)
class Piece:
    """Some bytes within one page; without bytes, the file ends at `offset`."""

    offset: int
    data: bytes | None = None

    def apply(self, content: bytearray) -> None:
        """Put it where it belongs."""
        if self.data is None:
            del content[self.offset :]
            content.extend(bytes(self.offset - len(content)))
            return
        content.extend(bytes(max(0, self.offset - len(content))))
        content[self.offset : self.offset + len(self.data)] = self.data


@dataclass(slots=True, eq=False)
class File:
    """What of a file is surely on the disk, and what may be, each with the time when its call ended."""

    synced: bytearray = field(default_factory=bytearray)
    since: list[tuple[int, Piece]] = field(default_factory=list)

    def sync(self, began: int) -> None:
        """Put on the disk what was written before a sync began."""
        for ended, piece in self.since:
            if ended < began:
                piece.apply(self.synced)
        self.since = [(ended, piece) for ended, piece in self.since if ended >= began]

    def forget(self, began: int) -> None:
        """Lose what a failed sync was to write: the kernel tells once, and takes the pages for clean from then on."""
        self.since = [(ended, piece) for ended, piece in self.since if ended >= began]

    def after_crash(self, chance: random.Random, kept: float) -> bytes:
        """Return what may be read once the power is back."""
        content = copy(self.synced)
        for _, piece in self.since:
            if chance.random() < kept:
                piece.apply(content)
        return bytes(content)


@dataclass(slots=True)
class Disk:
    """The database's folder: files by name now, and as the folder was last synced. `promised`: ids with their 250."""

    now: dict[str, File] = field(default_factory=dict)
    synced: dict[str, File] = field(default_factory=dict)
    promised: set[str] = field(default_factory=set)
    resets: int = 0  # how often the log began anew, after a checkpoint

    def apply(self, call: _strace.Call, folder: Path) -> None:
        """Take in one call."""
        if call.result < 0:
            for name in _names(call, folder) if "sync" in call.name else ():
                self.now[name].forget(call.began)
            return
        self.promised |= _promised(call)
        if call.path == str(folder) and call.name in ("fsync", "fdatasync"):
            self.synced = dict(self.now)
            return
        for name in _names(call, folder):
            self._apply(call, name)

    def _apply(self, call: _strace.Call, name: str) -> None:
        if call.name == "openat":
            if "O_CREAT" in call.words:
                self.now.setdefault(name, File())
            assert "O_TRUNC" not in call.words, call.words
        elif call.name == "unlink":
            del self.now[name]
        elif call.name in ("fsync", "fdatasync"):
            self.now[name].sync(call.began)
        elif call.name == "ftruncate":
            self.now[name].since.append((call.ended, Piece(call.offset)))
        elif call.name == "pwrite64":
            assert call.result == len(call.data), "a short write"
            self.resets += bool(self.promised) and name.endswith("-wal") and call.offset == 0
            self.now[name].since += [(call.ended, piece) for piece in _pieces(call.offset, call.data)]
        else:
            raise AssertionError(f"not expected on {name}: {call}")

    def after_crash(self, chance: random.Random, folder: Path) -> None:
        """Write the files as they may be once the power is back."""
        kept = chance.choice(_KEPT)
        for name in sorted(self.now.keys() | self.synced.keys()):
            is_new = self.now.get(name) is not self.synced.get(name) and chance.random() < kept
            file = (self.now if is_new else self.synced).get(name)
            if file is not None:
                (folder / name).write_bytes(file.after_crash(chance, kept))


def _promised(call: _strace.Call) -> set[str]:
    """Return the ids in a 250 to a client."""
    is_answer = call.path.startswith("socket:") and ("write" in call.name or "send" in call.name)
    return {id_.decode() for id_ in _ANSWER.findall(call.data)} if is_answer else set()


def _names(call: _strace.Call, folder: Path) -> Iterator[str]:
    """Return the database's file that a call is about, if any."""
    by_name = call.name in ("openat", "unlink", "unlinkat", "rename", "renameat2", "link", "truncate")
    paths = _NAME.findall(call.words) if by_name else [call.path]
    for path in paths:
        if Path(path).parent == folder and _FILES.match(Path(path).name):
            yield Path(path).name


def _pieces(offset: int, data: bytes) -> Iterator[Piece]:
    """Cut a write where a page of the file ends: pages reach the disk one by one."""
    while data:
        size = PAGE_BYTES - offset % PAGE_BYTES
        yield Piece(offset, data[:size])
        offset, data = offset + size, data[size:]


@dataclass(slots=True)
class Figures:
    """What was written, and what of it survived."""

    promised: int = 0
    syncs: int = 0
    resets: int = 0
    points: int = 0
    unsynced: int = 0
    lost: int = 0
    damaged: list[str] = field(default_factory=list)
    worst: int = 0

    @property
    def is_kept(self) -> bool:
        """Whether no point lost or damaged anything."""
        return self.points > 0 and not self.lost and not self.damaged

    def __str__(self) -> str:
        return (
            f"{self.points} power losses ({self.unsynced} with unsynced writes) in {self.promised} mails, "
            f"{self.syncs} syncs and {self.resets} checkpoints: {len(self.damaged)} databases damaged, "
            f"{self.lost} that lost an acknowledged mail (at most {self.worst})"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Recording:
    """What a daemon did in `folder` while it received `count` mails."""

    calls: tuple[_strace.Call, ...]
    folder: Path
    count: int


class _Unasked(Daemon):
    """A daemon of which nobody asks anything that it would read in its database."""

    def _is_ready(self) -> bool:
        return answers(self.web_port)


def record(count: int, patch: str = "", *, failing: str = "") -> Recording:
    """Send so many mails to a daemon, or to one broken by `patch`. `failing`: which syncs fail, as strace counts."""
    with TemporaryDirectory(prefix="mail2sms-calls-") as folder:
        log = Path(folder, "calls")
        traced = _strace.recorder(log, *_CALLS, *_WRITES)
        traced += ["-e", f"inject=fsync,fdatasync:error=EIO:when={failing}"] if failing else []
        with _Unasked(wrap=[*breaker(Path(folder), patch), *traced]) as daemon:
            received = send(daemon.smtp_port, count, tries=20)
            _strace.stop(daemon)
        # A write may have reached the disk from its beginning on, a sync has done nothing before its end.
        calls = sorted(_strace.read(log), key=lambda c: c.ended if "sync" in c.name else c.began)
    return Recording(calls=tuple(calls), folder=daemon.folder, count=len(received))


def record_normal(count: int) -> Recording:
    """The control whose commits do not call fsync."""
    return record(count, NOT_SYNCED)


def record_alone(count: int) -> Recording:
    """The control that goes on after failed syncs with a log that SQLite has recovered from unsynced pages."""
    return record(count, ALONE, failing=FAILING[0])


def cut(recording: Recording, points: int, *, is_lying: bool = False, seed: int = 1) -> Figures:
    """Play the calls back, and look at the disk at random moments after the first 250.

    `is_lying`: from then on, a sync does nothing on this disk.
    """
    chance, disk, figures, calls = random.Random(seed), Disk(), Figures(), recording.calls
    first = next(number for number, call in enumerate(calls) if _promised(call))
    cuts = set(chance.sample(range(first, len(calls)), min(points, len(calls) - first)))
    for number, call in enumerate(calls):
        is_sync = "sync" in call.name
        figures.syncs += is_sync
        if not (is_sync and is_lying and number > first):
            disk.apply(call, recording.folder)
        if number in cuts:
            figures.points += 1
            figures.unsynced += any(file.since for file in disk.now.values())
            _check(disk, chance, figures)
    figures.promised, figures.resets = len(disk.promised), disk.resets
    assert figures.promised == recording.count, (figures.promised, recording.count)
    return figures


def _check(disk: Disk, chance: random.Random, figures: Figures) -> None:
    with TemporaryDirectory(prefix="mail2sms-power-") as folder:
        disk.after_crash(chance, Path(folder))
        with closing(sqlite3.connect(Path(folder, "mail2sms.db"))) as database:
            try:
                found = [row[0] for row in database.execute("PRAGMA integrity_check")]
                found += [f"{row[0]} {row[1]}" for row in database.execute("PRAGMA foreign_key_check")]
                present = {row[0] for row in database.execute(_WHOLE)}
            except sqlite3.DatabaseError as e:
                found, present = [repr(e)], set()
    if found != ["ok"]:
        figures.damaged.append(found[0])
    lost = len(disk.promised - present)
    figures.lost += lost > 0
    figures.worst = max(figures.worst, lost)


def main(argv: list[str]) -> int:
    """Run the proof and its control; 0 when the one lost nothing and the other did."""
    count = int(argv[0]) if argv else 300
    points = int(argv[1]) if argv[1:] else 200
    recording = record(count)
    is_proven = _tell("sqlite", cut(recording, points))
    for failing in FAILING:
        is_proven &= _tell(f"syncs {failing} fail", cut(record(count, failing=failing), points))
    lying = cut(recording, points, is_lying=True)
    is_proven &= _tell("  control: a disk that does not sync", lying, is_control=True) and bool(lying.damaged)
    normal = cut(record_normal(count), points)
    is_proven &= _tell("  control: synchronous=NORMAL", normal, is_control=True)
    alone = cut(record_alone(count), points)
    is_proven &= _tell("  control: log recovered after failed syncs", alone, is_control=True)
    return 0 if is_proven else 1


def _tell(what: str, figures: Figures, *, is_control: bool = False) -> bool:
    is_good = figures.lost > 0 if is_control else figures.is_kept
    print(f"{what}: {figures}{'' if is_good else ': NOT AS IT MUST BE'}", flush=True)
    return is_good


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
