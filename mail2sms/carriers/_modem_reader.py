"""What a modem has read goes into the store; only then may it be deleted there."""

from __future__ import annotations

import asyncio
from typing import Any

from mail2sms.carriers._base import Record
from mail2sms.carriers._modem_inbound import Inbound
from mail2sms.clock import now_ms
from mail2sms.errors import StoreUnavailable
from mail2sms.log import log, where

_SUBMIT = "Submit"  # a text that somebody has written and kept on the SIM: not ours to delete


class Reader:
    """Takes what was read for the carrier `name`."""

    def __init__(self, name: str, inbound: Inbound, record: Record) -> None:
        self.inbound = inbound
        self._name, self._record = name, record
        self._untold: list[dict[str, Any]] = []  # what is nowhere but here
        self._skipped = 0  # places that cannot be read

    async def take(self, told: dict[str, Any]) -> list[int]:
        """Store it; return the places that may be deleted. What is not on disk is read again."""
        self._untold += told["direct"]
        if told["skipped"] != self._skipped:
            self._skipped = told["skipped"]
            log.warning("mo_unread", carrier=self._name, count=self._skipped)
        while self._untold and await self._is_stored(self._untold[0]):
            del self._untold[0]
        return [item["place"] for item in told["items"] if await self._is_stored(item)]

    async def _is_stored(self, item: dict[str, Any]) -> bool:
        if item["type"] == _SUBMIT:
            return False
        event = self.inbound.read(item, now_ms())
        if event is None:
            log.warning("mo_unread", carrier=self._name)
            return True
        (outcome,) = await asyncio.gather(self._record(event), return_exceptions=True)
        if isinstance(outcome, StoreUnavailable):
            return False
        if outcome is not None:
            log.error("carrier_event_failed", carrier=self._name, error=where(outcome))
        return outcome is None
