"""`mail2sms send --picture`: files and pipes, what is wrong with them, and how they go."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from mail2sms.carriers._picture import sunset
from mail2sms.cli import Exit, enclosing
from mail2sms.cli.main import run
from tests.servers import Daemon

US, FR = "+12025550123", "+33639981234"
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200)


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    """A bridge with simulated phones, which take MMS in the US."""
    extra = 'sender_ids: {default: "+33639980100"}\ncountries: [FR, US]\nmms: link'
    with Daemon(extra=extra) as running:
        yield running


@pytest.fixture
def socket_option(daemon: Daemon) -> list[str]:
    """How a verb finds it."""
    return ["--socket", str(daemon.folder / "control.sock")]


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A picture."""
    path = tmp_path / "sunset.png"
    path.write_bytes(sunset())
    return path


def _pipe(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))


def test_a_picture_goes_with_a_text(
    photo: Path, socket_option: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """As MMS and by a link, as everybody's."""
    code = run(["send", US, FR, "Look", "--picture", str(photo), "--json", *socket_option])
    told = json.loads(capsys.readouterr().out)
    assert code == Exit.OK
    assert [item["media"] for item in told["items"]] == ["mms", "link"]


def test_it_may_come_from_a_pipe_and_alone(
    photo: Path,
    socket_option: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Then it needs no text."""
    _pipe(monkeypatch, sunset())
    assert run(["send", US, "--picture", "-", "--picture", str(photo), *socket_option]) == Exit.OK
    assert "as MMS" in capsys.readouterr().out
    assert run(["send", US, FR, "", "--picture", str(photo), *socket_option]) == Exit.OK
    assert "by a link" in capsys.readouterr().out


def test_a_dry_run_says_how_it_would_go(
    photo: Path, socket_option: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """And sends nothing."""
    assert run(["send", FR, "Look", "--picture", str(photo), "--dry-run", *socket_option]) == Exit.OK
    assert "by a link in the text" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (HEIC, "Settings > Camera > Formats > Most Compatible"),
        (b"no picture", "cannot be read. Send it as JPEG, PNG, GIF or WebP. (media.unreadable)"),
        (b"\0\0\0\x14ftypqt  ", "(media.video)"),
        (b"", "is empty: there is no picture (media.unreadable)"),
    ],
)
def test_what_is_refused_is_named(
    content: bytes,
    said: str,
    photo: Path,
    tmp_path: Path,
    socket_option: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """By its file, whichever it is, and with what to do."""
    wrong = tmp_path / "IMG_1.heic"
    wrong.write_bytes(content)
    given = ["--picture", str(photo), "--picture", str(wrong)]
    assert run(["send", US, "Look", *given, *socket_option]) == Exit.REFUSED
    err = capsys.readouterr().err
    assert said in err
    assert str(wrong) in err


def test_what_is_wrong_before_anybody_is_asked(
    photo: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file, too many, too large together, two that would read the same pipe."""

    def send(*arguments: str) -> tuple[int, str]:
        code = run(["send", *arguments, "--socket", "nowhere.sock"])
        return code, capsys.readouterr().err

    code, err = send(US, "Look", "--picture", "nowhere.png")
    assert (code, "nowhere.png cannot be read: No such file" in err) == (Exit.USAGE, True)
    code, err = send(US, "Look", *["--picture", str(photo)] * 11)
    assert (code, "at most 10 pictures" in err) == (Exit.REFUSED, True)
    monkeypatch.setattr(enclosing, "_MOST_BYTES", 2 * len(sunset()) - 1)
    code, err = send(US, "Look", *["--picture", str(photo)] * 2)
    assert (code, "make them smaller, or send fewer" in err) == (Exit.REFUSED, True)
    code, err = send(US, "-", "--picture", "-")
    assert (code, "the text or one picture, not both" in err) == (Exit.USAGE, True)
    code, err = send(US, FR, "--picture", str(photo))
    assert (code, "the text stands last" in err) == (Exit.USAGE, True)
    code, err = send("--picture", str(photo))
    assert (code, "numbers and a text are needed" in err) == (Exit.USAGE, True)


def test_the_ceiling_fits_into_a_call() -> None:
    """In base64, with a text beside it."""
    from mail2sms.web.bodies import PICTURE_LENGTH
    from mail2sms.web.gate import _PICTURES_BYTES

    assert min(PICTURE_LENGTH, _PICTURES_BYTES - 100_000) > enclosing._MOST_BYTES * 4 / 3
