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
from mail2sms.ids import conversation_of, derive_id, make_id, reply_key
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
)
from mail2sms.prices import Prices
from mail2sms.store.past import Change, Past, PastMessage, PastMo

DAYS = 14
_End = tuple[Status, str, str]
_DAY_MS, _VALID_MS = 86_400_000, 86_400_000
_CARRIERS = ("sim-a", "sim-b")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Sample:
    """What is written, and what phones answer to it."""

    subject: str
    text: str
    answers: tuple[str, ...] = ()


_AGREED = ("Yes", "Yes, thank you", "No, sorry. Another day?", "OK 👍")
_CONVENU = ("Oui", "OUI", "Oui, merci !", "Non, désolée. Un autre jour ?", "OK 👍")

# Who writes what; each in one language. Machines write from addresses that are no user's.
_TEXTS: dict[str, tuple[_Sample, ...]] = {
    "marie": (
        _Sample(
            subject="Your appointment",
            text="Hello, your appointment is on {day} at {hour}:30. Does that suit you?",
            answers=(*_AGREED, "I will be 10 minutes late"),
        ),
        _Sample(
            subject="Results",
            text="Your results are here. Please call us on {day} between 9 and 12.",
            answers=("Thank you", "I will", "Can it wait until next week?"),
        ),
    ),
    "paul": (
        _Sample(
            subject="Livraison",
            text="Votre colis P-{ref} arrive {day} entre {hour} h et {hour} h 30.",
            answers=("Merci", "Merci, je serai là", "Pas avant midi, svp"),
        ),
        _Sample(
            subject="Colis 📦",
            text="Votre colis P-{ref} vous attend à l'accueil 📦 À retirer avant 18 h aujourd'hui, ou demain.",
            answers=("Merci !", "Je passe demain"),
        ),
        _Sample(
            subject="Votre rendez-vous",
            text="Bonjour, votre rendez-vous est {day} à {hour} h 30. Répondez OUI pour confirmer.",
            answers=(*_CONVENU, "Je suis en retard de 10 min"),
        ),
    ),
    "zoe": (
        _Sample(
            subject="Shift",
            text="Can you take the shift on {day} at {hour}:00? Please answer yes or no.",
            answers=("Yes", "Yes, no problem", "No, sorry", "OK 👍"),
        ),
        _Sample(
            subject="Meeting moved",
            text="The meeting of {day} is now at {hour}:15, in room 2.",
            answers=("Thanks", "OK 👍", "I can't make it, sorry"),
        ),
    ),
    "ups": (_Sample(subject="On battery", text="UPS 3: on battery since {time}, {ref} minutes left."),),
    "monitor": (
        _Sample(subject="Cold room", text="Cold room 2: 9 degrees since {time}. Please check the door."),
    ),
}
_LANGUAGES = {"paul": "fr"}  # the others write English
_WEIGHTS = {"marie": 38, "paul": 27, "zoe": 20, "ups": 8, "monitor": 7}
_ANSWERED = {"marie": 0.35, "paul": 0.25, "zoe": 0.55}
_DAYS_IN_FRENCH = ("lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche")
# Whose phones speak a language, as often: the number's beginning, how many digits follow. No phone speaks two.
_PHONES = {
    "fr": (("+33639982", 3, 1),),
    "en": (
        ("+33639984", 3, 42),
        ("+447700900", 3, 40),
        ("+4917139200", 2, 6),
        ("+120255501", 2, 6),
        ("+4670174063", 1, 6),
    ),
}
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
    phones = {tongue: [_phone(chance, tongue) for _ in range(max(2, count // 12))] for tongue in _PHONES}
    moments = sorted(_moment(chance, now) for _ in range(count))
    nobody = {phone for each in phones.values() for phone in each[::_NOBODIES]}
    submissions: list[Submission] = []
    messages: list[PastMessage] = []
    mos: list[PastMo] = []
    while len(messages) < count:
        at = moments[len(messages)]
        who = chance.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
        is_alarm = who in ("ups", "monitor")
        phone = chance.choice(phones[_LANGUAGES.get(who, "en")])
        to = (house.oncall if is_alarm else (phone,))[: count - len(messages)]
        sample = chance.choice(_TEXTS[who])
        submission = _submission(chance, who, sample, to, at, house)
        submissions.append(submission)
        for msisdn in to:
            end = _NOBODY if msisdn in nobody else _end(chance, at, now)
            past = _message(chance, submission, msisdn, end, house)
            messages.append(past)
            if chance.random() < _ANSWERED.get(who, 0.0):
                mos += _answer(chance, sample, past, submission, now)
    return Past(
        account=house.account, submissions=tuple(submissions), messages=tuple(messages), mos=tuple(mos)
    )


def _phone(chance: random.Random, language: str) -> Msisdn:
    """Return a phone that behaves."""
    while True:
        numbers_ = _PHONES[language]
        start, digits, _ = chance.choices(numbers_, [weight for *_, weight in numbers_])[0]
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


def _submission(
    chance: random.Random, who: str, sample: _Sample, to: tuple[Msisdn, ...], at: int, house: House
) -> Submission:
    address = f"{who}@{house.account}"
    user = house.users.get(address)
    language = _LANGUAGES.get(who, "en")
    later = datetime.fromtimestamp(at / 1000 + 2 * 86_400).astimezone()
    facts = {
        "day": _DAYS_IN_FRENCH[later.weekday()] if language == "fr" else f"{later:%A}",
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
        language=language,
    )
    return Submission(
        id=make_id("s", at, chance.getrandbits(40)),
        writer=writer,
        text=sample.text.format_map(facts),
        recipients=to,
        origin=Origin(
            source="smtp", message_id=f"<{chance.getrandbits(64):x}@{house.account}>", subject=sample.subject
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
    chance: random.Random, sample: _Sample, past: PastMessage, submission: Submission, now: int
) -> Iterator[PastMo]:
    mt = past.mt
    at = past.changes[-1].at + int(chance.lognormvariate(12, 1.2))
    if mt.status is not Status.DELIVERED or at > now - 60_000:
        return
    mo = MoMessage(
        carrier=mt.carrier,
        event_id=derive_id("past", mt.id),
        msisdn=mt.msisdn,
        to=mt.sender_id,
        at=at,
        text=chance.choice(sample.answers),
    )
    yield PastMo(mo=mo, conversation=mt.conversation, address=submission.writer.address)
