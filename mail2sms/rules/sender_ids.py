"""What the phone shows as sender: what the writer declared if it is theirs, else what the configuration says.

What a country does not let through is not chosen; what is chosen and has its snags is told in `notes`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mail2sms import destinations, numbers
from mail2sms.errors import BadNumber, Problem, Refusal
from mail2sms.model import Msisdn, Proof, SenderId, Writer
from mail2sms.rules._base import NUMBER, Policy, Registration

_SOON_MS = 30 * 86_400_000

NOTES = {
    "no_answer": "the phone cannot answer a name",
    "replaced": "networks in {country} may show another sender than {value}",
    "unsure": "whether networks in {country} let names through is not known for sure",
    "given_name": "{value} is a given name too: {country} wants a company's name",
    "registration.missing": "{value} must be registered in {country}, and no registration is on record",
    "registration.optional": "some networks in {country} want {value} registered; no registration is on record",
    "registration.pending": "the registration of {value} in {country} is pending",
    "registration.future": "the registration of {value} in {country} has not begun",
    "registration.expired": "the registration of {value} in {country} is over",
    "registration.ending": "the registration of {value} in {country} ends within a month",
}
"""What may be said of a sender ID that is used all the same."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """One snag of a sender ID in a country: `code` as in NOTES."""

    code: str
    sender_id: SenderId
    region: str

    @property
    def text(self) -> str:
        """Its sentence in English."""
        return about(self.code, self.sender_id, self.region)


def about(code: str, sender_id: str, countries: str) -> str:
    """Return the sentence of a note, about one country or several."""
    return NOTES[code].format(value=sender_id, country=countries)


def choose(writer: Writer, declared: str | None, region: str, policy: Policy) -> SenderId:
    """Return the sender ID of a message to `region`.

    Raises Refusal: `sender_id.none`, `sender_id.not_yours`, and what `why_not` says of a declared one, or of all there
    are.
    """
    own = _own(writer, policy)
    if declared:
        return _declared(declared, own, region, policy)
    problem = Problem(reason="sender_id.none")
    for sender_id in _wishes(writer, own, region, policy):
        found = why_not(sender_id, region, policy)
        if found is None:
            return sender_id
        problem = found if problem.reason == "sender_id.none" else problem
    raise Refusal(problem)


def _own(writer: Writer, policy: Policy) -> tuple[SenderId, ...]:
    # An API key names any address for its replies: that proves nothing about whose numbers it may use.
    named = f"device {writer.name}" if writer.proof is Proof.DEVICE else writer.address.lower()
    own = policy.owned.get(named, ()) if writer.proof is not Proof.KEY else ()
    return own if writer.number is None else (SenderId(writer.number), *own)


def _wishes(writer: Writer, own: tuple[SenderId, ...], region: str, policy: Policy) -> Iterator[SenderId]:
    """What a message may show, the best first: the country's, one's own (a number can be answered), the default."""
    for wish in (policy.sender_ids.get(region), NUMBER, policy.sender_ids.get("default")):
        if wish == NUMBER:
            yield from own
        elif wish is not None:
            yield SenderId(wish)
    if writer.proof is Proof.KEY and policy.simulated_number is not None:
        yield policy.simulated_number


def usable(writer: Writer, policy: Policy) -> tuple[str, ...]:
    """Return what the writer may declare, for one country or another; own numbers first."""
    configured = (each for each in policy.sender_ids.values() if each != NUMBER)
    return tuple(dict.fromkeys((*_own(writer, policy), *configured)))


def may_use(writer: Writer, sender_id: SenderId, region: str, policy: Policy) -> bool:
    """Whether the writer may send to `region` as `sender_id`."""
    return sender_id.casefold() in map(str.casefold, _allowed(_own(writer, policy), region, policy))


def _declared(declared: str, own: tuple[SenderId, ...], region: str, policy: Policy) -> SenderId:
    try:
        wanted = numbers.read_sender_id(declared, policy.country)
    except BadNumber as e:
        raise Refusal(Problem(reason=e.reason, value=declared, hint=e.hint, facts=e.facts)) from e
    allowed = _allowed(own, region, policy)
    for sender_id in allowed:
        if sender_id.casefold() == wanted.casefold():
            problem = why_not(sender_id, region, policy)
            if problem is not None:
                raise Refusal(problem)
            return sender_id
    facts = {"yours": ", ".join(numbers.display(Msisdn(each)) for each in allowed)} if allowed else {}
    raise Refusal(Problem(reason="sender_id.not_yours", value=declared, facts=facts))


def _allowed(own: tuple[SenderId, ...], region: str, policy: Policy) -> tuple[SenderId, ...]:
    wishes = (policy.sender_ids.get(region), policy.sender_ids.get("default"))
    configured = (SenderId(wish) for wish in wishes if wish not in (None, NUMBER))
    return tuple(dict.fromkeys((*own, *configured)))


def why_not(sender_id: SenderId, region: str, policy: Policy) -> Problem | None:
    """Return why a sender ID, whoever uses it, would not get through in a country."""
    if not is_name(sender_id):
        return None
    records = _records(sender_id, region, "", policy)
    facts = {"country": region}
    destination = policy.destinations.get(region)
    if destination is not None and destination.loses_names:
        return Problem(reason="sender_id.numeric_only", value=sender_id, facts=facts)
    if any(record.state == "refused" for record in records):
        return Problem(reason="sender_id.refused", value=sender_id, facts=facts)
    is_registered = any(record.state == "registered" for record in records)
    if destinations.given_name(sender_id, region) == "sure" and not is_registered:
        return Problem(reason="sender_id.given_name", value=sender_id, facts=facts)
    return None


def notes(sender_id: SenderId, region: str, carrier: str, policy: Policy, now: int) -> tuple[Note, ...]:
    """Return what is worth to be known of a sender ID that may be used, by who sends or who configures."""
    destination = policy.destinations.get(region, destinations.Destination(region=region))
    codes = []
    if is_name(sender_id):
        codes = ["no_answer"]
        if destination.names == "replaced":
            codes.append("replaced")
        elif destination.names != "yes":
            codes.append("unsure")
        if destinations.given_name(sender_id, region) == "maybe":
            codes.append("given_name")
    records = _records(sender_id, region, carrier, policy)
    if code := _registration(destination.registration, is_name(sender_id), records, now):
        codes.append(code)
    return tuple(Note(code=code, sender_id=sender_id, region=region) for code in codes)


def _registration(wanted: str, is_name_: bool, records: list[Registration], now: int) -> str:
    """Return what to say: of a record whatever the country wants, of none where it is wanted."""
    if not records:
        missing = {"yes": "registration.missing", "optional": "registration.optional" if is_name_ else ""}
        return missing.get(wanted, "")
    best = max(records, key=lambda record: (record.state == "registered", record.until or 1 << 62))
    if best.state == "pending":
        return "registration.pending"
    if best.since > now:
        return "registration.future"
    if best.until and best.until <= now:
        return "registration.expired"
    return "registration.ending" if best.until and best.until - now < _SOON_MS else ""


def _records(sender_id: SenderId, region: str, carrier: str, policy: Policy) -> list[Registration]:
    """Return what is on record of it in a country, with this carrier or (without one) any."""
    return [
        record
        for record in policy.registrations
        if record.region == region
        and record.sender_id.casefold() == sender_id.casefold()
        and (not carrier or record.carrier in {"", carrier})
    ]


def is_name(sender_id: str) -> bool:
    """Whether it is a name of letters, which no phone can answer: neither a number nor a short code."""
    return any(c.isalpha() for c in sender_id)
