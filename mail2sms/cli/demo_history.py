"""Two weeks that never were: messages, replies and failures for the demo, the same for the same number. Pure.

Everything in it is over; nothing is sent again. All phones are fiction numbers.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, time, timedelta

from mail2sms import numbers, prices, segments
from mail2sms.carriers.simulated import MISBEHAVIOUR
from mail2sms.model import (
    LeftOut,
    MoMessage,
    Msisdn,
    MtMessage,
    Origin,
    Proof,
    SenderId,
    Status,
    Submission,
    User,
    Writer,
    conversation_of,
    derive_id,
    make_id,
    reply_key,
)
from mail2sms.prices import Prices
from mail2sms.store.past import Change, Past, PastMessage, PastMo

DAYS = 14
_End = tuple[Status, str, str]
_DAY_MS, _VALID_MS = 86_400_000, 86_400_000
_CARRIERS = ("sim-a", "sim-b")

# Who writes what: subject, text. Machines write from addresses that are no user's.
_TEXTS: dict[str, tuple[tuple[str, str], ...]] = {
    "marie": (
        ("Your appointment", "Hello, your appointment is on {day} at {hour}:30. Does that suit you?"),
        (
            "Votre rendez-vous",
            "Bonjour, votre rendez-vous est {day} à {hour} h 30. Répondez OUI pour confirmer.",
        ),
        ("Results", "Your results are here. Please call us on {day} between 9 and 12."),
    ),
    "paul": (
        ("Delivery", "Your parcel P-{ref} arrives on {day} between {hour}:00 and {hour}:30."),
        (
            "Parcel 📦",
            "Your parcel P-{ref} is at the front desk 📦 You can fetch it until 18:00 today, or tomorrow.",
        ),
        ("Invoice", "Invoice {ref} is due on {day}. You have paid already? Then thank you, and forget this."),
    ),
    "zoe": (
        ("Shift", "Can you take the shift on {day} at {hour}:00? Please answer yes or no."),
        ("Meeting moved", "The meeting of {day} is now at {hour}:15, in room 2."),
    ),
    "ups": (("On battery", "UPS 3: on battery since {time}, {ref} minutes left."),),
    "monitor": (("Cold room", "Cold room 2: 9 degrees since {time}. Please check the door."),),
}
_WEIGHTS = {"marie": 38, "paul": 27, "zoe": 20, "ups": 8, "monitor": 7}
_ANSWERS = (
    "Yes",
    "OUI",
    "Oui, merci !",
    "No, sorry. Another day?",
    "Merci",
    "OK 👍",
    "Je suis en retard de 10 min",
    "Thank you",
)
_ANSWERED = {"marie": 0.35, "paul": 0.12, "zoe": 0.55}
# Where phones are, as often: the number's beginning, how many digits follow.
_PHONES = (
    ("+3363998", 4, 62),
    ("+447700900", 3, 20),
    ("+4917139200", 2, 6),
    ("+120255501", 2, 6),
    ("+4670174063", 1, 6),
)
# How it ended, as often: status, reason, and what the carrier said.
_ENDS = (
    (Status.DELIVERED, "", "", 930),
    (Status.UNDELIVERABLE, "carrier.undeliverable", "absent_subscriber", 23),
    (Status.EXPIRED, "carrier.expired", "", 12),
    (Status.ENROUTE, "", "", 10),
    (Status.REJECTED, "carrier.rejected", "blocked", 8),
)
_NOBODY = (Status.UNDELIVERABLE, "carrier.unknown_number", "unknown_subscriber")
_NOBODIES = 25  # of so many phones one does not exist
_HOURS = (0, 0, 0, 0, 0, 1, 2, 6, 14, 18, 17, 12, 8, 12, 16, 17, 14, 9, 5, 3, 2, 1, 1, 0)  # as offices write


@dataclass(frozen=True, kw_only=True, slots=True)
class House:
    """Whose history it is, at which prices. `secret` is the store's, for the reply addresses."""

    account: str
    users: dict[str, User]
    oncall: tuple[Msisdn, ...]
    default_sender: SenderId
    secret: bytes
    prices: Prices = field(default_factory=dict)


def history(count: int, now: int, house: House) -> Past:
    """Return `count` messages of the two weeks up to `now` (epoch ms), oldest first, in the time of this place."""
    chance = random.Random(count)  # noqa: S311  # the same again is what is wanted
    phones = [_phone(chance) for _ in range(max(4, count // 6))]
    moments = sorted(_moment(chance, now) for _ in range(count))
    nobody = set(phones[::_NOBODIES])
    submissions: list[Submission] = []
    messages: list[PastMessage] = []
    mos: list[PastMo] = []
    while len(messages) < count:
        at = moments[len(messages)]
        who = chance.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
        is_alarm = who in ("ups", "monitor")
        to = (house.oncall if is_alarm else (chance.choice(phones),))[: count - len(messages)]
        submission = _submission(chance, who, to, at, house)
        submissions.append(submission)
        for msisdn in to:
            end = _NOBODY if msisdn in nobody else _end(chance, at, now)
            past = _message(chance, submission, msisdn, end, house)
            messages.append(past)
            mos += _answer(chance, who, past, submission, now)
    return Past(
        account=house.account, submissions=tuple(submissions), messages=tuple(messages), mos=tuple(mos)
    )


def _phone(chance: random.Random) -> Msisdn:
    """Return a phone that behaves."""
    while True:
        start, digits, _ = chance.choices(_PHONES, [weight for *_, weight in _PHONES])[0]
        number = f"{start}{chance.randrange(10**digits):0{digits}}"
        if number[-4:] not in MISBEHAVIOUR:
            return Msisdn(number)


def _moment(chance: random.Random, now: int) -> int:
    """Return a time at which somebody was at work, or a machine in trouble."""
    today = datetime.fromtimestamp(now / 1000).astimezone()
    for _ in range(100):
        day = today.date() - timedelta(days=chance.randrange(DAYS))
        hour = chance.choices(range(24), _HOURS)[0]
        moment = datetime.combine(day, time(hour, chance.randrange(60), chance.randrange(60))).astimezone()
        at = int(moment.timestamp() * 1000)
        if at < now - 120_000 and (day.weekday() < 5 or chance.random() < 0.15):
            return at
    return now - _DAY_MS


def _submission(chance: random.Random, who: str, to: tuple[Msisdn, ...], at: int, house: House) -> Submission:
    address = f"{who}@{house.account}"
    user = house.users.get(address)
    subject, text = chance.choice(_TEXTS[who])
    facts = {
        "day": f"{datetime.fromtimestamp(at / 1000 + 2 * 86_400).astimezone():%A}",
        "hour": str(chance.randrange(9, 18)),
    }
    facts["time"] = f"{datetime.fromtimestamp(at / 1000 - 120).astimezone():%H:%M}"
    facts["ref"] = str(chance.randrange(5, 60) if who == "ups" else chance.randrange(100, 999))
    writer = Writer(
        account=house.account,
        address=address,
        proof=Proof.NETWORK,
        name=user.name if user else "",
        number=user.number if user else None,
    )
    return Submission(
        id=make_id("s", at, chance.getrandbits(40)),
        writer=writer,
        text=text.format_map(facts),
        recipients=to,
        origin=Origin(
            source="smtp", message_id=f"<{chance.getrandbits(64):x}@{house.account}>", subject=subject
        ),
        created_at=at,
        left_out=(LeftOut(kind="signature", lines=3),) if user else (),
    )


def _end(chance: random.Random, at: int, now: int) -> _End:
    status, reason, detail, _ = chance.choices(_ENDS, [weight for *_, weight in _ENDS])[0]
    if status is Status.EXPIRED and at + 2 * _VALID_MS > now:  # it would be over tomorrow
        return Status.DELIVERED, "", ""
    return status, reason, detail


def _message(
    chance: random.Random, submission: Submission, to: Msisdn, end: _End, house: House
) -> PastMessage:
    at, account = submission.created_at, house.account
    sender = SenderId(submission.writer.number or house.default_sender)
    status, reason, detail = end
    is_second = chance.random() < 0.03  # the first carrier was down
    conversation = conversation_of(account, sender, to)
    region, size = numbers.region(to), segments.count(submission.text)
    billed = 0 if status is Status.REJECTED else size
    mt = MtMessage(
        id=make_id("m", at, chance.getrandbits(40)),
        account=account,
        submission=submission.id,
        conversation=conversation,
        msisdn=to,
        region=region,
        sender_id=sender,
        status=status,
        encoding=segments.encoding(submission.text).value,
        segments=size,
        route=_CARRIERS,
        costs=prices.costs(_CARRIERS, region, billed, house.prices),
        created_at=at,
        due_at=at,
        expires_at=at + _VALID_MS,
        reason=reason,
        detail=detail,
        attempts=1 + is_second,
        position=int(is_second),
    )
    changes = tuple(_changes(chance, mt, is_second=is_second))
    return PastMessage(
        mt=replace(mt, updated_at=changes[-1].at),
        reply_key=reply_key(house.secret, conversation),
        changes=changes,
    )


def _changes(chance: random.Random, mt: MtMessage, *, is_second: bool) -> Iterator[Change]:
    at = mt.created_at
    yield Change(at=at, status=Status.QUEUED)
    if is_second:
        at += chance.randrange(20, 90)
        yield Change(at=at, status=Status.QUEUED, reason="retry", detail="503 carrier down")
    yield Change(at=at + 2, status=Status.SENDING)
    at += chance.randrange(15, 120)
    if mt.status is not Status.REJECTED:
        yield Change(at=at, status=Status.ENROUTE)
    waits = {Status.EXPIRED: _VALID_MS, Status.DELIVERED: min(int(chance.lognormvariate(7.8, 0.8)), 60_000)}
    if mt.status is not Status.ENROUTE:
        last = at + waits.get(mt.status, chance.randrange(900, 6000))
        yield Change(at=last, status=mt.status, reason=mt.reason, detail=mt.detail)


def _answer(
    chance: random.Random, who: str, past: PastMessage, submission: Submission, now: int
) -> Iterator[PastMo]:
    mt = past.mt
    at = past.changes[-1].at + int(chance.lognormvariate(12, 1.2))
    if mt.status is not Status.DELIVERED or chance.random() > _ANSWERED.get(who, 0.0) or at > now - 60_000:
        return
    mo = MoMessage(
        carrier=mt.carrier,
        event_id=derive_id("past", mt.id),
        msisdn=mt.msisdn,
        to=mt.sender_id,
        at=at,
        text=chance.choice(_ANSWERS),
    )
    yield PastMo(mo=mo, conversation=mt.conversation, address=submission.writer.address)
