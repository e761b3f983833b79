"""Carriers' webhooks: reports and texts from phones. What a request proves and means is the carrier's own business."""

from __future__ import annotations

import asyncio
import ipaddress

from fastapi import APIRouter, Request, Response

from mail2sms.carriers._base import Call
from mail2sms.clock import now_ms
from mail2sms.errors import SendFailed
from mail2sms.log import log
from mail2sms.web.context import Here
from mail2sms.web.problems import HttpProblem

router = APIRouter()
_METHODS = ["GET", "POST"]


@router.api_route("/events/{carrier}", methods=_METHODS, include_in_schema=False)
@router.api_route("/events/{carrier}/{step}", methods=_METHODS, include_in_schema=False)
async def receive(carrier: str, request: Request, context: Here) -> Response:
    """Answer 200 once every event of the request is on disk. Who proves nothing costs no write."""
    found = context.carriers.get(carrier)
    if found is None:
        raise HttpProblem(404)
    call = Call(
        method=request.method,
        headers={name.lower(): value for name, value in request.headers.items()},
        body=await request.body(),
        query=request.url.query,
        secret=request.path_params.get("step", ""),
        ip=_client(request),
        at=now_ms(),
    )
    try:
        events = await found.receive(call)
    except PermissionError:
        log.warning("webhook_refused", carrier=carrier, peer=call.ip)
        raise HttpProblem(401, "the request does not prove that it is from the carrier") from None
    except ValueError:
        log.error("webhook_unread", carrier=carrier)
        raise HttpProblem(400, "the request is the carrier's and cannot be read") from None
    except SendFailed:
        raise HttpProblem(503, "what would prove the request cannot be had now") from None
    await asyncio.gather(*(context.inbound.record(event) for event in events))  # one commit for all
    context.told_at[carrier] = call.at
    return Response()


def _client(request: Request) -> str:
    """Return who asks. A proxy on this machine says whom it forwards, last in a list that strangers may begin."""
    if request.client is None:
        return ""
    host, forwarded = request.client.host, request.headers.get("x-forwarded-for", "")
    last = forwarded.rpartition(",")[2].strip()
    try:
        if last and ipaddress.ip_address(host).is_loopback:
            return str(ipaddress.ip_address(last))
    except ValueError:
        pass
    return host
