"""Text comes out of bytes whatever charset they claim."""

from __future__ import annotations

import pytest

from mail2sms.intake import charsets


@pytest.mark.parametrize(
    ("data", "charset", "text"),
    [
        ("été".encode(), "utf-8", "été"),
        ("été".encode(), None, "été"),
        ("été".encode(), "us-ascii", "été"),
        ("été".encode("latin-1"), "ISO-8859-1", "été"),
        ("été".encode("latin-1"), None, "été"),
        ("été".encode("latin-1"), "x-unknown", "été"),
        ("45 €".encode("cp1252"), "iso-8859-1", "45 €"),  # what claims Latin-1 is windows-1252
        ("45 €".encode("iso8859_15"), "iso-8859-15", "45 €"),
        ("Авария".encode("koi8_r"), "KOI8-R", "Авария"),
        ("Авария: температура высокая".encode("cp1251"), None, "Авария: температура высокая"),
        ("サーバーの温度が高すぎます。".encode("shift_jis"), None, "サーバーの温度が高すぎます。"),
        ("温度".encode("iso2022_jp"), "iso-2022-jp", "温度"),
        (b"\xff\xfea\x00", "utf-16", "a"),
        (b"\xc3", "utf-8", "�"),
        (b"xn--a", "idna", "xn--a"),  # a codec of Python that is no charset of mails
        (b"\\x41", "unicode_escape", "\\x41"),
        (b"", None, ""),
    ],
)
def test_decode(data: bytes, charset: str | None, text: str) -> None:
    """Declared charsets are believed if we know them; else UTF-8, else windows-1252, else a guess."""
    assert charsets.decode(data, charset) == text


@pytest.mark.parametrize(
    ("data", "charset", "text"),
    [
        ("été".encode(), None, "été"),
        ("été".encode("latin-1"), "x-unknown", "été"),
        ("Авария".encode("koi8_r"), "koi8-r", "Авария"),
        ("Авария".encode("koi8_r"), "us-ascii", "á×ÁÒÉÑ"),
        (b"\x81", None, "�"),
    ],
)
def test_words_of_headers_are_not_guessed(data: bytes, charset: str | None, text: str) -> None:
    """A guess costs 0.3 ms, and a header has room for hundreds."""
    assert charsets.decode_word(data, charset) == text
