"""SMPP as octets: vectors that another library reads, texts, headers, receipts in all their forms, bounds."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mail2sms.carriers import _gsm, _pace
from mail2sms.carriers import _smpp_pdu as wire
from mail2sms.carriers import _smpp_read as read
from mail2sms.carriers import _smpp_receipt as receipts
from mail2sms.carriers import _smpp_text as texts
from mail2sms.carriers._smpp_inbound import Inbound
from mail2sms.carriers._smpp_pdu import Address, Command, Short, Tag
from mail2sms.carriers._smpp_receipt import Ids
from mail2sms.carriers._smpp_submit import Writer
from mail2sms.carriers._smpp_text import Alphabet
from mail2sms.carriers._udh import Segment
from mail2sms.carriers.smpp import Options
from mail2sms.model import MoMessage, Part, SenderId, Status
from mail2sms.segments import GSM_ALPHABET, GSM_EXTENSION
from tests.fakes import PHONE

VECTORS = json.loads(Path(__file__).with_name("smpp_vectors.json").read_text("utf-8"))["vectors"]
BY_NAME = {vector["name"]: vector for vector in VECTORS}
ID, NUL = "1B2C3D4E", "\0"
_TEXT = "id:{id} sub:001 dlvrd:001 submit date:2601020304 done date:2601020305 stat:{stat} err:000 text:Hello"


def body(name: str) -> bytes:
    """Return the body of a vector."""
    return bytes.fromhex(BY_NAME[name]["hex"])[16:]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: str(vector["name"]))
def test_vectors_are_read_as_another_library_reads_them(vector: dict[str, Any]) -> None:
    """Frame, and what is inside."""
    octets = bytes.fromhex(vector["hex"])
    ((command, _, sequence, inside),) = wire.Frames().feed(octets)
    assert sequence == vector["smpplib_seq"]
    name = Command(command & ~wire.RESPONSE if command != Command.GENERIC_NACK else command).name.lower()
    assert vector["smpplib_command"] in (name, f"{name}_resp")
    if command in (Command.SUBMIT_SM, Command.DELIVER_SM):
        short = read.read_short(inside)
        assert short.source.digits == vector["decoded_source_addr"]
        assert short.destination.digits == vector["decoded_destination_addr"]
        assert short.esm_class == vector["decoded_esm_class"]
        assert short.data_coding == vector["decoded_data_coding"]
        if vector["decoded_short_message"]:
            assert short.text.hex() == vector["decoded_short_message"]
    elif "decoded_message_id" in vector:
        assert read.read_message_id(inside) == vector["decoded_message_id"]


def _submit(name: str, text: str, **changes: Any) -> bytes:
    given = {
        "message": "m-1",
        "index": 0,
        "count": 1,
        "attempt_id": "a",
        "attempt": 1,
        "segments": 1,
        "encoding": "gsm7",
    }
    given |= {"msisdn": "+447700900123", "sender_id": "+447700900100", "text": text}
    more = {"address": "127.0.0.1:1", "system_id": "a", "password": "b", **changes.pop("options", {})}
    built = Writer(Options(type="smpp", **more)).body(Part(**{**given, **changes}), 0)
    return wire.pdu(Command.SUBMIT_SM, BY_NAME[name]["smpplib_seq"], built)


@pytest.mark.parametrize(
    ("name", "text", "changes"),
    [
        ("submit_sm_gsm7_extension_euro", "5 €", {}),
        ("submit_sm_ucs2_emoji", "Hi 😀", {"sender_id": SenderId("80123"), "encoding": "ucs2"}),
        ("submit_sm_concat8_part1_153", "A" * 153, {"count": 2, "reference": 0x4A}),
        ("submit_sm_concat8_part2_47", "A" * 47, {"count": 2, "index": 1, "reference": 0x4A}),
        (
            "submit_sm_concat16_part1_152",
            "A" * 152,
            {"count": 2, "reference": 0x1234, "options": {"long": "udh16"}},
        ),
        ("submit_sm_sar_tlv_part1", "A" * 153, {"count": 2, "reference": 0x4A, "options": {"long": "sar"}}),
        ("submit_sm_message_payload", "A" * 200, {"segments": 2, "options": {"long": "payload"}}),
        ("submit_sm_validity_relative_1h", "hi", {"expires_at": 3_600_000}),
    ],
)
def test_submits_are_written_as_the_vectors(name: str, text: str, changes: dict[str, Any]) -> None:
    """Octet for octet, where the vector asks for the same."""
    assert _submit(name, text, **changes).hex() == BY_NAME[name]["hex"]


@pytest.mark.parametrize(
    ("validity", "expires_at", "written"),
    [
        ("relative", 3_600_000, "000000010000000R"),
        ("relative", 40 * 86_400_000, "000110000000000R"),
        ("relative", 5_000_000_000_000, "000203000000000R"),  # 63 days at most
        ("relative", -5, "000000000001000R"),
        ("absolute", 86_400_000, "700102000000000+"),
        ("none", 3_600_000, ""),
        ("relative", 0, ""),
    ],
)
def test_validity(validity: str, expires_at: int, written: str) -> None:
    """Section 7.1.1."""
    octets = _submit(
        "submit_sm_validity_relative_1h", "hi", expires_at=expires_at, options={"validity": validity}
    )
    assert read.read_short(octets[16:]).validity == written


def test_a_bind_is_written_as_the_vector() -> None:
    """With the version 3.4."""
    octets = wire.pdu(Command.BIND_TRANSCEIVER, 1, wire.bind("mail2sms", "s3cret"))
    assert octets.hex() == BY_NAME["bind_transceiver"]["hex"]


def test_frames_come_in_any_pieces() -> None:
    """Cut at every octet."""
    stream = b"".join(bytes.fromhex(vector["hex"]) for vector in VECTORS)
    whole = list(wire.Frames().feed(stream))
    for cut in range(1, len(stream)):
        frames = wire.Frames()
        assert [*frames.feed(stream[:cut]), *frames.feed(stream[cut:])] == whole
    frames = wire.Frames()
    assert [frame for octet in stream for frame in frames.feed(bytes((octet,)))] == whole


@pytest.mark.parametrize("length", [0, 15, 65_537, 0xFFFFFFFF])
def test_impossible_lengths(length: int) -> None:
    """Nobody knows where the next PDU begins."""
    with pytest.raises(wire.OutOfStep):
        list(wire.Frames().feed(length.to_bytes(4, "big") + bytes(12)))


def test_what_is_cut_short_is_malformed_and_nothing_else() -> None:
    """Every prefix of every body, and every octet changed."""
    chance = random.Random(4)  # the same every time
    for name in ("deliver_sm_dlr_with_tlv", "submit_sm_sar_tlv_part1", "deliver_sm_mo_ucs2"):
        whole = body(name)
        pieces = [whole[:end] for end in range(len(whole))]
        pieces += [whole[:at] + bytes((chance.randrange(256),)) + whole[at + 1 :] for at in range(len(whole))]
        for piece in pieces:
            for reading in (read.read_short, read.read_data):
                try:
                    reading(piece)
                except read.Malformed as e:
                    assert e.status in range(1, 0x100)


def test_gsm_both_ways() -> None:
    """Each character of the alphabet and of its extension, alone and packed behind a header."""
    text = GSM_ALPHABET + GSM_EXTENSION
    octets = _gsm.encode(text)
    assert len(octets) == len(GSM_ALPHABET) + 2 * len(GSM_EXTENSION)
    assert _gsm.decode(octets) == text
    for length in range(1, 40):
        for header in (0, 6, 7):
            assert _gsm.unpack(_gsm.pack(octets[1 : length + 1], header), header) == octets[1 : length + 1]


@pytest.mark.parametrize(
    ("text", "packed"),
    # 3GPP TS 23.038 section 6.1.2.1; "hellohello" is the example of many manuals.
    [("hellohello", "e8329bfd4697d9ec37"), ("1234567", "31d98c56b3dd1a"), ("12345678", "31d98c56b3dd70")],
)
def test_packing(text: str, packed: str) -> None:
    """Seven characters leave seven bits, which a CR fills."""
    assert _gsm.pack(_gsm.encode(text)).hex() == packed
    assert _gsm.decode(_gsm.unpack(bytes.fromhex(packed))) == text


def test_what_gsm_does_not_hold() -> None:
    """It is refused when written; read, it shows as a mark or as it would without the escape."""
    for text in ("я", "`", "\x1b"):
        with pytest.raises(UnicodeEncodeError):
            _gsm.encode(text)
    assert _gsm.decode(b"a\x80b") == "a\ufffdb"
    assert _gsm.decode(b"a\x1bAb\x1b") == "aAb"


def _mo(text: bytes, **changes: Any) -> Short:
    return Short(
        source=Address(1, 1, "33639981234"), destination=Address(1, 1, "33639980101"), text=text, **changes
    )


@pytest.mark.parametrize(
    ("octets", "coding", "alphabet", "text"),
    [
        (b"Yes\0\x1be", 0, "gsm", "Yes@€"),
        (b"Gr\xf6\xdfe", 3, "gsm", "Größe"),
        (b"Gr\xf6\xdfe", 0, "latin1", "Größe"),
        (bytes.fromhex("d4f29c0e"), 0, "gsm-packed", "Test"),
        ("Да".encode("utf-16-be"), 8, "gsm", "Да"),
        ("Да".encode("utf-16-be"), 0x18, "gsm", "Да"),
        ("\ufeffДа".encode("utf-16-be"), 8, "gsm", "Да"),
        (b"\xff\xfe" + "Да".encode("utf-16-le"), 8, "gsm", "Да"),
        ("Да".encode("utf-16-be") + b"\0", 8, "gsm", "Да"),
        ("Да".encode("iso8859_5"), 6, "gsm", "Да"),
        ("שלום".encode("iso8859_8"), 7, "gsm", "שלום"),
        (b"Yes", 0x10, "gsm", "Yes"),
        (b"Yes", 0xF0, "gsm", "Yes"),
        (b"\xe9", 0xF5, "gsm", "é"),
        (b"Yes", 1, "gsm", "Yes"),
        (b"", 0, "gsm", ""),
    ],
)
def test_texts_from_phones(octets: bytes, coding: int, alphabet: str, text: str) -> None:
    """By data_coding; 0 as agreed."""
    assert texts.read(_mo(octets, data_coding=coding), Alphabet(alphabet)).text == text


@pytest.mark.parametrize(
    ("octets", "text", "segment"),
    [
        (b"\5\0\3\x4a\3\2abc", "abc", Segment(0x4A, 3, 2)),
        (b"\6\x08\4\x12\x34\3\2abc", "abc", Segment(0x1234, 3, 2)),
        (
            b"\x0a\x24\1\1\5\0\3\x4a\3\2abc",
            "\x0a\x24\1\1\5\0\3\x4a\3\2abc",
            None,
        ),  # inner lengths go beyond it
        (b"\x08\x24\1\1\0\3\x4a\3\2abc", "abc", Segment(0x4A, 3, 2)),
        (b"\6\5\4\x0b\x84\x23\xf0abc", "abc", None),  # ports
        (b"\5\0\3\x4a\1\1abc", "abc", None),
        (b"\5\0\3\x4a\2\3abc", "abc", None),
        (b"\5\0\3\x4a\2\0abc", "abc", None),
        (b"\xffabc", "\ufffdabc", None),
        (b"\0abc", "@abc", None),
        (b"", "", None),
    ],
)
def test_headers(octets: bytes, text: str, segment: Segment | None) -> None:
    """What is no header is text."""
    found = texts.read(_mo(octets, esm_class=texts.UDHI), Alphabet.GSM)
    assert found.segment == segment
    if octets[:1] != b"\x0a":
        assert found.text == text


PUSH, APPS = b"\6\5\4\x0b\x84\x23\xf0", b"\6\5\4\x15\x7b\0\0"  # headers with a port: of WAP push, of an app


@pytest.mark.parametrize(
    ("octets", "coding", "port", "is_for_program"),
    [
        (PUSH + b"\1\6\1", 0x04, b"", True),  # an MMS's notice
        (PUSH + b"\1\6\1", 0xF5, b"", True),
        (PUSH + b"\1\6\1", 0x14, b"", True),
        (PUSH + b"\1\6\1", 0x02, b"", True),
        (PUSH + b"\1\6\1", 0x00, b"", True),  # by an SMSC that does not say that it is none
        (b"\6\5\4\xc3\x4f\0\0\1\6", 0x00, b"", True),  # settings over the air
        (b"\x0b\5\4\x23\xf4\0\0\0\3\7\2\1BEGIN:VCARD", 0x04, b"", True),  # the first part of a card
        (b"\4\4\2\xe2\0BEGIN:VCARD", 0xF5, b"", True),  # a port of 8 bits
        (b"\x0b\5\4\x15\x7b\0\0\0\3\7\2\1Hello", 0x00, b"", False),  # of an app's, for somebody
        (APPS + "Да".encode("utf-16-be"), 0x08, b"", False),
        (APPS + b"Hello", 0xF0, b"", False),
        (APPS, 0x00, b"", True),  # nothing that somebody could read
        (b"\5\0\3\7\2\1Hello", 0x04, b"", False),  # no port
        (b"\5\0\3\7\2\1Hello", 0x00, b"", False),
        (b"\0\1\6\1", 0x04, b"\x0b\x84", True),  # SMPP's own parameter
        (b"\0Hello", 0x04, b"\0\0", False),  # which says that there is none
        (b"\0Hello", 0x00, b"\x15\x7b", False),
    ],
)
def test_what_is_for_no_person(octets: bytes, coding: int, port: bytes, is_for_program: bool) -> None:
    """Octets with a port, and what comes for WAP; text is for people, whichever app has sent it."""
    tlvs = {Tag.DESTINATION_PORT: port} if port else {}
    short = _mo(octets, data_coding=coding, esm_class=texts.UDHI, tlvs=tlvs)
    assert texts.read(short, Alphabet.GSM).is_for_program is is_for_program


def test_sar() -> None:
    """Parts without a header."""
    tlvs = {Tag.SAR_REFERENCE: b"\x12\x34", Tag.SAR_TOTAL: b"\3", Tag.SAR_NUMBER: b"\2"}
    assert texts.read(_mo(b"abc", tlvs=tlvs), Alphabet.GSM).segment == Segment(0x1234, 3, 2)


@pytest.mark.parametrize(
    ("text", "message_id", "status", "code"),
    [
        (_TEXT.format(id="0455884110", stat="DELIVRD"), "455884110", Status.DELIVERED, ""),
        (_TEXT.format(id="ABC-def", stat="EXPIRED"), "ABC-DEF", Status.EXPIRED, "EXPIRED"),
        (_TEXT.format(id="1", stat="ACCEPTD"), "1", Status.ENROUTE, "ACCEPTD"),
        (_TEXT.format(id="1", stat="ENROUTE"), "1", Status.ENROUTE, "ENROUTE"),
        (_TEXT.format(id="1", stat="UNKNOWN"), "1", Status.UNKNOWN, "UNKNOWN"),
        (_TEXT.format(id="1", stat="SKIPPED"), "1", Status.UNKNOWN, "SKIPPED"),
        (_TEXT.format(id="1", stat="DELETED"), "1", Status.UNDELIVERABLE, "DELETED"),
        ("id:7 stat:UNDELIV err:21b text:", "7", Status.UNDELIVERABLE, "UNDELIV 21b"),
        ("id:7 stat:FAI\x1bLED err:2\r\n1", "7", Status.UNKNOWN, "FAILED 21"),
        ("ID:7 SUB:001 STAT:REJECTD ERR:0", "7", Status.REJECTED, "REJECTD"),
        ("stat:DELIVRD id:7 done date:20260102030405", "7", Status.DELIVERED, ""),
        ("id: 7 sub: 001 stat: DELIVRD err: 000 Text: id:8 stat:EXPIRED", "7", Status.DELIVERED, ""),
        ("id:7, stat:DELIVRD, err:000", "7", Status.DELIVERED, ""),
        (
            "id:550e8400-e29b-41d4-a716-446655440000 stat:DELIVERED",
            "550E8400-E29B-41D4-A716-446655440000",
            Status.DELIVERED,
            "",
        ),
        ("id:0000000000 stat:DELIVRD", "0", Status.DELIVERED, ""),
        ("text:Hello id:7 stat:DELIVRD", "7", Status.DELIVERED, ""),
    ],
)
def test_receipts_in_all_forms(text: str, message_id: str, status: Status, code: str) -> None:
    """As SMSCs write them; each also in UCS-2 and in message_payload."""
    for short in (_mo(text.encode(), esm_class=4), _mo(text.encode("utf-16-be"), esm_class=4, data_coding=8)):
        assert receipts.is_receipt(short, by_text=False)
        found = receipts.read(short, Ids.SAME)
        assert found == receipts.Receipt(message_id=message_id, status=status, code=code)


@pytest.mark.parametrize(
    ("ids", "answered", "in_text", "in_parameter"),
    [
        (Ids.SAME, ID, ID, ID),
        (Ids.SAME, "0012ab", "12AB", ""),
        (Ids.ANSWERS, ID, "0455884110", ""),
        (Ids.ANSWERS, "38601fa", "0059113978", "38601fa"),  # of a real SMSC, by cloudhopper's tests
        (Ids.RECEIPTS, "455884110", ID, ""),
        (Ids.ANSWERS, "no-number", "no-number", ""),
    ],
)
def test_ids_that_are_written_differently(ids: Ids, answered: str, in_text: str, in_parameter: str) -> None:
    """By the carrier's setting, never by a guess."""
    tlvs = {Tag.RECEIPTED_MESSAGE_ID: f"{in_parameter}\0".encode()} if in_parameter else {}
    short = _mo(_TEXT.format(id=in_text, stat="DELIVRD").encode(), esm_class=4, tlvs=tlvs)
    found = receipts.read(short, ids)
    assert found is not None
    assert found.message_id == receipts.answered_id(answered, ids)


def test_what_is_a_receipt() -> None:
    """By its mark or the SMSC's own parameters; by its text only where the operator says so."""
    text = _TEXT.format(id="7", stat="DELIVRD").encode()
    own = {Tag.RECEIPTED_MESSAGE_ID: b"7\0", Tag.MESSAGE_STATE: b"\2"}
    assert receipts.is_receipt(_mo(text, esm_class=0x44), by_text=False)
    assert receipts.is_receipt(_mo(b"", tlvs=own), by_text=False)
    assert not receipts.is_receipt(_mo(text), by_text=False)
    assert receipts.is_receipt(_mo(text), by_text=True)
    assert not receipts.is_receipt(_mo(b"id:7 hello"), by_text=True)
    assert receipts.read(_mo(b"", esm_class=4, tlvs=own), Ids.SAME) == receipts.Receipt(
        message_id="7", status=Status.DELIVERED
    )
    assert receipts.read(_mo(b"stat:DELIVRD", esm_class=4), Ids.SAME) is None
    for header in (b"", b"\5\0\3\7\1\1"):  # the bit is set; a header follows or not
        found = receipts.read(_mo(header + text, esm_class=0x44), Ids.SAME)
        assert found == receipts.Receipt(message_id="7", status=Status.DELIVERED)


@pytest.mark.parametrize(
    ("address", "country", "number"),
    [
        (Address(1, 1, "33639981234"), "", PHONE),
        (Address(0, 1, "33639981234"), "", PHONE),
        (Address(0, 0, "+33639981234"), "", PHONE),
        (Address(0, 0, "0033639981234"), "", PHONE),
        (Address(2, 1, "0639981234"), "FR", PHONE),
        (Address(0, 1, "0639981234"), "FR", PHONE),
        (Address(0, 1, "0639981234"), "", "0639981234"),
        (Address(3, 0, "38600"), "FR", "38600"),
        (Address(5, 0, "Orange"), "", "Orange"),
        (Address(0, 1, "Orange"), "", "Orange"),
    ],
)
def test_numbers_of_phones(address: Address, country: str, number: str) -> None:
    """The type of number is often wrong."""
    options = Options(type="smpp", address="127.0.0.1:1", system_id="a", password="b", country=country)
    assert Inbound("smpp", options, b"", lambda: 0, lambda: 0.0).number(address) == number


def test_pace() -> None:
    """An agreed rate is kept; a complaint halves it, and it comes back."""
    agreed = _pace.Pace(10)
    assert [round(agreed.reserve(1000.0), 3) for _ in range(3)] == [0.0, 0.1, 0.2]
    free = _pace.Pace(None)
    times = [1000 + n / 100 for n in range(300)]
    assert {free.reserve(each) for each in times} == {0.0}
    free.slow(1003.0)
    free.slow(1003.1)  # the same burst
    assert free.reserve(1003.2) == pytest.approx(0.8)
    assert 0.01 < free.reserve(1004.5) + free.reserve(1004.5) < 0.05  # about 50 a second
    now_s, waits = 1005.0, []
    for _ in range(40_000):
        waits.append(free.reserve(now_s))
        now_s += max(waits[-1], 0.01)
    assert waits[-1] == 0.0


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"tls_name": "x"}, "need tls: on"),
        ({"tls": "on", "key": "/x"}, "certificate and key belong together"),
        ({"number": "8/1"}, "expected type of number"),
        ({"statuses": {"88": "retry"}}, "in hexadecimal"),
        ({"system_id": "sixteen-octets-x"}, "at most 15"),
        ({"system_type": "thirteen-octs"}, "at most 12"),
        ({"system_id": "ac\0me"}, "at most 15"),  # its bind could not be written
    ],
)
def test_options_that_do_not_fit(changes: dict[str, Any], what: str) -> None:
    """Each is told."""
    given = {"address": "127.0.0.1:1", "system_id": "a", "password": "b", **changes}
    with pytest.raises(ValueError, match=what):
        Options(type="smpp", **given)


class _Link:
    heard_s = 0.0


@pytest.mark.parametrize(
    ("is_other_link", "answered_s", "heard_s", "again_s", "is_same"),
    [
        (True, 0.1, 0.1, 0.2, True),  # the link may have broken under our answer
        (True, 0.1, 5.0, 6.0, False),  # it was heard of long after
        (True, None, 0.1, 0.2, True),  # not stored yet
        (False, 0.1, 0.2, 0.2, False),  # twice the same words, one after the other
        (False, None, 0.2, 0.2, False),
        (False, None, 6.0, 6.0, True),  # the SMSC has lost patience
        (False, 6.0, 7.0, 7.0, True),
        (False, 6.0, 900.0, 900.0, False),  # a quarter of an hour later it is said anew
        (True, 0.1, 0.1, 7200.0, True),  # the SMSC was away for two hours
        (True, 0.1, 0.1, 100_000.0, False),
    ],
)
def test_the_same_words_again(
    is_other_link: bool, answered_s: float | None, heard_s: float, again_s: float, is_same: bool
) -> None:
    """The same text, or another of the same words: by what the SMSC can know of our answer."""
    now_s, one, two = [0.0], _Link(), _Link()
    options = Options(type="smpp", address="127.0.0.1:1", system_id="a", password="b")
    inbound = Inbound("smpp", options, b"key", lambda: 1000, lambda: now_s[0])
    first = inbound.read(_mo(b"Oui"), one)
    assert isinstance(first, MoMessage)
    if answered_s is not None:
        now_s[0] = answered_s
        inbound.answered(first, is_taken=True)
    one.heard_s, now_s[0] = heard_s, again_s
    again = inbound.read(_mo(b"Oui"), two if is_other_link else one)
    assert isinstance(again, MoMessage)
    assert (again.event_id == first.event_id) == is_same


def test_what_was_put_off_comes_again() -> None:
    """It may be stored all the same: it keeps its id, once."""
    link, options = _Link(), Options(type="smpp", address="127.0.0.1:1", system_id="a", password="b")
    inbound = Inbound("smpp", options, b"key", lambda: 1000, lambda: 0.0)
    first = inbound.read(_mo(b"Oui"), link)
    assert isinstance(first, MoMessage)
    assert first.repeats is not None  # of the process before this one
    inbound.answered(first, is_taken=False)
    again = inbound.read(_mo(b"Oui"), link)
    assert again == replace(first, repeats=None)
    inbound.answered(first, is_taken=True)
    new = inbound.read(_mo(b"Oui"), link)
    assert isinstance(new, MoMessage)
    assert (new.event_id != first.event_id, new.repeats) == (True, None)
