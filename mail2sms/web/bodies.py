"""What the API takes and gives: bodies as pydantic models, and how their texts are read."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field

from mail2sms import addresses, numbers
from mail2sms.errors import BadNumber, BadOption, Problem, Refusal
from mail2sms.lifecycle import due_when_free
from mail2sms.model import Msisdn, MtMessage
from mail2sms.money import shown
from mail2sms.options import read_duration_ms, read_list
from mail2sms.rules._base import Policy
from mail2sms.rules.sender_ids import notes
from mail2sms.store import EventView, MessageView
from mail2sms.store.approvals import ApprovalView
from mail2sms.store.views import ToldView
from mail2sms.web.problems import HttpProblem, Told

TEXT_LENGTH = 10_000
PICTURE_LENGTH = 7_000_000  # base64 characters
_RECIPIENTS = 10_000
_YEAR_MS = 366 * 86_400_000
_SECONDS = 100_000_000_000  # epoch numbers below are seconds: as milliseconds they are in 1973

Short = Annotated[str, Field(max_length=64)]


class Order(BaseModel):
    """A text to send, with up to 10 `pictures` in base64 (JPEG, PNG, GIF, WebP).

    `at` is ISO 8601 with an offset; `validity` (30m, 2h, 1d) begins then; `as` is the operator's.
    `class` marketing keeps quiet hours, alarm never does; a key of marketing sends nothing else.
    """

    model_config = ConfigDict(extra="forbid")

    to: Annotated[list[Short], BeforeValidator(read_list), Field(min_length=1, max_length=_RECIPIENTS)]
    text: Annotated[str, Field(max_length=TEXT_LENGTH)]
    sender_id: Annotated[Short | None, Field(validation_alias=AliasChoices("sender_id", "from"))] = None
    at: Short | None = None
    validity: Short | None = None
    reference: Annotated[
        Short | None, Field(min_length=1, validation_alias=AliasChoices("reference", "client_ref"))
    ] = None
    reply_to: Annotated[str | None, Field(max_length=320)] = None
    as_: Annotated[str | None, Field(alias="as", max_length=320)] = None
    pictures: Annotated[list[Annotated[str, Field(max_length=PICTURE_LENGTH)]], Field(max_length=10)] = []
    class_: Annotated[Literal["transactional", "marketing", "alarm"] | None, Field(alias="class")] = None


_COST = "By its carrier's configured prices; null when they do not tell. 0 for what no carrier took."
Cost = Annotated[str | None, Field(description=_COST, examples=["0.045 EUR"])]


class Queued(BaseModel):
    """A message that was accepted (or would be: then without id and status). `parts` is the number of segments billed;
    `media` how its pictures go: mms, link (in the text), or not at all.

    `reason` and `detail` say why it waits until `due_at`, such as quiet_hours, storm (others may be told with it) or
    (until then at least) approval.
    """

    id: str | None
    to: str
    status: str | None
    parts: int
    cost: Cost
    encoding: str
    sender_id: str
    carrier: str
    media: str
    reason: str
    detail: str
    due_at: str
    expires_at: str


class NotTaken(Told):
    """A recipient that was refused while others were accepted."""

    to: str


class Warned(BaseModel):
    """What is worth to be known of a sender ID in a country, though the message goes out."""

    code: str
    country: str
    detail: str


class Accepted(Queued):
    """What was accepted; the fields on top are those of the first message. `is_dry_run`: nothing is sent."""

    is_dry_run: bool
    submission: str | None
    reference: str | None
    items: list[Queued]
    refused: list[NotTaken]
    warnings: list[Warned]


class Event(BaseModel):
    """One step of a message's life."""

    at: str
    status: str
    reason: str
    carrier: str
    detail: str


class LeftOutLines(BaseModel):
    """What of the mail did not become text: signature, quote, disclaimer, after_marker, attachment."""

    kind: str
    lines: int


class Message(BaseModel):
    """A message as it stands. `writer` is an address, `key NAME` or `device NAME`."""

    id: str
    submission: str
    to: str
    sender_id: str
    status: str
    parts: int
    cost: Cost
    encoding: str
    media: str
    class_: Annotated[str, Field(serialization_alias="class")]
    reason: str
    detail: str
    carrier: str
    writer: str
    subject: str
    text: str
    attempts: int
    created_at: str
    updated_at: str
    due_at: str
    expires_at: str
    reference: str | None
    left_out: list[LeftOutLines]
    device: str | None


class AlarmsTold(BaseModel):
    """How many alarms a device's message tells, how often the same came since, and who took care of it."""

    alarms: int
    left_out: int
    acknowledged_by: str | None
    acknowledged_at: str | None


class Quota(BaseModel):
    """One limit in its window, which ends at `until`. `kind`: user, team, number, prefix, country, total, cost."""

    kind: str
    of: str
    limit: str
    used: str
    left: str
    until: str


class Approved(BaseModel):
    """What a message waits for, or waited for. `status`: open, released, refused."""

    id: str
    reason: str
    detail: str
    status: str
    decided_at: str | None
    decided_by: str


class MessageWithEvents(Message):
    """A message with all that happened to it, oldest first; a device's with the alarms that it tells."""

    events: list[Event]
    told: AlarmsTold | None


class MessageInFull(MessageWithEvents):
    """A message with its events, how its writer was proven, the limits that it counted in and what it waited for.

    `limits` are today's, in the windows that it was accepted in.
    """

    proof: str
    limits: list[Quota]
    approval: Approved | None


class Messages(BaseModel):
    """Messages; `next` is what `before` must be to get those that follow, if there may be any."""

    items: list[Message]
    next: str | None = None


class Cancelled(BaseModel):
    """A message that will not be sent."""

    id: str
    status: str


def iso(at: int) -> str:
    """Return a moment as ISO 8601 in UTC."""
    text = datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def queued(mt: MtMessage, *, id_: str | None) -> Queued:
    """Return a message as the answer to its order shows it."""
    return Queued(
        id=id_,
        to=mt.msisdn,
        status=None if id_ is None else mt.status.value,
        parts=mt.segments,
        cost=shown(mt.cost),
        encoding=mt.encoding,
        sender_id=mt.sender_id,
        carrier=mt.carrier,
        media=mt.media,
        reason=mt.reason,
        detail=mt.detail,
        due_at=iso(due_when_free(mt.due_at)),
        expires_at=iso(mt.expires_at),
    )


def warned(mts: Iterable[MtMessage], policy: Policy) -> list[Warned]:
    """Return what there is to say of the sender IDs of these messages, once for each country."""
    found = (note for mt in mts for note in notes(mt.sender_id, mt.region, mt.carrier, policy, mt.created_at))
    return [Warned(code=n.code, country=n.region, detail=n.text) for n in dict.fromkeys(found)]


_PLAIN = tuple(name for name in Message.model_fields if not name.endswith("_at"))
_MOMENTS = tuple(name for name in Message.model_fields if name.endswith("_at"))


def message(view: MessageView) -> Message:
    """Return a message as the API shows it."""
    return Message(**_fields(view))


def message_with_events(view: MessageView) -> MessageWithEvents:
    """Return a message with its events."""
    events = [event(one) for one in view.events]
    return MessageWithEvents(**_fields(view), events=events, told=_told(view.told))


def _told(view: ToldView | None) -> AlarmsTold | None:
    if view is None:
        return None
    at = iso(view.acknowledged_at) if view.acknowledged_at is not None else None
    by = view.acknowledged_by
    return AlarmsTold(alarms=view.alarms, left_out=view.left_out, acknowledged_by=by, acknowledged_at=at)


def message_in_full(view: MessageView, limits: list[Quota], approval: ApprovalView | None) -> MessageInFull:
    """Return all that is known of a message."""
    events = [event(one) for one in view.events]
    asked = approved(approval) if approval is not None else None
    told = _told(view.told)
    return MessageInFull(
        **_fields(view), events=events, told=told, proof=view.proof, limits=limits, approval=asked
    )


def approved(view: ApprovalView) -> Approved:
    """Return an approval as a message shows it."""
    plain = {name: getattr(view, name) for name in ("id", "reason", "detail", "status", "decided_by")}
    return Approved(**plain, decided_at=None if view.decided_at is None else iso(view.decided_at))


def event(view: EventView) -> Event:
    """Return one step."""
    return Event(
        at=iso(view.at), status=view.status, reason=view.reason, carrier=view.carrier, detail=view.detail
    )


def _fields(view: MessageView) -> dict[str, Any]:
    """The names are the same on both sides, so only moments, lists and money need a hand."""
    plain = {name: getattr(view, name) for name in _PLAIN}
    plain |= {"cost": shown(view.cost), "writer": view.by}
    plain["left_out"] = [LeftOutLines(kind=left.kind, lines=left.lines) for left in view.left_out]
    return plain | {name: iso(getattr(view, name)) for name in _MOMENTS}


def read_number(text: str, country: str) -> Msisdn:
    """Read a recipient. Raises Refusal."""
    try:
        return numbers.read(text, country)
    except BadNumber as e:
        raise Refusal(Problem(reason=e.reason, value=text, hint=e.hint, facts=e.facts)) from e


def read_wanted_number(text: str, country: str) -> Msisdn:
    """Read a number in a query, where a `+` may have become a blank or been left out."""
    try:
        found = numbers.from_local_part(text.strip(), country)
    except BadNumber:
        found = None
    if found is None:
        raise HttpProblem(400, f"to: this is no mobile number in {country}", field="to")
    return found


def read_at(text: str, now: int) -> int:
    """Read when to send. Raises HttpProblem, and Refusal for the past and for more than a year ahead."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise HttpProblem(400, "at: write it like 2026-05-12T14:30+02:00, with its offset", field="at")
    at = int(moment.timestamp() * 1000)
    if at <= now:
        raise Refusal(Problem(reason="template.past_time", value=text))
    if at > now + _YEAR_MS:
        raise Refusal(Problem(reason="template.far_time", value=text))
    return at


def read_validity(text: str) -> int:
    """Read a length of time, in milliseconds. Raises HttpProblem."""
    try:
        validity_ms = read_duration_ms(text)
    except BadOption:
        validity_ms = 0
    if not 0 < validity_ms <= _YEAR_MS:
        raise HttpProblem(400, "validity: write it like 30m, 2h or 1d, at most a year", field="validity")
    return validity_ms


def read_reference(text: str) -> str:
    """Read the client's own reference. Raises HttpProblem."""
    if not text.isprintable():
        raise HttpProblem(400, "reference: it holds control characters", field="reference")
    return text


def read_address(text: str) -> str:
    """Read where replies go. Raises HttpProblem."""
    address = addresses.canonical(text)
    if not addresses.is_address(address):
        raise HttpProblem(400, "reply_to: this is no email address", field="reply_to")
    return address


def read_writer(text: str) -> str:
    """Return who wrote something as the store knows it: an address in its one form, `key NAME` or `device NAME`."""
    return text if " " in text else addresses.canonical(text)


def read_since(text: str, field: str = "since") -> int:
    """Read ISO 8601 (UTC unless it has an offset) or epoch seconds or milliseconds. Raises HttpProblem."""
    text = text.strip()
    if text.isascii() and text.isdigit() and len(text) < 16:
        number = int(text)
        return number * 1000 if number < _SECONDS else number
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return int(moment.timestamp() * 1000)
    except ValueError:
        detail = f"{field}: write it like 2026-05-12T00:00Z, or in epoch seconds"
        raise HttpProblem(400, detail, field=field) from None
