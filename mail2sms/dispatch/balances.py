"""What the accounts at carriers have left: asked for now and then, by one of all nodes."""

from __future__ import annotations

from collections.abc import Sequence

from mail2sms.carriers._base import Carrier
from mail2sms.clock import now_ms
from mail2sms.errors import SendFailed
from mail2sms.log import log, where
from mail2sms.money import Money
from mail2sms.store import Asking, Left, Store

_EVERY_MS = 3_600_000


async def look(store: Store, account: str, carriers: Sequence[Carrier], to: tuple[str, ...]) -> None:
    """Ask those whose balance is watched and was not asked for lately; `to` is told when it is low.

    Raises StoreUnavailable.
    """
    for carrier in carriers:
        if carrier.balance_below is None:
            continue
        asking = Asking(account=account, carrier=carrier.name, every_ms=_EVERY_MS)
        if not await store.may_ask_balance(asking):
            continue
        left = await _ask(carrier)
        if left is None:
            continue
        found = Left(
            account=account,
            carrier=carrier.name,
            left=left,
            at=now_ms(),
            below=carrier.balance_below,
            to=to,
        )
        if await store.note_balance(found):
            log.warning("balance_low", carrier=carrier.name)


async def _ask(carrier: Carrier) -> Money | None:
    """Return what is left; None where nobody says: it is asked again in its time."""
    try:
        return await carrier.balance()
    except SendFailed as e:
        log.warning("balance_unknown", carrier=carrier.name, code=e.code)
    except Exception as e:  # a fault of one carrier's module must not end what the others do
        log.error("balance_unknown", carrier=carrier.name, code="error", error=where(e))
    return None
