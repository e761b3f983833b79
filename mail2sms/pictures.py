"""Pictures of a mail or an API call -> pictures that phones take, decoded in a process that may be killed.

Each order gets a process of its own, which imports `reencode` and nothing else, gets no environment (secrets may stand
there) and no more time than the wall allows. One runs at a time: a picture costs up to a second of CPU.
"""

from __future__ import annotations

import asyncio
import struct
import sys
from asyncio.subprocess import Process
from collections.abc import Sequence
from itertools import chain, repeat
from pathlib import Path

from mail2sms import workers
from mail2sms.errors import BadPicture, Problem, Refusal
from mail2sms.log import log
from mail2sms.media import ENDINGS
from mail2sms.model import Photo

_WALL_S = 20.0
_WAITING = 20
_PROGRAM = (sys.executable, "-P", "-m", "mail2sms.reencode")
_PACKAGE = str(Path(__file__).resolve().parents[1])
# As `reencode` has them; that module would bring Pillow into the daemon.
_HEAD, _ANSWER = struct.Struct(">16sII"), struct.Struct(">16sI")
_WRONG = "wrong"


class Pictures:
    """The one process, and who waits for it. Belongs to one event loop."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._waiting = 0

    async def fit(self, pictures: Sequence[bytes], limit_bytes: int, *encodings: str) -> tuple[Photo, ...]:
        """Return them as JPEG, PNG or GIF, all together within the limit, without anything but their pixels.

        `encodings` are those of the mail (base64, quoted-printable), one for each picture, or none.
        Raises BadPicture for the first that can't be used, and Refusal: system.busy when too many wait, system.error
        when there is no process to be had.
        """
        if self._waiting >= _WAITING:
            raise Refusal(Problem(reason="system.busy"))
        self._waiting += 1
        try:
            async with self._lock:
                orders = list(zip(pictures, chain(encodings, repeat("")), strict=False))
                return await _fitted(orders, limit_bytes // len(pictures))
        finally:
            self._waiting -= 1


async def _fitted(orders: Sequence[tuple[bytes, str]], each_bytes: int) -> tuple[Photo, ...]:
    try:
        worker = await workers.start(_PROGRAM, environment={"PYTHONPATH": _PACKAGE, "PYTHONUTF8": "1"})
    except OSError as e:
        raise Refusal(Problem(reason="system.error")) from e
    made: list[Photo] = []
    try:
        async with asyncio.timeout(_WALL_S):
            for picture, encoding in orders:
                head = _HEAD.pack(encoding.encode("ascii", "replace")[:16], each_bytes, len(picture))
                made.append(await _exchange(worker, head, picture, len(made)))
    except (TimeoutError, ConnectionError, asyncio.IncompleteReadError) as e:  # too much time, or memory
        log.warning("pictures_killed", error=type(e).__name__)
        raise BadPicture(len(made), "media.unreadable") from e
    finally:
        await workers.kill(worker)  # nothing that it still does is needed
    return tuple(made)


async def _exchange(worker: Process, head: bytes, picture: bytes, number: int) -> Photo:
    if worker.stdin is None or worker.stdout is None:
        raise ConnectionError("the process has no pipes")
    worker.stdin.write(head)
    worker.stdin.write(picture)
    await worker.stdin.drain()
    name, size = _ANSWER.unpack(await worker.stdout.readexactly(_ANSWER.size))
    content, kind = await worker.stdout.readexactly(size), name.rstrip(b"\0").decode("ascii")
    if kind == _WRONG:
        raise BadPicture(number, content.decode("ascii"))
    return Photo(name=f"photo-{number + 1}.{ENDINGS[kind]}", media_type=kind, content=content)
