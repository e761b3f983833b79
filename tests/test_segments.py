"""Texts become segments as the standard says, and are cleaned and folded without harm."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mail2sms.segments import Encoding, clean, count, encoding, fold, not_gsm, split, unsendable
from tests.cpu import least_s

ONE_SEPTET = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    "ÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
TWO_SEPTETS = "\f^{}\\[~]|€"
FAMILY = "👨‍👩‍👧‍👦"  # 7 characters, 11 units
FLAG = "🇫🇷"
CPU_LIMIT_S = 0.5  # far above what linear time needs, far below what quadratic time needs


def reference(text: str) -> list[int]:
    """The units of each segment, character by character: the slow, plain reading of the standard."""
    is_gsm = all(c in ONE_SEPTET or c in TWO_SEPTETS for c in text)
    alone, joined = (160, 153) if is_gsm else (70, 67)
    sizes = [1 + (c in TWO_SEPTETS if is_gsm else c > "\uffff") for c in text]
    if sum(sizes) <= alone:
        return [sum(sizes)]
    units = [0]
    for size in sizes:
        if units[-1] + size > joined:
            units.append(0)
        units[-1] += size
    return units


def test_the_alphabet_has_127_characters_and_10_of_the_extension() -> None:
    """Every character of the standard is GSM-7, and of all Unicode no other: not even ESC."""
    found = {c for c in map(chr, range(0x110000)) if encoding(c) is Encoding.GSM7}
    assert found == set(ONE_SEPTET + TWO_SEPTETS)
    assert len(found) == 137


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("", [0]),
        ("a", [1]),
        ("a" * 160, [160]),
        ("a" * 161, [153, 8]),
        ("a" * 306, [153, 153]),
        ("a" * 307, [153, 153, 1]),
        ("€" * 80, [160]),
        ("€" * 81, [152, 10]),  # the 77th would start at septet 153: not cut in two
        ("a" * 151 + "€" + "a" * 8, [153, 8]),
        ("a" * 152 + "€" + "a" * 7, [152, 9]),
        ("a" * 153 + "€" + "a" * 6, [153, 8]),
        ("a" * 159 + "ê", [67, 67, 26]),
        ("ê" * 70, [70]),
        ("ê" * 71, [67, 4]),
        ("ê" * 134, [67, 67]),
        ("ê" * 135, [67, 67, 1]),
        ("😀" * 35, [70]),
        ("😀" * 36, [66, 6]),  # surrogate pairs stay whole
        ("ê" * 66 + "😀" + "ê" * 3, [66, 5]),
        ("a\x1be", [3]),
    ],
)
def test_units_per_segment(text: str, units: list[int]) -> None:
    """Sizes of 3GPP TS 23.038 and 23.040, one row per edge."""
    assert [segment.units for segment in split(text)] == units
    assert count(text) == len(units)


@pytest.mark.parametrize(
    ("head", "cluster"),
    [
        (60, FAMILY),
        (66, "e\u0323"),
        (66, "❤\ufe0f"),
        (65, "👍🏽"),
        (65, FLAG),
        (62, "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"),
        (66, "1\ufe0f\u20e3"),
        (66, "क\u094d\u093f"),
    ],
)
def test_what_shows_as_one_character_stays_in_one_segment(head: int, cluster: str) -> None:
    """The segment ends before the cluster that does not fit."""
    text = "ж" * head + cluster + "ж" * 20
    assert [segment.text for segment in split(text)] == ["ж" * head, cluster + "ж" * 20]


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("ж" * 66 + FLAG * 3, ["ж" * 66, FLAG * 3]),
        ("ж" * 63 + FLAG * 3, ["ж" * 63 + FLAG, FLAG * 2]),
        ("a" * 152 + "\r\n" + "a" * 20, ["a" * 152, "\r\n" + "a" * 20]),
        ("a" * 153 + "\r\n" + "a" * 20, ["a" * 153, "\r\n" + "a" * 20]),
        ("ж" * 40 + "\u0301" * 60, ["ж" * 40 + "\u0301" * 27, "\u0301" * 33]),  # no writing has so many
    ],
)
def test_clusters_in_a_row(text: str, ends: list[str]) -> None:
    """Flags are counted in pairs, a line end is one, and a pile of marks is cut."""
    assert [segment.text for segment in split(text)] == ends


def test_a_whole_cluster_never_costs_a_segment() -> None:
    """Where keeping emoji whole would need one more segment, they are cut as the standard allows."""
    text = "жжж" + FAMILY * 11 + "ж" * 10
    assert [segment.units for segment in split(text)] == [67, 67]


PIECES = st.sampled_from(
    [
        *"abc é€^[~\n",
        "ê",
        "—",
        "😀",
        "\u200d",
        "\ufe0f",
        "\u0301",
        "🇫",
        "🏽",
        "\r\n",
        FAMILY,
        "\ud83d",
        "\udc33",
    ]
)
TEXTS = st.one_of(
    st.text(max_size=400),
    st.lists(PIECES, max_size=300).map("".join),
    st.text(alphabet=ONE_SEPTET + TWO_SEPTETS, max_size=500),
    st.builds(lambda text, times: text * times, st.text(max_size=20), st.integers(0, 80)),
)


@settings(derandomize=True, max_examples=1500, deadline=None)
@given(TEXTS)
def test_segments_hold_the_text_and_cost_what_the_standard_says(text: str) -> None:
    """Joined they are the text, none is over its limit, and there are as many as the plain reading finds."""
    segments = split(text)
    alone, joined = (160, 153) if encoding(text) is Encoding.GSM7 else (70, 67)
    assert "".join(segment.text for segment in segments) == text
    assert all(segment.units <= (alone if len(segments) == 1 else joined) for segment in segments)
    assert all(segment.text for segment in segments) or text == ""
    assert sum(segment.units for segment in segments) == sum(reference(text))
    assert len(segments) == count(text) == len(reference(text))


@settings(derandomize=True, max_examples=500, deadline=None)
@given(st.text(alphabet=ONE_SEPTET + TWO_SEPTETS + "êжλ漢", max_size=500))
def test_ordinary_texts_are_cut_exactly_as_the_standard_says(text: str) -> None:
    """Without clusters, each segment is as full as it can be."""
    assert [segment.units for segment in split(text.replace("\r", ""))] == reference(text.replace("\r", ""))


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("a\r\nb\rc\nd", "a\nb\nc\nd"),
        ("a\tb", "a b"),
        ("a  \t\nb\u00a0\n", "a\nb"),
        ("\n \n\n  a\n\nb\n \n", "  a\n\nb"),
        ("e\u0301te\u0301", "été"),
        ("\u2126", "Ω"),  # the ohm sign is not GSM-7, omega is
        ("a\u2028b\u2029c\vd\fe", "a\nb\nc\nd\ne"),
        ("l\x92eau \x93\x85\x94 \x80", "l’eau “…” €"),
        ("\x81", "\x81"),
        ("", ""),
        (" \n\t", ""),
    ],
)
def test_clean(text: str, cleaned: str) -> None:
    """Line ends, blanks and composition are made one way."""
    assert clean(text) == cleaned


@settings(derandomize=True, max_examples=500, deadline=None)
@given(TEXTS)
def test_a_cleaned_text_stays_as_it_is(text: str) -> None:
    """Cleaning twice is cleaning once, and the result is NFC."""
    once = clean(text)
    assert clean(once) == once
    assert unicodedata.is_normalized("NFC", once)


LONG = "a" * 80


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("“Ciao” – l’amico…", "“Ciao” – l’amico…"),  # one segment either way
        (f"{LONG} “Ciao” – l’amico…", f'{LONG} "Ciao" - l\'amico...'),
        (f"{LONG} «\u00a0cœur\u00a0» ŒUVRE", f'{LONG} " coeur " OEUVRE'),
        (f"{LONG} ﬁn\u202fﬂot\u00ad\u200b\ufeff\u2060", f"{LONG} fin flot"),
        (f"{LONG} a\u200cb\u200dc\u200e\u202a\u202c\u2066\u2069", f"{LONG} abc"),
        (f"{LONG} • a − b ‑ c ´`′", f"{LONG} - a - b - c '''"),
        (f"{LONG} fenêtre “ouverte”", f"{LONG} fenêtre “ouverte”"),  # ê keeps it UCS-2
        (f"{LONG} é è à ù ì ò", f"{LONG} é è à ù ì ò"),
        (f"{'ê' * 69}\u00ad\u200b", "ê" * 69),  # UCS-2 still, but one segment less
        (f"{'ع' * 69}\u200c\u200f", f"{'ع' * 69}\u200c\u200f"),  # Arabic needs its joiners and directions
        (f"{'“' * 60}{'…' * 30}", '"' * 60 + "..." * 30),
        ("…" * 70 + "—" * 64, "…" * 70 + "—" * 64),  # 274 septets are two segments as well
    ],
)
def test_fold(text: str, folded: str) -> None:
    """Typography gives way where that saves a segment, and only there; accents never."""
    assert fold(text) == folded


@settings(derandomize=True, max_examples=500, deadline=None)
@given(st.one_of(TEXTS, st.text(alphabet="abé“”’—…œ\u00a0\u200b", max_size=300)))
def test_folding_never_costs_and_never_touches_letters_with_accents(text: str) -> None:
    """The folded text is the text, or has fewer segments; folding again changes nothing."""
    folded = fold(text)
    assert folded == text or count(folded) < count(text)
    assert [c for c in folded if c in "éêèàü"] == [c for c in text if c in "éêèàü"]
    assert fold(folded) == folded


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ""),
        ("Bonjour\nà vous", ""),
        ("👨‍👩‍👧 \ufffd \ue000", ""),
        ("\x00", "\x00"),
        ("a\x1be\x07\x1b", "\x1b\x07"),
        ("\t", "\t"),
        ("\r", "\r"),
        ("\x7f", "\x7f"),
        ("\x81", "\x81"),
        ("\u00a0", ""),
        ("\ud83d", "\ud83d"),
        ("\udc33\ud83d", "\udc33\ud83d"),
        ("\ufdd0", "\ufdd0"),
        ("\ufffe", "\ufffe"),
        ("\U0001ffff", "\U0001ffff"),
        ("\U0010fffd", ""),
        ("\U0010ffff", "\U0010ffff"),
    ],
)
def test_unsendable(text: str, found: str) -> None:
    """Controls, lone surrogates and noncharacters are what no phone shows; each is told once."""
    assert unsendable(text) == tuple(found)


LARGEST = 65_536  # characters; intake gives no more


@pytest.mark.parametrize(
    "unit", ["a", "€", "😀", FAMILY, FLAG, "…", "\u200d", "a\u0300", "\x93", "\n", "ع\u200c"]
)
@pytest.mark.parametrize("size", [8500, 39_015, LARGEST])
@pytest.mark.parametrize("step", [clean, fold, count, split, unsendable])
def test_each_step_spares_the_event_loop(step: Callable[[str], object], size: int, unit: str) -> None:
    """Up to the largest text that intake gives, and at the sizes where shortcuts begin."""
    text = (unit * size)[:size]
    assert least_s(lambda: step(text), 0.05) < 0.05


@pytest.mark.parametrize(
    ("text", "counted", "segments"),
    [
        ("€" * 76 * 255, 255, 255),  # one septet of each segment stays free
        ("€" * 76 * 256, 256, 256),
        ("€" * 77 * 255, 257, 259),
        ("😀" * 33 * 255, 255, 255),
        ("😀" * 33 * 260, 257, 260),
        ("a" * 153 * 300, 300, 300),
    ],
)
def test_what_no_message_can_hold_is_not_counted_exactly(text: str, counted: int, segments: int) -> None:
    """Beyond 255 segments' units the number is a lower bound, still beyond 255."""
    assert count(text) == counted
    assert len(split(text)) == segments


def test_what_no_message_can_hold_is_not_folded() -> None:
    """39,015 characters are 255 segments of GSM-7."""
    assert fold("“" * 39_015) == '"' * 39_015
    assert fold("“" * 39_016) == "“" * 39_016


@pytest.mark.parametrize(
    "text",
    [
        "a" * 100_000,
        "€" * 100_000,
        "😀" * 100_000,
        FAMILY * 14_000,
        FLAG * 50_000,
        "a" + "\u0300\u0327" * 50_000,
        " " * 100_000 + "ê",
        "\u200d" * 100_000,
        "\r\n" * 50_000,
        ("\u0301" * 30 + "ж") * 3000,
        "“…” " * 25_000,
    ],
)
def test_long_texts_take_linear_time(text: str) -> None:
    """No shape of 100,000 characters makes any step slow."""

    def each() -> None:
        fold(clean(text))
        unsendable(text)
        count(text)
        split(text)

    assert least_s(each, CPU_LIMIT_S) < CPU_LIMIT_S


@pytest.mark.parametrize(
    ("text", "found"),
    [("", ()), ("Hé €[~]", ()), ("Łódź", ("Ł", "ó", "ź")), ("📦a📦ł", ("📦", "ł")), ("ç", ("ç",))],
)
def test_foreign_characters(text: str, found: tuple[str, ...]) -> None:
    """What GSM-7 does not have, each once: the reason why a text travels as Unicode."""
    assert not_gsm(text) == found
    assert (encoding(text) is Encoding.UCS2) == bool(found)
