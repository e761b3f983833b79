"""A real Postfix hands mail over by LMTP: each recipient has its own fate, and nothing is sent again."""

from __future__ import annotations

import email
import email.policy
import re
import smtplib
from collections.abc import Iterator, Sequence

import pytest

from tests.servers import Postfix, wait_until
from tests.servers._background import Background
from tests.servers._server import free_port
from tests.servers.cutting import Cut, Proxy
from tests.servers.daemon import DOMAIN, Daemon
from tests.servers.sink import MailSink

GOOD, GOOD_TOO, REFUSED = "+33639981234", "+33639985678", "+33639980404"
SENTENCE = "SMS to this number are not allowed here: special"

pytestmark = pytest.mark.servers


class Bridge:
    """Postfix before the daemon, with something between that can be cut, and all emails in one inbox."""

    def __init__(self, daemon: Daemon, proxy: Proxy, postfix: Postfix, inbox: MailSink) -> None:
        self.daemon, self.proxy, self.postfix, self.inbox = daemon, proxy, postfix, inbox

    def send(self, text: str, *mailboxes: str, mail: Sequence[str] = (), rcpt: Sequence[str] = ()) -> None:
        """Give Postfix one mail, with these parameters."""
        to = [f"{mailbox.removeprefix('+')}@{DOMAIN}" for mailbox in mailboxes]
        content = (
            f"From: marie@acme.example\r\nMessage-ID: <{text}@acme.example>\r\nSubject: x\r\n\r\n{text}\r\n"
        )
        with smtplib.SMTP("127.0.0.1", self.postfix.port, "client.example", timeout=30) as smtp:
            smtp.sendmail("marie@acme.example", to, content, mail, rcpt)

    def fates(self) -> list[tuple[str, str]]:
        """What Postfix says became of each recipient, so far."""
        lines = re.findall(r"to=<([^@]+)@sms[^>]*>.*status=(\w+)", self.postfix.log())
        return sorted(lines)

    def texts(self, phone: str) -> list[str]:
        """What a phone shows."""
        return [message["text"] for message in self.daemon.phone(phone)]


@pytest.fixture
def bridge() -> Iterator[Bridge]:
    """All of it."""
    port, web = free_port(), free_port()
    doors = f'{{lmtp: {{address: "127.0.0.1:{port}"}}, web: {{address: "127.0.0.1:{web}", url: "http://127.0.0.1"}}}}'
    with MailSink() as inbox, Background() as background:
        extra = (
            f"listen: {doors}\n"
            "carriers: {sim: {type: simulated, delay: 20ms}}\n"
            f'routes: [{{to: "{REFUSED}", refuse: special}}, {{to: any, via: [sim]}}]\n'
        )
        with Daemon(smarthost_port=inbox.port, extra=extra, web_port=web) as daemon:
            proxy = Proxy(background, port, is_kept=False)
            settings = f"transport_maps = inline:{{ {{ {DOMAIN} = lmtp:inet:127.0.0.1:{proxy.port} }} }}"
            with Postfix(default=f"smtp:[127.0.0.1]:{inbox.port}", settings=settings) as postfix:
                yield Bridge(daemon, proxy, postfix, inbox)


def test_each_recipient_has_its_own_fate(bridge: Bridge) -> None:
    """Taken, refused after DATA, refused at RCPT, taken: none is tried again, and one report names who was refused."""
    bridge.send("un", GOOD, REFUSED, "nobody", GOOD_TOO)
    assert wait_until(lambda: len(bridge.fates()) >= 4 and bridge.postfix.queue() == [], 30), (
        bridge.postfix.log()
    )
    assert bridge.fates() == sorted(
        [(GOOD[1:], "sent"), (GOOD_TOO[1:], "sent"), (REFUSED[1:], "bounced"), ("nobody", "bounced")]
    )
    (report,) = bridge.inbox.wait_for(1)
    said = re.sub(rb"\s+", b" ", report).decode()
    assert "multipart/report" in said
    assert SENTENCE in said
    assert "5.1.1 there is no such address here" in said
    assert wait_until(lambda: [bridge.texts(phone) for phone in (GOOD, GOOD_TOO)] == [["un"], ["un"]], 20)
    assert bridge.texts(REFUSED) == []


def test_a_lost_answer_sends_nothing_twice(bridge: Bridge) -> None:
    """The connection breaks when all is stored and nothing answered: Postfix comes again and hears the same."""
    bridge.send("un", GOOD, REFUSED, GOOD_TOO)
    assert wait_until(lambda: len(bridge.fates()) >= 3 and bridge.postfix.queue() == [], 30), (
        bridge.postfix.log()
    )
    (link,) = bridge.proxy.links
    heard = bytes(link.heard)
    end = heard.index(b"\r\n", heard.index(b"\r\n354 ") + 2) + 2
    bridge.proxy.arm(Cut("server", end, "reset"))
    bridge.send("du", GOOD, REFUSED, GOOD_TOO)
    assert wait_until(lambda: "deferred" in dict(map(reversed, bridge.fates())), 30), bridge.postfix.log()

    def sent() -> list[int]:
        return [bridge.fates().count((phone[1:], "sent")) for phone in (GOOD, GOOD_TOO)]

    # A mail that goes from one queue to the next is in neither for a moment.
    assert wait_until(lambda: sent() == [2, 2] and bridge.postfix.queue() == [], 30), bridge.postfix.log()
    assert bridge.fates().count((REFUSED[1:], "bounced")) == 2
    assert wait_until(lambda: len(bridge.texts(GOOD)) == 2, 20)
    assert [sorted(bridge.texts(phone)) for phone in (GOOD, GOOD_TOO)] == [["du", "un"], ["du", "un"]]
    assert len(bridge.inbox.wait_for(2)) == 2


def test_a_report_that_was_asked_of_postfix_comes_from_us_alone(bridge: Bridge) -> None:
    """Postfix hands on what it was asked, answers nothing itself, and passes our reports on as they are."""
    asked = {
        "mail": ["RET=HDRS", "ENVID=QQ+2B1"],
        "rcpt": ["NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;marie+2Bs@x.example"],
    }
    bridge.send("un", GOOD, **asked)
    (report,) = bridge.inbox.wait_for(1)
    with smtplib.SMTP("127.0.0.1", bridge.postfix.port, "client.example", timeout=30) as smtp:
        smtp.sendmail("", ["marie@acme.example"], report)
    for content in bridge.inbox.wait_for(2):
        parsed = email.message_from_bytes(content, policy=email.policy.default)
        assert parsed.get_content_type() == "multipart/report"
        (of_mail, of_phone) = parsed.get_payload(1).get_payload()
        assert of_mail["Original-Envelope-Id"] == "QQ+1"
        assert (of_phone["Action"], of_phone["Final-Recipient"]) == (
            "delivered",
            f"rfc822; {GOOD[1:]}@{DOMAIN}",
        )
        assert of_phone["Original-Recipient"] == "rfc822; marie+s@x.example"
        assert "Message-ID: <un@acme.example>" in parsed.get_payload(2).get_payload()
    assert {mail.sender for mail in bridge.inbox.mails} <= {"", "<>"}
    assert bridge.fates() == [(GOOD[1:], "sent")]
