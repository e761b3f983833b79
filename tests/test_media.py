"""URLs of pictures prove themselves for a time; files of phones are what their first bytes say."""

from __future__ import annotations

import pytest

from mail2sms.media import Links, file_type, is_slide
from tests.fakes import NOW

LINKS = Links(base="https://sms.acme.example", secret=b"s" * 32, valid_ms=1000)
SUBMISSION = "m-1QVFJB3RBZV70NHG"
HOUR = 3_600_000


def _steps(url: str) -> tuple[str, str]:
    _, name, token = url.removeprefix("https://sms.acme.example/").split("/")[:3]
    return name, token


def test_a_url_is_good_until_its_hour_is_over() -> None:
    """At least as long as was asked for, at most an hour longer."""
    name, token = _steps(LINKS.page(SUBMISSION, NOW))
    assert LINKS.proven(name, token, NOW) == SUBMISSION
    assert LINKS.proven(name, token, NOW + HOUR) == ""


@pytest.mark.parametrize("at", range(21))
def test_a_url_that_was_changed_proves_nothing(at: int) -> None:
    """In whatever character: the hour is proven too."""
    name, token = _steps(LINKS.page(SUBMISSION, NOW))
    changed = token[:at] + ("b" if token[at] != "b" else "c") + token[at + 1 :]
    assert LINKS.proven(name, changed, NOW - 100 * 86_400_000) == ""
    assert LINKS.proven(name, token[:at], 0) == ""


@pytest.mark.parametrize("token", ["", "x", "zzzzz" + "a" * 16, "é" * 21, "04175", "0" * 500, "\udcff" * 21])
def test_nonsense_proves_nothing(token: str) -> None:
    """And raises nothing."""
    assert LINKS.proven("1QVFJB3RBZV70NHG", token, NOW) == ""


def test_another_secret_or_submission_proves_nothing() -> None:
    """Who sees one URL knows no other."""
    name, token = _steps(LINKS.page(SUBMISSION, NOW))
    other = Links(base=LINKS.base, secret=b"t" * 32, valid_ms=1)
    assert other.proven(name, token, NOW) == ""
    assert LINKS.proven("1QVFJB3RBZV70NHH", token, NOW) == ""


def test_pictures_are_named_for_carriers_that_go_by_endings() -> None:
    """In their order."""
    made = LINKS.pictures(SUBMISSION, ["image/jpeg", "image/gif"], NOW)
    assert [media.url.rpartition("/")[2] for media in made] == ["1.jpg", "2.gif"]
    assert [media.media_type for media in made] == ["image/jpeg", "image/gif"]


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (b"\xff\xd8\xff\xe0" + bytes(9), "image/jpeg"),
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        (b"RIFF\0\0\0\0AVI ", ""),
        (b"\0\0\0\x18ftypheic", "image/heic"),
        (b"\0\0\0\x18ftyp3gp5", "video/3gpp"),
        (b"\0\0\0\x18ftypisom", "video/mp4"),
        (b"#!AMR\n", "audio/amr"),
        (b"BEGIN:VCARD\r\n", "text/vcard"),
        (b"%PDF-1.7", "application/pdf"),
        (b"<html><script>", ""),
        (b"<svg xmlns=", ""),
        (b"MZ\x90\0", ""),
        (b"PK\3\4", ""),
        (b"", ""),
    ],
)
def test_what_a_file_is(data: bytes, media_type: str) -> None:
    """What no phone sends is nothing, whatever it was said to be."""
    assert file_type(data) == media_type


@pytest.mark.parametrize(
    ("media_type", "url", "is_one"),
    [
        ("application/smil", "https://a.example/1", True),
        ("application/smil; charset=utf-8", "", True),
        ("", "https://a.example/0.smil?x=1", True),
        ("image/jpeg", "https://a.example/1.jpg", False),
        ("", "https://a.example/1", False),
    ],
)
def test_slides_are_left(media_type: str, url: str, is_one: bool) -> None:
    """They only say where the others stand."""
    assert is_slide(media_type, url) == is_one
