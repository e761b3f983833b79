"""Cancelling: certain while no carrier has the message, a request to the carrier once it does."""

from __future__ import annotations

import asyncio

from mail2sms.clock import now_ms
from mail2sms.errors import SendFailed
from mail2sms.heard import Sent
from mail2sms.model import DeliveryReport, Status
from mail2sms.store import sent
from mail2sms.store.views import read_one
from mail2sms.web.context import Context


async def cancel(context: Context, id_: str) -> Status | None:
    """Cancel a message; return its status after that, None when there is no such message."""
    status = await context.store.cancel(context.account, id_, now_ms())
    if status is not Status.ENROUTE:
        return status
    parts = await context.store.read(sent.read_parts, context.account, id_)
    if not any(await asyncio.gather(*(_recall(context, part) for part in parts))):
        return status
    view = await context.store.read(read_one, context.account, id_)
    return Status(view.status) if view is not None else None


async def _recall(context: Context, part: Sent) -> bool:
    carrier = context.carriers.get(part.carrier)
    try:
        if carrier is None or not await carrier.recall(part):
            return False
    except SendFailed:
        return False
    report = DeliveryReport(
        carrier=part.carrier,
        carrier_message_id=part.carrier_message_id,
        status=Status.CANCELLED,
        at=now_ms(),
        event_id=f"recall-{part.carrier_message_id}",
    )
    await context.inbound.record(report)
    return True
