"""The pictures that are enclosed in a mail: which of them go with its text, made fit for phones."""

from __future__ import annotations

from collections.abc import Iterable

from mail2sms import numbers
from mail2sms.errors import BadPicture, Problem, Refusal
from mail2sms.intake.mime import Letter
from mail2sms.model import LeftOut, Msisdn, Photo
from mail2sms.pictures import Pictures
from mail2sms.rules import media
from mail2sms.rules._base import Policy

_MOST = 10


def has_pictures(letter: Letter) -> bool:
    """Return whether somebody enclosed one."""
    return any(attachment.is_picture for attachment in letter.attachments)


def may_go(letter: Letter, phones: Iterable[Msisdn], policy: Policy) -> bool:
    """Return whether the mail has pictures, and one of the phones may get them."""
    return has_pictures(letter) and media.may_go((numbers.region(phone) for phone in phones), policy)


async def pictures(
    letter: Letter, text: str, raw: bytes, policy: Policy, worker: Pictures | None
) -> tuple[Photo, ...]:
    """Return the pictures that go with the text, as phones take them; without a worker none.

    Raises Refusal: `media.too_many`, `media.unreadable`, `media.too_large`, and what `Pictures.fit` raises. Where
    pictures that cannot go are ignored, so are those that cannot be read.
    """
    if worker is None:
        return ()
    found = [attachment for attachment in letter.attachments if attachment.is_picture]
    is_ignoring = policy.pictures.otherwise == "ignore"
    if len(found) > _MOST and not is_ignoring:
        facts = {"count": str(len(found)), "limit": str(_MOST)}
        raise Refusal(Problem(reason="media.too_many", facts=facts), text=text)
    found = found[:_MOST]
    while found:
        encoded = [raw[attachment.start : attachment.end] for attachment in found]
        encodings = (attachment.encoding for attachment in found)
        try:
            return await worker.fit(encoded, policy.pictures.limit_bytes, *encodings)
        except BadPicture as e:
            if not is_ignoring:
                problem = Problem(reason=e.reason, value=found[e.number].name)
                raise Refusal(problem, text=text) from e
            del found[e.number]
    return ()


def left_out(letter: Letter, taken: tuple[Photo, ...]) -> Iterable[LeftOut]:
    """Return what is enclosed and does not go."""
    for attachment in letter.attachments:
        if not (attachment.is_picture and taken):
            yield LeftOut(kind="attachment", lines=0, sample=attachment.name)
