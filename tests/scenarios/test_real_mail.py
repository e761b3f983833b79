"""Real mail programs and servers: four clients, Postfix in front, Postfix and Dovecot behind."""

from __future__ import annotations

import base64
import email
import email.policy
import smtplib
from collections.abc import Iterator
from email.message import EmailMessage

import pytest

from tests.servers import CLIENTS, Inbox, MailSink, Postfix
from tests.servers._server import free_port, wait_until
from tests.servers.daemon import Daemon

pytestmark = pytest.mark.servers

DOMAIN = "sms.acme.example"
OURS = "+33639980101"


@pytest.fixture(scope="module", params=["strict", "subject"])
def daemon(request: pytest.FixtureRequest) -> Iterator[Daemon]:
    """A daemon whose sms@ follows one of the shipped templates."""
    extra = f"template: {request.param}\ncarriers: {{sim: {{type: simulated, delay: 20ms}}}}\n"
    with Daemon(extra=extra) as running:
        yield running


def mail(to: str, subject: str, body: str, client: str) -> bytes:
    """Return a mail as a person's program writes it."""
    message = EmailMessage(policy=email.policy.SMTP)
    message["From"], message["To"], message["Subject"] = "Marie <marie@acme.example>", to, subject
    message["Message-ID"] = f"<{client}.{abs(hash((to, subject, body)))}@acme.example>"
    message.set_content(body, cte="quoted-printable")
    return message.as_bytes()


@pytest.mark.parametrize("client", sorted(CLIENTS))
def test_every_client_sends_by_address_and_by_template(daemon: Daemon, client: str) -> None:
    """Simple: the address is the number. Strict or subject: the mail says it."""
    number = 5000 + 10 * sorted(CLIENTS).index(client)
    is_strict = "template: strict" in daemon.config.read_text()
    phone = f"+3363998{number:04d}"
    simple = (f"{phone[1:]}@{DOMAIN}", "Rendez-vous", f"Déjà prêt, {client} !\n\n-- \nMarie\n")
    fields = f"To: 06 39 98 {number // 100} {number % 100:02d}\nRef: r-1\n\nÀ mardi, {client}.\n##\nMarie\n"
    strict = (f"sms@{DOMAIN}", "x", fields)
    subject = (
        f"sms@{DOMAIN}",
        f"06 39 98 {number // 100} {number % 100:02d}",
        f"À mardi, {client}.\n-- \nMarie\n",
    )
    for to, title, body in (simple, strict if is_strict else subject):
        code, said = CLIENTS[client](
            mail(to, title, body, client), "127.0.0.1", daemon.smtp_port, "marie@acme.example", to
        )
        assert code == 0, said
    assert wait_until(lambda: len(daemon.phone(phone)) == 2, 10)
    assert sorted(line["text"] for line in daemon.phone(phone)) == sorted(
        [f"Déjà prêt, {client} !", f"À mardi, {client}."]
    )


def test_postfix_in_front_relays_a_hundred_mails_once_each() -> None:
    """The mail server of a company, by SMTP."""
    with Daemon() as daemon, Postfix({DOMAIN: daemon.smtp_port}) as postfix:
        with smtplib.SMTP("127.0.0.1", postfix.port, "client.example", timeout=30) as smtp:
            for n in range(100):
                phone = f"3363998{6000 + n % 5}@{DOMAIN}"
                head = f"From: marie@acme.example\r\nTo: {phone}\r\nMessage-ID: <{n}@acme.example>\r\n"
                smtp.sendmail("marie@acme.example", [phone], f"{head}Subject: x\r\n\r\nmail {n}\r\n")
        assert wait_until(lambda: postfix.queue() == [], 60)
        phones = [f"+3363998{6000 + n}" for n in range(5)]
        assert wait_until(lambda: sum(len(daemon.phone(p)) for p in phones) == 100, 30)
        shown = sorted(line["text"] for phone in phones for line in daemon.phone(phone))
        assert shown == sorted(f"mail {n}" for n in range(100))


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (
            "06399812345",
            '"06399812345" is not a phone number in FR; it has 11 digits, and a mobile number there has 10',
        ),
        ("0142685300", '"0142685300" is not a mobile number in FR, so it cannot get SMS'),
        ("447700900123", "SMS to GB are not allowed here; ask your administrator to add this country"),
    ],
)
def test_a_wrong_number_behind_a_mail_server_comes_back_with_its_reason(number: str, said: str) -> None:
    """Postfix's own words around ours: what a person reads who typed a number wrong."""
    with (
        MailSink() as sink,
        Daemon() as daemon,
        Postfix({DOMAIN: daemon.smtp_port, "acme.example": sink.port}) as postfix,
    ):
        _send(postfix.port, mail(f"{number}@{DOMAIN}", "x", "Bonjour", "p"), f"{number}@{DOMAIN}")
        assert wait_until(lambda: len(sink.messages) == 1, 30)
        bounce = email.message_from_bytes(sink.messages[0], policy=email.policy.default)
        assert bounce["To"] == "marie@acme.example"
        told = " ".join(next(iter(bounce.iter_parts())).get_content().split())
        code = "5.7.1" if said.startswith("SMS") else "5.1.3"
        assert f"said: 550 {code} {said} (in reply to RCPT TO command)" in told


def test_a_real_inbox_threads_the_reply_and_its_owner_answers_from_there() -> None:
    """Postfix and Dovecot behind the bridge: the headers that mail programs group by, read over IMAP."""
    port = free_port()
    with (
        Inbox("marie@acme.example", routes={DOMAIN: port}) as inbox,
        Daemon(smarthost_port=inbox.smtp_port, smtp_port=port) as daemon,
    ):
        _write_and_read(inbox, daemon)


def _write_and_read(inbox: Inbox, daemon: Daemon) -> None:
    phone = "+33639987001"
    first = mail(f"{phone[1:]}@{DOMAIN}", "Rendez-vous du 12 mai", "Rendez-vous à 14h30 ?\n", "inbox")
    _send(inbox.smtp_port, first, f"{phone[1:]}@{DOMAIN}")
    assert wait_until(lambda: len(daemon.phone(phone)) == 1, 20)
    original = email.message_from_bytes(first)["Message-ID"]
    indexes: list[bytes] = []
    for number, words in enumerate(("Oui", "À quelle heure déjà ?"), start=1):
        daemon.phone_says(phone, words, OURS)
        raw = inbox.wait_for(number)[-1]
        reply = email.message_from_bytes(raw, policy=email.policy.default)
        assert reply["In-Reply-To"] == original
        assert original in reply["References"].split()
        assert reply["Subject"] == "Re: Rendez-vous du 12 mai"
        indexes.append(base64.b64decode(reply["Thread-Index"]))
        assert (indexes[-1][0], indexes[-1][:22]) == (1, indexes[0][:22])
        assert len(indexes[-1]) == 22 + 5 * number
    answer = EmailMessage(policy=email.policy.SMTP)
    answer["From"], answer["To"], answer["Subject"] = (
        "marie@acme.example",
        reply["Reply-To"],
        reply["Subject"],
    )
    answer["In-Reply-To"] = reply["Message-ID"]
    answer.set_content(
        "14h30.\n\nOn Tuesday 12 May at 9:41 am, +33 6 39 98 70 01 (SMS) wrote:\n> À quelle heure ?\n"
    )
    _send(inbox.smtp_port, answer.as_bytes(), answer["To"])
    assert wait_until(lambda: len(daemon.phone(phone)) == 2, 20)
    assert daemon.phone(phone)[-1]["text"] == "14h30."


def _send(port: int, content: bytes, to: str) -> None:
    with smtplib.SMTP("127.0.0.1", port, "client.example", timeout=30) as smtp:
        smtp.sendmail("marie@acme.example", [to], content)
