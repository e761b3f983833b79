"""The one writer of a process, apart from what it writes."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import create_engine

from mail2sms.store.writer import Verb, Writer

_NOTHING: Verb[int, int] = Verb(lambda _, items: items)


async def test_who_is_cancelled_while_the_answer_arrives_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a loop that writes all the time never stops: before Python 3.12 asyncio.wait_for swallows this."""
    writer = Writer(create_engine("sqlite://"), lambda _: None)
    tell = writer._tell

    def tell_and_cancel(*told: object) -> None:
        tell(*told)  # type: ignore[arg-type]
        task.cancel()

    monkeypatch.setattr(writer, "_tell", tell_and_cancel)
    task = asyncio.create_task(writer.run(_NOTHING, 1))
    with pytest.raises(asyncio.CancelledError):
        await task
    await writer.close()
