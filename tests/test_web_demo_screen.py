"""The demo's phone keeps the conversations with several senders apart."""

from __future__ import annotations

import pytest

from mail2sms.web.demo_screen import screen
from mail2sms.web.demo_view import Bubble

TEXTS = [
    Bubble(id="1", at=1, kind="got", text="Bonjour", ours="+33639980101"),
    Bubble(id="2", at=2, kind="got", text="Alarm", ours="ACME"),
    Bubble(id="3", at=3, kind="typed", text="Oui", ours="+33639980101"),
]


@pytest.mark.parametrize(
    ("count", "wanted", "contact", "others", "texts"),
    [
        (0, "", "", (), []),
        (0, "ACME", "", (), []),
        (1, "", "+33639980101", (), ["Bonjour"]),
        (2, "", "ACME", ("+33639980101",), ["Alarm"]),
        (3, "", "+33639980101", ("ACME",), ["Bonjour", "Oui"]),  # it was answered last
        (3, "ACME", "ACME", ("+33639980101",), ["Alarm"]),
        (3, "+4", "+33639980101", ("ACME",), ["Bonjour", "Oui"]),
    ],
)
def test_one_conversation_at_a_time(
    count: int, wanted: str, contact: str, others: tuple[str, ...], texts: list[str]
) -> None:
    """The latest, or the one that is chosen."""
    shown = screen(TEXTS[:count], wanted)
    assert (shown.contact, shown.others, [one.text for one in shown.bubbles]) == (contact, others, texts)
