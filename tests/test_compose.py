"""The mails we write: their headers and words, and that no text of a stranger adds a header."""

from __future__ import annotations

import base64
import email
import email.policy
import re
from dataclasses import replace
from email.message import EmailMessage
from html import unescape
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mail2sms.errors import DeliveryFailed, Problem
from mail2sms.model import Msisdn, Origin, Photo, Status
from mail2sms.money import Money
from mail2sms.relay import wire
from mail2sms.relay.approval import ApprovalFacts, approval_email
from mail2sms.relay.compose import (
    Addressee,
    HeldFacts,
    Outgoing,
    RefusedFacts,
    ReplyFacts,
    held_email,
    refused_email,
    reply_email,
)
from mail2sms.relay.limit import LimitFacts, limit_email
from mail2sms.relay.undelivered import UndeliveredFacts, undelivered_email
from mail2sms.render import Render
from mail2sms.wording import LANGUAGES

RENDER = Render()
AT = 1_778_571_660_000  # Tuesday 12 May 2026, 9:41 in Paris
REPLY_ADDRESS = "33639981234+rk7q2f9h3wd@sms.acme.example"
ORIGIN = Origin(
    source="smtp", message_id="<a@acme.example>", subject="Rendez-vous du 12 mai", references=("<z@b>",)
)

REPLY_HEADERS = [
    *("From", "To", "Reply-To", "Subject", "Date", "Message-ID", "In-Reply-To", "References", "Thread-Topic"),
    *(
        "Thread-Index",
        "Auto-Submitted",
        "X-Auto-Response-Suppress",
        "List-Id",
        "X-Mail2SMS-Loop",
        "X-Mail2SMS-Message",
    ),
    *("X-Mail2SMS-Conversation", "MIME-Version", "Content-Type"),
]


def addressee(language: str = "en") -> Addressee:
    return Addressee(
        to="marie@acme.example", language=language, zone="Europe/Paris", domain="sms.acme.example"
    )


def reply(language: str = "en", **changes: object) -> Outgoing:
    """Return a reply of one phone to one mail."""
    values = {
        "id": "mo-1",
        "addressee": addressee(language),
        "msisdn": Msisdn("+33639981234"),
        "text": "Oui c'est bon pour 14h30 👍",
        "received_at": AT,
        "conversation": "c-1",
        "reply_address": REPLY_ADDRESS,
        "origin": ORIGIN,
        "started_at": AT,
    }
    return reply_email(ReplyFacts(**{**values, **changes}), RENDER)  # type: ignore[arg-type]


SOURCE = ("From: ACME", "Tel: 06 39 98 12 34", "", "Your appointment is on Tuesday at 14:30.", "Marie")
UNKNOWN_FIELD = Problem(reason="template.unknown_field", value="Tel", hint="To", line=2, column=1, width=3)
CORRECTED = "To: 06 39 98 12 34\nFrom: ACME\n\nYour appointment: é & = + ?\n##\n"


def refused(language: str = "en", **changes: object) -> Outgoing:
    """Return the notice of a mail with a wrong field."""
    values = {
        "id": "m-1",
        "addressee": addressee(language),
        "at": AT,
        "problems": (UNKNOWN_FIELD,),
        "source": SOURCE,
        "corrected": CORRECTED,
        "template_address": "sms@sms.acme.example",
        "simple_address": "33639981234@sms.acme.example",
        "origin": ORIGIN,
    }
    return refused_email(RefusedFacts(**{**values, **changes}), RENDER)  # type: ignore[arg-type]


def undelivered(language: str = "en", **changes: object) -> Outgoing:
    """Return the notice of a message to a number that does not exist."""
    values = {
        "id": "m-1",
        "addressee": addressee(language),
        "msisdn": Msisdn("+33639981234"),
        "text": "Bonjour,\nvotre rendez-vous",
        "status": Status.UNDELIVERABLE,
        "reason": "carrier.unknown_number",
        "charged": "no",
        "accepted_at": AT,
        "attempted_at": AT + 60_000,
        "conversation": "c-1",
        "template_address": "sms@sms.acme.example",
        "reply_address": REPLY_ADDRESS,
        "carrier": "ovh",
        "code": "27",
        "detail": "unknown subscriber",
        "origin": ORIGIN,
    }
    return undelivered_email(UndeliveredFacts(**{**values, **changes}), RENDER)  # type: ignore[arg-type]


def suspected(language: str, reason: str) -> Outgoing:
    """Return what asks an approver about what looks like fraud."""
    return asked(language, held=asked_about(language, reason=reason))


def asked_about(language: str, reason: str = "held.approval") -> HeldFacts:
    """Return what is known of a message that waits for approval."""
    return HeldFacts(
        id="m-1",
        notice="n-1",
        addressee=addressee(language),
        msisdn=Msisdn("+33639981234"),
        text="Bonjour,\nvotre rendez-vous",
        reason=reason,
        accepted_at=AT,
        at=AT,
        expires_at=AT + 86_400_000,
        conversation="c-1",
        template_address="sms@sms.acme.example",
        others=119,
        origin=ORIGIN,
    )


def asked(language: str = "en", **changes: object) -> Outgoing:
    """Return what asks an approver."""
    values = {
        "held": asked_about(language),
        "approval": "v-1",
        "writer": "paul@acme.example",
        "link": "https://sms.acme.example/approve/v-1.abc",
        "cost": Money(5_400_000, "EUR"),
    }
    return approval_email(ApprovalFacts(**{**values, **changes}), RENDER)  # type: ignore[arg-type]


def limit(language: str = "en", **changes: object) -> Outgoing:
    """Return what tells an administrator of a limit."""
    values = {
        "notice": "n-1",
        "addressee": addressee(language),
        "kind": "user",
        "of": "paul@acme.example",
        "amount": 500,
        "unit": "messages",
        "window": "day",
        "writer": "paul@acme.example",
        "at": AT,
        "until": AT + 9_000_000,
        "template_address": "sms@sms.acme.example",
    }
    return limit_email(LimitFacts(**{**values, **changes}), RENDER)  # type: ignore[arg-type]


def held(language: str = "en", **changes: object) -> Outgoing:
    """Return the notice of a message that an operator holds back."""
    values = {
        "id": "m-1",
        "notice": "n-1",
        "addressee": addressee(language),
        "msisdn": Msisdn("+33639981234"),
        "text": "Bonjour,\nvotre rendez-vous",
        "reason": "held.operator",
        "accepted_at": AT,
        "at": AT + 60_000,
        "expires_at": AT + 86_400_000,
        "conversation": "c-1",
        "template_address": "sms@sms.acme.example",
        "origin": ORIGIN,
    }
    return held_email(HeldFacts(**{**values, **changes}), RENDER)  # type: ignore[arg-type]


def read(outgoing: Outgoing) -> EmailMessage:
    """Read a mail as a mail program does."""
    parsed = email.message_from_bytes(outgoing.content, policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    return parsed


def words(outgoing: Outgoing, kind: str = "plain") -> str:
    """Return the text or HTML part."""
    part = read(outgoing).get_body((kind,))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


def raw_headers(outgoing: Outgoing) -> list[str]:
    """Return the names of the headers as they stand on the wire."""
    head = outgoing.content.partition(b"\r\n\r\n")[0].decode("ascii")
    return [line.partition(":")[0] for line in head.split("\r\n") if line[0] not in " \t"]


# --- reply


def test_a_reply_carries_all_that_threads_it() -> None:
    """Names, order and values; Thread-Index and References are in test_threading.py."""
    outgoing = reply()
    mail = read(outgoing)
    assert raw_headers(outgoing) == REPLY_HEADERS
    assert mail["From"] == '"+33 6 39 98 12 34 (SMS)" <33639981234@sms.acme.example>'
    assert mail["To"] == "marie@acme.example"
    assert mail["Reply-To"] == REPLY_ADDRESS
    assert mail["Subject"] == "Re: Rendez-vous du 12 mai"
    assert mail["Date"] == "Tue, 12 May 2026 09:41:00 +0200"
    assert mail["Message-ID"] == outgoing.message_id == "<in.mo-1@sms.acme.example>"
    assert mail["In-Reply-To"] == "<a@acme.example>"
    assert re.fullmatch(r"<conv\.\w+@sms\.acme\.example> <z@b> <a@acme\.example>", mail["References"])
    assert mail["Thread-Topic"] == "Rendez-vous du 12 mai"
    assert len(base64.b64decode(mail["Thread-Index"])) == 27
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["X-Auto-Response-Suppress"] == "OOF, AutoReply, RN, NRN"
    assert mail["List-Id"] == "SMS replies <replies.sms.acme.example>"
    assert (mail["X-Mail2SMS-Message"], mail["X-Mail2SMS-Conversation"]) == ("mo-1", "c-1")
    assert (outgoing.to, outgoing.envelope_from) == ("marie@acme.example", REPLY_ADDRESS)


def test_a_reply_written_twice_is_the_same_mail() -> None:
    """A mail handed over again after a lost answer is dropped by its Message-ID."""
    assert reply() == reply()


def test_the_first_words_are_the_phones() -> None:
    """The inbox's preview is the SMS; the footer stands after the signature line."""
    text = words(reply("fr", name="Client Durand"))
    assert text == (
        "Oui c'est bon pour 14h30 👍\n"
        "-- \n"
        "SMS de +33 6 39 98 12 34 (Client Durand), reçu mardi 12 mai à 9 h 41.\n"
        "Répondez à ce message\u00a0: votre texte lui parviendra par SMS (160 caractères = 1 SMS\u202f; signature et "
        "citation sont retirées).\n"
    )
    body = words(reply(), "html").partition("<body")[2]
    assert re.sub(r"\s*<[^>]*>\s*", "", body.partition(">")[2]).startswith("Oui c&#39;est bon")


def test_the_html_has_the_text_and_nothing_of_its_markup() -> None:
    """Lines stay lines; a stranger's tags stay words; the direction is the text's."""
    html = words(reply(text='<img src=x onerror="y">\nשלום'), "html")
    assert "&lt;img src=x onerror=&#34;y&#34;&gt;<br>\nשלום" in html
    assert "<img" not in html
    assert '<div dir="auto" lang=""' in html
    assert '<html lang="en" dir="auto">' in html


def test_a_name_stands_in_the_sender() -> None:
    """Also one that needs encoding."""
    assert read(reply(name="Client Durand"))["From"] == '"Client Durand (SMS)" <33639981234@sms.acme.example>'
    sender = read(reply(name='Zoé "Z" Lefèvre'))["From"].addresses[0]
    assert (sender.display_name, sender.addr_spec) == (
        'Zoé "Z" Lefèvre (SMS)',
        "33639981234@sms.acme.example",
    )


def test_a_text_that_answers_no_mail() -> None:
    """Its subject says who wrote; the thread begins at the conversation."""
    outgoing = reply("fr", origin=None, replies=3)
    mail = read(outgoing)
    assert raw_headers(outgoing) == REPLY_HEADERS
    assert mail["Subject"] == mail["Thread-Topic"] == "SMS de +33 6 39 98 12 34"
    assert mail["In-Reply-To"] == mail["References"]
    assert len(base64.b64decode(mail["Thread-Index"])) == 37


def test_their_thread_index_is_extended_and_a_broken_one_replaced() -> None:
    """Outlook's own conversation goes on."""
    theirs = base64.b64encode(b"\x01" + bytes(range(21))).decode()
    extended = read(reply(origin=Origin(source="smtp", thread_index=theirs)))["Thread-Index"]
    fresh = read(reply(origin=Origin(source="smtp", thread_index="%%")))["Thread-Index"]
    assert base64.b64decode(extended)[:22] == base64.b64decode(theirs)
    assert fresh == read(reply())["Thread-Index"]


def test_a_sender_that_cannot_be_answered() -> None:
    """No Reply-To, the null sender, and words that say so."""
    outgoing = reply(reply_address="")
    assert "Reply-To" not in raw_headers(outgoing)
    assert outgoing.envelope_from == ""
    assert "cannot be answered" in words(outgoing)


def test_a_name_that_wrote() -> None:
    """It has no number, so nobody can write to it: the address is a fixed word."""
    mail = read(reply(msisdn=Msisdn("ACME <x>"), reply_address="", origin=None))
    assert mail["From"].addresses[0].addr_spec == "no-reply@sms.acme.example"
    assert mail["From"].addresses[0].display_name == "ACME <x> (SMS)"
    assert mail["Subject"] == "SMS from ACME <x>"


def test_photos_are_attached_under_harmless_names() -> None:
    """A stranger's type and name count only as far as they are known."""
    photos = (
        Photo(name="plage.jpeg", media_type="image/jpeg", content=bytes(range(256)) * 5),
        Photo(name="../../été\r.exe", media_type="image/PNG", content=b"png"),
        Photo(name="", media_type="text/html", content=b"<script>"),
        Photo(name="", media_type="image/jpeg\r\nBcc: x", content=b""),
    )
    outgoing = reply(photos=photos)
    attached = list(read(outgoing).iter_attachments())
    assert [(part.get_content_type(), part.get_filename()) for part in attached] == [
        ("image/jpeg", "plage.jpg"),
        ("image/png", "_.._été .png"),
        ("application/octet-stream", "photo-3.bin"),
        ("application/octet-stream", "photo-4.bin"),
    ]
    assert [part.get_content() for part in attached] == [photo.content for photo in photos]
    assert "[4 photos attached]" in words(outgoing)
    assert "[1 photo jointe]" in words(reply("fr", photos=photos[:1]))
    assert raw_headers(outgoing) == REPLY_HEADERS


# --- refused


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("url", ["https://sms.acme.example/help?lang=en", ""])
def test_a_refusal_leads_to_mails_that_work(language: str, url: str) -> None:
    """Where something is served; else nothing is said of it."""
    outgoing = refused(language, help_url=url)
    for kind in ("plain", "html"):
        assert ("/help" in words(outgoing, kind)) == bool(url)
    assert not url or f'<a href="{url}">' in words(outgoing, "html")


def test_a_refusal_shows_the_place_and_the_way_out() -> None:
    """The whole text, as a person reads it."""
    outgoing = refused(corrected="To: 06 39 98 12 34\n\nHello\n##\n")
    assert words(outgoing) == (
        "Your SMS was not sent. Nothing was charged.\n"
        "\n"
        "Line 2 of your message needs a change:\n"
        "\n"
        " 1 | From: ACME\n"
        " 2 | Tel: 06 39 98 12 34\n"
        "   | ^^^\n"
        "   | There is no field “Tel”. Did you mean “To”?\n"
        " 3 |\n"
        " 4 | Your appointment is on Tuesday at 1…\n"
        "\n"
        "Corrected message, ready to send:\n"
        "\n"
        "   To: 06 39 98 12 34\n"
        "\n"
        "   Hello\n"
        "   ##\n"
        "\n"
        "Open the corrected message:\n"
        "mailto:sms@sms.acme.example?subject=Rendez-vous%20du%2012%20mai"
        "&body=To%3A%2006%2039%2098%2012%2034%0D%0A%0D%0AHello%0D%0A%23%23\n"
        "\n"
        "Easier: write to 33639981234@sms.acme.example and the whole message is the SMS.\n"
        "\n"
        "Reason: template.unknown_field\n"
    )


def test_a_notice_is_answered_by_no_machine() -> None:
    """The null sender and RFC 3834; a reply goes to the template mailbox."""
    outgoing = refused()
    mail = read(outgoing)
    assert raw_headers(outgoing) == [
        *("From", "To", "Subject", "Date", "Message-ID", "In-Reply-To", "References", "Auto-Submitted"),
        *(
            "X-Auto-Response-Suppress",
            "List-Id",
            "X-Mail2SMS-Loop",
            "X-Mail2SMS-Message",
            "X-Mail2SMS-Reason",
        ),
        *("MIME-Version", "Content-Type"),
    ]
    assert outgoing.envelope_from == ""
    assert mail["From"].addresses[0].addr_spec == "sms@sms.acme.example"
    assert mail["Subject"] == "SMS not sent: Rendez-vous du 12 mai"
    assert mail["Message-ID"] == outgoing.message_id == "<refused.m-1@sms.acme.example>"
    assert mail["In-Reply-To"] == mail["References"] == "<a@acme.example>"
    assert mail["Auto-Submitted"] == "auto-replied"
    assert mail["X-Mail2SMS-Reason"] == "template.unknown_field"
    assert "In-Reply-To" not in raw_headers(refused(origin=None))


def test_the_link_opens_exactly_the_corrected_mail() -> None:
    """RFC 6068: percent-encoded UTF-8, lines end with CR LF; the same in text and HTML."""
    link = re.search(r"^mailto:\S+$", words(refused()), re.MULTILINE)
    assert link is not None
    url = urlsplit(link[0])
    assert unquote(url.path) == "sms@sms.acme.example"
    assert parse_qs(url.query) == {
        "subject": ["Rendez-vous du 12 mai"],
        "body": [CORRECTED.strip("\n").replace("\n", "\r\n")],
    }
    assert f'href="{link[0].replace("&", "&amp;")}"' in words(refused(), "html")


@pytest.mark.parametrize(
    "corrected",
    [
        "To: 06 39 98 12 34\n\nGrüße, schöne Straße – naïve œuvre: 5 €, è così",
        "To: @team\n\n50% off? a&b=c#d;e/f\\g+h \"i\" 'j' <k> {l} [m] |n| ^o^ `p`",
        "To: 06 39 98 12 34\n\n👍🏽 שלום 日本",
        "To: 06 39 98 12 34\r\n\r\nlines\r\nof Windows",
        "To: 06 39 98 12 34\n\n%0A is no line end, nor is &body=x",
        "To: 06 39 98 12 34\n\n  indented\ttabbed  \n\n\nlast",
    ],
)
def test_no_character_is_lost_or_changed_in_the_link(corrected: str) -> None:
    """Only unreserved characters and what separates the parts; read back it is the mail that is shown."""
    text = words(refused(corrected=corrected, origin=replace(ORIGIN, subject="Für Zoé & Co. #1?")))
    link = re.search(r"^mailto:\S+$", text, re.MULTILINE)
    assert link is not None
    assert re.fullmatch(r"mailto:sms@[a-z.]+\?subject=[\w.~%-]+&body=[\w.~%-]+", link[0], re.ASCII)
    lines = corrected.replace("\r\n", "\n")
    assert parse_qs(urlsplit(link[0]).query, strict_parsing=True) == {
        "subject": ["Für Zoé & Co. #1?"],
        "body": [lines.replace("\n", "\r\n")],
    }
    assert all(line.rstrip() in text for line in lines.split("\n"))


LINK = len("mailto:sms@sms.acme.example?subject=Rendez-vous%20du%2012%20mai&body=")


@pytest.mark.parametrize(
    ("corrected", "has_link"),
    [
        ("x" * (1900 - LINK), True),
        ("x" * (1901 - LINK), False),
        ("ü" * ((1900 - LINK) // 6), True),
        ("ü" * ((1900 - LINK) // 6 + 1), False),
    ],
)
def test_a_link_that_would_be_cut_is_left_out(corrected: str, has_link: bool) -> None:
    """Windows hands a mail program about 2,000 characters; the corrected text is still shown, and where it goes."""
    outgoing = refused(corrected=corrected)
    for part in (words(outgoing), words(outgoing, "html")):
        assert ("&body=" in unescape(part)) is has_link
        assert corrected in part
    assert ("Copy it into a new mail to sms@sms.acme.example." in words(outgoing)) is not has_link


def test_all_problems_are_shown_at_once() -> None:
    """Those without a place in words, those with one under their line; in HTML also for a screen reader."""
    example = {"example": "2026-05-12 14:30"}
    problems = (
        UNKNOWN_FIELD,
        Problem(reason="template.bad_time", value="14:30", line=4, column=35, width=5, facts=example),
        Problem(reason="recipients.too_many", facts={"count": "60", "limit": "50", "more": "2"}),
    )
    outgoing = refused(problems=problems, corrected="", simple_address="")
    assert words(outgoing) == (
        "Your SMS was not sent. Nothing was charged.\n"
        "\n"
        "The mail has 60 recipients; at most 50 are allowed. Send it in several mails.\n"
        "\n"
        "2 places in your message need a change:\n"
        "\n"
        " 1 | From: ACME\n"
        " 2 | Tel: 06 39 98 12 34\n"
        "   | ^^^\n"
        "   | There is no field “Tel”. Did you mean “To”?\n"
        " 3 |\n"
        " 4 | …appointment is on Tuesday at 14:30.\n"
        "   |                               ^^^^^\n"
        "   | “14:30” is not a time. Write it like 2026-05-12 14:30.\n"
        " 5 | Marie\n"
        "\n"
        "And 2 more.\n"
        "\n"
        "Reason: template.unknown_field, template.bad_time, recipients.too_many\n"
    )
    labels = re.findall(r'<pre dir="ltr" role="img" aria-label="([^"]*)"', words(outgoing, "html"))
    assert labels == ["Line 2, “Tel: 06 39 98 12 34”", "Line 4, “Your appointment is on Tuesday at 14:30.”"]


def test_who_gets_it_and_who_does_not_is_told_apart() -> None:
    """Nobody sends it again to everyone for one number."""
    problem = Problem(reason="country.not_allowed", facts={"country": "US", "to": "+1 202-555-0123"})
    outgoing = refused(problems=(problem,), source=(), corrected="", simple_address="", is_partly=True)
    assert read(outgoing)["Subject"] == "SMS not sent to everyone: Rendez-vous du 12 mai"
    assert words(outgoing) == (
        "Your SMS was not sent to everyone. The other recipients get it; what was not sent is not charged.\n"
        "\n"
        "+1 202-555-0123 – SMS to US are not allowed here. Ask your administrator to add this country.\n"
        "\n"
        "Reason: country.not_allowed\n"
    )


@pytest.mark.parametrize(
    ("line", "column", "width", "shown", "under"),
    [
        ("ab", 1, 1, "ab", "^"),
        ("a\tb", 3, 1, "a b", "  ^"),
        ("日本x", 3, 1, "日本x", "    ^"),  # wide characters take two columns
        ("日本x", 1, 2, "日本x", "^^^^"),
        ("e\u0301x", 3, 1, "e\u0301x", " ^"),  # marks take none
        ("a\x07b\u202ec", 5, 1, "a\ufffdb\ufffdc", "    ^"),  # what can't be seen keeps its place
        ("ab", 99, 1, "ab", "  ^"),  # beyond the end
        ("", 1, 1, "", "^"),
        ("x" * 37, 37, 1, "x" * 37, " " * 36 + "^"),
        ("x" * 38, 38, 1, "…" + "x" * 35, " " * 35 + "^"),  # a long line is cut around the fault
        ("To: " + "x" * 300, 5, 300, "To: " + "x" * 31 + "…", "    " + "^" * 31),
        ("x" * 300, 200, 5, "…" + "x" * 35 + "…", " " * 16 + "^^^^^"),
        ("x" * 300, 200, 90, "…" + "x" * 35 + "…", " " + "^" * 35),
        ("x" * 298 + "ab", 299, 2, "…" + "x" * 33 + "ab", " " * 34 + "^^"),
        ("日" * 100, 50, 1, "…" + "日" * 17 + "…", " " * 17 + "^^"),
    ],
)
def test_the_caret_stands_under_the_fault(line: str, column: int, width: int, shown: str, under: str) -> None:
    """Whatever the line holds, within the columns that a narrow inbox has."""
    problem = Problem(reason="template.bad_time", value="x", line=1, column=column, width=width)
    outgoing = refused(problems=(problem,), source=(line,), corrected="")
    rows = [f" 1 | {shown}".rstrip(), f"   | {under}"]
    assert "\n".join([*rows, "   | “x” is not a time.\n"]) in words(outgoing)
    assert "\n".join(rows) + "</pre>" in unescape(words(outgoing, "html"))
    assert all(len(row) + sum(row.count(c) for c in "日本") <= 42 for row in rows)


def test_each_of_several_faults_of_a_long_line_is_in_sight() -> None:
    """The line is shown again where its part that was shown does not hold the next one."""
    line = "".join(f"{n:02}, " for n in range(40))
    problems = [
        Problem(reason="template.bad_time", value="x", line=1, column=c, width=2) for c in (1, 9, 141)
    ]
    assert [
        row
        for row in words(refused(problems=tuple(problems), source=(line,))).split("\n")
        if "^" in row or "1 |" in row
    ] == [
        " 1 | 00, 01, 02, 03, 04, 05, 06, 07, 08,…",
        "   | ^^",
        "   |         ^^",
        " 1 | …31, 32, 33, 34, 35, 36, 37, 38, 39,…",
        "   |                  ^^",
    ]


def test_only_the_lines_around_a_fault_are_shown() -> None:
    """Nobody wants their mail of 500 lines back."""
    source = tuple(f"line {n}" for n in range(1, 501))
    places = (3, 400, 400, 999)
    problems = tuple(Problem(reason="template.bad_time", value="x", line=n, column=1) for n in places)
    text = words(refused(problems=problems, source=source, corrected=""))
    shown = re.findall(r"^ *(\d+|…) \|", text, re.MULTILINE)
    assert shown == ["1", "2", "3", "4", "5", "…", "398", "399", "400", "401", "402"]
    assert text.count("is not a time") == 4  # the one beyond the end in words


# --- undelivered


def test_what_was_not_delivered_says_why_what_to_do_and_what_it_cost() -> None:
    """Cause, action, money, then the facts for support."""
    outgoing = undelivered("fr", name="Client Durand")
    mail = read(outgoing)
    assert mail["Subject"] == "SMS non remis à +33 6 39 98 12 34"
    assert (mail["X-Mail2SMS-Reason"], mail["Auto-Submitted"]) == ("carrier.unknown_number", "auto-replied")
    assert (mail["Reply-To"], outgoing.envelope_from) == (REPLY_ADDRESS, "")
    assert words(outgoing) == (
        "Le numéro n’existe pas ou n’est plus en service. Vérifiez le numéro auprès de la personne.\n"
        "\n"
        "Nous ne réessaierons pas. Rien n’a été facturé.\n"
        "\n"
        "  À              +33 6 39 98 12 34 (Client Durand)\n"
        "  Accepté        mardi 12 mai à 9 h 41\n"
        "  Dernier essai  mardi 12 mai à 9 h 42\n"
        '  Opérateur      ovh 27 "unknown subscriber"\n'
        "\n"
        "Votre texte\u00a0:\n"
        "\n"
        "   Bonjour,\n"
        "   votre rendez-vous\n"
        "\n"
        "Motif\u00a0: carrier.unknown_number\n"
    )


def test_what_nobody_knows_is_said_as_such() -> None:
    """It may have arrived: we do not send it again by ourselves."""
    outgoing = undelivered(status=Status.UNKNOWN, reason="carrier.unknown", charged="maybe")
    assert read(outgoing)["Subject"] == "Did your SMS to +33 6 39 98 12 34 arrive?"
    assert "we do not know whether the SMS arrived" in words(outgoing)
    assert "We will not send it again, so that nobody gets it twice. It may have been charged." in words(
        outgoing
    )


@pytest.mark.parametrize(
    ("language", "sentence"),
    [
        ("en", "It may have been charged (0.045\u00a0EUR)."),
        ("fr", "Il est possible qu’il soit facturé (0,045\u00a0EUR)."),
        ("de", "Möglicherweise wird sie berechnet (0,045\u00a0EUR)."),
        ("it", "Potrebbe essere addebitato (0,045\u00a0EUR)."),
    ],
)
def test_what_a_failure_may_have_cost(language: str, sentence: str) -> None:
    """How much, where a price is known; where nothing was charged, nothing of it."""
    cost = Money(45_000, "EUR")
    assert sentence in words(undelivered(language, charged="maybe", cost=cost))
    assert "EUR" not in words(undelivered(language, charged="no", cost=cost))


def test_a_message_lost_twice_is_told_in_two_mails() -> None:
    """First unknown, then rejected: a mailbox that drops what it has already must not drop the second."""
    ids = {
        undelivered(status=status).message_id for status in (Status.UNKNOWN, Status.REJECTED, Status.REJECTED)
    }
    assert len(ids) == 2


# --- held


def test_what_waits_says_why_until_when_and_how_to_stop_it() -> None:
    """The whole text, as a person reads it; the moment is in the reader's zone."""
    outgoing = held("de", reason="held.quiet_hours", until=AT + 36_000_000)
    assert read(outgoing)["Subject"] == "SMS an +33 6 39 98 12 34 wartet"
    assert words(outgoing) == (
        "Ihre SMS wartet: Um diese Zeit werden in dieses Land (FR) keine SMS gesendet.\n"
        "\n"
        "Die SMS geht am Dienstag, 12. Mai, 19:41 Uhr hinaus. Bisher wurde nichts berechnet.\n"
        "\n"
        "Um sie zu stoppen, bitten Sie Ihren Administrator, die Nachricht m-1 zu stornieren.\n"
        "\n"
        "  An          +33 6 39 98 12 34\n"
        "  Angenommen  Dienstag, 12. Mai, 9:41 Uhr\n"
        "\n"
        "Ihr Text:\n"
        "\n"
        "   Bonjour,\n"
        "   votre rendez-vous\n"
        "\n"
        "Grund: held.quiet_hours\n"
    )


def test_what_waits_for_somebody_says_when_it_is_given_up() -> None:
    """Nobody knows until when: the end of its validity is all that is certain."""
    text = words(held())
    assert "It goes out as soon as it is released. Nothing has been charged yet.\n" in text
    assert "If it is still waiting on Wednesday 13 May at 9:41 am, it will not be sent" in text


def test_an_answer_to_what_waits_reaches_no_phone() -> None:
    """`Stop it!` is meant for us: there is no Reply-To, and no machine answers."""
    outgoing = held()
    mail = read(outgoing)
    assert raw_headers(outgoing) == [
        *("From", "To", "Subject", "Date", "Message-ID", "In-Reply-To", "References", "Auto-Submitted"),
        *(
            "X-Auto-Response-Suppress",
            "List-Id",
            "X-Mail2SMS-Loop",
            "X-Mail2SMS-Message",
            "X-Mail2SMS-Conversation",
        ),
        *("X-Mail2SMS-Reason", "MIME-Version", "Content-Type"),
    ]
    assert mail["From"].addresses[0].addr_spec == "sms@sms.acme.example"
    assert (mail["Auto-Submitted"], outgoing.envelope_from) == ("auto-replied", "")
    assert mail["Message-ID"] == outgoing.message_id == "<held.n-1@sms.acme.example>"
    assert mail["In-Reply-To"] == "<a@acme.example>"


# --- safety


HOSTILE = [
    "=?utf-8?q?a=0ABcc:_x?=",
    "a\r\nBcc: x@evil.example",
    "a\nBcc: x\r\n\r\n<html>",
    "a\u2028Bcc: x",
    "a\x85Bcc: x",
    "\x00\x0b\x0c",
    "\u202egnp.exe",
    "=\x00?utf-8?b?QQ==?=",
    "=?=?=?",
    '" <evil@evil.example>, "',
    "\ud800",
    "é" * 5000,
    "x" * 5000,
    "x " * 2500,
    "\\",
    '"',
    "--=_a",
    ".\r\n.\r\n",
]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_hostile_text_is_only_a_text(hostile: str) -> None:
    """As an SMS, a name, a subject, a message id, a thread index, a carrier's words."""
    origin = Origin(
        source="smtp", message_id=hostile, subject=hostile, references=(hostile,), thread_index=hostile
    )
    problem = Problem(reason="template.bad_time", value=hostile, hint=hostile, line=1, column=1)
    mails = [
        reply(text=hostile, name=hostile, origin=origin),
        refused(source=(hostile,), corrected=hostile, origin=origin, problems=(problem,)),
        undelivered(text=hostile, name=hostile, code=hostile, detail=hostile, origin=origin),
        held(text=hostile, name=hostile, origin=origin),
    ]
    assert raw_headers(mails[0]) == REPLY_HEADERS
    for outgoing in mails:
        mail = read(outgoing)
        assert mail["Bcc"] is None
        assert mail.keys() == raw_headers(outgoing)
        assert [part.get_content_type() for part in mail.walk()] == [
            "multipart/alternative",
            "text/plain",
            "text/html",
        ]
        assert outgoing.content.isascii()
        assert max(map(len, outgoing.content.split(b"\r\n"))) <= 998
        assert b"\n" not in outgoing.content.replace(b"\r\n", b"")
        assert len(mail["From"].addresses) == 1
        assert mail["From"].addresses[0].domain == "sms.acme.example"


ANY = st.text(st.characters(), max_size=80) | st.sampled_from(HOSTILE)


@settings(derandomize=True, max_examples=300, deadline=None)
@given(ANY, ANY, ANY)
def test_no_text_adds_a_header(text: str, name: str, subject: str) -> None:
    """Any SMS, any name, any subject: exactly our headers, and the text comes out as it went in."""
    outgoing = reply(text=text, name=name, origin=Origin(source="smtp", subject=subject))
    mail = read(outgoing)
    assert raw_headers(outgoing) == REPLY_HEADERS
    assert mail.keys() == REPLY_HEADERS
    assert words(outgoing).startswith(wire.clean_text(text))
    sender = mail["From"].addresses
    assert [one.addr_spec for one in sender] == ["33639981234@sms.acme.example"]


@settings(derandomize=True, max_examples=300, deadline=None)
@given(ANY)
def test_a_header_says_what_was_meant(text: str) -> None:
    """Folding and encoded words decode to the cleaned text, whatever it is; lines keep to RFC 2047."""
    value = wire.unstructured("Subject", text)
    assert value.isascii()
    decoded = email.message_from_string(f"Subject: {value}\n\n", policy=email.policy.default)["Subject"]
    assert decoded == wire.clean_header(text)
    if "=?" in value:
        assert max(map(len, f"Subject: {value}".split("\r\n"))) <= 76


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("a\r\n\tb", "a b"),
        ("e\u0301", "é"),
        ("a\u202eb\u200fc\u2066d\ufeff", "abcd"),
        ("a\x00b\x7fc\x9fd", "abcd"),
        ("a\u2028b", "a b"),
        ("=?utf-8?q?x?=", "= ?utf-8?q?x?="),
        ("=\x00?x", "= ?x"),
        ("x" * 300, "x" * 200),
        ("  x  ", "x"),
        ("👍\U0001f3fd family: 👨\u200d👩\u200d👧", "👍\U0001f3fd family: 👨\u200d👩\u200d👧"),
    ],
)
def test_a_clean_header(text: str, clean: str) -> None:
    """threats: one line, nothing unseen, no encoded word, bounded; joined emoji stay joined."""
    assert wire.clean_header(text) == clean


def test_a_header_that_went_wrong_is_replaced() -> None:
    """The last line of defence: our own output is read again."""
    headers = [("From", "<a@b>"), ("Subject", "x\r\nBcc: y")]
    content = wire.write(headers, {"Subject": "SMS"}, "text", "<p>text</p>")
    mail = email.message_from_bytes(content, policy=email.policy.default)
    assert mail.keys() == ["From", "Subject", "MIME-Version", "Content-Type"]
    assert mail["Subject"] == "SMS"
    with pytest.raises(DeliveryFailed) as e:
        wire.write([("From", "<a@b>\r\n\r\nbody")], {"Subject": "SMS"}, "text", "")
    assert e.value.is_final


@pytest.mark.parametrize(
    "address",
    [
        "",
        "x",
        "a b@c",
        "a@b\r\nBcc: c",
        "e\u0301@b",
        "é@é.example",
        "nic\u212a@b",
        "é\u2028@b",
        '"a"@b',
        "a@b, c@d",
        "<a@b>",
        "a@b>",
    ],
)
def test_an_address_that_is_none_is_final(address: str) -> None:
    """Nobody can be written to there."""
    with pytest.raises(DeliveryFailed) as e:
        wire.mailbox("To", "", address)
    assert e.value.is_final


def test_an_address_beyond_ascii_stands_in_the_header_as_it_is() -> None:
    """RFC 6532; all else is as in other mails, and nothing is added."""
    zoe = replace(addressee(), to="zoé@xn--exmple-cua.fr")
    outgoing = reply(addressee=zoe, name="Zoë")
    assert b"\r\nTo: <zo\xc3\xa9@xn--exmple-cua.fr>\r\n" in outgoing.content
    assert (
        raw_headers(replace(outgoing, content=outgoing.content.replace(b"\xc3\xa9", b"e"))) == REPLY_HEADERS
    )
    assert outgoing.content.replace(b"\xc3\xa9", b"").isascii()
    assert (outgoing.to, read(outgoing)["Subject"]) == (zoe.to, "Re: Rendez-vous du 12 mai")


def test_a_guess_is_no_click_away_from_being_sent() -> None:
    """A corrected mail that holds an example instead of the writer's own words is shown as one, without a link."""
    missing = Problem(reason="template.missing_field", value="To")
    guess = words(refused(problems=(missing,), is_example=True))
    assert "mailto:" not in guess
    assert "For example:" in guess
    certain = words(refused(problems=(UNKNOWN_FIELD,)))
    assert "ready to send" in certain
    assert "mailto:" in certain
