"""What the accounts at carriers have left: asked for now and then, by one of all nodes."""

from __future__ import annotations

from collections.abc import Sequence

from mail2sms.carriers._base import Carrier
from mail2sms.clock import now_ms
from mail2sms.errors import SendFailed
from mail2sms.log import log
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
        try:
            left = await carrier.balance()
        except SendFailed as e:  # it is asked again in its time
            log.warning("balance_unknown", carrier=carrier.name, code=e.code)
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
