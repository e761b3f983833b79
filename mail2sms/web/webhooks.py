"""Carriers' webhooks: reports and texts from phones. What a request proves and means is the carrier's own business."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request, Response

from mail2sms.web.context import Here
from mail2sms.web.problems import HttpProblem

router = APIRouter()


@router.api_route("/events/{carrier}", methods=["GET", "POST"], include_in_schema=False)
async def receive(carrier: str, request: Request, context: Here) -> Response:
    """Answer 200 once every event of the request is on disk."""
    found = context.carriers.get(carrier)
    if found is None:
        raise HttpProblem(404)
    body = await request.body()
    headers = {name.lower(): value for name, value in request.headers.items()}
    try:
        events = found.events(headers, body, request.url.query)
    except PermissionError:
        raise HttpProblem(401, "the request does not prove that it is from the carrier") from None
    await asyncio.gather(*(context.inbound.record(event) for event in events))  # one commit for all
    return Response()
