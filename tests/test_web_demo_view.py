"""What the demo page says of a message, and of an email that became none."""

from __future__ import annotations

from typing import Any

import pytest

from mail2sms.model import LeftOut, User
from mail2sms.money import read as read_money
from mail2sms.store import EventView, MessageView
from mail2sms.web.demo_mail import answer
from mail2sms.web.demo_view import Happened, cards, clock, span
from mail2sms.web.inbox import read
from mail2sms.web.sent import SentMail
from tests.fakes import NOW, OURS
from tests.test_cli_demo import view

MARIE = "marie@sms.demo.example"


def happened(*messages: MessageView, **more: Any) -> Happened:
    """What is known."""
    users = {MARIE: User(address=MARIE, name="Marie Dubois", number=OURS)}  # type: ignore[arg-type]
    return Happened(**{"messages": messages, "mails": (), "sent": (), "said": (), "users": users, **more})


def event(status: str, **more: Any) -> EventView:
    """One second after the message was accepted."""
    values = {"at": NOW + 1000, "status": status, "reason": "", "carrier": "sim-a", "detail": ""}
    return EventView(**{**values, **more})


def sent(**changes: Any) -> SentMail:
    """The page's email."""
    values: dict[str, Any] = {
        "at": NOW,
        "message_id": "<1@sms.demo.example>",
        "sender": MARIE,
        "rcpts": ("33639981234@sms.demo.example",),
        "subject": "Rendez-vous",
        "code": 250,
        "reply": "2.0.0 m-1",
        "size_bytes": 400,
        "text": "Bonjour\n\n-- \nMarie",
    }
    return SentMail(**{**values, **changes})


@pytest.mark.parametrize(
    ("changes", "step"),
    [
        ({}, "7 characters, GSM-7, 1 part"),
        ({"text": "Łódź 📦", "encoding": "ucs2"}, "6 characters, Unicode, 1 part"),
        ({}, "Route for +33 6 39 98 12 34: FR → sim-a, else sim-b"),
        ({"cost": read_money("0.045 EUR")}, "Cost 0.045 EUR (simulated)"),
        ({}, "The phone shows +33 6 39 98 01 01"),
        ({"status": "enroute"}, "Waits for the carrier’s report"),
        ({"events": (event("queued"), event("enroute"))}, "sim-a took it after 1.0 s"),
        ({"events": (event("queued"), event("delivered"))}, "Delivered after 1.0 s"),
        (
            {"events": (event("queued"), event("undeliverable", reason="carrier.unknown_number"))},
            "Not delivered: the number does not exist",
        ),
        (
            {
                "events": (
                    event("queued"),
                    event("queued", reason="retry", carrier="sim-b", detail="503 down"),
                )
            },
            "Not taken (503 down): tried again, now by sim-b",
        ),
    ],
)
def test_step_of_a_message(changes: dict[str, Any], step: str) -> None:
    """Each thing that happened is one step, in words."""
    (card,) = cards(happened(view(**changes)))
    assert step in [one.text for one in card.steps]


def test_character_that_makes_it_unicode_is_named() -> None:
    """The first three, and how many more."""
    (card,) = cards(happened(view(text="ŁłŃń", encoding="ucs2")))
    assert any(one.small.startswith("Ł ł Ń and 1 more are not in the SMS alphabet") for one in card.steps)


@pytest.mark.parametrize(
    ("writer", "sender_id", "why"),
    [(MARIE, OURS, "Marie Dubois’s own number"), (MARIE, "ACME", "a name"), ("x@y.example", OURS, "default")],
)
def test_reason_of_the_sender_id(writer: str, sender_id: str, why: str) -> None:
    """Own number, name, default."""
    (card,) = cards(happened(view(writer=writer, sender_id=sender_id)))
    assert any(why in one.why for one in card.steps if one.text.startswith("The phone shows"))


def test_what_was_left_out_is_struck_through_and_explained() -> None:
    """The words are those of the email that the page sent: the store does not keep them."""
    left = (LeftOut(kind="signature", lines=1),)
    (card,) = cards(happened(view(left_out=left), sent=(sent(),)))
    (step,) = [one for one in card.steps if one.gone]
    assert (step.text, step.gone) == ("Left out: signature (1 line)", "Marie")
    assert "It would cost an SMS" in step.why


def test_each_part_left_out_has_its_own_lines() -> None:
    """A signature above the mail that is answered."""
    left = (LeftOut(kind="signature", lines=3), LeftOut(kind="quote", lines=3))
    mail = sent(text="Bonjour\n\n-- \nMarie\nACME\n\nOn Monday, they wrote:\n> Yes\n> please")
    (card,) = cards(happened(view(left_out=left), sent=(mail,)))
    gone = [one.gone for one in card.steps if one.text.startswith("Left out")]
    assert gone == ["Marie\nACME", "On Monday, they wrote:\n> Yes\n> please"]


@pytest.mark.parametrize(
    ("code", "reply", "text"),
    [
        (550, "5.1.3 no number", "Refused at once"),
        (250, "2.0.0 n-1", "No SMS sent: something in the email is wrong"),
    ],
)
def test_refused_email_has_a_card(code: int, reply: str, text: str) -> None:
    """By the listener's word, or by the notice that follows."""
    (card,) = cards(happened(sent=(sent(code=code, reply=reply),)))
    assert card.end.text == text


def test_email_that_waits_for_its_message_has_no_card() -> None:
    """It was accepted, and the message is not read yet."""
    assert cards(happened(sent=(sent(),))) == []


def test_unknown_cost_is_no_step() -> None:
    """It is not taken for nothing; what nobody took did cost nothing."""
    (unknown,) = cards(happened(view()))
    (nothing,) = cards(happened(view(cost=read_money("0 EUR"))))
    assert [one.text for one in unknown.steps if "Cost" in one.text] == []
    assert [one.text for one in nothing.steps if "Cost" in one.text] == ["Cost 0 EUR (simulated)"]


def test_messages_of_one_email_share_its_card() -> None:
    """Two recipients, one email; ids on the page are never the same."""
    both = (view(id="m-2", to="+33639985678"), view())
    (card,) = cards(happened(*both))
    ids = [one.id for one in card.steps]
    assert len(set(ids)) == len(ids)
    assert [one.text for one in card.steps if "Route" in one.text] == [
        "Route for +33 6 39 98 12 34: FR → sim-a, else sim-b",
        "Route for +33 6 39 98 56 78: FR → sim-a, else sim-b",
    ]


def test_answer_is_threaded_signed_and_quotes() -> None:
    """As a mail program writes it, to the address that finds the conversation."""
    raw = (
        b'From: "+33 6 39 98 12 34 (SMS)" <33639981234@sms.demo.example>\r\nTo: marie@sms.demo.example\r\n'
        b"Subject: Re: Hi\r\nMessage-ID: <in.1@x>\r\nReferences: <0@x>\r\n"
        b"Reply-To: <33639981234+rabc@sms.demo.example>\r\n\r\nOui\r\n"
    )
    draft = answer(read(1, NOW, raw), "Merci", "10:02", "Marie Dubois")
    assert (draft.from_, draft.to) == (MARIE, "33639981234+rabc@sms.demo.example")
    assert (draft.subject, draft.in_reply_to, draft.references) == ("Re: Hi", "<in.1@x>", "<0@x> <in.1@x>")
    assert draft.text.startswith("Merci\n\n-- \nMarie Dubois")
    assert draft.text.endswith(
        "On 10:02, +33 6 39 98 12 34 (SMS) <33639981234@sms.demo.example> wrote:\n> Oui\n"
    )


def test_times_and_spans() -> None:
    """Another day is named; a span is short."""
    assert len(clock(NOW, NOW)) == len("10:02")
    assert clock(NOW - 86_400_000, NOW) != clock(NOW, NOW)
    assert (span(80), span(1100), span(-5)) == ("80 ms", "1.1 s", "0 ms")


def test_what_answers_a_stop_is_no_call() -> None:
    """Nobody's email or call asked for it."""
    (card,) = cards(happened(view(writer="", subject="", message_id=None, class_="consent")))
    assert card.title == "Our answer to a word for STOP, START or HELP"
    assert card.steps[0].text == "Written by mail2sms itself"
    assert not [step for step in card.steps if "nobody" in step.text]
