"""A lane's own clock: it stands still only when the lane does."""

from __future__ import annotations

import asyncio

import pytest

from mail2sms import lane
from mail2sms.lane import Lane


async def turns_while(monkeypatch: pytest.MonkeyPatch, *, is_full: bool, is_claiming: bool) -> bool:
    """Whether the lane turned again while its work, or its claim, did not end."""
    monkeypatch.setattr(lane, "_POLL_S", 0.001)
    end, begun = asyncio.Event(), asyncio.Event()

    async def claim(free: int) -> list[int]:
        if is_claiming:
            begun.set()
            await end.wait()
        return [1] * free if is_full else []

    async def work(_: int) -> None:
        begun.set()
        await end.wait()

    tested = Lane(asyncio.Event(), lambda: 2, claim, work)
    running = asyncio.create_task(tested.run())
    if is_full or is_claiming:
        await begun.wait()
    before = tested.turned_s
    for _ in range(20):
        await asyncio.sleep(0.001)
    has_turned = tested.turned_s > before
    tested.stop()
    end.set()
    await running
    return has_turned


@pytest.mark.parametrize(
    ("is_full", "is_claiming", "expected"),
    [
        (False, False, True),  # nothing to do
        (True, False, True),  # a slow carrier has all its places: it is bounded by its own time-outs
        (False, True, False),  # the store neither answers nor fails
    ],
)
async def test_what_counts_as_progress(
    is_full: bool, is_claiming: bool, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The watchdog ends a daemon whose lane stands still, so a slow carrier must not look like one."""
    assert await turns_while(monkeypatch, is_full=is_full, is_claiming=is_claiming) is expected
