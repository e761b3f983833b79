"""What became of what a carrier took and did not report: it is asked, where that can be asked."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from mail2sms.carriers._base import Carrier
from mail2sms.clock import now_ms
from mail2sms.errors import SendFailed, StoreUnavailable
from mail2sms.heard import Sent
from mail2sms.log import log, where
from mail2sms.model import Status
from mail2sms.store import Store
from mail2sms.store.sent import Place, Unreported, read_unreported

_OPEN = (Status.ENROUTE, Status.UNKNOWN)
_RAREST_MS = 86_400_000
_FORGET_MS = 8 * 86_400_000  # older ones are not asked about


class Inquiries:
    """Asks these carriers about parts of the account, each after the carrier's `asks_after_ms` without a last word.

    A part is asked about again after twice as long each time, at most a day. In each look some are asked about, from
    the latest back to the oldest and then from the beginning, so none waits for ever behind others.
    """

    def __init__(self, store: Store, account: str, carriers: Sequence[Carrier]) -> None:
        self._store, self._account = store, account
        self._carriers = [carrier for carrier in carriers if carrier.asks_after_ms]
        self._beyond: dict[tuple[str, Status], Place | None] = {}
        self._asked: dict[Sent, tuple[int, int]] = {}  # when, and how often

    async def look(self) -> None:
        """Ask all carriers side by side, so that one that is slow holds up itself alone."""
        await asyncio.gather(*(self._ask(carrier) for carrier in self._carriers))
        now = now_ms()
        self._asked = {part: was for part, was in self._asked.items() if now - was[0] < _FORGET_MS}

    async def _ask(self, carrier: Carrier) -> None:
        try:
            for status in _OPEN:
                await self._ask_about(carrier, status)
        except StoreUnavailable:
            log.error("store_failed", where="inquiries")
        except SendFailed as e:  # the rest would get no answer either
            log.warning("carrier_not_asked", carrier=carrier.name, code=e.code)
        except Exception as e:  # a fault of one carrier's module must not end what the others do
            log.error("carrier_not_asked", carrier=carrier.name, code="error", error=where(e))

    async def _ask_about(self, carrier: Carrier, status: Status) -> None:
        now, key = now_ms(), (carrier.name, status)
        wanted = Unreported(
            account=self._account,
            carrier=carrier.name,
            status=status,
            now=now,
            after_ms=carrier.asks_after_ms,
            beyond=self._beyond.get(key),
        )
        parts, beyond = await self._store.read(read_unreported, wanted)
        for part in parts:
            last, times = self._asked.get(part, (0, 0))
            if times and now - last < min(carrier.asks_after_ms << times - 1, _RAREST_MS):
                continue
            await carrier.ask(part)
            self._asked[part] = (now, times + 1)
        self._beyond[key] = beyond
