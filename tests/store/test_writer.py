"""The one writer of a process, apart from what it writes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest
from sqlalchemy import create_engine, exc

from mail2sms.errors import StoreUnavailable
from mail2sms.store import writer
from mail2sms.store.writer import Verb, Writer

_NOTHING: Verb[int, int] = Verb(lambda _, items: items)


async def test_who_is_cancelled_while_the_answer_arrives_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a loop that writes all the time never stops: before Python 3.12 asyncio.wait_for swallows this."""
    one = Writer(create_engine("sqlite://"), lambda _: None)
    tell = one._tell

    def tell_and_cancel(*told: object) -> None:
        tell(*told)  # type: ignore[arg-type]
        task.cancel()

    monkeypatch.setattr(one, "_tell", tell_and_cancel)
    task = asyncio.create_task(one.run(_NOTHING, 1))
    with pytest.raises(asyncio.CancelledError):
        await task
    await one.close()


@pytest.fixture
def is_impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits is soon told that the database does not answer."""
    monkeypatch.setattr(writer, "_PATIENCE_S", 0.05)
    monkeypatch.setattr(writer, "_WATCH_S", 0.02)


@pytest.mark.usefixtures("is_impatient")
async def test_who_waits_too_long_is_told_and_the_write_may_stand() -> None:
    """The database does not answer; the next one that can be written is."""
    is_let_go = threading.Event()
    written: list[int] = []

    def stand(_: object, items: Sequence[int]) -> Sequence[int]:
        assert is_let_go.wait(10)
        written.extend(items)
        return items

    one = Writer(create_engine("sqlite://"), lambda _: None)
    standing = asyncio.create_task(one.run(Verb(stand), 1))
    waiting = asyncio.create_task(one.run(_NOTHING, 2))
    for task in (standing, waiting):
        with pytest.raises(StoreUnavailable, match="does not answer"):
            await task
    is_let_go.set()
    assert await one.run(_NOTHING, 3) == 3
    assert written == [1]
    await one.close()


@pytest.mark.usefixtures("is_impatient")
async def test_what_was_given_up_is_not_written_with_what_undoes_it() -> None:
    """The verb that undoes it waits already for another: they share a batch, and it would be written first."""
    is_let_go = threading.Event()
    written: list[str] = []

    def stand(_: object, items: Sequence[str]) -> Sequence[str]:
        assert is_let_go.wait(10)
        return items

    def write(_: object, items: Sequence[str]) -> Sequence[str]:
        written.extend(items)
        return items

    undo, do = Verb(write), Verb(write)
    one = Writer(create_engine("sqlite://"), lambda _: None)
    standing = asyncio.create_task(one.run(Verb(stand), ""))
    await asyncio.sleep(0.03)
    waiting = [asyncio.create_task(one.run(verb, what)) for verb, what in ((undo, "undo 1"), (do, "do 2"))]
    for task in (standing, *waiting):
        with pytest.raises(StoreUnavailable, match="does not answer"):
            await task
    undoing = asyncio.create_task(one.run(undo, "undo 2"))
    await asyncio.sleep(0)
    is_let_go.set()
    await undoing
    assert written == ["undo 2"]
    await one.close()


async def test_locks_come_before_all_that_is_written() -> None:
    """Once, whichever verb of the batch was there first."""
    done: list[str] = []

    def write(_: object, items: Sequence[str]) -> Sequence[str]:
        done.extend(items)
        return items

    def lock(_: object) -> None:
        done.append("locked")

    plain, first, second = Verb(write), Verb(write, locks=lock), Verb(write, locks=lock)
    one = Writer(create_engine("sqlite://"), lambda _: None)
    await asyncio.gather(one.run(plain, "a"), one.run(first, "b"), one.run(second, "c"))
    assert done == ["locked", "a", "b", "c"]
    await one.close()


async def test_a_database_that_hangs_is_told_from_one_that_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """By what the writer does anyway: while a batch takes too long, and until something is written again."""
    is_there, is_let_go = threading.Event(), threading.Event()

    def stand(_: object, items: Sequence[int]) -> Sequence[int]:
        is_there.set()
        assert is_let_go.wait(10)
        return items

    one = Writer(create_engine("sqlite://"), lambda _: None)
    assert one.is_answering
    standing = asyncio.create_task(one.run(Verb(stand), 1))
    assert await asyncio.to_thread(is_there.wait, 10)
    assert one.is_answering  # not for long yet
    monkeypatch.setattr(writer, "_HUNG_S", 0.0)
    assert not one.is_answering
    is_let_go.set()
    assert await standing == 1
    assert one.is_answering
    await one.close()


@pytest.mark.parametrize(
    ("error", "is_ours"),
    [
        (exc.OperationalError("", {}, Exception("disk I/O error")), True),
        (exc.IntegrityError("", {}, Exception("one item")), False),
    ],
)
async def test_a_database_that_fails_is_told_until_it_writes_again(error: Exception, is_ours: bool) -> None:
    """What one item holds is not its fault."""

    def fail(_: object, items: Sequence[int]) -> Sequence[int]:
        raise error

    one = Writer(create_engine("sqlite://"), lambda _: None)
    await one.run(_NOTHING, 1)
    with pytest.raises(StoreUnavailable):
        await one.run(Verb(fail), 2)
    assert one.is_answering != is_ours
    await one.run(_NOTHING, 3)
    assert one.is_answering
    await one.close()
