"""Threading headers, by what Outlook, Gmail and RFC 5322 readers do with them."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mail2sms.relay import threading

AT = 1_778_571_660_000  # 2026-05-12 07:41 UTC
MINUTE, DAY = 60_000, 86_400_000


def read_index(index: str) -> bytes:
    """Return the bytes of a Thread-Index."""
    return base64.b64decode(index, validate=True)


def test_a_first_mail_has_22_bytes_and_each_reply_five_more() -> None:
    """MS-OXOMSG section 2.2.1.3."""
    sizes = [
        len(read_index(threading.thread_index("c-1", AT, replies))) for replies in (0, 1, 2, 50, 51, 10_000)
    ]
    assert sizes == [22, 27, 32, 272, 272, 272]


def test_the_head_is_the_time_and_the_conversation() -> None:
    """The upper 48 bits of the FILETIME (the first byte is 0x01 until 2057), then a GUID of the conversation."""
    head = read_index(threading.thread_index("c-1", AT, 0))
    ticks = int.from_bytes(head[:6]) << 16
    at = ticks / 10_000 - 11_644_473_600_000
    assert head[0] == 1
    assert abs(at - AT) < 10  # the lower 16 bits are 6.6 ms
    assert head[6:] == read_index(threading.thread_index("c-1", AT + DAY, 3))[6:22]
    assert head[6:] != read_index(threading.thread_index("c-2", AT, 0))[6:]


def test_replies_share_the_head_and_differ() -> None:
    """Outlook groups by the head and tells mails apart by the rest."""
    indexes = [threading.thread_index("c-1", AT, replies) for replies in range(50)]
    assert len(set(indexes)) == 50
    assert {read_index(index)[:22] for index in indexes} == {read_index(indexes[0])}


@pytest.mark.parametrize(
    ("later_ms", "scale", "unit_ticks"),
    [(0, 0, 1 << 18), (MINUTE, 0, 1 << 18), (600 * DAY, 0, 1 << 18), (700 * DAY, 1, 1 << 23)],
)
def test_a_child_holds_the_time_since_the_first_mail(later_ms: int, scale: int, unit_ticks: int) -> None:
    """31 bits of 26 ms up to 1.7 years, of 0.8 s beyond."""
    theirs = threading.thread_index("theirs", AT, 0)
    ours = read_index(threading.extend(theirs, AT + later_ms))
    child = int.from_bytes(ours[22:26])
    assert ours[:22] == read_index(theirs)
    assert child >> 31 == scale
    assert abs((child & 0x7FFFFFFF) * unit_ticks / 10_000 - later_ms) < unit_ticks / 10_000 + 10


@pytest.mark.parametrize(
    ("children", "size"),
    [(0, 27), (1, 32), (49, 272), (50, 272)],  # then it stays
)
def test_their_index_grows_by_one_child_up_to_fifty(children: int, size: int) -> None:
    """A thread of years must not grow a header without end."""
    theirs = threading.thread_index("theirs", AT, children)
    assert len(read_index(threading.extend(theirs, AT))) == size


@pytest.mark.parametrize(
    "index",
    [
        "",
        "x",
        "AQ==",
        base64.b64encode(b"\x01" * 21).decode(),
        base64.b64encode(b"\x01" * 23).decode(),
        base64.b64encode(b"\x02" * 22).decode(),
        base64.b64encode(b"\x01" * (22 + 51 * 5)).decode(),
        "Adzh4q1DleGjEzoXUZKjp1hyyppx8w==\r\nBcc: x",
        "é" * 32,
    ],
)
def test_a_malformed_index_is_not_extended(index: str) -> None:
    """The caller then makes a fresh one."""
    assert threading.extend(index, AT) == ""


def test_an_index_folded_over_lines_is_read() -> None:
    """Outlook folds long ones."""
    whole = threading.thread_index("theirs", AT, 20)
    assert threading.extend(whole[:60] + "\r\n " + whole[60:], AT) == threading.extend(whole, AT)


@pytest.mark.parametrize(
    ("subject", "reply"),
    [
        ("Rendez-vous du 12 mai", "Re: Rendez-vous du 12 mai"),
        ("Re: Rendez-vous", "Re: Rendez-vous"),
        ("RE: AW: Re: TR: Rendez-vous", "Re: Rendez-vous"),
        ("RE : Rendez-vous", "Re: Rendez-vous"),  # French Outlook
        ("Re\u00a0: Rendez-vous", "Re: Rendez-vous"),
        ("Re[4]: Rendez-vous", "Re: Rendez-vous"),
        ("  Re:Rendez-vous  ", "Re: Rendez-vous"),
        ("Fwd: Rendez-vous", "Re: Fwd: Rendez-vous"),  # a forwarded mail is another thread
        ("Retour: Rendez-vous", "Re: Retour: Rendez-vous"),
        ("Rendez-vous  Re: 12 mai", "Re: Rendez-vous  Re: 12 mai"),  # exactly: Gmail compares
        ("", "Re:"),
        ("Re:", "Re:"),
        ("Re: " * 5000, "Re:"),
    ],
)
def test_the_reply_has_exactly_the_first_subject(subject: str, reply: str) -> None:
    """And one `Re:`, however often programs put theirs."""
    assert threading.reply_subject(subject) == reply


def test_the_conversation_id_is_constant_and_tells_nothing() -> None:
    """Well formed, one per conversation, without the conversation's own id in it."""
    one = threading.conversation_message_id("c-1", "sms.acme.example")
    assert one == threading.conversation_message_id("c-1", "sms.acme.example")
    assert one != threading.conversation_message_id("c-2", "sms.acme.example")
    assert one.startswith("<conv.")
    assert one.endswith("@sms.acme.example>")
    assert threading.message_id(one) == one
    assert "c-1" not in one


@pytest.mark.parametrize(
    ("earlier", "parent", "expected"),
    [
        ((), "", "<root@d>"),
        ((), "<a@b>", "<root@d> <a@b>"),
        (("<a@b>", "<c@d>"), "<e@f>", "<root@d> <a@b> <c@d> <e@f>"),
        (("<e@f>", "<a@b>"), "<e@f>", "<root@d> <a@b> <e@f>"),  # the parent is last, and once
        (("<root@d>", "<a@b>"), "<root@d>", "<root@d> <a@b>"),
        (("nonsense", "<a b>", "<a\r\nBcc: x>", "<>", "<é@b>"), "<a@b>\r\nBcc: x", "<root@d> <a@b>"),
        (("<" + "x" * 300 + ">",), "<a@b>", "<root@d> <a@b>"),
    ],
)
def test_references_lead_from_the_root_to_the_parent(
    earlier: tuple[str, ...], parent: str, expected: str
) -> None:
    """RFC 5322 section 3.6.4; what is no message id is left out."""
    assert threading.references("<root@d>", earlier, parent) == expected


def test_references_are_bounded() -> None:
    """Of 500, the root and the last ones."""
    ids = threading.references("<root@d>", tuple(f"<{n}@x>" for n in range(500)), "<p@x>").split()
    assert (len(ids), ids[0], ids[-2:]) == (21, "<root@d>", ["<499@x>", "<p@x>"])


@settings(derandomize=True, max_examples=300, deadline=None)
@given(st.text(), st.lists(st.text()), st.text())
def test_nothing_in_a_strangers_headers_breaks_ours(index: str, earlier: list[str], parent: str) -> None:
    """Whatever they hold, ours are one line of printable ASCII."""
    ours = threading.extend(index, AT) + threading.references("<root@d>", tuple(earlier), parent)
    assert ours.isascii()
    assert ours.isprintable()
