"""The store of the daemon that runs, read through its control socket: what `explain` judges a mail by."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Any

from mail2sms.cli import Failed
from mail2sms.cli.control import Control
from mail2sms.model import Msisdn
from mail2sms.rules._base import Facts, OptOut, Questions
from mail2sms.store import answers, counters
from mail2sms.store.views import heard


class FarStore:
    """Answers what `accept` reads; without a daemon it knows nothing, and `is_there` is false. Writes nothing."""

    reply_secret = b""

    def __init__(self, control: Control | None) -> None:
        self._control = control
        self.is_there = False
        self.is_stopped = False

    async def read(self, query: Callable[..., Any], *words: Any) -> Any:
        """Answer one of the questions that there are; what a phone said last is not told, so no loop is found."""
        if query is heard:
            return None
        if query is answers.read:
            _, phones, asked = words
            return await self._facts(phones, asked)
        assert query is counters.taken
        (keys,) = words
        return await self.taken(keys)

    async def taken(self, keys: Sequence[str]) -> dict[str, int]:
        """Return how much is taken of each of these."""
        answer = await self._ask({"keys": list(keys)}) if keys else {}
        tallies: dict[str, int] = answer.get("tallies", {})
        return dict.fromkeys(keys, 0) | tallies

    async def _facts(self, phones: Collection[Msisdn], asked: Questions) -> Facts:
        answer = await self._ask(
            {
                "phones": sorted(phones),
                "keys": list(asked.keys),
                "blocks": list(asked.blocks),
                "since": asked.since,
                "most": asked.most,
            }
        )
        self.is_stopped = bool(answer.get("is_stopped"))
        return Facts(
            opt_outs=tuple(OptOut(**each) for each in answer.get("opt_outs", ())),
            tallies=answer.get("tallies", {}),
            blocks={
                block: frozenset(map(Msisdn, reached)) for block, reached in answer.get("blocks", {}).items()
            },
        )

    async def _ask(self, asked: dict[str, Any]) -> dict[str, Any]:
        if self._control is None:
            return {}
        try:
            answer = await asyncio.to_thread(self._control.known, asked)
        except Failed:  # it does not run, or is another version
            self._control, self.is_there = None, False
            return {}
        self.is_there = True
        return answer
