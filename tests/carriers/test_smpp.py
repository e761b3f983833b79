"""SMPP: the carrier against an SMSC of the tests, bind by bind and fault by fault."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvloop
from structlog.testing import capture_logs

from mail2sms.carriers import _pace, _smpp_binds, _smpp_session, smpp
from mail2sms.carriers import _smpp_pdu as wire
from mail2sms.carriers._smpp_pdu import Address, Command, Tag
from mail2sms.carriers._smpp_text import UDHI
from mail2sms.errors import BadOption, Refused, SendFailed, Unavailable, Uncertain
from mail2sms.heard import LateAnswer, MoPart, Sent
from mail2sms.model import DeliveryReport, MoMessage, Part, SenderId, Status, Taken
from tests.carriers.hearing import Heard
from tests.fakes import OURS, PHONE
from tests.servers.certificates import certificate
from tests.servers.smsc import Smsc, receipt, written

ANSWER = "300ms"


def options(smsc: Smsc, **more: Any) -> smpp.Options:
    """Return the options of an account there."""
    given = {
        "address": f"127.0.0.1:{smsc.port}",
        "system_id": "acme",
        "password": "s3cret",
        "timeout": ANSWER,
    }
    return smpp.Options(type="smpp", **{**given, **more})


@contextlib.asynccontextmanager
async def bound(smsc: Smsc, **more: Any) -> AsyncIterator[tuple[smpp.Smpp, Heard]]:
    """Run a carrier whose binds are up."""
    carrier, heard = smpp.build("smpp", options(smsc, **more), Path()), Heard()
    count = smsc.binds + len(carrier._roles)
    await carrier.start(heard.record)
    try:
        await smsc.until(lambda: smsc.binds >= count)
        await smsc.until(lambda: carrier._binds is not None and carrier.room() > 0)
        yield carrier, heard
    finally:
        await carrier.stop()


@pytest.fixture
async def smsc() -> AsyncIterator[Smsc]:
    """An SMSC that behaves."""
    async with Smsc().started() as running:
        yield running


def part(text: str = "Bonjour", **changes: Any) -> Part:
    """Return a part to send."""
    given = Part(
        message="m-1",
        index=0,
        count=1,
        attempt_id="a-1",
        attempt=1,
        msisdn=PHONE,
        sender_id=OURS,
        encoding="gsm7",
        segments=1,
        text=text,
    )
    return replace(given, **changes)


async def outcome(carrier: smpp.Smpp, sent: Part) -> Taken | SendFailed:
    """Return how a send ends."""
    try:
        return await carrier.send(sent)
    except SendFailed as failure:
        return failure


async def test_a_part_is_taken_and_its_receipt_names_it(smsc: Smsc) -> None:
    """The id of the answer and that of the receipt are one."""
    async with bound(smsc) as (carrier, heard):
        taken = await carrier.send(part("Bonjour @ €"))
        await smsc.until(lambda: heard)
    short = smsc.taken[0].short
    assert (short.source, short.destination) == (Address(1, 1, "33639980101"), Address(1, 1, "33639981234"))
    assert (short.text, short.data_coding) == (b"Bonjour \0 \x1be", 0)
    report = heard[0]
    assert isinstance(report, DeliveryReport)
    assert (report.carrier_message_id, report.status) == (taken.carrier_message_id, Status.DELIVERED)


@pytest.mark.parametrize(
    ("long", "encoding", "texts"),
    [
        ("udh8", "gsm7", ["a" * 153, "a" * 17]),
        ("udh16", "gsm7", ["a" * 152, "a" * 18]),
        ("sar", "ucs2", ["я" * 67, "я" * 4]),
        ("payload", "ucs2", ["я" * 300]),
        ("payload", "gsm7", ["a" * 200]),
    ],
)
async def test_long_texts(smsc: Smsc, long: str, encoding: str, texts: list[str]) -> None:
    """Each way, with the same reference in all parts."""
    text = "".join(texts)
    async with bound(smsc, long=long) as (carrier, _):
        assert carrier.split(text) == tuple(texts)
        parts = [
            part(
                each,
                index=n,
                count=len(texts),
                reference=0x1234,
                encoding=encoding,
                attempt_id=f"a-{n}",
                segments=3 - len(texts),
            )
            for n, each in enumerate(texts)
        ]
        await asyncio.gather(*(carrier.send(each) for each in parts))
    shorts = [taken.short for taken in smsc.taken]
    headers = {
        "udh8": [b"\5\0\3\x34\2\1", b"\5\0\3\x34\2\2"],
        "udh16": [b"\6\x08\4\x12\x34\2\1", b"\6\x08\4\x12\x34\2\2"],
    }
    if long in headers:
        assert [short.text[: len(headers[long][0])] for short in shorts] == headers[long]
        assert all(short.esm_class == UDHI for short in shorts)
    elif long == "sar":
        numbers = [[short.tlvs[tag] for tag in (0x20C, 0x20E, 0x20F)] for short in shorts]
        assert numbers == [[b"\x12\x34", b"\2", b"\1"], [b"\x12\x34", b"\2", b"\2"]]
    else:
        assert len(shorts[0].tlvs[Tag.MESSAGE_PAYLOAD]) == len(text) * (2 if encoding == "ucs2" else 1)


@pytest.mark.parametrize(
    ("sender_id", "source"),
    [("+33639980101", (1, 1)), ("38600", (3, 0)), ("ACME", (5, 0)), ("3630", (3, 0))],
)
async def test_types_of_sender_ids(smsc: Smsc, sender_id: str, source: tuple[int, int]) -> None:
    """As the table of the options says."""
    async with bound(smsc) as (carrier, _):
        await carrier.send(part(sender_id=SenderId(sender_id)))
    address = smsc.taken[0].short.source
    assert (address.ton, address.npi, address.digits) == (*source, sender_id.removeprefix("+"))


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (0x58, Unavailable, "0x58"),
        (0x14, Unavailable, "0x14"),
        (0x08, Unavailable, "0x08"),
        (0x0B, Refused, "0x0B"),
        (0x0A, Refused, "0x0A"),
        (0x4FF, Refused, "0x4FF"),
        (0x401, Unavailable, "0x401"),
        (0x04, Unavailable, "0x04"),
    ],
)
async def test_statuses(smsc: Smsc, status: int, kind: type[SendFailed], code: str) -> None:
    """Not taken, and whether trying again is of use; 0x401 is what the operator says of it."""
    smsc.status = lambda _: status
    async with bound(smsc, statuses={"0x401": "retry"}) as (carrier, _):
        failed = await outcome(carrier, part())
    assert isinstance(failed, kind)
    assert failed.code == code
    assert smsc.taken == []


async def test_a_session_that_is_not_known_any_more_is_left_with_all_its_answers(smsc: Smsc) -> None:
    """One submit is told so, the others of the window were taken: none is a doubt. Then there is another session."""
    told = iter([0x04])
    smsc.status, smsc.late_s = lambda _: next(told, 0), 0.2
    smsc.faults.extend(["late"] * 10)
    async with bound(smsc) as (carrier, _):
        sent = [part(message=f"m-{n}", attempt_id=f"a-{n}") for n in range(10)]
        found = await asyncio.gather(*(outcome(carrier, each) for each in sent))
        await smsc.until(lambda: smsc.binds == 2)
    assert [type(each) for each in found] == [Unavailable, *[Taken] * 9]


async def test_an_smsc_that_unbinds_has_time_to_answer_what_it_took(
    smsc: Smsc, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last answers may be slow: none is a doubt. Meanwhile what waits stays, until there is another session."""
    monkeypatch.setattr("mail2sms.carriers._smpp_binds._HEALTHY_S", 0.0)
    smsc.late_s = 1.5
    smsc.faults.extend(["late"] * 10)
    async with bound(smsc, timeout="20s") as (carrier, _):
        sending = [
            asyncio.create_task(outcome(carrier, part(message=f"m-{n}", attempt_id=f"a-{n}")))
            for n in range(10)
        ]
        await smsc.until(lambda: len(smsc.taken) == 10)
        assert carrier._binds is not None
        carrier._binds._down_since_s -= 3600  # it was bound for long
        unbinding = asyncio.create_task(smsc.peers[0].ask(Command.UNBIND, b""))
        await smsc.until(lambda: not carrier._binds.sending)
        assert carrier.room() == 0
        failed = await outcome(carrier, part(attempt_id="a-10"))
        assert isinstance(failed, Unavailable)
        assert (failed.retry_after_s, failed.same_carrier) == (1.0, True)
        assert await unbinding == 0
        assert {type(each) for each in await asyncio.gather(*sending)} == {Taken}
        await smsc.until(lambda: smsc.binds == 2 and carrier._binds.sending)
        assert isinstance(await outcome(carrier, part(attempt_id="a-11")), Taken)


async def test_an_smsc_that_unbinds_and_answers_nothing_is_left(
    smsc: Smsc, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is sent meanwhile, so that has an end."""
    monkeypatch.setattr(_smpp_session, "_LAST_ANSWERS_S", 0.2)
    smsc.faults.append("no answer")
    async with bound(smsc, timeout="20s") as (carrier, _):
        sending = asyncio.create_task(outcome(carrier, part()))
        await smsc.until(lambda: smsc.taken)
        assert await smsc.peers[0].ask(Command.UNBIND, b"") == 0
        assert isinstance(await sending, Uncertain)
        await smsc.until(lambda: smsc.binds == 2)


@pytest.mark.parametrize("fault", ["drop before taking", "drop before answer", "no answer", "late"])
async def test_a_lost_answer_is_a_doubt(smsc: Smsc, fault: str) -> None:
    """Whatever became of it there."""
    smsc.faults.append(fault)
    async with bound(smsc) as (carrier, _):
        assert isinstance(await outcome(carrier, part()), Uncertain)


@pytest.mark.parametrize("fault", ["unknown sequence", "split", "garbage", "two receipts", "receipt first"])
async def test_what_is_no_harm(smsc: Smsc, fault: str) -> None:
    """The message is taken, and the link lives."""
    smsc.faults.append(fault)
    async with bound(smsc) as (carrier, _):
        assert isinstance(await outcome(carrier, part()), Taken)
        assert isinstance(await outcome(carrier, part(attempt_id="a-2")), Taken)
    assert smsc.binds == 1


async def test_a_late_answer_is_told(smsc: Smsc) -> None:
    """The doubt ends: it was taken, with this id."""
    smsc.faults.append("late")
    async with bound(smsc) as (carrier, heard):
        assert isinstance(await outcome(carrier, part()), Uncertain)
        await smsc.until(lambda: any(isinstance(event, LateAnswer) for event in heard))
    answer = next(event for event in heard if isinstance(event, LateAnswer))
    assert (answer.attempt_id, answer.outcome, answer.carrier_message_id) == ("a-1", "taken", "1")


async def test_without_a_bind_nothing_is_sent(smsc: Smsc, monkeypatch: pytest.MonkeyPatch) -> None:
    """No room at first, so that messages wait; later they may look for another carrier."""
    await smsc.close()
    carrier, heard = smpp.build("smpp", options(smsc), Path()), Heard()
    await carrier.start(heard.record)
    assert carrier.room() == 0
    assert isinstance(await outcome(carrier, part()), Unavailable)
    monkeypatch.setattr(_smpp_binds, "_GRACE_S", 0.0)
    assert carrier.room() == 10
    await carrier.stop()


async def test_a_wrong_password_is_the_operators_to_mend(smsc: Smsc) -> None:
    """It is not tried again and again; doctor says what the SMSC says."""
    smsc.password = "another"
    carrier = smpp.build("smpp", options(smsc), Path())
    with pytest.raises(Refused, match="the password is wrong"):
        await carrier.probe()
    smsc.bind_status = 0x0D
    with pytest.raises(Unavailable, match="it refuses the bind"):
        await carrier.probe()
    smsc.bind_status, smsc.password = 0, ""
    assert 'took the bind of acme (in clear); it calls itself "SMSC"' in await carrier.probe()


async def test_a_password_that_no_bind_holds_is_told_and_not_tried(smsc: Smsc) -> None:
    """Nothing of it goes to the SMSC, cut or with other characters."""
    for password in ("p" * 65, "пароль", "pass\0word"):
        carrier = smpp.build("smpp", options(smsc, password=password), Path())
        for begin in (carrier.probe(), carrier.start(Heard().record)):
            with pytest.raises(BadOption, match="no bind can hold this password") as told:
                await begin
            assert "at most 8 characters" in told.value.hint
    assert smsc.requests == []


async def test_a_password_longer_than_the_standard_has_it(smsc: Smsc) -> None:
    """Many SMSCs take it, so it goes out whole; where it is refused, doctor says what it may be."""
    smsc.password = "é" * 64
    carrier = smpp.build("smpp", options(smsc, password=smsc.password), Path())
    assert "took the bind" in await carrier.probe()
    smsc.password = smsc.password[:8]
    with pytest.raises(BadOption, match="the password is wrong") as told:
        await carrier.probe()
    assert "SMPP 3.4 has room for 8 characters" in told.value.hint
    smsc.bind_status = 0x58
    with pytest.raises(Unavailable):
        await carrier.probe()


async def test_the_window_is_kept(smsc: Smsc) -> None:
    """Never more unanswered than agreed; the others wait in their order."""
    smsc.faults.extend(["no answer"] * 3)
    async with bound(smsc, window=3, timeout="20s") as (carrier, _):
        sends = [asyncio.create_task(carrier.send(part(attempt_id=f"a-{n}"))) for n in range(8)]
        await smsc.until(lambda: len(smsc.taken) == 3)
        await asyncio.sleep(0.05)
        assert len(smsc.taken) == 3
        smsc.peers[0].cut()
        results = await asyncio.gather(*sends, return_exceptions=True)
    assert [type(result) for result in results] == [Uncertain] * 3 + [Unavailable] * 5


async def test_throttling_slows_down(smsc: Smsc, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message stays with the carrier; the next one waits its turn."""
    monkeypatch.setattr(smpp, "PAUSE_S", 0.2)
    monkeypatch.setattr(_pace, "PAUSE_S", 0.2)
    smsc.faults.append("throttle")
    async with bound(smsc) as (carrier, _):
        failed = await outcome(carrier, part())
        assert isinstance(failed, Unavailable)
        assert (failed.same_carrier, failed.retry_after_s) == (True, 0.2)
        begun_s = asyncio.get_running_loop().time()
        await carrier.send(part(attempt_id="a-2"))
        assert asyncio.get_running_loop().time() - begun_s >= 0.15


async def test_both_sides_unbind(smsc: Smsc) -> None:
    """The SMSC ends a session: it is answered, and another comes. We end: unbind, and its answer."""
    async with bound(smsc) as (carrier, _):
        assert await smsc.peers[0].ask(Command.UNBIND, b"") == 0
        assert carrier.is_back()
        await smsc.until(lambda: smsc.binds == 2)
        await smsc.until(carrier.is_back)
        assert not carrier.is_back()
        assert isinstance(await outcome(carrier, part()), Taken)
    assert smsc.requests[-1][0] == Command.UNBIND


async def test_an_idle_link_is_asked_and_a_dead_one_left(smsc: Smsc, monkeypatch: pytest.MonkeyPatch) -> None:
    """enquire_link both ways; three without an answer are the end of a session."""
    async with bound(smsc, enquire="20ms") as (carrier, _):
        assert await smsc.peers[0].ask(Command.ENQUIRE_LINK, b"") == 0
        await smsc.until(lambda: any(command == Command.ENQUIRE_LINK for command, _, _ in smsc.requests))
        carrier._terms = replace(carrier._terms, enquire_answer_s=0.01)
        smsc.peers[0].cut()
        await smsc.until(lambda: smsc.binds == 2)
        monkeypatch.setattr(smsc, "_take", lambda *_: None)
        await smsc.until(lambda: not smsc.peers)


async def test_an_event_is_acknowledged_after_it_is_stored(smsc: Smsc) -> None:
    """While the database does not commit the SMSC is asked to come again."""
    async with bound(smsc) as (_, heard):
        heard.is_broken = True
        assert await smsc.deliver(written(b"Oui")) == wire.TRY_AGAIN
        heard.is_broken = False
        assert await smsc.deliver(written(b"Oui")) == wire.OK
    assert [event.text for event in heard if isinstance(event, MoMessage)] == ["Oui"]


async def test_texts_and_parts_from_phones(smsc: Smsc) -> None:
    """Whole texts, and parts with their reference; the same text after a broken link may be the same text."""
    async with bound(smsc) as (_, heard):
        await smsc.deliver(written("Дa😀".encode("utf-16-be"), data_coding=8))
        await smsc.deliver(written(b"\5\0\3\x07\2\1Hel", esm_class=UDHI))
        await smsc.deliver(written(b"Oui"))
        smsc.peers[0].cut()
        await smsc.until(lambda: smsc.binds == 2)
        await smsc.deliver(written(b"Oui"))
        await smsc.deliver(written(b"Oui"))
    whole, one, first, again, new = heard
    assert isinstance(whole, MoMessage)
    assert (whole.text, whole.msisdn, whole.to) == ("Дa😀", PHONE, "+33639980101")
    assert isinstance(one, MoPart)
    assert (one.reference, one.total, one.number, one.text) == (7, 2, 1, "Hel")
    assert isinstance(first, MoMessage)
    assert isinstance(again, MoMessage)
    assert isinstance(new, MoMessage)
    assert first.event_id == again.event_id != new.event_id


async def test_what_is_for_a_program_is_acknowledged_and_no_text(smsc: Smsc) -> None:
    """A WAP push, which the SMSC must not bring again and nobody can read; an app's text is a text."""
    push, apps = (b"\6\5\4" + ports for ports in (b"\x0b\x84\x23\xf0", b"\x15\x7b\0\0"))
    async with bound(smsc) as (_, heard):
        with capture_logs() as logged:
            assert await smsc.deliver(written(push + b"\1\6\1", data_coding=4, esm_class=UDHI)) == wire.OK
        assert await smsc.deliver(written(apps + b"Bonjour", esm_class=UDHI)) == wire.OK
    assert [(line["event"], line["carrier"]) for line in logged] == [("mo_unread", "smpp")]
    assert [event.text for event in heard if isinstance(event, MoMessage)] == ["Bonjour"]
    assert len(heard) == 1


async def test_separate_binds_and_several(smsc: Smsc) -> None:
    """Receipts come by the receiver."""
    async with bound(smsc, bind="separate", binds=2) as (carrier, heard):
        sent = [part(message=f"m-{n}", attempt_id=f"a-{n}") for n in range(20)]
        await asyncio.gather(*(carrier.send(each) for each in sent))
        commands = sorted(peer.command for peer in smsc.peers)
        assert commands == [Command.BIND_RECEIVER] * 2 + [Command.BIND_TRANSMITTER] * 2
        report = receipt(smsc.taken[0].id, smsc.taken[0].short)
        await smsc.deliver(report, next(p for p in smsc.peers if p.command == Command.BIND_RECEIVER))
    assert heard


def test_the_daemons_own_event_loop() -> None:
    """Its transports are of other classes than asyncio's."""

    async def send() -> Taken | SendFailed:
        async with Smsc().started() as smsc, bound(smsc) as (carrier, _):
            return await outcome(carrier, part())

    assert isinstance(uvloop.run(send()), Taken)


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Certificates: the SMSC's, ours, and one of an impostor's."""
    folder = tmp_path_factory.mktemp("papers")
    made = {name: certificate(folder, name) for name in ("smsc", "acme", "impostor")}
    return {
        f"{name}.{kind}": path
        for name, pair in made.items()
        for kind, path in zip(("pem", "key"), pair, strict=True)
    }


def tls(papers: dict[str, Path], *, asks: bool = False) -> ssl.SSLContext:
    """Return the SMSC's side; `asks`: it wants our certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(papers["smsc.pem"], papers["smsc.key"])
    if asks:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(papers["acme.pem"])
    return context


@pytest.mark.parametrize("asks", [False, True])
async def test_tls(papers: dict[str, Path], asks: bool) -> None:
    """Its certificate by a CA of the options, ours where it asks for one."""
    async with Smsc(tls=tls(papers, asks=asks)).started() as smsc:
        more = {"tls": "on", "ca": str(papers["smsc.pem"])}
        if asks:
            more |= {"certificate": str(papers["acme.pem"]), "key": str(papers["acme.key"])}
        async with bound(smsc, **more) as (carrier, _):
            assert isinstance(await outcome(carrier, part()), Taken)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"ca": "impostor.pem"}, "its certificate is not accepted here: self-signed certificate"),
        ({"ca": "smsc.pem", "tls_name": "smpp.provider.example"}, "its certificate is not accepted here"),
        ({"ca": "nowhere.pem"}, "ca: .*/nowhere.pem cannot be used"),
        (
            {"ca": "smsc.pem", "certificate": "acme.pem", "key": "smsc.key"},
            "certificate, key: they cannot be used",
        ),
    ],
)
async def test_tls_that_does_not_fit(papers: dict[str, Path], more: dict[str, str], told: str) -> None:
    """Nothing is sent to whoever that is; each fault is told by its name."""
    folder = papers["smsc.pem"].parent
    paths = {name: value if name == "tls_name" else str(folder / value) for name, value in more.items()}
    async with Smsc(tls=tls(papers)).started() as smsc:
        carrier = smpp.build("smpp", options(smsc, tls="on", **paths), Path())
        with pytest.raises((Unavailable, BadOption), match=told):
            await carrier.probe()
    assert smsc.requests == []


async def test_tls_where_there_is_none(smsc: Smsc) -> None:
    """An SMSC that speaks in clear on this port."""
    carrier = smpp.build("smpp", options(smsc, tls="on"), Path())
    with pytest.raises(Unavailable, match="does this port speak TLS"):
        await carrier.probe()


async def test_query_and_cancel(smsc: Smsc) -> None:
    """By the id as the SMSC wrote it; what it does not know is no news, and taken back by nobody."""
    smsc.receipts = False
    async with bound(smsc, query="1h") as (carrier, heard):
        taken = await carrier.send(part())
        sent = Sent("smpp", taken.carrier_message_id, PHONE, OURS)
        assert (taken.carrier_message_id, smsc.taken[0].id, carrier.asks_after_ms) == (
            "1",
            "00000001",
            3_600_000,
        )
        await carrier.ask(sent)
        assert await carrier.recall(sent)
        assert smsc.taken == []
        assert not await carrier.recall(sent)
        await carrier.ask(sent)
    (report,) = heard
    assert isinstance(report, DeliveryReport)
    assert (report.carrier_message_id, report.status) == ("1", Status.DELIVERED)


async def test_nobody_is_asked_without_a_bind(smsc: Smsc) -> None:
    """Whoever wants to know is told so."""
    carrier = smpp.build("smpp", options(smsc), Path())
    sent = Sent("smpp", "1", PHONE, OURS)
    assert not await carrier.recall(sent)
    await smsc.close()
    await carrier.start(Heard().record)
    with pytest.raises(Unavailable):
        await carrier.recall(sent)
    await carrier.stop()
