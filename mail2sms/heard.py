"""What passes between us and carriers beside sending, reports and whole texts, as frozen values. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from mail2sms.model import Msisdn, SenderId


@dataclass(frozen=True, kw_only=True, slots=True)
class LateAnswer:
    """A carrier answered after we had given up: the attempt was taken, or certainly not (unavailable, refused)."""

    carrier: str
    attempt_id: str
    outcome: str
    at: int
    carrier_message_id: str | None = None
    code: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class MoPart:
    """Part `number` (from 1) of `total` of a long text from a phone; `reference` is the phone's for that text.

    Half a surrogate pair may end `text`: the next part has the other half. `event_id` is what tells it from a later
    part of the same words, and is the same when the same part comes again; "" where nothing does.
    """

    carrier: str
    msisdn: Msisdn
    to: str
    at: int
    reference: int
    total: int
    number: int
    text: str = field(repr=False)
    event_id: str = ""


@dataclass(frozen=True, slots=True)
class Sent:
    """A part that a carrier took, by what it knows of it."""

    carrier: str
    carrier_message_id: str
    msisdn: Msisdn
    sender_id: SenderId
