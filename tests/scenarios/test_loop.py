"""The whole loop through the doors, on both databases: email, SMS, reply as an email, answer as an SMS."""

from __future__ import annotations

import email
import email.policy
import json
import smtplib
import threading
from collections.abc import Iterator
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, ClassVar

import pytest
from standardwebhooks import Webhook

from tests.servers._server import free_port, wait_until
from tests.servers.daemon import Daemon
from tests.servers.sink import MailSink

OURS = "+33639980101"
PHONE = "+33639981234"
DOMAIN = "sms.acme.example"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Room(BaseHTTPRequestHandler):
    """A web service that keeps what is posted to it."""

    posted: ClassVar[list[tuple[dict[str, str], bytes]]] = []

    def do_POST(self) -> None:
        """Take it."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.posted.append(({k.lower(): v for k, v in self.headers.items()}, body))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def room() -> Iterator[int]:
    """A chat service's port."""
    server = HTTPServer(("127.0.0.1", free_port()), Room)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def sink() -> Iterator[MailSink]:
    """The company's mail server, as the daemon sees it."""
    with MailSink() as opened:
        yield opened


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.servers)])
def daemon(request: pytest.FixtureRequest, sink: MailSink, room: int) -> Iterator[Daemon]:
    """A daemon with a smarthost and two chat hooks."""
    database = ""
    if request.param == "postgresql":
        database = request.getfixturevalue("postgresql").create_database()
    hook = f'{{on: [reply, failed], url: "http://127.0.0.1:{room}/x", format: webhook, secret: {SECRET}}}'
    chat = f'{{on: reply, url: "http://127.0.0.1:{room}/m", format: mattermost}}'
    extra = (
        f'relay: {{smarthost: {{address: "127.0.0.1:{sink.port}"}}, hooks: [{hook}, {chat}]}}\n'
        "carriers: {sim: {type: simulated, delay: 20ms}}\n"
        "language: fr\n"
    )
    sink.clear()
    with Daemon(database=database, extra=extra) as running:
        yield running


def mail(to: str, text: str, subject: str = "Rendez-vous du 12 mai", **headers: str) -> EmailMessage:
    """Return a mail of Marie's."""
    message = EmailMessage(policy=email.policy.SMTP)
    message["From"], message["To"], message["Subject"] = "Marie Dubois <marie@acme.example>", to, subject
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    message.set_content(text)
    return message


def send(daemon: Daemon, message: EmailMessage, to: str | None = None) -> tuple[int, str]:
    """Send a mail; return the final reply."""
    with smtplib.SMTP("127.0.0.1", daemon.smtp_port, "client.example", timeout=20) as smtp:
        smtp.ehlo()
        smtp.mail("marie@acme.example")
        code, reply = smtp.rcpt(to or str(message["To"]))
        if code == 250:
            code, reply = smtp.data(message.as_bytes())
        return code, reply.decode()


def status(daemon: Daemon, id_: str, *wanted: str) -> dict[str, Any]:
    """Wait until a message has one of these statuses; return it."""
    found: dict[str, Any] = {}

    def has_it() -> bool:
        found.update(daemon.api(f"/api/v1/messages/{id_}")[1])
        return found["status"] in wanted

    assert wait_until(has_it, 15), found
    return found


def find_mail(sink: MailSink, needle: str) -> EmailMessage:
    """Return the mail whose Subject, From or Auto-Submitted and plain part hold `needle`, once it has come."""
    found: list[EmailMessage] = []

    def has_come() -> bool:
        for raw in sink.messages:
            parsed = email.message_from_bytes(raw, policy=email.policy.default)
            assert isinstance(parsed, EmailMessage)
            if needle in f"{parsed['Subject']} {parsed['From']} {words(parsed)}":
                found.append(parsed)
        return bool(found)

    assert wait_until(has_come, 20), f"no mail holds {needle!r}"
    return found[-1]


def words(message: EmailMessage) -> str:
    """Return the plain part."""
    part = message.get_body(("plain",))
    assert part is not None
    return str(part.get_content())


def test_an_email_becomes_an_sms_and_the_reply_an_email_that_can_be_answered(
    daemon: Daemon, sink: MailSink
) -> None:
    """The main job, whole."""
    phone = "+33639981111"
    code, reply = send(
        daemon,
        mail(f"33639981111@{DOMAIN}", "Rendez-vous à 14h30 ?\n-- \nMarie", Message_ID="<1@acme.example>"),
    )
    assert code == 250, reply
    id_ = reply.split()[1]
    message = status(daemon, id_, "delivered")
    assert (message["to"], message["parts"], message["sender_id"]) == (phone, 1, OURS)
    shown = daemon.phone(phone)
    assert [(line["text"], line["from"], line["id"]) for line in shown] == [
        ("Rendez-vous à 14h30 ?", OURS, id_)
    ]
    daemon.phone_says(phone, "Oui, parfait 👍", OURS)
    answer = find_mail(sink, "Oui, parfait 👍")
    assert words(answer).startswith("Oui, parfait 👍")
    assert answer["In-Reply-To"] == "<1@acme.example>"
    assert answer["References"].split()[-1] == "<1@acme.example>"
    assert answer["Subject"] == "Re: Rendez-vous du 12 mai"
    assert answer["Thread-Index"]
    assert answer["Auto-Submitted"] == "auto-generated"
    back = mail(
        answer["Reply-To"],
        "Très bien, à demain.\n\nLe mardi 12 mai 2026 à 09:41, +33 6 39 98 11 11 a écrit :\n> Oui, parfait\n",
        subject=answer["Subject"],
        In_Reply_To=answer["Message-ID"],
    )
    code, reply = send(daemon, back)
    assert code == 250, reply
    status(daemon, reply.split()[1], "delivered")
    assert [line["text"] for line in daemon.phone(phone)][-1] == "Très bien, à demain."


def test_the_chat_hooks_are_told_and_signed(daemon: Daemon, sink: MailSink) -> None:
    """Standard Webhooks' own verifier accepts it; Mattermost gets words."""
    phone = "+33639982222"
    send(daemon, mail(f"33639982222@{DOMAIN}", "Bonjour"))
    assert wait_until(lambda: bool(daemon.phone(phone)), 10)
    before = len(Room.posted)
    daemon.phone_says(phone, "Merci @channel", OURS)
    assert wait_until(lambda: len(Room.posted) >= before + 2, 10)
    posts = {headers.get("webhook-id") is not None: (headers, body) for headers, body in Room.posted[before:]}
    headers, body = posts[True]
    event = Webhook(SECRET).verify(body, headers)
    assert "Merci @channel" in json.dumps(event)
    assert b"@channel" not in posts[False][1]


def test_a_refused_template_comes_back_with_the_corrected_mail(daemon: Daemon, sink: MailSink) -> None:
    """250 once the email is stored, then the email: the line, the caret, the link."""
    code, reply = send(daemon, mail(f"sms@{DOMAIN}", "Tel: 06 39 98 12 34\nFrom: ACME\n\nBonjour\n##\n"))
    assert code == 250, reply
    refusal = find_mail(sink, "template.unknown_field")
    assert refusal["Auto-Submitted"] == "auto-replied"
    assert {m.sender for m in sink.mails if b"Auto-Submitted: auto-replied" in m.content} == {"<>"}
    text = words(refusal)
    assert "Tel" in text
    assert "^^^" in text
    assert "mailto:sms@" in text
    assert "template.unknown_field" in text


def test_a_number_that_does_not_exist_is_told_once(daemon: Daemon, sink: MailSink) -> None:
    """The not-delivered email, with the plain reason first."""
    _, reply = send(daemon, mail(f"33639980404@{DOMAIN}", "Bonjour"))
    assert status(daemon, reply.split()[1], "undeliverable")["reason"] == "carrier.unknown_number"
    assert "+33 6 39 98 04 04" in find_mail(sink, "+33 6 39 98 04 04")["Subject"]


def test_a_photo_comes_back_as_an_attachment(daemon: Daemon, sink: MailSink) -> None:
    """MMS from the phone."""
    send(daemon, mail(f"33639980606@{DOMAIN}", "Une photo ?"))
    attachments = list(find_mail(sink, "Here is the photo").iter_attachments())
    assert [part.get_content_type() for part in attachments] == ["image/png"]


def test_a_lost_answer_is_unknown_and_not_sent_again(daemon: Daemon) -> None:
    """The number that takes the message and closes the connection."""
    _, reply = send(daemon, mail(f"33639980000@{DOMAIN}", "Bonjour"))
    status(daemon, reply.split()[1], "unknown")
    assert len(daemon.phone("+33639980000")) == 1


def test_the_same_mail_again_has_the_same_id(daemon: Daemon) -> None:
    """A mail server that missed our 250."""
    phone = "+33639983333"
    message = mail(f"33639983333@{DOMAIN}", "Une fois", Message_ID="<same@acme.example>")
    replies = [send(daemon, message) for _ in range(3)]
    assert len({reply.split()[1] for _, reply in replies}) == 1
    status(daemon, replies[0][1].split()[1], "delivered")
    assert len(daemon.phone(phone)) == 1


@pytest.mark.parametrize(
    ("to", "code", "enhanced"),
    [
        ("sms@other.example", 550, "5.7.1"),
        (f"nobody@{DOMAIN}", 550, "5.1.1"),
        (f"33123456789@{DOMAIN}", 550, "5.1.3"),
        (f"0639981@{DOMAIN}", 550, "5.1.3"),
        (f"447700900123@{DOMAIN}", 550, "5.7.1"),
        (f"881612345678@{DOMAIN}", 550, "5.1.3"),
        (f"33639981234+raaaaaaaaaa@{DOMAIN}", 550, "5.1.1"),
        (f'"33639981234@x"@{DOMAIN}', 550, "5.1.1"),
        (f"33639981234%other.example@{DOMAIN}", 550, "5.1.1"),
    ],
)
def test_what_no_proof_could_change_is_refused_at_rcpt(
    daemon: Daemon, to: str, code: int, enhanced: str
) -> None:
    """For every client, at once."""
    with smtplib.SMTP("127.0.0.1", daemon.smtp_port, "client.example", timeout=20) as smtp:
        smtp.ehlo()
        smtp.mail("stranger@else.example")
        got, reply = smtp.rcpt(to)
    assert (got, reply.decode()[:5]) == (code, enhanced)


@pytest.mark.parametrize(
    ("headers", "sender"),
    [
        ({"From": "stranger@else.example"}, "stranger@else.example"),
        ({"From": "marie@acme.example, paul@acme.example"}, "marie@acme.example"),
        ({"From": "marie@acme.example", "Auto-Submitted": "auto-replied"}, "marie@acme.example"),
        ({"From": "marie@acme.example"}, ""),
        ({}, "marie@acme.example"),
    ],
)
def test_strangers_automatic_mail_and_null_senders_get_a_550_and_nothing_else(
    daemon: Daemon, sink: MailSink, headers: dict[str, str], sender: str
) -> None:
    """No SMS, no email."""
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    with smtplib.SMTP("127.0.0.1", daemon.smtp_port, "client.example", timeout=20) as smtp:
        smtp.ehlo()
        smtp.mail(sender)
        smtp.rcpt(f"33639984444@{DOMAIN}")
        code, reply = smtp.data(f"{head}Subject: x\r\n\r\nBonjour\r\n")
    assert (code, reply.decode()[:5]) == (550, "5.7.1")
    assert daemon.phone("+33639984444") == []
    assert not [m for m in sink.mails if "stranger@else.example" in m.recipients]


def test_the_log_holds_no_text_number_or_address(daemon: Daemon) -> None:
    """After mails taken and refused, replies and reports."""
    _, reply = send(daemon, mail(f"33639981999@{DOMAIN}", "Bonjour"))
    status(daemon, reply.split()[1], "delivered")
    daemon.phone_says("+33639981999", "parfait", OURS)
    log = daemon.log()
    assert "mail_accepted" in log
    for secret in ("Bonjour", "33639981", "parfait", "marie@", SECRET):
        assert secret not in log
