"""Pictures of mails, for whoever has their URL: carriers fetch them, and phones open links to them.

A URL proves itself, and says nothing to who has none: wrong, over and erased are all the same 404.
"""

from __future__ import annotations

import re

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from mail2sms import numbers
from mail2sms.clock import now_ms
from mail2sms.errors import BadPicture, Problem, Refusal
from mail2sms.media import ENDINGS
from mail2sms.model import Photo, Submission
from mail2sms.rules import media
from mail2sms.store.media import read_picture, read_pictures
from mail2sms.web.bodies import Order
from mail2sms.web.context import Context, Here
from mail2sms.web.problems import HttpProblem

router = APIRouter(include_in_schema=False)
_METHODS = ["GET", "HEAD"]
_RANGE = re.compile(r"bytes=(\d{0,9})-(\d{0,9})")
_HEADERS = {"accept-ranges": "bytes", "x-robots-tag": "noindex, noarchive"}
_PICTURE = {"content-security-policy": "default-src 'none'; sandbox", "content-disposition": "inline"}


@router.api_route("/p/{name}/{token}", methods=_METHODS)
async def page(name: str, token: str, request: Request, context: Here) -> Response:
    """Show the one picture, or a page of all."""
    submission = _proven(context, name, token)
    kinds = await context.store.read(read_pictures, submission)
    if not kinds:
        raise HttpProblem(404)
    if len(kinds) == 1:
        return await _picture(context, request, submission, 1)
    found = [f"/p/{name}/{token}/{n}.{ENDINGS[kind]}" for n, kind in enumerate(kinds, start=1)]
    return HTMLResponse(context.render.render("portal/pictures.html", urls=found), headers=_HEADERS)


@router.api_route("/p/{name}/{token}/{file}", methods=_METHODS)
async def picture(name: str, token: str, file: str, request: Request, context: Here) -> Response:
    """Return one picture."""
    number = file.partition(".")[0]
    if not (number.isascii() and number.isdigit() and len(number) < 3):
        raise HttpProblem(404)
    return await _picture(context, request, _proven(context, name, token), int(number))


async def pictures(order: Order, submission: Submission, context: Context) -> tuple[Photo, ...]:
    """Return the pictures of an API call as phones take them. Raises HttpProblem and Refusal."""
    regions = [numbers.region(phone) for phone in submission.recipients]
    policy = context.accept.policy
    if not media.may_go(regions, policy):
        facts = {"country": regions[0], "count": str(len(order.pictures))}
        raise Refusal(Problem(reason="media.carrier", facts=facts))
    encoded = [each.encode("ascii", "replace") for each in order.pictures]
    try:
        return await context.pictures.fit(encoded, policy.pictures.limit_bytes, *["base64"] * len(encoded))
    except BadPicture as e:
        raise Refusal(Problem(reason=e.reason, value=str(e.number + 1))) from e


def _proven(context: Context, name: str, token: str) -> str:
    submission = context.links.proven(name, token, now_ms()) if context.links is not None else ""
    if not submission:
        raise HttpProblem(404)
    return submission


async def _picture(context: Context, request: Request, submission: str, number: int) -> Response:
    found = await context.store.read(read_picture, submission, number)
    if found is None or found.media_type not in ENDINGS:
        raise HttpProblem(404)
    return _part(found, request.headers.get("range", ""))


def _part(photo: Photo, wanted: str) -> Response:
    """Return the picture, or the one range of it that was asked for (RFC 9110 section 14.2)."""
    whole, headers = photo.content, {**_HEADERS, **_PICTURE}
    span = _span(wanted, len(whole))
    if span is None:
        return Response(whole, media_type=photo.media_type, headers=headers)
    first, last = span
    if first > last:
        return Response(status_code=416, headers={**headers, "content-range": f"bytes */{len(whole)}"})
    headers["content-range"] = f"bytes {first}-{last}/{len(whole)}"
    return Response(whole[first : last + 1], 206, headers, photo.media_type)


def _span(wanted: str, size: int) -> tuple[int, int] | None:
    """Return the first and last byte; None for all of it, an empty span for what is not there."""
    found = _RANGE.fullmatch(wanted.strip())
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:  # the last so many
        return max(0, size - int(found[2])), size - 1 if int(found[2]) else -1
    first, last = int(found[1]), int(found[2]) if found[2] else size - 1
    if found[2] and last < first:
        return None
    return (first, min(last, size - 1)) if first < size else (1, 0)
