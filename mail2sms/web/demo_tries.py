"""What can be tried in the demo: emails that are ready to send, each showing one thing."""

from __future__ import annotations

from dataclasses import dataclass

from mail2sms.web.demo_mail import signed


@dataclass(frozen=True, kw_only=True, slots=True)
class Try:
    """An email to try; `sender` and `to` are addresses before the @, `shows` what will be seen."""

    name: str
    label: str
    shows: str
    to: str
    subject: str
    text: str
    sender: str = "marie"
    photo: bool = False


def _signed(text: str) -> str:
    return signed(text, "Marie Dubois")


TRIES = (
    Try(
        name="",
        label="An appointment",
        shows="An email becomes an SMS; its signature is left out. Then write back from the phone.",
        to="33639981234",
        subject="Your appointment",
        text=_signed("Hello, your appointment is on Tuesday at 14:30. Does that suit you?"),
    ),
    Try(
        name="mistake",
        label="A mistake",
        shows="The strict template, with a label that does not exist: the answer shows where, and the corrected email.",
        to="sms",
        subject="Delivery",
        text="To: +33 6 39 98 12 34\nExpirs: 2h\nRef: P-881\n\nYour parcel has arrived.\n##\nBelow the end.",
    ),
    Try(
        name="emoji",
        label="Emoji",
        shows="One character outside the SMS alphabet, and one part becomes two.",
        to="33639981234",
        subject="Parcel",
        text=_signed("Your parcel has arrived 📦 You can fetch it at the front desk until 18:00 today."),
    ),
    Try(
        name="nobody",
        label="A number that does not exist",
        shows="The carrier reports it; the writer gets an email that says so.",
        to="33639980404",
        subject="Appointment",
        text=_signed("Hello, your appointment is on Tuesday at 14:30."),
    ),
    Try(
        name="photo",
        label="A photo",
        shows="This phone answers with a photo, which arrives in the inbox.",
        to="33639980606",
        subject="Damage",
        text=_signed("Could you send us a photo of the damage?"),
    ),
    Try(
        name="mms",
        label="A photo by MMS",
        shows="In the US and Canada an attached photo goes as MMS; elsewhere the text gets a link to it.",
        to="12025550123",
        subject="Your car",
        text=_signed("Your car is ready. This is what it looks like now."),
        photo=True,
    ),
    Try(
        name="stop",
        label="STOP",
        shows="This phone answers STOP: you are told, it is written to no more, and gets one SMS that confirms it.",
        to="33639987867",
        subject="News",
        text=_signed("Our shop has new opening hours."),
    ),
    Try(
        name="silence",
        label="No report",
        shows="The carrier takes it and never says what became of it: it stays on its way.",
        to="33639980408",
        subject="Reminder",
        text=_signed("Please remember to bring your documents."),
    ),
    Try(
        name="down",
        label="Carrier down",
        shows="The first carrier does not take it, so the second does.",
        to="33639980503",
        subject="Alarm",
        text=_signed("Cold room 2: 9 degrees since 07:40. Please check the door."),
    ),
    Try(
        name="ups",
        label="A machine",
        shows="A UPS writes to its own mailbox; three phones are told. Send it again: the same goes out once. "
        "Write OK from a phone: the others hear who takes care of it.",
        sender="ups",
        to="ups",
        subject="UPS-3 on battery",
        text="Event: input power lost\nBattery: 87 %, 24 min left\n\nThis is an automatic message.",
    ),
)
"""The first is what the page opens with."""
