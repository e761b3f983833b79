"""The SMTP listener: what it answers, what it never passes on, and what strangers may have of it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import smtplib
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop

from mail2sms.endpoint import Endpoint
from mail2sms.intake.envelope import Client, Envelope, ListenerOptions
from mail2sms.intake.limits import Attempt, Budget, Limits, Lockout, neighbourhood
from mail2sms.intake.listener import listen
from mail2sms.intake.smtp_syntax import Collector, CommandRefused, Lines, read_mail_parameters, read_path
from tests.listening import BEGIN, GREETING, HOST, MAIL, STRANGER, Caller, Desk, running

LoopFactory = Callable[[], asyncio.AbstractEventLoop] | None
LOOPS: list[LoopFactory] = [None, uvloop.new_event_loop]


@pytest.mark.parametrize(
    ("commands", "codes"),
    [
        ("EHLO me|QUIT", "250|221 2.0.0"),
        ("HELO me|MAIL FROM:<a@b.example>", "250|250 2.1.0"),
        ("EHLO|HELO", "501 5.5.4|501 5.5.4"),
        ("MAIL FROM:<a@b.example>", "503 5.5.1"),
        ("EHLO me|RCPT TO:<a@b.example>|DATA", "250|503 5.5.1|503 5.5.1"),
        ("EHLO me|MAIL FROM:<>|RCPT TO:<>|RCPT TO:<a@b.example>", "250|250|553 5.1.3|250 2.1.5"),
        ("EHLO me|MAIL FROM:<a@b.example>|MAIL FROM:<a@b.example>", "250|250|503 5.5.1"),
        ("EHLO me|MAIL FROM:<>|MAIL FROM:<>", "250|250|503 5.5.1"),
        ("EHLO me|MAIL FROM:<a@b.example>|RSET|RCPT TO:<a@b.example>", "250|250|250 2.0.0|503"),
        ("EHLO me|MAIL FROM:<a@b.example>|EHLO me|RCPT TO:<a@b.example>", "250|250|250|503"),
        ("EHLO me|MAIL FROM:<a@b.example>|RCPT TO:<no@b.example>|DATA", "250|250|550 5.1.1|554 5.5.1"),
        ("EHLO me|MAIL FROM:<a@b.example> SIZE=1000000 BODY=8BITMIME SMTPUTF8", "250|250 2.1.0"),
        ("EHLO me|MAIL FROM:<a@b.example> SIZE=1000001", "250|552 5.3.4"),
        ("EHLO me|MAIL FROM:<a@b.example> RET=HDRS", "250|555 5.5.4"),
        ("EHLO me|MAIL FROM:<é@b.example>", "250|553 5.6.7"),
        ("EHLO me|MAIL FROM:<é@b.example> SMTPUTF8|RCPT TO:<ü@b.example>", "250|250|250"),
        ("EHLO me|MAIL FROM:<a@b.example>|RCPT TO:<ü@b.example>", "250|250|553 5.6.7"),
        ("EHLO me|MAIL FROM:<a@b.example>|RCPT TO:<a@b.example> NOTIFY=NEVER", "250|250|555 5.5.4"),
        ("EHLO me|MAIL FROM:<a@b.example>|RCPT TO:<a@b.example>|DATA now", "250|250|250|501 5.5.4"),
        ("NOOP|NOOP hello|HELP|VRFY marie|EXPN all|RSET", "250 2.0.0|250|214 2.0.0|252 2.5.0|502 5.5.1|250"),
        ("BDAT 3 LAST|ETRN x|FOO", "500 5.5.1|500 5.5.1|500 5.5.1"),
        ("STARTTLS|AUTH PLAIN AAAA", "502 5.5.1|502 5.5.1"),
        ("GET / HTTP/1.1", "554 5.5.0"),
        ("ehlo me|mail from: <a@b.example>|rcpt to: <a@b.example>", "250|250|250"),
        ("EHLO " + "x" * 1000, "500 5.5.2"),
    ],
)
async def test_commands(commands: str, codes: str) -> None:
    """Each command in a new session, with the beginning of its reply."""
    async with running() as place:
        caller = await place.call()
        got = [await caller.say(command) for command in commands.split("|")]
        assert all(one.startswith(code) for one, code in zip(got, codes.split("|"), strict=True)), got


async def test_a_mail_arrives_whole() -> None:
    """Envelope, client and content reach the handler; its reply goes out as it is; the session goes on."""
    async with running() as place:
        caller = await place.call()
        await caller.start_mail()
        assert await caller.say(b"..a\r\n.b\r\n\r\n\xe9\r\n.\r\n") == "250 2.0.0 m-1"
        (mail,) = place.desk.mails
        assert mail == Envelope(
            client=Client(ip="127.0.0.1", helo="me"),
            mail_from="marie@acme.example",
            rcpts=("33639981234@sms.acme.example",),
            content=b".a\r\nb\r\n\r\n\xe9\r\n",
        )
        await caller.start_mail()
        assert await caller.say(b".\r\n") == "250 2.0.0 m-2"
        assert place.desk.mails[1].content == b""


async def test_a_reply_never_breaks_the_line() -> None:
    """Whatever a handler says goes out as one line of ASCII."""
    async with running() as place:
        place.desk.replies = ["550 5.6.0 é\r\n250 fine"]
        caller = await place.call()
        await caller.start_mail()
        assert await caller.say(b".\r\n") == "550 5.6.0 ???250 fine"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("<a@b.example>", "a@b.example"),
        (" <a@b.example>", "a@b.example"),
        ("<>", ""),
        ('<"06 39 98 12 34"@b.example>', '"06 39 98 12 34"@b.example'),
        ('<"a\\"b"@b.example>', '"a\\"b"@b.example'),
        ('<"a@b"@b.example>', '"a@b"@b.example'),
        ('<""@b.example>', '""@b.example'),
        ("<+33.6.39+x=y/z@b.example>", "+33.6.39+x=y/z@b.example"),
        ("<a@[127.0.0.1]>", "a@[127.0.0.1]"),
        ("<a@[IPv6:::1]>", "a@[IPv6:::1]"),
        ("<a%b@b.example>", "a%b@b.example"),
        ("<é@bücher.example>", "é@bücher.example"),
        ("<" + "a" * 64 + "@b.example>", "a" * 64 + "@b.example"),
        ("<" + "a" * 65 + "@b.example>", 553),
        ("<" + "é" * 33 + "@b.example>", 553),
        ("<a@" + "b" * 255 + ">", "a@" + "b" * 255),
        ("<a@" + "b" * 256 + ">", 553),
        ("<@x.example:a@b.example>", 553),
        ("<@x.example,@y.example:a@b.example>", 553),
        ("<a@b@c.example>", 553),
        ("<a@b.example@>", 553),
        ("<a>", 553),
        ("<@b.example>", 553),
        ("<a@>", 553),
        ("<.a@b.example>", 553),
        ("<a..b@b.example>", 553),
        ("<a.@b.example>", 553),
        ("<a b@b.example>", 553),
        ('<"a@b.example>', 553),
        ('<"a"b@b.example>', 553),
        ("<a@b..example>", 553),
        ("<a@b.example.>", 553),
        ("<a@[b>", 553),
        ("< a@b.example>", 553),
        ("<a\u202e@b.example>", 553),
        ("<a\u00a0b@b.example>", 553),
        ("<a\x85@b.example>", 553),
        ("<<a@b.example>>", 553),
        ("<a@b.example>x", 553),
        ("a@b.example", 501),
        ("<a@b.example", 501),
        ("Marie <a@b.example>", 501),
        ("", 501),
    ],
)
def test_paths(path: str, expected: str | int) -> None:
    """What is an address; anything else is refused and not repaired."""
    try:
        assert read_path(f"to:{path}", "TO:") == (expected, "")
    except CommandRefused as e:
        assert int(str(e)[:3]) == expected


def test_paths_with_parameters() -> None:
    """What follows the path is given back; another keyword is refused."""
    assert read_path("FROM:<a@b.example>  SIZE=1 x", "FROM:") == ("a@b.example", "SIZE=1 x")
    with pytest.raises(CommandRefused, match="501"):
        read_path("TO:<a@b.example>", "FROM:")


@pytest.mark.parametrize("text", ["SIZE", "SIZE=", "SIZE=x", "SIZE=-1", "SIZE=" + "9" * 21, "SIZE=\u0663",
                                  "BODY=BINARYMIME", "SMTPUTF8=1", "AUTH", "AUTH="])  # fmt: skip
def test_bad_mail_parameters(text: str) -> None:
    """A parameter that we know, with a value that we don't."""
    with pytest.raises(CommandRefused, match="501"):
        read_mail_parameters(text)


@pytest.mark.parametrize(
    "line", [b"NOOP\n", b"NOOP\r\r\n", b"NO\rOP\r\n", b"NOOP\0\r\n", b"NOOP a\x7f\r\n", b"\r\n", b"\n",
             b"MAIL FROM:<a\rRSET@b.example>\r\n", b"EHLO \xff\r\n", b"x" * 20_000 + b"\r\n"],
)  # fmt: skip
async def test_bad_lines(line: bytes) -> None:
    """Lines end with CRLF and hold no control characters; one reply each, and the next command is heard."""
    async with running() as place:
        caller = await place.call()
        assert (await caller.say(line)).startswith("500 5.5.")
        assert await caller.say("NOOP") == "250 2.0.0 OK"


ENDS = [
    b"\n.\n", b"\n.\r\n", b"\n.\r", b"\n\n.\r\n", b"\r.\r", b"\r.\r\n", b"\r.\n", b"\r\n.\n", b"\r\n.\r",
    b"\r\n.\r\r\n", b"\r\r\n.\r\r\n", b"\r\n\n.\n\r\n", b"\r\n\0.\r\n", b"\r\n.\0\r\n", b"\r\n.\r\0\n",
]  # fmt: skip


@pytest.mark.parametrize("end", ENDS, ids=repr)
async def test_smuggling(end: bytes) -> None:
    """What only looks like the end of the mail is none: the mail is refused, nothing is passed on."""
    async with running() as place:
        caller = await place.call()
        await caller.start_mail()
        hidden = BEGIN + b"DATA\r\nSubject: smuggled\r\n\r\nx\r\n.\r\n"
        assert (await caller.say(MAIL + end + hidden)).startswith("554 5.5.2 ")
        assert place.desk.mails == []
        assert await caller.say("NOOP") == "250 2.0.0 OK"


async def test_a_dot_with_a_blank_is_text() -> None:
    """No bare CR or LF in it: one mail, with everything."""
    async with running() as place:
        caller = await place.call()
        await caller.start_mail()
        assert await caller.say(MAIL + b" .\r\n. \r\nQUIT\r\n.\r\n") == "250 2.0.0 m-1"
        assert place.desk.mails[0].content == MAIL + b" .\r\n \r\nQUIT\r\n"


def _collected(*chunks: bytes, limits: Limits | None = None) -> tuple[bytes, bytes]:
    collector = Collector(Budget(limits or Limits()), is_trusted=True)
    *first, last = chunks
    assert not any(collector.feed(chunk) for chunk in first)
    assert collector.feed(last)
    return collector.content(), collector.rest


def test_a_mail_cut_anywhere_is_the_same_mail() -> None:
    """Chunks may end at any byte."""
    sent = b"..\r\n.x\r\n\r\n..\r\n.\r\n"
    expected = (b".\r\nx\r\n\r\n.\r\n", b"")
    for i in range(1, len(sent)):
        assert _collected(sent[:i], sent[i:]) == expected
    assert _collected(*(sent[i : i + 1] for i in range(len(sent)))) == expected
    assert _collected(sent + b"QUIT\r\n") == (expected[0], b"QUIT\r\n")


def test_what_is_kept_is_reserved() -> None:
    """Reserved as it grows, and given back once; a refused mail gives back at once and is read to its end."""
    budget = Budget(Limits(size_bytes=100, bytes_in_flight=150))
    first, second, third = (Collector(budget, is_trusted=True) for _ in range(3))
    assert not first.feed(b"x" * 90)
    assert budget.bytes_in_flight == 92
    assert not second.feed(b"x" * 90)
    assert budget.bytes_in_flight == 92
    assert not third.feed(b"x" * 200)
    assert budget.bytes_in_flight == 92
    assert first.feed(b"\r\n.\r\n")
    assert len(first.content()) == 92
    for refused, code in ((second, "452 4.3.1"), (third, "552 5.3.4")):
        assert not refused.feed(b"y" * 1000)
        assert not refused.feed(b"\r\n.")
        assert refused.feed(b"\r\nNOOP\r\n")
        assert refused.rest == b"NOOP\r\n"
        with pytest.raises(CommandRefused, match=code):
            refused.content()
        refused.release()
    first.release()
    first.release()
    assert budget.bytes_in_flight == 0


@pytest.mark.parametrize("cut", [1, 7, 98, 99, 100, 101, 102])
def test_size_limit_is_exact(cut: int) -> None:
    """A mail of just the limit is taken, one byte more is not, however it arrives."""
    limits = Limits(size_bytes=100)
    sent = b"x" * 98 + b"\r\n.\r\n"
    assert len(_collected(sent[:cut], sent[cut:], limits=limits)[0]) == 100
    with pytest.raises(CommandRefused, match="552"):
        _collected(b"x" + sent[:cut], sent[cut:], limits=limits)


def test_lines_that_are_too_long_are_skipped() -> None:
    """However they arrive, they become one line that is refused, and the next line is whole."""
    for chunks in (
        [b"x" * 30 + b"\r\nb\r\n"],
        [b"x" * 15, b"x" * 15, b"\r\nb\r\n"],
        [b"x" * 30, b"\r", b"\nb\r\n"],
    ):
        lines, found = Lines(10), []
        for chunk in chunks:
            lines.feed(chunk)
            while line := lines.take_line():
                found.append(line)
        assert found == [b"\n", b"b\r\n"]
        assert not lines


async def test_pipelining() -> None:
    """Commands in one packet are answered in order; what follows the end of a mail is the next command."""
    async with running() as place:
        caller = await place.call()
        caller.writer.write(b"EHLO me\r\n" + BEGIN + b"RCPT TO:<no@b.example>\r\nDATA\r\n")
        got = [(await caller.reply())[:3] for _ in range(5)]
        assert got == ["250", "250", "250", "550", "354"]
        caller.writer.write(MAIL + b".\r\n" + BEGIN + b"DATA\r\n")
        got = [(await caller.reply())[:9] for _ in range(4)]
        assert got == ["250 2.0.0", "250 2.1.0", "250 2.1.5", "354 end w"]
        assert await caller.replies(b".\r\nQUIT\r\nNOOP\r\n") == ["250 2.0.0 m-2", "221 2.0.0 bye"]
        assert [mail.content for mail in place.desk.mails] == [MAIL, b""]


async def test_pipelining_with_verdicts_that_take_time() -> None:
    """Replies stay in order, and DATA waits for the recipients before it."""
    async with running() as place:
        caller = await place.call()
        asked = ["later-a@b.example", "later-no@b.example", "later-crash@b.example", "c@b.example"]
        commands = b"".join(f"RCPT TO:<{address}>\r\n".encode() for address in asked)
        caller.writer.write(b"EHLO me\r\nMAIL FROM:<a@b.example>\r\n" + commands + b"DATA\r\n")
        got = [(await caller.reply())[:3] for _ in range(7)]
        assert got == ["250", "250", "250", "550", "451", "250", "354"]
        assert await caller.say(b".\r\n") == "250 2.0.0 m-1"
        assert place.desk.mails[0].rcpts == ("later-a@b.example", "c@b.example")


async def test_a_flood_of_commands_is_answered_in_turns() -> None:
    """One packet may hold more commands than one turn; all are answered, in order."""
    async with running(exempt=lambda ip: True) as place:
        caller = await place.call()
        got = await caller.replies(b"NOOP\r\n" * 5000 + b"QUIT\r\n")
        assert got == ["250 2.0.0 OK"] * 5000 + ["221 2.0.0 bye"]


@pytest.mark.parametrize("rest", [MAIL + b".\r\n", b"RSET\r\n", b"x"])
async def test_nothing_may_follow_data(rest: bytes) -> None:
    """What comes before the 354 is neither a mail nor a command."""
    async with running() as place:
        caller = await place.call()
        got = await caller.replies(b"EHLO me\r\n" + BEGIN + b"DATA\r\n" + rest)
        assert got[3:] == ["554 5.5.0 nothing may follow DATA before 354"]
        assert place.desk.mails == []


async def test_nobody_speaks_before_the_greeting() -> None:
    """Who does is no mail server."""
    async with running() as place:
        early = socket.create_connection(
            ("127.0.0.1", place.port)
        )  # the listener has no turn before it has sent
        early.send(b"EHLO me\r\n" + BEGIN)
        caller = Caller(*await asyncio.open_connection(sock=early))
        assert await caller.replies(b"") == ["554 5.5.0 you spoke before the greeting"]
        caller.writer.close()


async def test_our_faults_are_told_without_their_text() -> None:
    """An exception becomes a 451, nothing else, and the session goes on."""
    async with running() as place:
        place.desk.replies = [RuntimeError("secret")]
        caller = await place.call()
        await caller.start_mail()
        assert await caller.say(MAIL + b".\r\n") == "451 4.3.0 our fault; try again later"
        await caller.say("MAIL FROM:<a@b.example>")
        assert await caller.say("RCPT TO:<crash@b.example>") == "451 4.3.0 our fault; try again later"
        assert await caller.say("RCPT TO:<a@b.example>") == "250 2.1.5 OK"


async def test_limit_of_connections() -> None:
    """One client has its share, all together theirs; over several listeners; a place that is left is free."""
    budget = Budget(Limits(per_ip=2, connections=3))
    refusal = "421 4.7.0 too many connections; try again later"
    async with running(budget=budget) as place, running(budget=budget) as other:
        first = await place.call()
        await other.call()
        assert await (await place.call(greeting=refusal)).reply() == ""
        await place.call("127.0.0.2")
        await other.call("127.0.0.3", greeting=refusal)
        assert await first.replies(b"QUIT\r\n") == ["221 2.0.0 bye"]
        await place.call("127.0.0.3")


async def test_exempt_networks_have_no_limits_of_their_own() -> None:
    """Connections per address, mails per connection and errors are for strangers; the total is for all."""
    limits = Limits(per_ip=1, connections=3, errors=2, mails_per_connection=1)
    async with running(limits, exempt=lambda ip: ip == "127.0.0.1") as place:
        await place.call()
        caller = await place.call()
        for _ in range(5):
            assert (await caller.say("FOO")).startswith("500 ")
        for _ in range(3):
            await caller.start_mail()
            assert (await caller.say(b".\r\n")).startswith("250 ")
        await place.call("127.0.0.2")
        await place.call(greeting="421 4.7.0 too many connections; try again later")


@pytest.mark.parametrize(
    ("ip", "other", "expected"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::5", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("", "", True),  # a unix socket
    ],
)
def test_neighbours(ip: str, other: str, expected: bool) -> None:
    """An IPv6 customer has a /64 for himself."""
    assert (neighbourhood(ip) == neighbourhood(other)) == expected


async def test_strangers_have_few_errors_and_mails() -> None:
    """Too many errors, or mails on one connection, end it; a mail that is taken wipes the errors out."""
    async with running(Limits(errors=2, mails_per_connection=2)) as place:
        caller = await place.call()
        for _ in range(2):
            await caller.say("FOO")
            await caller.say("FOO")
            await caller.start_mail()
            await caller.say(b".\r\n")
        assert await caller.replies(b"MAIL FROM:<a@b.example>\r\n") == [
            "421 4.7.0 too many mails on one connection; connect again"
        ]
        got = await (await place.call()).replies(b"FOO\r\n" * 5)
        assert [reply[:9] for reply in got] == ["500 5.5.1"] * 3 + ["421 4.7.0"]


@pytest.mark.parametrize(
    ("tls", "login", "offers_login"),
    [("off", "no", False), ("offered", "no", False), ("offered", "optional", True)],
)
async def test_who_can_prove_nothing_ends_at_mail(
    tls: str, login: str, offers_login: bool, context: ssl.SSLContext, capsys: pytest.CaptureFixture[str]
) -> None:
    """No recipient is looked at, no mail is read; the handler knows whether a login is offered; one line in the log."""
    async with running(tls=tls, login=login, context=None if tls == "off" else context) as place:
        caller = await place.call(STRANGER)
        got = await caller.replies(b"EHLO me\r\n" + BEGIN * 4 + b"DATA\r\n" + MAIL + b".\r\nQUIT\r\n")
        assert [reply[:9] for reply in got[1:]] == ["550 5.7.1", "503 5.5.1"] * 4 + ["554 5.5.0"]
        assert (place.desk.asked, place.desk.mails) == ([], [])
        assert {offered for _, offered in place.desk.begun} == {offers_login}
    assert capsys.readouterr().out.count("mail_refused") == 1


async def test_a_stranger_who_logs_in_is_none(
    context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    """On the same connection; his place among the strangers is free for another."""
    limits = Limits(connections=4, per_ip=1)
    async with running(limits, tls="offered", login="optional", context=context) as place:
        place.desk.stranger = "530 5.7.0 log in first"
        caller, *_ = [await place.call(ip) for ip in (STRANGER, "127.0.0.2", "127.0.0.3")]
        await place.call("127.0.0.4", greeting="421 4.7.0 too many connections; try again later")
        await caller.start_tls(client_context)
        await caller.say("EHLO me")
        assert await caller.say("MAIL FROM:<marie@acme.example>") == "530 5.7.0 log in first"
        assert (await caller.say("AUTH PLAIN " + _b64("\0marie@acme.example\0tr0mpette")))[:3] == "235"
        assert await caller.say("MAIL FROM:<marie@acme.example>") == "250 2.1.0 OK"
        await place.call("127.0.0.4")


async def test_a_quarter_of_the_connections_is_kept_for_exempt_networks() -> None:
    """Strangers can't take the last ones; the exempt can take all."""
    limits = Limits(connections=8, per_ip=8)
    refusal = "421 4.7.0 too many connections; try again later"
    async with running(limits, exempt=lambda ip: ip == "127.0.0.1") as place:
        strangers = [await place.call("127.0.0.2") for _ in range(6)]
        await place.call("127.0.0.3", greeting=refusal)
        for _ in range(2):
            await place.call()
        await place.call(greeting=refusal)
        for stranger in strangers:
            assert await stranger.replies(b"QUIT\r\n") == ["221 2.0.0 bye"]
        for _ in range(6):
            await place.call()
        await place.call("127.0.0.2", greeting=refusal)


@pytest.mark.parametrize("command", ["NOOP", "RSET", "VRFY x", "HELP", "EHLO me", "HELO me"])
async def test_idle_commands_of_strangers_become_errors(command: str) -> None:
    """Twenty for each mail are none; whom we know may say them as often as he likes."""
    async with running(Limits(errors=2), exempt=lambda ip: ip == "127.0.0.1") as place:
        line = command.encode() + b"\r\n"
        caller = await place.call("127.0.0.2")
        await caller.start_mail()
        assert (await caller.say(b".\r\n")).startswith("250 ")
        got = await caller.replies(line * 30)
        assert [reply[0] for reply in got] == ["2"] * 23 + ["4"]
        assert got[-1] == "421 4.7.0 too many errors"
        got = await (await place.call()).replies(line * 30 + b"QUIT\r\n")
        assert [reply[0] for reply in got] == ["2"] * 31


async def test_recipients_take_more_of_a_turn() -> None:
    """A recipient is looked up: after five of them others have their turn."""
    async with running(exempt=lambda ip: True) as place:
        caller, other = await place.call(), await place.call()
        for each in (caller, other):
            await each.say("EHLO me")
            await each.say("MAIL FROM:<marie@acme.example>")
        for each, name in ((caller, "a"), (other, "b")):
            each.writer.write(
                b"".join(b"RCPT TO:<%s%d@b.example>\r\n" % (name.encode(), i) for i in range(20))
            )
        for each in (caller, other):
            assert [await each.reply() for _ in range(20)] == ["250 2.1.5 OK"] * 20
        order = "".join(address[0] for address in place.desk.asked)
        assert max(map(len, order.replace("ab", "a b").replace("ba", "b a").split())) <= 10


async def test_limit_of_recipients() -> None:
    """Those before stay; the next transaction starts anew."""
    async with running(Limits(recipients=2)) as place:
        caller = await place.call()
        await caller.say("EHLO me")
        await caller.say("MAIL FROM:<a@b.example>")
        got = [(await caller.say(f"RCPT TO:<{i}@b.example>"))[:9] for i in range(3)]
        assert got == ["250 2.1.5", "250 2.1.5", "452 4.5.3"]
        await caller.say("DATA")
        await caller.say(b".\r\n")
        assert place.desk.mails[0].rcpts == ("0@b.example", "1@b.example")


async def test_limit_of_bytes_in_flight() -> None:
    """Mails that are being judged count; who finds no room is told so, at MAIL or after DATA."""
    async with running(Limits(bytes_in_flight=1000), exempt=lambda ip: True) as place:
        place.desk.gate = asyncio.Event()
        first, second = await place.call(), await place.call()
        await first.start_mail()
        first.writer.write(b"x" * 900 + b"\r\n.\r\n")
        await second.start_mail()
        assert (await second.say(b"x" * 200 + b"\r\n.\r\n")).startswith("452 4.3.1 ")
        assert (await second.say("MAIL FROM:<a@b.example> SIZE=200")).startswith("452 4.3.1 ")
        place.desk.gate.set()
        assert (await first.reply()).startswith("250 ")
        assert (await second.say("MAIL FROM:<a@b.example> SIZE=200")).startswith("250 ")


def test_a_quarter_of_the_bytes_is_kept_for_trusted_clients() -> None:
    """Strangers have three quarters at most; trusted clients whatever is left, and what they take is not theirs."""
    budget = Budget(Limits(bytes_in_flight=1000))
    assert budget.reserve(500, is_trusted=True)
    assert budget.room(is_trusted=False) == 500
    budget.release(500, is_trusted=True)
    assert not budget.reserve(751, is_trusted=False)
    assert budget.reserve(750, is_trusted=False)
    assert budget.room(is_trusted=False) == 0
    assert not budget.reserve(251, is_trusted=True)
    assert budget.reserve(250, is_trusted=True)
    budget.release(750, is_trusted=False)
    assert (budget.room(is_trusted=False), budget.room(is_trusted=True)) == (750, 750)


async def test_too_large_a_mail_is_read_and_thrown_away() -> None:
    """The client hears why; without an end in sight the connection is closed."""
    async with running(Limits(size_bytes=1000)) as place:
        caller = await place.call()
        await caller.start_mail()
        assert (
            await caller.say(b"x" * 20_000 + b"\r\n.\r\n")
        ) == "552 5.3.4 the mail is larger than 1000 bytes"
        await caller.start_mail()
        assert (await caller.replies(b"x" * 40_000)) == ["552 5.3.4 the mail is larger than 1000 bytes"]
        assert place.desk.mails == []


async def test_silent_clients_are_let_go() -> None:
    """In a command, in the middle of a line that drips, and in a mail."""
    async with running(Limits(command_s=0.1, min_bytes_per_s=1_000_000)) as place:
        idle, dripping, sending = [await place.call() for _ in range(3)]
        dripping.writer.write(b"NO")
        await sending.start_mail()
        sending.writer.write(MAIL)
        for caller in (idle, dripping, sending):
            assert await caller.replies(b"") == ["421 4.4.2 timeout"]


async def test_a_mail_may_take_as_long_as_it_moves() -> None:
    """Bytes earn time, up to the limit for a mail."""
    async with running(Limits(command_s=0.05, min_bytes_per_s=100)) as place:
        silent, slow = await place.call(), await place.call()
        await silent.start_mail()
        await slow.start_mail()
        slow.writer.write(b"x" * 1000)
        assert await silent.reply() == "421 4.4.2 timeout"
        assert await slow.say(b"\r\n.\r\n") == "250 2.0.0 m-1"
    async with running(Limits(command_s=0.05, min_bytes_per_s=100, data_s=0.1)) as place:
        slow = await place.call()
        await slow.start_mail()
        assert await slow.say(b"x" * 1000) == "421 4.4.2 timeout"


async def test_the_verdict_may_take_longer_than_a_command() -> None:
    """Deadlines are the client's; ours is the handler's matter."""
    async with running(Limits(command_s=0.05)) as place:
        place.desk.gate = asyncio.Event()
        caller = await place.call()
        await caller.start_mail()
        caller.writer.write(b".\r\n")
        silent = await place.call()
        assert await silent.reply() == "421 4.4.2 timeout"
        place.desk.gate.set()
        assert await caller.reply() == "250 2.0.0 m-1"


async def test_the_handler_can_know_that_nobody_waits() -> None:
    """A closed half is enough: then what has not begun need not be."""
    async with running() as place:
        place.desk.gate = asyncio.Event()
        half, staying = await place.call(), await place.call()
        for caller in (half, staying):
            await caller.start_mail()
            caller.writer.write(b".\r\n")
            await place.desk.waiting.acquire()
        half.writer.write_eof()
        for _ in range(10):
            await asyncio.sleep(0)  # turns for the listener to notice
        place.desk.gate.set()
        for caller in (half, staying):
            assert (await caller.reply()).startswith("250 ")
        assert [mail.has_left() for mail in place.desk.mails] == [True, False]


async def test_who_left_early_gets_the_verdict_anyway() -> None:
    """Half a connection is enough to read it; without any, the handler still finishes."""
    async with running() as place:
        place.desk.gate = asyncio.Event()
        half, gone = await place.call(), await place.call()
        for caller in (half, gone):
            await caller.start_mail()
            caller.writer.write(b".\r\n")
            await place.desk.waiting.acquire()
        half.writer.write_eof()
        gone.writer.transport.abort()
        for _ in range(10):
            await asyncio.sleep(0)  # turns for the listener to notice
        place.desk.gate.set()
        assert await half.reply() == "250 2.0.0 m-1"
        assert await half.reply() == ""
        assert len(place.desk.mails) == 2


async def test_stop() -> None:
    """Idle clients hear 421 at once; a mail that is judged gets its reply first, nobody new gets in."""
    async with running() as place:
        place.desk.gate = asyncio.Event()
        idle, busy, sending = [await place.call() for _ in range(3)]
        await sending.start_mail()
        await busy.start_mail()
        busy.writer.write(b".\r\n")
        await place.desk.waiting.acquire()
        stopping = asyncio.ensure_future(place.listener.stop(5))
        assert await idle.reply() == "421 4.3.2 shutting down"
        assert await sending.reply() == "421 4.3.2 shutting down"
        assert await (await place.call(greeting="")).reply() == "421 4.3.2 shutting down"
        assert not stopping.done()
        place.desk.gate.set()
        assert await busy.replies(b"") == ["250 2.0.0 m-1", "421 4.3.2 shutting down"]
        await stopping
        with pytest.raises(OSError):
            await place.call()


async def test_stop_does_not_wait_for_ever() -> None:
    """After the grace the connection is cut, without a reply."""
    async with running() as place:
        place.desk.gate = asyncio.Event()
        busy = await place.call()
        await busy.start_mail()
        busy.writer.write(b".\r\n")
        await place.desk.waiting.acquire()
        await place.listener.stop(0.05)
        with contextlib.suppress(ConnectionResetError):
            assert await busy.reply() == ""
        assert place.desk.mails == []


async def test_inherited_sockets_and_ipv6() -> None:
    """A bound socket of whatever protocol number; an IPv6 address."""
    inherited = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0)
    inherited.bind(("127.0.0.1", 0))
    options = ListenerOptions(hostname=HOST)
    for place, ip in (([inherited], "127.0.0.1"), (Endpoint("::1", 0), "::1")):
        listener = await listen(place, options, Budget(Limits()), Desk(), lambda ip: False)
        assert listener.addresses[0].host == ip
        reader, writer = await asyncio.open_connection(ip, listener.addresses[0].port)
        assert await Caller(reader, writer).reply() == GREETING
        writer.close()
        await listener.stop(1)


async def test_extensions(context: ssl.SSLContext, client_context: ssl.SSLContext) -> None:
    """What is offered, and that a login is offered only over TLS."""
    always = ["PIPELINING", "SIZE 1000000", "8BITMIME", "SMTPUTF8"]
    for tls, login, before, after in (
        ("off", "no", [], None),
        ("offered", "no", ["STARTTLS"], []),
        ("offered", "optional", ["STARTTLS"], ["AUTH PLAIN LOGIN"]),
        ("required", "required", ["STARTTLS"], ["AUTH PLAIN LOGIN"]),
    ):
        async with running(tls=tls, login=login, context=None if tls == "off" else context) as place:
            caller = await place.call()
            assert _offers(await caller.say("EHLO me")) == [HOST, *always, *before, "ENHANCEDSTATUSCODES"]
            if after is not None:
                await caller.start_tls(client_context)
                assert _offers(await caller.say("EHLO me")) == [HOST, *always, *after, "ENHANCEDSTATUSCODES"]
                assert (await caller.say("STARTTLS")).startswith("503 ")


def _offers(reply: str) -> list[str]:
    return [line[4:] for line in reply.split("\n")]


async def test_tls_and_login_can_be_required(context: ssl.SSLContext) -> None:
    """Before TLS neither a mail nor a password is taken."""
    async with running(tls="required", login="required", context=context) as place:
        caller = await place.call()
        await caller.say("EHLO me")
        for command in ("MAIL FROM:<a@b.example>", "AUTH PLAIN AG1hcmllAHNlY3JldA==", "AUTH LOGIN"):
            assert await caller.say(command) == "530 5.7.0 STARTTLS first"
    async with running(tls="offered", login="optional", context=context) as place:
        caller = await place.call()
        await caller.say("EHLO me")
        assert (await caller.say("AUTH PLAIN AG1hcmllAHNlY3JldA==")).startswith("538 5.7.11 ")
        assert (await caller.say("MAIL FROM:<a@b.example>")).startswith("250 ")


@pytest.mark.parametrize("rest", [b"NOOP\r\n", b"EHLO me\r\n" + BEGIN, b"x"])
async def test_starttls_injection(rest: bytes, context: ssl.SSLContext) -> None:
    """What came in clear after STARTTLS is never read as if it had come over TLS."""
    async with running(tls="offered", context=context) as place:
        caller = await place.call()
        got = await caller.replies(b"EHLO me\r\nSTARTTLS\r\n" + rest)
        assert got[1:] == ["554 5.5.0 nothing may follow STARTTLS before the handshake"]
        assert place.desk.asked == []


@pytest.mark.parametrize("factory", LOOPS)
def test_failed_handshakes_leave_nothing(
    factory: LoopFactory,
    context: ssl.SSLContext,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """No TLS at all, TLS 1.1, or nobody there any more: one line in the log, no traceback, no connection left."""

    async def scenario() -> None:
        async with running(Limits(command_s=0.2), tls="offered", context=context) as place:
            for hello in (b"NOOP\r\n", _tls_1_1_hello(), b"\x16", None):
                caller = await place.call()
                await caller.say("EHLO me")
                await caller.say("STARTTLS")
                if hello is None:
                    caller.writer.transport.abort()
                    continue
                caller.writer.write(hello)
                with contextlib.suppress(ConnectionResetError):
                    await caller.reader.read()
            while place.listener.budget.connections:
                await asyncio.sleep(0)

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(scenario())
    assert caplog.records == []
    printed = "".join(capsys.readouterr())
    assert printed.count("tls_failed") == 4
    assert "Traceback" not in printed


def _tls_1_1_hello() -> bytes:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    with pytest.warns(DeprecationWarning):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        old.wrap_bio(incoming, outgoing).do_handshake()
    return outgoing.read()


def _b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


async def test_logins(context: ssl.SSLContext, client_context: ssl.SSLContext) -> None:
    """Both mechanisms, in UTF-8, with and without initial response; what can't be read or verified; one login only."""
    async with running(tls="offered", login="required", context=context) as place:
        caller = await place.call()
        await caller.start_tls(client_context)
        assert await caller.say("AUTH PLAIN AAAA") == "503 5.5.1 once, after EHLO and before MAIL"
        await caller.say("EHLO me")
        assert await caller.say("MAIL FROM:<a@b.example>") == "530 5.7.0 log in first"
        for command, code in (
            ("AUTH CRAM-MD5", "504 5.5.4"),
            ("AUTH", "501 5.5.4"),
            ("AUTH PLAIN !", "501 5.5.2"),
            ("AUTH PLAIN AAAA", "501 5.5.2|535 5.7.8"),
            ("AUTH PLAIN " + _b64("\0crash\0x"), "454 4.7.0"),
            ("AUTH PLAIN " + _b64("\0marie@acme.example\0wrong"), "535 5.7.8"),
        ):
            assert (await caller.say(command))[:9] in code.split("|"), command
        assert await caller.say("AUTH LOGIN") == "334 " + _b64("Username:")
        assert (await caller.say("*")).startswith("501 5.7.0 ")
        assert await caller.say("AUTH LOGIN") == "334 " + _b64("Username:")
        assert await caller.say(_b64("paul@acme.example")) == "334 " + _b64("Password:")
        assert await caller.say(_b64("clé")) == "235 2.7.0 logged in"
        assert (await caller.say("AUTH PLAIN AAAA")).startswith("503 ")
        await caller.start_mail()
        assert (await caller.say(b".\r\n")).startswith("250 ")
        assert place.desk.mails[0].client.login == "paul@acme.example"


async def test_wrong_passwords_lock_out(context: ssl.SSLContext, client_context: ssl.SSLContext) -> None:
    """Three end a connection, ten lock the address; nobody tries the passwords that follow."""
    async with running(tls="offered", login="optional", context=context) as place:
        wrong, right = "AUTH PLAIN " + _b64("\0x\0y"), "AUTH PLAIN " + _b64("\0marie@acme.example\0tr0mpette")
        replies = []
        for _ in range(4):
            caller = await place.call()
            await caller.start_tls(client_context)
            await caller.say("EHLO me")
            while reply := await caller.say(wrong):
                replies.append(reply[:3])
                if reply.startswith("421"):
                    break
        assert replies == ["535", "535", "421"] * 3 + ["535", "421"]
        caller = await place.call()
        await caller.start_tls(client_context)
        await caller.say("EHLO me")
        assert await caller.say(right) == "421 4.7.0 too many wrong passwords; try again later"
        other = await place.call("127.0.0.2")
        await other.start_tls(client_context)
        await other.say("EHLO me")
        assert (await other.say(right)).startswith("235 ")


async def test_a_network_of_many_is_locked_name_by_name(
    context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    """What one device of the office gets wrong keeps nobody else out."""
    async with running(tls="offered", login="optional", context=context, exempt=lambda ip: True) as place:

        async def attempt(*words: str) -> list[str]:
            caller = await place.call()
            await caller.start_tls(client_context)
            await caller.say("EHLO me")
            return [(await caller.say("AUTH PLAIN " + _b64("\0" + word)))[:3] for word in words]

        wrong = "paul@acme.example\0x"
        assert [await attempt(*[wrong] * 3) for _ in range(3)] == [["535", "535", "421"]] * 3
        assert await attempt("PAUL@acme.example\0x", wrong) == ["535", "421"]
        assert await attempt("paul@acme.example\0clé") == ["421"]
        assert await attempt("marie@acme.example\0tr0mpette") == ["235"]


def _attempt(ip: str, name: str = "marie@acme.example", *, is_shared: bool = False) -> Attempt:
    return Attempt(ip=ip, name=name, is_shared=is_shared)


def test_lockout_of_a_place_ends_and_is_bounded() -> None:
    """Ten failures within ten minutes lock it for ten minutes; only so many places are remembered."""
    lockout, here = Lockout(), _attempt("192.0.2.1")
    for second in range(10):
        assert not lockout.why(here, second)
        lockout.failed(here, second)
    assert lockout.why(here, 608) == "logins_of_place"
    assert lockout.why(_attempt("192.0.2.1", "paul@acme.example"), 608) == "logins_of_place"
    assert not lockout.why(here, 609)
    for second in range(9):
        lockout.failed(here, 609 + second * 60)
    lockout.failed(here, 609 + 600)
    assert not lockout.why(here, 609 + 600)
    for _ in range(10):
        lockout.failed(here, 2000)
    assert lockout.why(here, 2001)
    for i in range(10_000):
        lockout.failed(_attempt(f"{i:x}::1", str(i)), 2000)
    assert not lockout.why(here, 2001)


def test_a_name_that_is_guessed_from_everywhere_is_locked_for_a_minute() -> None:
    """After twenty failures, and never for who was right there before; then it takes twenty more."""
    lockout = Lockout()
    home, cafe = _attempt("192.0.2.1"), _attempt("192.0.2.2")
    lockout.succeeded(_attempt("192.0.2.1", "Marie@acme.example"))
    for round_s in (0, 60):
        for i in range(20):
            assert not lockout.why(cafe, round_s)
            lockout.failed(_attempt(f"198.51.100.{i}", "MARIE@acme.example"), round_s)
        assert lockout.why(cafe, round_s + 59) == "logins_of_name"
        assert not lockout.why(home, round_s + 59)
        assert not lockout.why(_attempt("192.0.2.2", "paul@acme.example"), round_s + 59)
    assert not lockout.why(cafe, 120)


def test_failures_that_are_far_apart_lock_nothing() -> None:
    """Somebody who mistypes now and then."""
    lockout, here = Lockout(), _attempt("192.0.2.1")
    for n in range(100):
        lockout.failed(here, n * 90.0)
        assert not lockout.why(here, n * 90.0)


def _send(port: int, context: ssl.SSLContext, mechanism: str) -> None:
    with smtplib.SMTP("127.0.0.1", port, "me", timeout=10) as client:
        client.starttls(context=context)
        client.ehlo()
        client.user, client.password = "marie@acme.example", "tr0mpette"
        client.auth(mechanism, getattr(client, f"auth_{mechanism.lower()}"))
        client.sendmail("marie@acme.example", ["33639981234@sms.acme.example"], MAIL)


@pytest.mark.parametrize("factory", LOOPS)
def test_a_mail_over_tls_with_a_login(
    factory: LoopFactory,
    context: ssl.SSLContext,
    client_context: ssl.SSLContext,
) -> None:
    """By the standard library's client, on asyncio's loop and on uvloop."""

    async def scenario() -> list[Client]:
        async with running(tls="required", login="required", context=context) as place:
            for mechanism in ("PLAIN", "LOGIN"):
                await asyncio.to_thread(_send, place.port, client_context, mechanism)
            return [mail.client for mail in place.desk.mails]

    with asyncio.Runner(loop_factory=factory) as runner:
        clients = runner.run(scenario())
    assert clients == [Client(ip="127.0.0.1", helo="me", is_tls=True, login="marie@acme.example")] * 2


def test_the_listener_on_uvloop() -> None:
    """Limits, early talkers, pipelining, time-outs and the end, as on asyncio's loop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for scenario in (
            test_pipelining,
            test_limit_of_connections,
            test_nobody_speaks_before_the_greeting,
            test_a_flood_of_commands_is_answered_in_turns,
            test_silent_clients_are_let_go,
            test_too_large_a_mail_is_read_and_thrown_away,
            test_who_left_early_gets_the_verdict_anyway,
            test_inherited_sockets_and_ipv6,
            test_stop,
            test_stop_does_not_wait_for_ever,
        ):
            runner.run(scenario())


async def test_a_client_that_reads_nothing_is_cut_off() -> None:
    """Its replies wait in our memory only up to a bound: then nothing more is read from it."""
    async with running(Limits(command_s=0.1), exempt=lambda ip: True) as place:
        caller = await place.call()
        caller.writer.transport.pause_reading()  # type: ignore[attr-defined]
        sent = 0
        with contextlib.suppress(ConnectionError, TimeoutError):
            while sent < 100_000_000:
                async with asyncio.timeout(0.3):
                    caller.writer.write(b"NOOP\r\n" * 10_000)
                    await caller.writer.drain()
                sent += 60_000
        assert sent < 100_000_000
        caller.writer.transport.abort()


# What a reload changes


async def test_a_mail_keeps_the_handler_that_it_began_with() -> None:
    """Another decides from the next MAIL on."""
    async with running() as place:
        caller = await place.call()
        await caller.start_mail()
        other = Desk()
        place.listener.adopt(other, lambda ip: False, frozenset())
        assert await caller.say(b".\r\n") == "250 2.0.0 m-1"
        assert (len(place.desk.mails), len(other.mails)) == (1, 0)
        await caller.start_mail()
        assert await caller.say(b".\r\n") == "250 2.0.0 m-1"
        assert (len(place.desk.mails), len(other.mails)) == (1, 1)


async def test_new_limits_are_said_and_held() -> None:
    """In EHLO, and of the next connection."""
    async with running() as place:
        caller = await place.call()
        place.listener.budget.limits = Limits(size_bytes=5000, per_ip=1)
        place.listener.adopt(place.desk, lambda ip: False, frozenset())
        assert "250-SIZE 5000" in await caller.say("EHLO me")
        await place.call(greeting="421 4.7.0 too many connections; try again later")


async def test_a_new_certificate_is_for_new_handshakes(
    context: ssl.SSLContext, client_context: ssl.SSLContext, certificate: tuple[Path, Path]
) -> None:
    """Who speaks TLS already goes on with the old one."""
    async with running(tls="required", context=context) as place:
        first, second = await place.call(), await place.call()
        await first.start_tls(client_context)
        renewed = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        renewed.load_cert_chain(*certificate)
        renewed.sni_callback = lambda *_: seen.append(1)  # type: ignore[assignment]
        seen: list[int] = []
        place.listener.renew(renewed)
        await second.start_tls(client_context)
        assert seen == [1]
        assert (await first.say("NOOP"))[:3] == "250"


async def test_a_changed_password_ends_its_sessions(
    context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    """At once, or after the mail that is being judged; other people's go on."""
    again = "421 4.7.0 the password was changed; log in again"
    async with running(tls="required", login="required", context=context) as place:
        callers = {}
        for who, (name, word) in {
            "idle": ("marie@acme.example", "tr0mpette"),
            "busy": ("marie@acme.example", "tr0mpette"),
            "other": ("paul@acme.example", "clé"),
        }.items():
            caller = callers[who] = await place.call()
            await caller.start_tls(client_context)
            await caller.say("EHLO me")
            assert (await caller.say(f"AUTH PLAIN {_b64(f'{chr(0)}{name}{chr(0)}{word}')}"))[:3] == "235"
        place.desk.gate = asyncio.Event()
        busy = callers["busy"]
        await busy.say(BEGIN.split(b"\r\n")[0] + b"\r\n")
        await busy.say("RCPT TO:<33639981234@sms.acme.example>")
        await busy.say("DATA")
        busy.writer.write(b".\r\n")
        await place.desk.waiting.acquire()
        place.listener.adopt(place.desk, lambda ip: False, frozenset({"marie@acme.example"}))
        assert await callers["idle"].reply() == again
        place.desk.gate.set()
        assert await busy.replies(b"") == ["250 2.0.0 m-1", again]
        assert (await callers["other"].say("NOOP"))[:3] == "250"


async def test_a_login_that_a_reload_overtakes_is_asked_again(
    context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    """The password was right when it was looked up, and may be none any more."""
    async with running(tls="required", login="required", context=context) as place:
        caller = await place.call()
        await caller.start_tls(client_context)
        await caller.say("EHLO me")

        class Overtaken(Desk):
            async def login(self, client: Client, name: str, password: str) -> bool:
                place.listener.adopt(place.desk, lambda ip: False, frozenset())
                return True

        place.listener.adopt(Overtaken(), lambda ip: False, frozenset())
        said = await caller.say("AUTH PLAIN " + _b64("\0marie@acme.example\0tr0mpette"))
        assert said == "454 4.7.0 can't verify now; try again later"
