"""Modems: the carrier, gammu and a modem of the tests on a pseudo-terminal, fault by fault; its parts without gammu."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import subprocess
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from mail2sms.carriers import _gsm, _modem_link, _modem_open, _modem_reader, _modem_worker, _udh, modem
from mail2sms.carriers import _modem_trace as traces
from mail2sms.carriers._base import CarrierEvent
from mail2sms.carriers._modem_inbound import Inbound, Sent, message_id, status_of
from mail2sms.carriers._modem_line import Line
from mail2sms.carriers._modem_memory import Memory
from mail2sms.carriers._modem_reader import Reader
from mail2sms.errors import (
    BadOption,
    Misconfigured,
    Refused,
    SendFailed,
    StoreUnavailable,
    Unavailable,
    Uncertain,
)
from mail2sms.heard import MoPart
from mail2sms.model import DeliveryReport, MoMessage, Status, Taken
from mail2sms.segments import GSM_ALPHABET, GSM_EXTENSION
from tests.carriers.cases import part
from tests.carriers.hearing import Heard
from tests.servers.modem import Modem, deliver, report, submitted

PHONE, OURS = "+33639981234", "+33639980101"
ANSWER = "4s"
READY_S = 60.0


def _has_gammu() -> bool:
    python = _modem_open.python(modem.Options(type="modem", device="/dev/null", number=OURS))
    found = subprocess.run([python, "-c", "import gammu"], check=False, capture_output=True)
    return found.returncode == 0


@pytest.fixture(scope="module")
def gammu() -> None:
    """gammu is there."""
    if not _has_gammu():
        pytest.skip("needs gammu (Debian: python3-gammu)")


def options(device: Path, **more: Any) -> modem.Options:
    """Return the options of a modem there."""
    given = {"device": str(device), "number": OURS, "read": "100ms", "timeout": ANSWER}
    return modem.Options(type="modem", **{**given, **more})


async def until(holds: Callable[[], object], within_s: float = READY_S) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(within_s):
        while not holds():
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def opened(folder: Path, fake: Modem, **more: Any) -> AsyncIterator[tuple[modem.Modem, Heard]]:
    """Run a carrier whose modem is ready."""
    carrier, heard = modem.build("modem", options(fake.path, **more), folder), Heard()
    await carrier.start(heard.record)
    try:
        await until(carrier.is_back)
        yield carrier, heard
    finally:
        await carrier.stop()


def link_of(carrier: modem.Modem) -> _modem_link.Link:
    """Return what keeps it open."""
    assert carrier._link is not None
    return carrier._link


def process_of(carrier: modem.Modem) -> int:
    """Return the process that has it open."""
    line = link_of(carrier).line
    assert line is not None
    return line.pid


async def outcome(carrier: modem.Modem, **changes: Any) -> Taken | SendFailed:
    """Send a part; return what became of it."""
    try:
        return await carrier.send(part(**changes))
    except SendFailed as failure:
        return failure


# What becomes of a part, by what the modem does with it, and what is heard of it.
FATES: list[tuple[str, type[Taken | SendFailed], str]] = [
    ("", Taken, ""),
    ("late", Taken, ""),
    ("unplug before prompt", Unavailable, "gone"),
    ("silent before prompt", Unavailable, "timeout"),
    ("error 38 before prompt", Unavailable, "38"),
    ("error 21 before prompt", Refused, "21"),
    ("unplug after prompt", Unavailable, ""),
    ("unplug after pdu", Uncertain, ""),
    ("unplug after taking", Uncertain, ""),
    ("unplug in answer", Uncertain, ""),
    ("silent after pdu", Uncertain, "timeout"),
    ("silent after taking", Uncertain, "timeout"),
    ("plain error", Uncertain, "ERR_UNKNOWN"),
    ("no reference", Uncertain, "no_reference"),
    ("error 21", Refused, "21"),
    ("error 42", Unavailable, "42"),
    ("error 310", Misconfigured, "310"),
    ("error 331", Unavailable, "331"),
    ("error 38", Uncertain, "38"),  # also when a timer of the network's has run out
    ("error 332", Uncertain, "332"),
    ("error 500", Uncertain, "500"),
    ("error 777", Uncertain, "777"),
]


async def test_every_fate_of_a_part(gammu: None, tmp_path: Path) -> None:
    """In doubt when, and only when, its last byte may have left and no clear answer came; then it is ready again."""

    async def fate(number: int, fault: str) -> tuple[Modem, Taken | SendFailed]:
        fake = Modem(tmp_path / f"tty{number}", late_s=0.5)
        folder = tmp_path / str(number)
        folder.mkdir()
        with fake.plugged_in():
            async with opened(folder, fake) as (carrier, _):
                fake.faults.append(fault)
                return fake, await outcome(carrier)

    found = await asyncio.gather(*(fate(number, fault) for number, (fault, *_) in enumerate(FATES)))
    for (fault, kind, code), (fake, became) in zip(FATES, found, strict=True):
        assert type(became) is kind, (fault, became)
        assert code in ("", getattr(became, "code", "")), (fault, became)
        assert kind in (Taken, Uncertain) or not fake.taken, fault
        assert kind is not Taken or len(fake.taken) == 1, fault


@pytest.mark.parametrize(
    ("fault", "kind"), [("silent after taking", Uncertain), ("silent before prompt", Unavailable)]
)
async def test_a_process_that_is_killed(
    gammu: None, tmp_path: Path, fault: str, kind: type[SendFailed]
) -> None:
    """While the modem is silent nobody knows whether it has sent; before, it is certain. Another process is started."""
    fake = Modem(tmp_path / "tty")
    with fake.plugged_in():
        async with opened(tmp_path, fake, timeout="60s") as (carrier, _):
            fake.faults.append(fault)
            sending = asyncio.create_task(outcome(carrier))
            await until(lambda: fake.is_silent)
            os.kill(process_of(carrier), signal.SIGKILL)
            assert type(await sending) is kind
            assert carrier.room() == 0  # what waits stays with it for a moment
            fake.is_silent = False
            await until(carrier.is_back)
            assert isinstance(await outcome(carrier), Taken)
    assert len(fake.taken) == 1 + (kind is Uncertain)


async def test_long_texts_are_joined_on_the_phone(gammu: None, tmp_path: Path) -> None:
    """Each part has the header, its own id, and goes in order; a report is asked for, and until when it counts."""
    text = "Grüße 😀 " * 20
    fake = Modem(tmp_path / "tty", reference=254)
    with fake.plugged_in():
        async with opened(tmp_path, fake) as (carrier, _):
            texts = carrier.split(text)
            common = {"count": len(texts), "encoding": "ucs2", "reference": 0x1234, "expires_at": 0}
            taken = await asyncio.gather(
                *(outcome(carrier, index=n, text=each, **common) for n, each in enumerate(texts))
            )
    ids = [each.carrier_message_id for each in taken if isinstance(each, Taken)]
    assert ids == [message_id(n % 256, PHONE) for n in range(254, 254 + len(texts))]
    pdus = [submitted(pdu) for pdu in fake.taken]
    assert {(pdu.number, pdu.wants_report, pdu.coding, pdu.validity) for pdu in pdus} == {
        (PHONE, True, 8, 169)
    }
    assert [pdu.octets[:6] for pdu in pdus] == [
        bytes((5, 0, 3, 0x34, len(texts), n + 1)) for n in range(len(texts))
    ]
    assert "".join(pdu.octets[6:].decode("utf-16-be") for pdu in pdus) == text


async def test_every_character_of_the_alphabet(gammu: None, tmp_path: Path) -> None:
    """gammu packs what we counted: all that GSM-7 has, without a header and behind one."""
    letters = GSM_ALPHABET + GSM_EXTENSION
    fake = Modem(tmp_path / "tty")
    with fake.plugged_in():
        async with opened(tmp_path, fake, report="no") as (carrier, _):
            assert not carrier.reports or fake.reports == "direct"
            for text in (letters[:70], letters[70:], "{" * 80):
                assert isinstance(await outcome(carrier, text=text), Taken)
            for text in (letters[:76], letters[76:], "{" * 76 + "a"):
                assert isinstance(await outcome(carrier, text=text, count=2, reference=7), Taken)
    found = [submitted(pdu) for pdu in fake.taken]
    assert not any(pdu.wants_report for pdu in found)
    read = [_gsm.decode(_gsm.unpack(pdu.octets[6 * pdu.has_header :], 6 * pdu.has_header)) for pdu in found]
    assert read == [letters[:70], letters[70:], "{" * 80, letters[:76], letters[76:], "{" * 76 + "a"]


def text_pdu(text: str, **more: Any) -> str:
    """Return the PDU of a text in GSM-7."""
    septets = _gsm.encode(text)
    return deliver(PHONE, _gsm.pack(septets), len(septets), **more)


def part_pdu(octets: bytes, number: int) -> str:
    """Return the PDU of a part of a text of two, in UCS-2."""
    whole = _udh.header(_udh.Segment(9, 2, number)) + octets
    return deliver(PHONE, whole, len(whole), coding=8, header=True)


async def test_what_came_is_deleted_when_it_is_on_disk(gammu: None, tmp_path: Path) -> None:
    """Texts from before the start, too; without the store nothing is lost, and what is read again is the same."""
    fake = Modem(tmp_path / "tty")
    fake.stored = {1: text_pdu("Yes {€}"), 4: text_pdu("Flash", coding=0x10)}
    with fake.plugged_in():
        async with opened(tmp_path, fake) as (_, heard):
            await until(lambda: not fake.stored)
            first = [event for event in heard if isinstance(event, MoMessage)]
            assert [(each.msisdn, each.to, each.text) for each in first] == [
                (PHONE, OURS, "Yes {€}"),
                (PHONE, OURS, "Flash"),
            ]
            heard.clear()
            heard.is_broken = True
            fake.bring(text_pdu("Later"))
            await until(lambda: fake.commands.count("AT+CMGL=4") > 5)
            assert len(fake.stored) == 1
            heard.is_broken = False
            await until(lambda: not fake.stored)
            fake.bring(text_pdu("Later"))  # as if the deleting had failed
            await until(lambda: len(heard) == 2)
            assert {event.event_id for event in heard if isinstance(event, MoMessage)} == {
                heard[0].event_id  # type: ignore[union-attr]
            }


async def test_parts_and_what_is_for_no_person(gammu: None, tmp_path: Path) -> None:
    """Half an emoji at a part's end is kept; an MMS's notice is deleted, an app's text is not; a draft, and what gammu
    can't read, stays.
    """
    emoji = "a😀".encode("utf-16-be")
    notice = bytes((6, 5, 4, 0x0B, 0x84, 0x23, 0xF0)) + b"\1\2\3"
    fake = Modem(tmp_path / "tty")
    draft = "07913386094000F011000B913336991832F40000A702C834"
    fake.stored = {
        1: part_pdu(emoji[:4], 1),
        2: part_pdu(emoji[4:], 2),
        3: deliver(PHONE, notice, len(notice), coding=4, header=True),
        5: draft,
        6: deliver(PHONE, b"caf\xe9", 4, coding=4),
        9: deliver(PHONE, bytes.fromhex("0605041579") + bytes(2) + _gsm.pack(b"App", 7), 11, header=True),
    }
    broken = {
        4: fake.stored[1][:50],
        7: "07913386094000F003",
        8: "0791",
    }  # cut off, of no known type, and neither
    fake.stored |= broken
    with fake.plugged_in():
        async with opened(tmp_path, fake) as (_, heard):
            await until(lambda: fake.stored == {5: draft, **broken})
            fake.bring(text_pdu("Behind them"))
            await until(lambda: fake.stored == {5: draft, **broken})
    parts = [event for event in heard if isinstance(event, MoPart)]
    assert [(each.reference, each.total, each.number) for each in parts] == [(9, 2, 1), (9, 2, 2)]
    assert _udh.whole("".join(each.text for each in parts)) == "a😀"
    assert [event.text for event in heard if isinstance(event, MoMessage)] == ["café", "App", "Behind them"]


async def test_what_was_sent_hides_nothing_that_came(gammu: None, tmp_path: Path) -> None:
    """More drafts and sent texts than are read at a time lie before a text from a phone; they stay there."""
    fake = Modem(tmp_path / "tty", size=60)
    ours = dict.fromkeys(range(1, 46), "07913386094000F011000B913336991832F40000A702C834")
    fake.stored = ours | {46: text_pdu("Behind them")}
    with fake.plugged_in():
        async with opened(tmp_path, fake) as (_, heard):
            await until(lambda: fake.stored == ours)
    assert [event.text for event in heard if isinstance(event, MoMessage)] == ["Behind them"]


def test_a_place_that_is_named_again_and_again_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """A modem that lists one place twice never comes to an end; a slow one is stopped by the clock."""

    class Endless:
        asked = 0

        def GetNextSMS(self, **_: Any) -> tuple[dict[str, Any]]:  # noqa: N802  # gammu's
            self.asked += 1
            return (dict.fromkeys(("Number", "Text", "Coding"), "") | SENT,)

        def ReadDevice(self, _: bool) -> int:  # noqa: N802  # gammu's
            return 0

    monkeypatch.setattr(_modem_worker, "gammu", SimpleNamespace(**dict.fromkeys(GAMMUS_ERRORS, OSError)))
    with os.fdopen(os.memfd_create("trace"), "ab") as trace:
        worker = _modem_worker.Modem(trace)
        worker._machine = Endless()
        assert worker.read() == {"items": [], "direct": [], "skipped": 0}
        assert worker._machine.asked == 1000
        monkeypatch.setattr(_modem_worker, "_LONGEST_READ_S", 0.0)
        assert worker.read() == {"items": [], "direct": [], "skipped": 0}
        assert worker._machine.asked == 1000


async def test_reports(gammu: None, tmp_path: Path) -> None:
    """Those that come at once, and those that lie in the memory, name the part by its TP-MR and the phone."""
    fake = Modem(tmp_path / "tty", reference=7)
    with fake.plugged_in():
        async with opened(tmp_path, fake) as (carrier, heard):
            taken = await outcome(carrier)
            assert isinstance(taken, Taken)
            heard.is_broken = True
            assert fake.report(report(7, PHONE, 0x30))
            await until(lambda: fake.commands.count("AT+CMGL=4") > 4)
            heard.is_broken = False
            fake.bring(report(7, PHONE, 0))
            await until(lambda: len(heard) == 2 and not fake.stored)
            fake.faults.append("silent after taking")
            assert isinstance(await outcome(carrier, attempt_id="a-2"), Uncertain)
            fake.is_silent = False
            await until(carrier.is_back)
            fake.report(report(8, PHONE, 0x46))
            await until(lambda: len(heard) == 3)
    found = [event for event in heard if isinstance(event, DeliveryReport)]
    assert [each.carrier_message_id for each in found[:2]] == [taken.carrier_message_id] * 2
    assert [(each.status, each.code) for each in found] == [
        (Status.ENROUTE, "ST-30"),
        (Status.DELIVERED, ""),
        (Status.EXPIRED, "ST-46"),
    ]
    assert [each.attempt_id for each in found] == [None, None, "a-2"]
    assert len({each.event_id for each in found}) == 3


async def test_unplugged_and_plugged_in_again(gammu: None, tmp_path: Path) -> None:
    """It comes back by itself; in between nothing leaves."""
    fake = Modem(tmp_path / "tty")
    fake.plug()
    async with opened(tmp_path, fake) as (carrier, _):
        fake.unplug()
        await until(lambda: link_of(carrier).line is None)
        assert type(failed := await outcome(carrier)) is Unavailable, failed
        fake.plug()
        await until(carrier.is_back)
        assert isinstance(await outcome(carrier), Taken)
    fake.unplug()


async def test_a_memory_that_cannot_be_read_does_not_stop_sending(
    gammu: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After some times it is only sent to, for a while."""
    monkeypatch.setattr(_modem_link, "_READ_S", 0.5)
    monkeypatch.setattr(_modem_link, "_DEADLY", 2)
    fake = Modem(tmp_path / "tty", is_unlistable=True)
    with fake.plugged_in():
        async with opened(tmp_path, fake) as (carrier, _):
            await until(lambda: link_of(carrier).unread_until_s > 0 and link_of(carrier).line, 60)
            assert isinstance(await outcome(carrier), Taken)


async def said(folder: Path, device: Path, **more: Any) -> str:
    """Return what `doctor` tells."""
    try:
        return await modem.build("modem", options(device, **more), folder).probe()
    except BadOption as e:
        return f"{e} -> {e.hint}"


async def test_a_pin_is_told_once(gammu: None, tmp_path: Path) -> None:
    """One that was refused is never tried again, whatever is started anew; another one is."""
    fake = Modem(tmp_path / "tty", pin="1234")
    with fake.plugged_in():
        assert "did not take its PIN" in await said(tmp_path, fake.path, pin="9999")
        carrier = modem.build("modem", options(fake.path, pin="9999"), tmp_path)
        await carrier.start(Heard().record)
        await until(lambda: link_of(carrier).why.code == "pin_refused")
        assert type(await outcome(carrier)) is Misconfigured
        assert carrier.room() == 1  # what waits for it goes another way
        await carrier.stop()
        assert fake.pins == ["9999"]
        async with opened(tmp_path, fake, pin="1234") as (carrier, _):
            assert isinstance(await outcome(carrier), Taken)
    assert fake.pins == ["9999", "1234"]


async def test_what_doctor_tells(gammu: None, tmp_path: Path) -> None:
    """The modem with its network and signal; or what stands in the way, and what to do about it."""
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    bare.chmod(0o700)
    cases: list[tuple[dict[str, Any], dict[str, Any], str]] = [
        ({}, {}, "ACME TEST 1, registered in 20801 (at home), signal 60 %"),
        ({"registered": 5}, {}, "(roaming)"),
        ({"registered": 3, "signal": 2}, {}, "not registered, signal 6 % -> is its antenna there?"),
        ({"centre": ""}, {}, "the SIM knows no message centre -> smsc:"),
        ({"centre": ""}, {"smsc": "+33689004000"}, "at home"),
        ({"pin": "1234"}, {}, "the SIM wants its PIN -> pin:"),
        ({"pin": "1234"}, {"pin": "1234"}, "at home"),
        ({}, {"python": str(bare)}, "sudo apt-get install python3-gammu"),
        ({}, {"python": "/usr/bin/python3.no"}, "python: one that can be executed"),
    ]

    async def told(number: int, has: dict[str, Any], more: dict[str, Any]) -> str:
        fake = Modem(tmp_path / f"tty{number}", **has)
        (folder := tmp_path / str(number)).mkdir()
        with fake.plugged_in():
            return await said(folder, fake.path, **more)

    found = await asyncio.gather(*(told(number, has, more) for number, (has, more, _) in enumerate(cases)))
    for (_, _, wanted), sentence in zip(cases, found, strict=True):
        assert wanted in sentence
    absent = tmp_path / "nothing"
    hint = f"is it plugged in? ls -l {tmp_path}"
    assert await said(tmp_path, absent) == f"{absent}: the modem is not there -> {hint}"


async def test_who_has_it_open(gammu: None, tmp_path: Path) -> None:
    """The daemon: then what it sees is told. Somebody else: that."""
    fake = Modem(tmp_path / "tty")
    with fake.plugged_in():
        async with opened(tmp_path, fake):
            assert (await said(tmp_path, fake.path)).startswith(f"the daemon has {fake.path}: ACME TEST 1, ")
        with fake.path.open("rb") as theirs:
            fcntl.flock(theirs, fcntl.LOCK_EX)
            assert "another program has it" in await said(tmp_path, fake.path)


@pytest.mark.parametrize(
    ("tp_status", "status"),
    [
        (0x00, Status.DELIVERED),
        (0x01, Status.ENROUTE),  # the centre can't confirm it
        (0x1F, Status.ENROUTE),
        (0x20, Status.ENROUTE),  # still trying
        (0x3F, Status.ENROUTE),
        (0x40, Status.UNDELIVERABLE),
        (0x46, Status.EXPIRED),
        (0x5F, Status.UNDELIVERABLE),
        (0x60, Status.UNDELIVERABLE),  # given up
        (0x7F, Status.UNDELIVERABLE),
        (0x80, Status.UNKNOWN),  # reserved
        (0xFF, Status.UNKNOWN),
    ],
)
def test_what_a_tp_status_says(tp_status: int, status: Status) -> None:
    """3GPP TS 23.040 section 9.2.3.15, one row per edge."""
    assert status_of(tp_status) is status


def test_an_id_names_part_and_phone_and_no_number() -> None:
    """The same with or without the country; another for another phone or reference; four digits of a digest."""
    assert message_id(7, PHONE) == message_id(7, "0639981234") == message_id(7, "33639981234")
    assert len({message_id(7, PHONE), message_id(8, PHONE), message_id(7, "+33639981235")}) == 3
    assert len(message_id(255, PHONE)) == 8


def test_a_centres_clock_is_learnt() -> None:
    """It knows no time zone: a part whose id was given once shows how far it is off."""
    sent, hour = Sent(), 3_600_000
    at = sent.when("7-abcd", "2026-11-26 07:45:00")
    assert at is not None
    sent.note("7-abcd", at - hour - 3000)
    assert sent.when("7-abcd", "2026-11-26 07:45:00") == at - hour
    assert sent.when("8-abcd", "2026-11-26 08:45:00") == at
    assert sent.when("8-abcd", "") is None


def test_of_two_doubts_a_report_settles_none() -> None:
    """It could be of either."""
    inbound = Inbound("modem", OURS, b"key")
    item = {"type": "Status_Report", "number": PHONE, "reference": 3, "status": 0, "at": ""}
    inbound.doubtful(PHONE, "a-1", 0)
    assert inbound.report(item, 0).attempt_id == "a-1"
    inbound.doubtful(PHONE, "a-2", 1000)
    assert inbound.report(item, 0).attempt_id is None
    inbound.doubtful(PHONE, "a-3", 3 * 86_400_000)  # the others are over
    assert inbound.report(item, 0).attempt_id == "a-3"


def reported(*references: int) -> dict[str, Any]:
    """Return what was read when these reports came at once."""
    same = {"type": "Status_Report", "number": PHONE, "status": 0, "at": ""}
    return {"items": [], "direct": [same | {"reference": each} for each in references], "skipped": 0}


class Choosy(Heard):
    """Fails at each event of the reference 1, by `failure`."""

    failure: Exception = ValueError(PHONE)
    tried = 0

    async def record(self, event: CarrierEvent) -> None:
        """Store it."""
        if isinstance(event, DeliveryReport) and event.carrier_message_id == message_id(1, PHONE):
            self.tried += 1
            raise self.failure
        await super().record(event)

    @property
    def references(self) -> list[str]:
        """What it has stored."""
        return [e.carrier_message_id.partition("-")[0] for e in self if isinstance(e, DeliveryReport)]


async def test_a_report_that_cannot_be_stored_keeps_no_other_waiting() -> None:
    """It is tried again, so many times; its failure is told at the first and at the last, without its number."""
    heard = Choosy()
    reader = Reader("modem", Inbound("modem", OURS, b"key"), heard.record)
    with capture_logs() as logged:
        await reader.take(reported(1, 2))
        assert heard.references == ["2"]
        for reference in range(3, 203):
            await reader.take(reported(reference))
    assert heard.references == [str(n) for n in range(2, 203)]
    assert heard.tried == 100
    assert [(line["event"], line["attempt"]) for line in logged] == [
        ("carrier_event_failed", 1),
        ("carrier_event_failed", 100),
    ]
    assert PHONE.removeprefix("+") not in str(logged)


async def test_a_report_that_the_store_alone_refuses_goes_behind_the_others() -> None:
    """The store says the same of it as when it is away: it is never given up, and the others are stored meanwhile."""
    heard = Choosy()
    heard.failure = StoreUnavailable("IntegrityError")
    reader = Reader("modem", Inbound("modem", OURS, b"key"), heard.record)
    for reference in (1, 2, 3, 4):
        await reader.take(reported(reference))
    await reader.take(reported())
    assert heard.references == ["2", "3", "4"]
    assert heard.tried > 1
    heard.is_broken = True
    await reader.take(reported(5, 6))
    heard.is_broken = False
    for _ in range(3):
        await reader.take(reported())
    assert sorted(heard.references) == ["2", "3", "4", "5", "6"]


async def test_what_waits_for_the_store_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that is away for days costs no memory without end: the oldest reports are lost, and that is told."""
    monkeypatch.setattr(_modem_reader, "_MOST_UNTOLD", 3)
    heard = Heard()
    reader = Reader("modem", Inbound("modem", OURS, b"key"), heard.record)
    heard.is_broken = True
    with capture_logs() as logged:
        await reader.take(reported(1, 2, 3, 4, 5))
    assert [(line["event"], line["count"]) for line in logged] == [("mo_unread", 2)]
    heard.is_broken = False
    await reader.take(reported())
    assert len(heard) == 3


SENT = {
    "Location": 1,
    "Type": "Submit",
    "UDH": {"Text": b""},
    "DateTime": None,
    "DeliveryStatus": 0,
    "MessageReference": 0,
}
GAMMUS_ERRORS = ("ERR_EMPTY", *(f"ERR_{name}" for name in _modem_worker._UNREADABLE))
SENDING = "SENDING frame type 0x00/length 0x{0:02X}/{0}\n"
ASKED = SENDING.format(10) + "41A|54T|2B+|43C|4DM|47G|53S|3D=|344|0D                          AT+CMGS=4.\n"
LEFT = SENDING.format(1) + "1A                                                              .\n"
CMS = 'CMS Error {}: "words of gammu"\n'
THEIRS = "Incoming SMS received (Deliver)\n"  # a text of somebody else's, whose words stand behind it


@pytest.mark.parametrize(
    ("trace", "expected"),
    [
        ("", traces.Trace()),
        (ASKED, traces.Trace(is_readable=True)),
        (ASKED + CMS.format(38), traces.Trace(is_readable=True, code="38")),
        (ASKED + LEFT, traces.Trace(is_readable=True, may_have_left=True)),
        (
            ASKED + LEFT[:33],
            traces.Trace(is_readable=True),
        ),  # killed before it was written down, and so before it left
        (ASKED + LEFT[:40], traces.Trace(is_readable=True, may_have_left=True)),
        (
            CMS.format(38) + ASKED + LEFT,
            traces.Trace(is_readable=True, may_have_left=True),
        ),  # of another command
        (ASKED + LEFT + CMS.format(38), traces.Trace(is_readable=True, may_have_left=True, code="38")),
        (ASKED + LEFT + "CME Error 30\n", traces.Trace(is_readable=True, may_have_left=True, code="CME-30")),
        (
            LEFT + CMS.format(42) + ASKED + CMS.format(38),
            traces.Trace(is_readable=True, code="38"),
        ),  # a text of ours
        (
            ASKED + LEFT + THEIRS + CMS.format(42),
            traces.Trace(is_readable=True, may_have_left=True),
        ),
        (
            ASKED + LEFT + THEIRS + ASKED,  # which must not undo that ours left
            traces.Trace(is_readable=True, may_have_left=True),
        ),
        (
            ASKED + LEFT + THEIRS + ASKED + LEFT + CMS.format(42),
            traces.Trace(is_readable=True, may_have_left=True),
        ),
        (
            ASKED + THEIRS + ASKED + CMS.format(42),
            traces.Trace(is_readable=True),
        ),
        (
            ASKED + LEFT + ASKED + CMS.format(42),  # handed over twice: the code is of the second alone
            traces.Trace(is_readable=True, may_have_left=True),
        ),
        (
            ASKED + LEFT + CMS.format(42) + ASKED + LEFT,  # the first of them may be in a text of ours
            traces.Trace(is_readable=True, may_have_left=True),
        ),
        ("SENDING 41 54 0D\n" + CMS.format(38), traces.Trace(code="38")),  # another gammu
    ],
)
def test_what_a_trace_shows(trace: str, expected: traces.Trace) -> None:
    """The frames that were sent, and the modem's error since the last of them."""
    assert traces.read(trace) == expected


def test_a_trace_too_long_to_be_read_to_its_end_proves_nothing() -> None:
    """What left may stand behind a modem's chatter."""
    written = os.memfd_create("trace")
    fcntl.fcntl(written, fcntl.F_SETFL, os.O_APPEND)  # as gammu has it
    line = Line(cast("Process", None), written)
    os.write(written, ASKED.encode() + b"^RSSI:20\n" * 100_000)
    assert line.trace() == traces.Trace(is_readable=True)
    os.write(written, b"^RSSI:20\n" * 20_000 + LEFT.encode())
    assert line.trace() == traces.Trace(may_have_left=True)
    os.close(written)


def test_traces_that_cannot_be_read_prove_nothing() -> None:
    """Where this gammu's traces are of another form, each failure is a doubt."""
    for found in (traces.Trace(), traces.Trace(code="21"), traces.Trace(is_readable=True)):
        assert type(traces.failure(found, "ERR_TIMEOUT", is_trusted=False)) is Uncertain
    assert type(traces.failure(traces.Trace(), "ERR_TIMEOUT", is_trusted=True)) is Unavailable
    assert type(traces.failure(traces.Trace(), "unwritable", is_trusted=True)) is Refused


def test_a_pin_is_written_down_before_it_is_tried(tmp_path: Path) -> None:
    """What was refused never again, what nobody answered once more; an open SIM forgives."""
    memory = Memory(tmp_path, "stick")
    assert memory.may_try("1111")
    memory.refused()
    assert not Memory(tmp_path, "stick").may_try("1111")
    assert [Memory(tmp_path, "stick").may_try("2222") for _ in range(3)] == [True, True, False]
    Memory(tmp_path, "stick").accepted()
    assert Memory(tmp_path, "stick").may_try("2222")
    kept = (tmp_path / "modem-stick.json").read_text()
    assert "1111" not in kept
    assert "2222" not in kept


@pytest.mark.parametrize(
    ("left_ms", "validity"),
    [(-1, "5M"), (60_000, "5M"), (3_600_000, "60M"), (90 * 86_400_000, "43200M")],
)
def test_until_when_the_centre_tries(left_ms: int, validity: str) -> None:
    """At least what can be written, at most thirty days."""
    assert modem._validity(10_000_000 + left_ms, 10_000_000) == validity


@pytest.mark.parametrize("word", _modem_open._WAY_OUT)
def test_every_hindrance_says_what_to_do(word: str) -> None:
    """Who must act is told; where waiting may help it is not the operator's."""
    failed = _modem_open.failure(word)
    advice = _modem_open.advice(modem.Options(type="modem", device="/dev/x", number=OURS), failed)
    assert str(advice).startswith("/dev/x: ")
    assert advice.hint
    assert isinstance(failed, Misconfigured) == (word not in ("absent", "busy"))
