"""Processes of ours that may be killed at any time: how they are started and ended.

They get no environment (secrets may stand there) and nobody reads what they complain of: a traceback could hold a text.
"""

from __future__ import annotations

import asyncio
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping, Sequence

_LINE_BYTES = 4 * 1024 * 1024


async def start(
    program: Sequence[str], *, environment: Mapping[str, str] | None = None, pass_fds: Sequence[int] = ()
) -> Process:
    """Start a program with pipes on both sides. Raises OSError."""
    return await asyncio.create_subprocess_exec(
        *program,
        stdin=PIPE,
        stdout=PIPE,
        stderr=DEVNULL,
        env=dict(environment or {}),
        cwd="/",
        pass_fds=tuple(pass_fds),
        limit=_LINE_BYTES,
    )


def is_gone(worker: Process) -> bool:
    """Whether it has ended. The end of its output is seen at once, its exit by a thread some time later."""
    return worker.returncode is not None or worker.stdout is None or worker.stdout.at_eof()


async def kill(worker: Process) -> None:
    """End it for certain, and wait until it has ended."""
    if worker.returncode is None:
        try:
            worker.kill()
        except ProcessLookupError:
            return
        await asyncio.shield(worker.wait())
