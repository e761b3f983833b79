"""Mails of real shapes are read right; no mail, however shaped, raises anything but Refusal or costs much."""

from __future__ import annotations

import json
import random
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Any

import pytest

from mail2sms.errors import Refusal
from mail2sms.intake import mime
from mail2sms.intake.html import to_text
from tests.cpu import least_s
from tests.fuzz_mails import HOSTILE, MAILS, fuzz, loop_s

_LOOP_S = 0.05  # of CPU, architecture's invariant


def _expected(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.with_suffix(".expected.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("path", sorted(MAILS.glob("*.eml")), ids=lambda path: path.stem)
def test_real_shapes(path: Path) -> None:
    """Each mail of tests/mails says what its .expected.json says."""
    letter, expected = mime.read(path.read_bytes(), html=to_text), _expected(path)
    assert letter.text.split("\n") == expected["text"]
    assert list(letter.from_addresses) == expected["from"]
    assert letter.from_name == expected["from_name"]
    assert letter.subject == expected["subject"]
    assert letter.is_automatic == expected["is_automatic"]
    assert letter.text_source == expected["text_source"]
    assert [[a.name, a.media_type, a.size_bytes] for a in letter.attachments] == expected["attachments"]


def test_fields_that_thread_a_conversation() -> None:
    """What an answer must refer to is read exactly."""
    letter = mime.read((MAILS / "outlook-reply-html.eml").read_bytes(), html=to_text)
    assert letter.message_id == "<PR0P264MB9999@PR0P264MB9999.acme.example>"
    assert letter.in_reply_to == ("<in.01JX8Z@sms.acme.example>",)
    assert letter.references == (
        "<a1@acme.example>",
        "<conv.7f3k@sms.acme.example>",
        "<in.01JX8Z@sms.acme.example>",
    )
    assert letter.thread_index == "AQHa2dZKtJj9Cb9k5kNMtKNpvSbd0LEBAAAA"


@pytest.mark.parametrize(
    ("header", "is_automatic"),
    [
        (b"", False),
        (b"Auto-Submitted: no", False),
        (b"Auto-Submitted: No (typed)", False),
        (b"Auto-Submitted: auto-generated", True),
        (b"Auto-Submitted: auto-replied; owner-email=x", True),
        (b"X-Auto-Response-Suppress: OOF", True),
        (b"Precedence: bulk", True),
        (b"Precedence: LIST", True),
        (b"Precedence: first-class", False),
        (b"List-Id: <news.acme.example>", True),
        (b"X-Autoreply: yes", True),
        (b"X-Autorespond: holidays", True),
        (b"X-Loop: marie@acme.example", True),
        (b"X-Mail2SMS-Loop: 1", True),
        (b"X-Mail2SMS-Message: m-1", True),
        (b"X-Mail: 1", False),
        (b"Return-Path: <>", True),
        (b"Return-Path: <a@acme.example>", False),
    ],
)
def test_automatic_mail(header: bytes, is_automatic: bool) -> None:
    """RFC 3834 and what is common beside it."""
    assert mime.read(header + b"\r\n\r\nx" if header else b"\r\nx", html=None).is_automatic == is_automatic


def _parts(*parts: str, kind: str = "mixed") -> bytes:
    body = "".join(f"--b\r\n{part}\r\n" for part in parts)
    return f"Content-Type: multipart/{kind}; boundary=b\r\n\r\n{body}--b--\r\n".encode()


_P, _H = "Content-Type: text/plain\r\n\r\n", "Content-Type: text/html\r\n\r\n"


@pytest.mark.parametrize(
    ("raw", "text", "source", "attachments"),
    [
        (b"", "", "plain", 0),
        (b"Subject: x\r\n\r\n", "", "plain", 0),  # an alarm whose text is its subject
        (_parts(_P + "a", _H + "b", kind="alternative"), "a", "plain", 0),
        (_parts(_H + "b", _P + "a", kind="alternative"), "a", "plain", 0),
        (_parts(_P + " \r\n", _H + "b", kind="alternative"), "B", "html", 0),
        (_parts(_H + "b", kind="alternative"), "B", "html", 0),
        (_parts(_P + "a", _P + "b"), "a\nb", "plain", 0),
        (_parts(_P + "a", _H + "<i>footer"), "a", "plain", 0),
        (_parts(_H + "b", _P + "footer"), "B\nfooter", "html", 0),
        (_parts(_P + "a", "Content-Disposition: attachment\r\n\r\nb"), "a", "plain", 1),
        (_parts(_P + "a", "Content-Disposition: inline; filename=x.txt\r\n\r\nb"), "a", "plain", 1),
        (_parts(_P + "a", "Content-Type: text/plain; name=x.txt\r\n\r\nb"), "a", "plain", 1),
        (_parts(_P + "a", "Content-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\nb"), "a", "plain", 1),
        (_parts(_P + "a", "Content-Type: text/csv\r\n\r\nb"), "a", "plain", 1),
        (_parts(_P + "a", _P + "b", kind="signed"), "a", "plain", 0),
        (_parts(_H + "b", "Content-Type: image/png\r\n\r\nx", kind="related"), "B", "html", 1),
        (_parts("\r\nno header"), "no header", "plain", 0),
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nno end", "no end", "plain", 0),
        (
            b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--bb\r\n--b\r\n\r\n--bb\r\n--b--",
            "--bb",
            "plain",
            0,
        ),
        (
            b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\na\n--b \n\nb\n--b--\nepilogue",
            "a\nb",
            "plain",
            0,
        ),
        (b"Content-Type: text\r\n\r\na", "a", "plain", 0),
        (b"Content-Type: text/plain; name=x\r\n\r\na", "a", "plain", 0),  # the whole mail is no attachment
        (b"Content-Transfer-Encoding: base64\r\n\r\nYWJj", "abc", "plain", 0),
        (b"Content-Transfer-Encoding: base64\r\n\r\nYW\r\nJj\r\nA", "abc", "plain", 0),
        (b"Content-Transfer-Encoding: base64\r\n\r\nit is not", "it is not", "plain", 0),
        (b"Content-Transfer-Encoding: quoted-printable\r\n\r\na=\r\nb =C3=A9=zz=", "ab é=zz", "plain", 0),
        (b"Content-Transfer-Encoding: x-none\r\n\r\na=41", "a=41", "plain", 0),
        (b"\r\n\xef\xbb\xbfa\x00b\rc\r\nd\r\n\r\n \r\n", "ab\nc\nd", "plain", 0),
        (b"\r\n\r\n\r\na", "\n\na", "plain", 0),  # lines keep their numbers: refusals point at them
        (b"Content-Type: text/html\r\n\r\n<meta charset=koi8-r>\xe1", "<META CHARSET=KOI8-R>А", "html", 0),
    ],
)
def test_which_part_is_the_text(raw: bytes, text: str, source: str, attachments: int) -> None:
    """Plain before HTML, inline before attached, and broken structure is read as far as it goes."""
    letter = mime.read(raw, html=str.upper)
    assert (letter.text, letter.text_source, len(letter.attachments)) == (text, source, attachments)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"Content-Type: application/pdf\r\n\r\nx", "mail.no_text"),
        (b"Content-Disposition: attachment\r\n\r\nx", "mail.no_text"),
        (b"Content-Type: text/html\r\n\r\n ", "mail.no_text"),
        (_parts("Content-Type: application/pgp-encrypted\r\n\r\nx", kind="encrypted"), "mail.no_text"),
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\nno boundary follows", "mail.no_text"),
        (b"Content-Type: multipart/mixed\r\n\r\nx", "mail.unreadable"),
    ],
)
def test_mails_without_text(raw: bytes, reason: str) -> None:
    """A mail that says nothing readable is refused, not sent as an empty SMS."""
    with pytest.raises(Refusal) as caught:
        mime.read(raw, html=str)
    assert caught.value.problems[0].reason == reason


def test_html_only_needs_a_converter() -> None:
    """The event loop reads without one."""
    raw = b"Content-Type: text/html\r\n\r\nx"
    with pytest.raises(Refusal) as caught:
        mime.read(raw, html=None)
    assert caught.value.problems[0].reason == "mail.no_text"
    assert mime.bounds(raw).needs_sandbox


@pytest.mark.parametrize(
    ("flowed", "text"),
    [
        ("a \nb", "a b"),
        ("a\nb", "a\nb"),
        (" >a", ">a"),  # stuffed
        ("> a \n> b", "> a b"),
        ("> a \nb", "> a \nb"),  # another depth: a new line
        (">> a\n> b", ">> a\n> b"),
        ("a \n-- \nb", "a \n-- \nb"),
        ("-- \nb", "-- \nb"),
        ("a \n\nb", "a \nb"),
    ],
)
def test_flowed_text(flowed: str, text: str) -> None:
    """RFC 3676: soft line breaks go, quote depths and the signature line stay."""
    raw = b"Content-Type: text/plain; format=flowed\r\n\r\n" + flowed.replace("\n", "\r\n").encode()
    assert mime.read(raw, html=None).text == text


def _nested(depth: int) -> bytes:
    heads = "".join(f"Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n" for n in range(depth))
    return f"{heads}\r\nx".encode()


@pytest.mark.parametrize(
    ("raw", "is_refused"),
    [
        (_nested(20), False),
        (_nested(21), True),
        (_parts(*[_P] * 99), False),
        (_parts(*[_P] * 100), True),  # with the whole mail 101
        (
            b"Content-Type: multipart/mixed; boundary="
            + b"b" * 70
            + b"\r\n\r\n--"
            + b"b" * 70
            + b"\r\n\r\nx",
            False,
        ),
        (
            b"Content-Type: multipart/mixed; boundary="
            + b"b" * 71
            + b"\r\n\r\n--"
            + b"b" * 71
            + b"\r\n\r\nx",
            True,
        ),
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--bb\r\n" * 1000 + b"--b\r\n\r\nx", False),
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--bb\r\n" * 1001 + b"--b\r\n\r\nx", True),
        (_parts("X: " + "y" * 20_000 + "\r\n\r\nx"), True),  # the header of a part has the same limits
    ],
)
def test_bounds_refuse(raw: bytes, is_refused: bool) -> None:
    """Depth 20, 100 parts, boundaries of 70 characters; the loop need not look so deep."""
    if not is_refused:
        mime.bounds(raw)
        assert mime.read(raw, html=None)
        return
    with pytest.raises(Refusal) as caught:
        mime.read(raw, html=None)
    assert caught.value.problems[0].reason == "mail.too_complex"
    try:
        assert mime.bounds(raw).needs_sandbox
    except Refusal as e:
        assert e.problems[0].reason == "mail.too_complex"


@pytest.mark.parametrize(
    ("raw", "needs_sandbox"),
    [
        (b"\r\nx", False),
        (_parts(_P + "a", _H + "b", kind="alternative"), False),
        (_parts(_H + "b", kind="alternative"), True),
        (_parts(*[_P] * 20), False),
        (_parts(*[_P] * 21), True),
        (b"Content-Type: text/plain; x=" + b"y" * 900 + b"\r\n\r\nx", False),
        (b"Content-Type: text/plain; x=" + b"y" * 1100 + b"\r\n\r\nx", True),
        (b"From: a@b" + b";" * 61 + b"\r\n\r\nx", True),
        (b"X-Long: " + b";" * 2000 + b"\r\n\r\nx", False),
        (_nested(5), False),
        (_nested(6), True),
        (b"\r\n" + b"x" * 128 * 1024, False),
        (b"\r\n" + b"x" * 128 * 1024 + b"x", True),
        (_parts(*[_P + "x" * 10_000] * 13), False),
        (_parts(*[_P + "x" * 10_000] * 14), True),
        (_parts(_P + "x", _H + "x" * 900_000), False),
        (_parts(_P + "x", "Content-Type: image/png\r\n\r\n" + "x" * 1_900_000), False),
        (_parts(_P + "x", "Content-Type: image/png\r\n\r\n" + "x" * 2_000_000), True),
    ],
)
def test_bounds_send_costly_mails_to_the_sandbox(raw: bytes, needs_sandbox: bool) -> None:
    """HTML only, 20 parts, 5 levels, 128 KiB of plain text, 2 MB to search, over-long structured fields."""
    assert mime.bounds(raw).needs_sandbox == needs_sandbox


def test_a_big_attachment_costs_little_and_is_known() -> None:
    """5 MB of base64 before the text: its size is exact, the text behind it is found, nothing is decoded."""
    data = b"\r\n".join([b"QUJD" * 19] * 68_000)
    raw = _parts(
        "Content-Type: image/jpeg; name=photo.jpg\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + data.decode("ascii"),
        _P + "text after the photo",
    )
    assert least_s(lambda: (mime.bounds(raw), mime.read(raw, html=None)), _LOOP_S) < _LOOP_S
    letter = mime.read(raw, html=None)
    assert letter.text == "text after the photo"
    assert letter.attachments == (
        mime.Attachment(
            name="photo.jpg",
            media_type="image/jpeg",
            size_bytes=68_000 * 57,
            start=letter.attachments[0].start,
            end=letter.attachments[0].end,
            encoding="base64",
            is_picture=True,
        ),
    )


def test_at_most_64_kib_of_text_are_read() -> None:
    """Nobody sends an SMS that long; it will be refused for its length."""
    assert len(mime.read(b"\r\n" + b"x" * 100_000, html=None).text) == 64 * 1024
    assert len(mime.read(_parts(*[_P + "x" * 40_000] * 3), html=None).text) == 64 * 1024


@pytest.mark.parametrize(("lines", "is_refused"), [(97, False), (98, True)])
def test_header_lines_of_all_parts_are_counted(lines: int, is_refused: bool) -> None:
    """At most 2,000, of which each part here has some more than `lines`."""
    raw = _parts(*["X: y" + "\r\n z" * lines + "\r\n\r\nx"] * 20)
    if not is_refused:
        assert mime.bounds(raw).parts == 20
        return
    with pytest.raises(Refusal) as caught:
        mime.bounds(raw)
    assert caught.value.problems[0].reason == "mail.too_complex"


def test_flowed_lines_of_all_parts_are_counted() -> None:
    """The first 5,000 are joined; more, which no SMS could hold, stay as they are."""
    part = "Content-Type: text/plain; format=flowed\r\n\r\n" + "a \r\n" * 2600
    text = mime.read(_parts(part, part), html=None).text
    assert text.count("\n") == 2600


def test_a_boundary_has_no_control_characters() -> None:
    """RFC 2231 could bring a line end into it, and so make every line one."""
    with pytest.raises(Refusal) as caught:
        mime.bounds(b"Content-Type: multipart/mixed; boundary*=''a%0A--b\r\n\r\n--a\r\n\r\nx")
    assert caught.value.problems[0].reason == "mail.unreadable"


@pytest.mark.parametrize(("name", "file_name"), [("voilà", "voilà"), ('"Å"', "Å"), ("été.png\t", "été.png")])
def test_names_of_attachments_keep_their_last_byte(name: str, file_name: str) -> None:
    """Raw UTF-8 ends in bytes that are blanks to who takes them for Latin-1."""
    raw = _parts(
        _P + "x", f"Content-Type: image/png\r\nContent-Disposition: attachment; filename={name}\r\n\r\nx"
    )
    assert mime.read(raw, html=None).attachments[0].name == file_name


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_mails_cost_the_loop_little(name: str) -> None:
    """The inputs that take CPython's parser seconds or its stack (gh-136063, gh-87075), and ours' own worst."""
    assert least_s(lambda: loop_s(HOSTILE[name]), _LOOP_S) < _LOOP_S


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_mails_are_soon_read_in_the_sandbox(name: str) -> None:
    """Each text is decoded once: a tenth of the CPU that the sandbox has."""

    def read() -> None:
        try:
            mime.read(HOSTILE[name], html=str)
        except Refusal as e:
            assert e.problems[0].reason in {"mail.too_complex", "mail.no_text", "mail.unreadable"}

    assert least_s(read, 0.2) < 0.2


@pytest.mark.parametrize(
    "name",
    [
        "alternatives of flowed",
        "alternatives of utf-7",
        "20 levels of almost boundaries",
        "15 parts of commas",
        "emoji",
    ],
)
def test_what_costs_more_goes_to_the_sandbox(name: str) -> None:
    """Whether or not it would have been cheap."""
    assert mime.bounds(HOSTILE[name]).needs_sandbox


def test_mutated_mails_raise_nothing_but_refusal() -> None:
    """2,000 generated mails: a letter or a refusal, and little CPU each."""
    figures = fuzz(2000, seed=20_260_512)
    assert figures.failures == ()
    assert least_s(lambda: loop_s(figures.slowest), _LOOP_S) < _LOOP_S
    assert figures.letters > 1000  # the mutations still leave mails to read


def test_mails_of_the_standard_library_are_read_back() -> None:
    """An independent writer: whatever `email` composes, we read the same words, names and sizes."""
    chance = random.Random(1)
    words = [
        "rendez-vous",
        "à 14 h",
        "Übergröße",
        "перенос",
        "温度",
        "👍",
        "a=b",
        "> x",
        ".",
        "-- ",
        "a@b",
        "x" * 120,
    ]
    for number in range(200):
        mail = EmailMessage(policy=SMTP)
        mail["From"] = f"Élodie {number} <e{number}@acme.example>"
        mail["Subject"] = " ".join(chance.choices(words, k=chance.randrange(1, 12))).strip()
        text = "\n".join(" ".join(chance.choices(words, k=4)).rstrip() for _ in range(chance.randrange(1, 9)))
        mail.set_content(text + "\n", cte=chance.choice(["base64", "quoted-printable", "8bit"]))
        if number % 2:
            mail.add_alternative("<p>x</p>", subtype="html")
        if number % 3:
            mail.add_attachment(
                bytes(range(number)), maintype="image", subtype="png", filename=f"été {number}.png"
            )
        raw = mail.as_bytes()
        letter = mime.read(raw, html=None)
        assert letter.text == text.rstrip()
        assert letter.subject == str(message_from_bytes(raw, policy=SMTP)["Subject"])[:200].rstrip()
        assert letter.from_addresses == (f"e{number}@acme.example",)
        assert letter.from_name == f"Élodie {number}"
        assert [(a.name, a.size_bytes) for a in letter.attachments] == (
            [(f"été {number}.png", number)] if number % 3 else []
        )
