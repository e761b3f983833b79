"""The pictures that are enclosed in a mail: which of them go with its text, made fit for phones."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from mail2sms import numbers
from mail2sms.errors import BadPicture, Problem, Refusal
from mail2sms.intake.mime import Attachment, Letter
from mail2sms.log import log
from mail2sms.media import LINK
from mail2sms.model import LeftOut, Msisdn, Photo
from mail2sms.pictures import Pictures
from mail2sms.rules import media
from mail2sms.rules._base import Policy

_MOST = 10
_PATIENCE_S = 10.0  # so long an alarm waits for its pictures


def has_pictures(letter: Letter) -> bool:
    """Return whether somebody enclosed one."""
    return any(attachment.is_picture for attachment in letter.attachments)


def may_go(letter: Letter, phones: Iterable[Msisdn], policy: Policy, device: str = "") -> bool:
    """Return whether the mail (of a device) has pictures, and one of the phones may get them."""
    is_one = bool(letter.attachments) if device else has_pictures(letter)
    return is_one and media.may_go(map(numbers.region, phones), policy, device)


def instead_of_text(letter: Letter) -> Problem:
    """Return what is wrong with a mail that says nothing but by what is enclosed, which cannot go."""
    videos = _videos(letter)
    return videos[0] if videos and not has_pictures(letter) else Problem(reason="mail.no_text")


def refuse_recordings(letter: Letter, text: str, policy: Policy) -> None:
    """Raise Refusal (media.video) where what cannot go is refused: no link leads to a video either."""
    videos = _videos(letter)
    if videos and policy.pictures.otherwise in (LINK, "refuse"):
        raise Refusal(*videos, text=text)


def _videos(letter: Letter) -> list[Problem]:
    return [
        Problem(reason="media.video", value=each.name) for each in letter.attachments if each.is_recording
    ]


async def pictures(
    letter: Letter, text: str, raw: bytes, policy: Policy, worker: Pictures | None
) -> tuple[Photo, ...]:
    """Return the pictures that go with the text, as phones take them; without a worker none.

    Raises Refusal: `media.too_many`, `media.unreadable` and its like, and what `Pictures.fit` raises. Where pictures
    that cannot go are ignored, so are those that cannot be read, unless nothing would be left.
    """
    if worker is None:
        return ()
    found = [attachment for attachment in letter.attachments if attachment.is_picture]
    is_ignoring = policy.pictures.otherwise == "ignore"
    if len(found) > _MOST and not is_ignoring:
        facts = {"count": str(len(found)), "limit": str(_MOST)}
        raise Refusal(Problem(reason="media.too_many", facts=facts), text=text)
    found = found[:_MOST]
    if not is_ignoring:
        try:
            return await _fit(found, raw, policy, worker)
        except BadPicture as e:
            raise Refusal(Problem(reason=e.reason, value=found[e.number].name), text=text) from e
    photos, wrong = await _fit_some(found, raw, policy, worker)
    if wrong and not (photos or text):
        raise Refusal(*wrong)
    return photos


async def of_alarm(
    letter: Letter, raw: bytes, policy: Policy, device: str, worker: Pictures | None
) -> tuple[tuple[Photo, ...], tuple[Problem, ...]]:
    """Return the pictures that go with a device's text, as phones take them; when none does, what is wrong with them.

    Nothing of them keeps the text from going, or for long. Where none is enclosed, those that the page shows are
    meant: nobody signs for a machine.
    """
    if worker is None:
        return (), ()
    unfit = _videos(letter)
    found = [each for each in letter.attachments if each.is_picture]
    found = found or [each for each in letter.attachments if each.is_shown]
    try:
        async with asyncio.timeout(_PATIENCE_S):
            photos, wrong = await _fit_some(found[: _most(policy, device)], raw, policy, worker)
    except (TimeoutError, Refusal) as e:  # too many pictures at once
        log.warning("alarm_without_pictures", where=device, error=type(e).__name__)
        return (), tuple(unfit)
    return photos, () if photos else (*unfit, *wrong)


def unread(refusal: Refusal, policy: Policy, device: str) -> tuple[Problem, ...]:
    """Return what is wrong with what a device enclosed in a mail that has nothing else."""
    is_wanted = policy.pictures.otherwise_of(device) != "off"
    return tuple(each for each in refusal.problems if is_wanted and each.reason == "media.video")


async def _fit_some(
    found: list[Attachment], raw: bytes, policy: Policy, worker: Pictures
) -> tuple[tuple[Photo, ...], list[Problem]]:
    """Return those that can be used, and what is wrong with the others."""
    wrong: list[Problem] = []
    while found:
        try:
            return await _fit(found, raw, policy, worker), wrong
        except BadPicture as e:
            wrong.append(Problem(reason=e.reason, value=found[e.number].name))
            del found[e.number]
    return (), wrong


def _most(policy: Policy, device: str) -> int:
    """Return how many pictures of a device go: where only MMS do, no more than some carrier takes."""
    if policy.pictures.otherwise_of(device) == LINK:
        return _MOST
    return max((mms.most for mms in policy.pictures.carriers.values()), default=_MOST)


async def _fit(
    found: Sequence[Attachment], raw: bytes, policy: Policy, worker: Pictures
) -> tuple[Photo, ...]:
    encoded = [raw[attachment.start : attachment.end] for attachment in found]
    encodings = (attachment.encoding for attachment in found)
    return await worker.fit(encoded, policy.pictures.limit_bytes, *encodings)


def left_out(letter: Letter, taken: tuple[Photo, ...]) -> Iterable[LeftOut]:
    """Return what is enclosed and does not go."""
    is_enclosed = has_pictures(letter)
    for attachment in letter.attachments:
        if not (taken and (attachment.is_picture if is_enclosed else attachment.is_shown)):
            yield LeftOut(kind="attachment", lines=0, sample=attachment.name)
