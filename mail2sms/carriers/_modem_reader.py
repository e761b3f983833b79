"""What a modem has read goes into the store; only then may it be deleted there."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Final

from mail2sms.carriers._base import Record
from mail2sms.carriers._modem_inbound import Inbound
from mail2sms.clock import now_ms
from mail2sms.errors import StoreUnavailable
from mail2sms.log import log, where

_MOST_TRIES: Final = 100  # at what fails by itself, one each time that the modem is read
_MOST_UNTOLD: Final = 10_000  # half a day of reports at twelve parts a minute


@dataclass(slots=True)
class _Untold:
    """What came at once, is nowhere but here and not in the store yet."""

    item: dict[str, Any]
    tries: int = 0


class Reader:
    """Takes what was read for the carrier `name`."""

    def __init__(self, name: str, inbound: Inbound, record: Record) -> None:
        self.inbound = inbound
        self._name, self._record = name, record
        self._untold: list[_Untold] = []
        self._skipped = 0  # places that cannot be read

    async def take(self, told: dict[str, Any]) -> list[int]:
        """Store it; return the places that may be deleted. What is not on disk is read again."""
        self._untold += [_Untold(item) for item in told["direct"]]
        if told["skipped"] != self._skipped:
            self._skipped = told["skipped"]
            log.warning("mo_unread", carrier=self._name, count=self._skipped)
        await self._tell()
        return [item["place"] for item in told["items"] if await self._is_stored(item)]

    async def _tell(self) -> None:
        """Store what came at once. What fails by itself keeps nothing else waiting, and is given up in the end.

        The store says the same of one event that it can't take as of all: such a one goes behind the others.
        """
        again: list[_Untold] = []
        for place, untold in enumerate(self._untold, 1):
            failed = await self._failure(untold.item)
            if isinstance(failed, StoreUnavailable):
                again = [*self._untold[place:], *again, untold]
                break
            if failed is not None:
                untold.tries += 1
                if untold.tries in (1, _MOST_TRIES):
                    self._note(failed, attempt=untold.tries)
                if untold.tries < _MOST_TRIES:
                    again.append(untold)
        if (lost := len(again) - _MOST_UNTOLD) > 0:
            log.error("mo_unread", carrier=self._name, count=lost)
        self._untold = again[-_MOST_UNTOLD:]

    async def _is_stored(self, item: dict[str, Any]) -> bool:
        failed = await self._failure(item)
        if failed is not None and not isinstance(failed, StoreUnavailable):
            self._note(failed)
        return failed is None

    async def _failure(self, item: dict[str, Any]) -> BaseException | None:
        """Record an item; return why that failed."""
        (outcome,) = await asyncio.gather(self._stored(item), return_exceptions=True)
        return outcome

    async def _stored(self, item: dict[str, Any]) -> None:
        event = self.inbound.read(item, now_ms())
        if event is None:
            log.warning("mo_unread", carrier=self._name)
            return
        await self._record(event)

    def _note(self, failed: BaseException, **more: int) -> None:
        log.error("carrier_event_failed", carrier=self._name, error=where(failed), **more)
