"""Reads mails in a process that may be killed: HTML, many parts, over-long fields.

One worker, started when first needed and closed after a minute without work; it imports `mime` and `html` and nothing
of the daemon, gets no environment (secrets may stand there), and limits its own memory and CPU. Frames on both pipes:
four bytes of length, then the mail as it is, or the answer as JSON. `python -m mail2sms.intake.sandbox` is the worker.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import struct
import sys
import time
from asyncio.subprocess import Process
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

from mail2sms import workers
from mail2sms.errors import Problem, Refusal
from mail2sms.intake import mime
from mail2sms.intake.headers import Head, too_complex
from mail2sms.intake.mime import Attachment, Letter
from mail2sms.intake.turns import TurnLost, Turns

_WALL_S = 5.0
_CPU_S = 2
_MEMORY_BYTES = 512 * 1024 * 1024
_WAITING, _WAITING_PER_WRITER = 50, 20
_IDLE_S = 60.0
_NICE = 5
_LENGTH = struct.Struct(">I")
_PACKAGE = str(Path(__file__).resolve().parents[2])


async def read_letter(
    raw: bytes, head: Head, sandbox: Sandbox, writer: str, has_left: Callable[[], bool]
) -> Letter:
    """Return the letter: a simple mail is read here, anything else in the sandbox. Raises Refusal.

    `head` is the mail's own; `writer` and `has_left` as in `Sandbox.read`.
    """
    cost = mime.bounds(raw, head)
    if cost.needs_sandbox:
        return await sandbox.read(raw, writer, has_left)
    try:
        return mime.read(raw, html=None, top=cost.top)
    except Refusal as e:
        if not (cost.has_html and e.problems[0].reason == "mail.no_text"):
            raise
    return await sandbox.read(raw, writer, has_left)  # its plain part is empty: the text is in the HTML


class Sandbox:
    """The one worker and the queue before it. Belongs to one event loop."""

    def __init__(self, *, idle_s: float = _IDLE_S) -> None:
        self._lock = asyncio.Lock()
        self._turns = Turns(per_key=_WAITING_PER_WRITER, total=_WAITING)
        self._worker: Process | None = None
        self._idle_s = idle_s
        self._idle: asyncio.TimerHandle | None = None

    async def read(self, raw: bytes, writer: str, has_left: Callable[[], bool]) -> Letter:
        """Return the letter. Writers share its time; who has left while waiting loses the turn.

        Raises Refusal: what `mime.read` raises, mail.too_complex when the worker had to be killed, system.busy when
        too many wait, in all or of this writer, system.error when no worker can be started.
        """
        try:
            async with self._turns.turn(writer, has_left), self._lock:
                answer = await self._ask(raw)
        except TurnLost as e:
            raise Refusal(Problem(reason="system.busy")) from e
        return _letter(answer)

    async def close(self) -> None:
        """End the worker; a later read starts another."""
        async with self._lock:
            worker = self._let_go()
            if worker is not None:
                await worker.wait()

    async def _ask(self, raw: bytes) -> dict[str, Any]:
        if self._idle is not None:
            self._idle.cancel()
        worker = await self._started()
        trouble = "CancelledError"
        try:
            async with asyncio.timeout(_WALL_S):
                answer = await _exchange(worker, raw)
            trouble = ""
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError) as e:
            trouble = type(e).__name__
            raise too_complex("reading it takes too much time or memory") from e
        finally:
            if not trouble:
                self._idle = asyncio.get_running_loop().call_later(self._idle_s, self._let_go)
            else:  # also when the caller was cancelled: an unread answer would go to the next mail
                self._worker = None
                await _killed(worker, trouble)
        return answer

    async def _started(self) -> Process:
        if self._worker is None or workers.is_gone(self._worker):
            try:
                self._worker = await _start()
            except OSError as e:
                raise Refusal(Problem(reason="system.error")) from e
        return self._worker

    def _let_go(self) -> Process | None:
        """Close the worker's input, at which it exits."""
        worker, self._worker = self._worker, None
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        if worker is not None and worker.stdin is not None:
            worker.stdin.close()
        return worker


async def _start() -> Process:
    program = (sys.executable, "-P", "-m", "mail2sms.intake.sandbox")
    return await workers.start(program, environment={"PYTHONPATH": _PACKAGE, "PYTHONUTF8": "1"})


async def _exchange(worker: Process, raw: bytes) -> dict[str, Any]:
    if worker.stdin is None or worker.stdout is None:
        raise ConnectionError("the worker has no pipes")
    worker.stdin.write(_LENGTH.pack(len(raw)))
    worker.stdin.write(raw)
    await worker.stdin.drain()
    (size,) = _LENGTH.unpack(await worker.stdout.readexactly(_LENGTH.size))
    answer: dict[str, Any] = json.loads(await worker.stdout.readexactly(size))
    return answer


async def _killed(worker: Process, trouble: str) -> None:
    from mail2sms.log import log  # the worker imports this file, and does without structlog

    log.warning("sandbox_killed", error=trouble)
    await workers.kill(worker)


def _letter(answer: dict[str, Any]) -> Letter:
    """Return the letter of an answer, or raise the Refusal that it holds."""
    if "problems" in answer:
        raise Refusal(*(Problem(**problem) for problem in answer["problems"]))
    fields = answer["letter"]
    for name in ("from_addresses", "in_reply_to", "references"):
        fields[name] = tuple(fields[name])
    fields["attachments"] = tuple(Attachment(**attachment) for attachment in fields["attachments"])
    return Letter(**fields)


# The worker


def main() -> None:
    """Answer mails from standard input until it ends."""
    from mail2sms.intake.html import to_text

    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    with contextlib.suppress(PermissionError):  # the service's system calls may be filtered: then without
        os.nice(_NICE)
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    while len(head := source.read(_LENGTH.size)) == _LENGTH.size:
        _allow_cpu()
        _answer(source.read(_LENGTH.unpack(head)[0]), to_text, sink)


def _allow_cpu() -> None:
    """Move the soft limit ahead of what was used: the kernel ends the process (SIGXCPU) when a mail needs more."""
    limit = int(time.process_time()) + 1 + _CPU_S
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))


def _answer(raw: bytes, to_text: Callable[[str], str], sink: BinaryIO) -> None:
    try:
        answer: dict[str, Any] = {"letter": asdict(mime.read(raw, html=to_text))}
    except Refusal as e:
        answer = {"problems": [asdict(problem) for problem in e.problems]}
    data = json.dumps(answer).encode("ascii")
    sink.write(_LENGTH.pack(len(data)) + data)
    sink.flush()


if __name__ == "__main__":
    main()
