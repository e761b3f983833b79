"""Fakes and builders that tests share: values with sensible defaults, carriers that remember."""

from __future__ import annotations

from mail2sms.model import Msisdn, MtMessage, Origin, Proof, SenderId, Status, Submission, Writer
from mail2sms.store import Bundle, NewMessage

NOW = 1_780_000_000_000
PHONE = Msisdn("+33639981234")
OURS = SenderId("+33639980101")
ACCOUNT = "sms.acme.example"


def writer(**changes: object) -> Writer:
    """Return Marie, proven by her network."""
    values = {"account": ACCOUNT, "address": "marie@acme.example", "proof": Proof.NETWORK, "number": OURS}
    return Writer(**{**values, **changes})  # type: ignore[arg-type]


def submission(id_: str = "m-1", **changes: object) -> Submission:
    """Return a submission of Marie's."""
    values = {
        "id": id_,
        "writer": writer(),
        "text": "Bonjour",
        "recipients": (PHONE,),
        "origin": Origin(source="smtp", message_id=f"<{id_}@acme.example>", subject="Rendez-vous"),
        "created_at": NOW,
    }
    return Submission(**{**values, **changes})  # type: ignore[arg-type]


def mt(id_: str = "m-1", **changes: object) -> MtMessage:
    """Return a queued message of the submission with the same id."""
    values = {
        "id": id_,
        "account": ACCOUNT,
        "submission": id_,
        "conversation": "c-1",
        "msisdn": PHONE,
        "region": "FR",
        "sender_id": OURS,
        "status": Status.QUEUED,
        "encoding": "gsm7",
        "segments": 1,
        "route": ("sim-a", "sim-b"),
        "created_at": NOW,
        "due_at": NOW,
        "expires_at": NOW + 3_600_000,
    }
    return MtMessage(**{**values, **changes})  # type: ignore[arg-type]


def bundle(id_: str = "m-1", *, repeat_key: str | None = None, **changes: object) -> Bundle:
    """Return what one email with one recipient becomes."""
    words = {"text": changes["text"]} if "text" in changes else {}
    return Bundle(
        id=id_,
        at=NOW,
        submissions=(submission(id_, **words),),
        messages=(NewMessage(mt=mt(id_, **changes), reply_key="abcdefghij", repeat_key=repeat_key),),
    )
