"""Machines that send mail: who they are, and what becomes of what they write. Pure.

A device knows no template and cannot read a refusal, so nothing of its mail is refused that can be sent somehow: what
is too long is cut, what has no text is told by its subject, and its mail may be automatic and without a sender.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

from mail2sms import segments
from mail2sms.alarm import Alarm, Storm
from mail2sms.errors import Problem, Refusal
from mail2sms.intake import expressions
from mail2sms.intake.clocks import Written
from mail2sms.intake.envelope import Envelope
from mail2sms.intake.expressions import Expression
from mail2sms.intake.mime import Letter
from mail2sms.model import NO_DSN, Address, MessageClass, Msisdn, Origin, Proof, Submission, Writer
from mail2sms.options import Network

_READABLE = frozenset({"mail.no_text", "mail.unreadable", "mail.too_complex", "media.video"})
"""Why a device's text may be missing: then what the header says is sent."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Device:
    """A machine, known by its login, or by its network and (with `pattern`) its From address.

    `phones` are who is written to, whatever address the mail has; without any it is the address. `text` says what of
    the mail is sent, in at most `max_parts` SMS; older than `expires_ms` it is not sent at all. A machine reads no
    reply: `owner` is told by email of what is refused.
    """

    name: str
    text: Expression
    login: str = ""
    networks: tuple[Network, ...] = ()
    pattern: str = ""
    phones: tuple[Msisdn, ...] = ()
    max_parts: int = 1
    expires_ms: int | None = None
    storm: Storm = field(default_factory=Storm)
    replies_to: str = ""
    owner: str = ""
    class_: MessageClass = MessageClass.ALARM
    language: str = "en"
    zone: str = "UTC"

    def writer(self, account: str) -> Writer:
        """Return it as who writes."""
        return Writer(
            account=account,
            address=self.replies_to,
            proof=Proof.DEVICE,
            name=self.name,
            language=self.language,
            zone=self.zone,
            class_=self.class_,
        )


def is_text_missing(refusal: Refusal) -> bool:
    """Whether a mail that could not be read is worth to be sent by its header."""
    return all(problem.reason in _READABLE for problem in refusal.problems)


@dataclass(frozen=True, kw_only=True, slots=True)
class Heard:
    """A device's mail as it was read. `host` is what the client calls itself; `phones` are those of its addresses."""

    letter: Letter
    origin: Origin
    written: Written
    host: str
    phones: tuple[Msisdn, ...]
    addresses: tuple[Address, ...]


def submission(device: Device, heard: Heard, id_: str, account: str, now: int) -> Submission:
    """Return what a device's mail asks for. Raises Refusal (device.too_old) when it is too late for it."""
    age = now - heard.written.at
    text, was_cut = _text(device, heard)
    phones = device.phones or heard.phones
    left = () if device.expires_ms is None else (device.expires_ms - age,)
    made = Submission(
        id=id_,
        writer=device.writer(account),
        text=text,
        recipients=phones,
        origin=heard.origin,
        created_at=now,
        validity_ms=left[0] if left else None,
        addresses=tuple(heard.addresses),
        alarm=Alarm(
            device=device.name,
            storm=device.storm,
            clock=heard.written.rule,
            was_cut=was_cut,
            max_parts=device.max_parts,
        ),
    )
    if left and left[0] <= 0:
        raise TooOld(made, device.expires_ms or 0, age)
    return made


class TooOld(Refusal):
    """A device's mail came when its time was over. `submission` is what it asked for."""

    def __init__(self, made: Submission, expires_ms: int, age_ms: int) -> None:
        facts = {"age": _duration(age_ms), "limit": _duration(expires_ms)}
        value = made.alarm.device if made.alarm else ""
        super().__init__(Problem(reason="device.too_old", value=value, facts=facts), text=made.text)
        self.submission = made


def _duration(milliseconds: int) -> str:
    """Return a length of time as the configuration writes it, to the minute."""
    minutes = milliseconds // 60_000
    if minutes < 1:
        return f"{milliseconds // 1000}s"
    days, hours, rest = minutes // 1440, minutes // 60 % 24, minutes % 60
    words = [f"{count}{unit}" for count, unit in ((days, "d"), (hours, "h"), (rest, "m")) if count]
    return " ".join(words[:2])


def _text(device: Device, heard: Heard) -> tuple[str, bool]:
    """Return the SMS, and whether more was to be said than it may hold."""
    letter = heard.letter
    at = datetime.fromtimestamp(heard.written.at / 1000, ZoneInfo(device.zone))
    facts = {
        "subject": letter.subject,
        "body": letter.text,
        "from": letter.from_addresses[0] if letter.from_addresses else "",
        "name": letter.from_name,
        "host": heard.host,
        "device": device.name,
        "time": f"{at:%H:%M}",
    }
    wanted = device.text.fill(facts) if device.text.says(facts) else ""
    said = next(filter(None, map(_sendable, _instead(wanted, letter))), device.name)
    whole = _cheap(said)
    text = segments.cut(whole, device.max_parts)
    return text, text != whole


def _cheap(text: str) -> str:
    """Return a text in GSM-7 if it is only its typography, or the sign of degrees, that needs Unicode."""
    cheap = segments.plain(text).replace("°", "")
    return cheap if segments.encoding(cheap) is segments.Encoding.GSM7 else segments.fold(text)


def _instead(wanted: str, letter: Letter) -> Sequence[str]:
    """What is said, and what if that is nothing: an alarm is never lost for its words."""
    first = next((line for line in letter.text.split("\n") if line.strip()), "")
    return wanted, letter.subject, first, letter.from_name


def _sendable(text: str) -> str:
    """Return a text without what no phone can show: a machine is not asked to write another one."""
    text = segments.clean(text[: expressions.MOST])
    unwanted = dict.fromkeys(map(ord, segments.unsendable(text)))
    return segments.clean(text.translate(unwanted)).strip() if unwanted else text.strip()


def addresses(
    envelope: Envelope, written_to: Sequence[tuple[Msisdn, ...]], phones: tuple[Msisdn, ...]
) -> tuple[Address, ...]:
    """Return the addresses of a device's mail with the phones that each stands for; `phones`, where they are set."""
    dsns = envelope.dsns or (NO_DSN,) * len(written_to)
    return tuple(
        Address(phones=phones or own, dsn=dsn, has_reply=envelope.has_reply_each)
        for own, dsn in zip(written_to, dsns, strict=True)
    )
