"""RFC 3461: what is understood of NOTIFY, ORCPT, RET and ENVID, where it is offered, and what goes to the handler."""

from __future__ import annotations

import pytest

from mail2sms.intake.smtp_syntax import CommandRefused, read_mail_parameters, read_rcpt_parameters
from mail2sms.model import NO_DSN, Dsn
from tests.listening import MAIL, running


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("RET=HDRS", Dsn(ret="HDRS")),
        ("ret=full ENVID=QQ314159", Dsn(ret="FULL", envelope_id="QQ314159")),
        ("SIZE=10 ENVID=a+2Bb+20c BODY=8BITMIME", Dsn(envelope_id="a+b c")),
        ("ENVID=" + "x" * 100, Dsn(envelope_id="x" * 100)),
        ("RET=ALL", 501),
        ("RET=", 501),
        ("RET", 501),
        ("RET=FULL RET=FULL", 501),
        ("ENVID=", 501),
        ("ENVID=" + "x" * 101, 501),
        ("ENVID=a+0D+0Ab", 501),
        ("ENVID=a+00", 501),
        ("ENVID=a+2b", 501),
        ("ENVID=a+2", 501),
        ("ENVID=a=b", 501),
        ("ENVID=\u00e9", 501),
        ("NOTIFY=NEVER", 555),
    ],
)
def test_of_the_mail(text: str, expected: Dsn | int) -> None:
    """Sections 4.3 and 4.4; without the extension none of it is known."""
    try:
        assert read_mail_parameters(text, has_dsn=True).dsn == expected
    except CommandRefused as e:
        assert int(str(e)[:3]) == expected
    with pytest.raises(CommandRefused, match="555"):
        read_mail_parameters(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("NOTIFY=NEVER", Dsn(notify=("NEVER",), envelope_id="Q")),
        ("notify=success,Failure", Dsn(notify=("SUCCESS", "FAILURE"), envelope_id="Q")),
        ("NOTIFY=DELAY ORCPT=rfc822;Marie@acme.example", Dsn(notify=("DELAY",), original="rfc822;Marie@acme.example",
                                                             envelope_id="Q")),
        ("ORCPT=rfc822;a+2Bb@c.example", Dsn(original="rfc822;a+b@c.example", envelope_id="Q")),
        ("ORCPT=utf-8;b\u00fcro@c.example", Dsn(original="utf-8;b\u00fcro@c.example", envelope_id="Q")),
        ("NOTIFY=NEVER,FAILURE", 501),
        ("NOTIFY=FAILURE,FAILURE", 501),
        ("NOTIFY=FAILURE,", 501),
        ("NOTIFY=", 501),
        ("NOTIFY", 501),
        ("NOTIFY=ALWAYS", 501),
        ("NOTIFY=NEVER NOTIFY=NEVER", 501),
        ("ORCPT=a@b.example", 501),
        ("ORCPT=rfc822;", 501),
        ("ORCPT=rfc822;a+0Ab", 501),
        ("ORCPT=rf_c;a@b.example", 501),
        ("ORCPT=rfc822;" + "x" * 501, 501),
        ("ORCPT=utf-8;a\u202eb", 501),
        ("RET=FULL", 555),
        ("SIZE=1", 555),
    ],
)  # fmt: skip
def test_of_a_recipient(text: str, expected: Dsn | int) -> None:
    """Sections 4.1 and 4.2, with what was said of the mail; without the extension none of it is known."""
    try:
        assert read_rcpt_parameters(text, Dsn(envelope_id="Q"), has_dsn=True) == expected
    except CommandRefused as e:
        assert int(str(e)[:3]) == expected
    with pytest.raises(CommandRefused, match="555"):
        read_rcpt_parameters(text, NO_DSN, has_dsn=False)


async def test_it_goes_with_the_mail() -> None:
    """Announced, and one for each recipient that was taken; the next mail begins with nothing."""
    async with running(has_dsn=True) as place:
        caller = await place.call()
        assert "DSN" in await caller.say("EHLO me")
        for command, code in (
            ("MAIL FROM:<a@b.example> RET=HDRS ENVID=Q", "250"),
            ("RCPT TO:<no@b.example> NOTIFY=NEVER", "550"),
            ("RCPT TO:<later-x@b.example> NOTIFY=NEVER ORCPT=rfc822;y@b.example", "250"),
            ("RCPT TO:<z@b.example>", "250"),
            ("RCPT TO:<z@b.example> NOTIFY=PERHAPS", "501"),
            ("DATA", "354"),
        ):
            assert (await caller.say(command))[:3] == code, command
        await caller.say(MAIL + b".\r\n")
        await caller.start_mail()
        await caller.say(MAIL + b".\r\n")
        first, second = place.desk.mails
        mail = Dsn(ret="HDRS", envelope_id="Q")
        assert first.rcpts == ("later-x@b.example", "z@b.example")
        assert first.dsns == (
            Dsn(notify=("NEVER",), original="rfc822;y@b.example", ret="HDRS", envelope_id="Q"),
            mail,
        )
        assert second.dsns == ()
