"""Puts a history into a demo that has none: the store's rows, what the phones show, and the newest emails."""

from __future__ import annotations

import asyncio
from typing import Any

from mail2sms.carriers.simulated import Phones, Simulated
from mail2sms.cli.demo_history import House, history
from mail2sms.daemon import Daemon
from mail2sms.model import Msisdn, SenderId, Status
from mail2sms.store import Notice, Search
from mail2sms.store.notices import TOLD
from mail2sms.store.past import Past, PastMessage, mo_id
from mail2sms.store.rows import EMAIL
from mail2sms.store.views import find
from mail2sms.web import demo_mail
from mail2sms.web.sent import SentMail

_MAILS = 40  # the newest: each is composed anew
_AT_ONCE = 8
_CARDS = 20  # the newest: what the page shows


async def seed(daemon: Daemon, count: int, now: int) -> bool:
    """Store `count` messages of the last two weeks; False: there are messages already. Raises StoreUnavailable."""
    account = daemon.settings.account
    if await daemon.store.read(find, account, Search(limit=1)):
        return False
    house = House(
        account=account,
        users=dict(daemon.settings.all_users()),
        oncall=tuple(Msisdn(phone) for phone in daemon.settings.all_teams()["oncall"].phones),
        default_sender=SenderId(daemon.settings.sender_ids["default"]),
        secret=daemon.store.reply_secret,
        prices=daemon.settings.price_table(),
    )
    past = await asyncio.to_thread(history, count, now, house)
    await daemon.store.remember(past)
    phones = next(each.phones for each in daemon.carriers.values() if isinstance(each, Simulated))
    await asyncio.to_thread(_show, phones, past)
    await _mail(daemon, past)
    _send(daemon, past)
    return True


def _show(phones: Phones, past: Past) -> None:
    texts = {each.id: each.text for each in past.submissions}
    for each in past.messages:
        if each.mt.status in (Status.DELIVERED, Status.ENROUTE):
            phones.append({"shown": _entry(each, texts[each.mt.submission])})
            phones.append({"reported": each.mt.id})


def _entry(past: PastMessage, text: str) -> dict[str, Any]:
    mt = past.mt
    return {
        "id": mt.id,
        "cid": mt.id,
        "carrier": mt.carrier,
        "text": text,
        "from": mt.sender_id,
        "to": mt.msisdn,
        "parts": mt.segments,
        "at": past.changes[-1].at,
    }


async def _mail(daemon: Daemon, past: Past) -> None:
    """Bring the newest emails into the demo inbox, as they would have come."""
    assert daemon.demo_inbox is not None
    notices = sorted(_notices(past), key=lambda notice: notice.created_at)[-_MAILS:]
    for start in range(0, len(notices), _AT_ONCE):
        some = notices[start : start + _AT_ONCE]
        for notice, letter in zip(
            some, await asyncio.gather(*map(daemon.parts.letters.email, some)), strict=True
        ):
            if letter is not None:
                daemon.demo_inbox.seen.add(daemon.demo_inbox.add(letter.content, notice.created_at))


def _send(daemon: Daemon, past: Past) -> None:
    """Keep the newest emails that were handed over, as if they had been."""
    assert daemon.demo_inbox is not None
    ids = {each.mt.submission: each.mt.id for each in reversed(past.messages)}
    for each in past.submissions[-_CARDS:]:
        is_team = len(each.recipients) > 1
        to = f"{'oncall' if is_team else each.recipients[0].removeprefix('+')}@{past.account}"
        text = demo_mail.signed(each.text, each.writer.name)
        draft = demo_mail.Draft(from_=each.writer.address, to=to, subject=each.origin.subject, text=text)
        daemon.demo_inbox.sent.add(
            SentMail(
                at=each.created_at,
                rcpts=(to,),
                code=250,
                reply=f"2.0.0 {ids[each.id]}",
                message_id=each.origin.message_id or "",
                sender=each.writer.address,
                subject=each.origin.subject,
                text=text,
                raw=demo_mail.compose(draft, each.origin.message_id or ""),
            )
        )


def _notices(past: Past) -> list[Notice]:
    writers = {each.id: each.writer.address for each in past.submissions}
    found = [
        _notice(past, "reply", each.address, each.mo.at, mo=mo_id(past.account, each.mo)) for each in past.mos
    ]
    for each in past.messages:
        if each.mt.status in TOLD:
            found.append(
                _notice(
                    past,
                    "undelivered",
                    writers[each.mt.submission],
                    each.mt.updated_at,
                    message=each.mt.id,
                    reason=each.mt.reason,
                )
            )
    return found


def _notice(
    past: Past, kind: str, address: str, at: int, *, mo: str = "", message: str = "", reason: str = ""
) -> Notice:
    return Notice(
        id=mo or message,
        account=past.account,
        kind=kind,
        channel=EMAIL,
        address=address,
        reason=reason,
        attempts=0,
        fence=0,
        created_at=at,
        expires_at=at,
        mo=mo or None,
        message=message or None,
        payload=None,
    )
