"""What the phone shows as sender: what the writer declared if it is theirs, else what the configuration says."""

from __future__ import annotations

from mail2sms import numbers
from mail2sms.errors import BadNumber, Problem, Refusal
from mail2sms.model import Proof, SenderId, Writer
from mail2sms.rules._base import NUMBER, Policy


def choose(writer: Writer, declared: str | None, region: str, policy: Policy) -> SenderId:
    """Return the sender ID of a message to `region`. Raises Refusal: `sender_id.none`, `sender_id.not_yours`."""
    # An API key names any address for its replies: that proves nothing about whose numbers it may use.
    own = policy.owned.get(writer.address.lower(), ()) if writer.proof is not Proof.KEY else ()
    if writer.number is not None:
        own = (SenderId(writer.number), *own)
    if declared:
        return _declared(declared, own, region, policy)
    for wish in (policy.sender_ids.get(region), NUMBER, policy.sender_ids.get("default")):
        if wish == NUMBER and own:
            return own[0]
        if wish is not None and wish != NUMBER:
            return SenderId(wish)
    if writer.proof is Proof.KEY and policy.simulated_number is not None:
        return policy.simulated_number
    raise Refusal(Problem(reason="sender_id.none"))


def _declared(declared: str, own: tuple[SenderId, ...], region: str, policy: Policy) -> SenderId:
    try:
        wanted = numbers.read_sender_id(declared, policy.country)
    except BadNumber as e:
        raise Refusal(Problem(reason=e.reason, value=declared, hint=e.hint, facts=e.facts)) from e
    allowed = {policy.sender_ids.get(region), policy.sender_ids.get("default"), *own} - {None, NUMBER}
    for sender_id in allowed:
        if sender_id is not None and sender_id.casefold() == wanted.casefold():
            return SenderId(sender_id)
    raise Refusal(Problem(reason="sender_id.not_yours", value=declared))
