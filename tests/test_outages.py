"""What a node knows of carriers that are down, beside what the store says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mail2sms.dispatch.outages import Outages
from mail2sms.errors import Unavailable
from mail2sms.store import Store
from tests.fakes import ACCOUNT


@pytest.mark.parametrize("is_seen_first", [True, False])
async def test_what_was_found_just_now_is_not_forgotten_for_what_the_store_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_seen_first: bool
) -> None:
    """A carrier goes down while the outages of others are read: those know nothing of it yet."""
    store = await Store.open(f"sqlite:///{tmp_path}/x.db")
    outages, read = Outages(store, ACCOUNT, ["sim-a"]), store.read

    def fall() -> None:
        assert any(outages.note("sim-a", [Unavailable("500")]) for _ in range(5))

    async def reading(*words: Any) -> Any:
        if is_seen_first:
            found = await read(*words)
            fall()
            return found
        fall()
        return await read(*words)

    monkeypatch.setattr(store, "read", reading)
    await outages.look()
    monkeypatch.undo()
    assert await outages.room("sim-a", 9) == 0
    await outages.tell()
    other = Outages(store, ACCOUNT, ["sim-a"])
    await other.look()
    assert await other.room("sim-a", 9) == 0
    await store.close()
