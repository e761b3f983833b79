"""Pictures become what phones take: in a process of their own, within a limit, upright and bare."""

from __future__ import annotations

import asyncio
import io
import sys

import psutil
import pytest
from PIL import Image

from mail2sms import pictures as module
from mail2sms import reencode
from mail2sms.errors import BadPicture, Refusal
from mail2sms.pictures import Pictures

LIMIT = 600_000


def picture(kind: str = "JPEG", size: tuple[int, int] = (400, 200), **more: object) -> bytes:
    """Return a picture whose left half is red and whose right half is blue."""
    image = Image.new("RGB", size, "red")
    image.paste("blue", (size[0] // 2, 0, *size))
    out = io.BytesIO()
    image.save(out, kind, **more)
    return out.getvalue()


def shown(data: bytes) -> Image.Image:
    """Return a picture as a phone shows it: whatever EXIF says, nobody turns it."""
    return Image.open(io.BytesIO(data)).convert("RGB")


@pytest.mark.parametrize(
    ("kind", "media_type"),
    [("JPEG", "image/jpeg"), ("PNG", "image/png"), ("GIF", "image/png"), ("WEBP", "image/jpeg")],
)
def test_what_comes_out(kind: str, media_type: str) -> None:
    """Drawings stay sharp, photos small; every phone knows these three."""
    found, data = reencode.fit(picture(kind), LIMIT)
    assert found == media_type
    assert shown(data).size == (400, 200)


@pytest.mark.parametrize(
    ("orientation", "size", "top_left"),
    [(1, (400, 200), "red"), (3, (400, 200), "blue"), (6, (200, 400), "red"), (8, (200, 400), "blue")],
)
def test_it_stands_upright(orientation: int, size: tuple[int, int], top_left: str) -> None:
    """As the camera was held, which only the EXIF said."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "ACME"
    _, data = reencode.fit(picture(exif=exif), LIMIT)
    red, _, blue = shown(data).getpixel((5, 5))  # type: ignore[misc]
    assert shown(data).size == size
    assert ("red" if red > blue else "blue") == top_left
    assert b"ACME" not in data
    assert not Image.open(io.BytesIO(data)).getexif()


def test_a_photo_is_made_as_small_as_it_must_be() -> None:
    """At most 1600 pixels, and then by quality and size until it fits."""
    noise = Image.effect_noise((2400, 1800), 90).convert("RGB")
    out = io.BytesIO()
    noise.save(out, "JPEG", quality=95)
    for limit in (LIMIT, 250_000, 20_000):
        kind, data = reencode.fit(out.getvalue(), limit)
        assert kind == "image/jpeg"
        assert len(data) <= limit
        assert max(shown(data).size) <= 1600


def test_what_is_clear_stays_clear_in_a_png() -> None:
    """And is white in a JPEG, not black."""
    clear = Image.new("RGBA", (300, 300), (0, 0, 0, 0))
    clear.paste((200, 0, 0, 255), (0, 0, 10, 10))
    out = io.BytesIO()
    clear.save(out, "WEBP", lossless=True)
    kind, data = reencode.fit(out.getvalue(), LIMIT)
    assert kind == "image/jpeg"
    assert min(shown(data).getpixel((200, 200))) > 250  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("frames", "media_type"), [(1, "image/png"), (5, "image/gif"), (60, "image/gif"), (61, "image/png")]
)
def test_what_moves_goes_on_moving_up_to_60_frames(frames: int, media_type: str) -> None:
    """Of more the first is shown."""
    images = [Image.new("RGB", (40, 30), (4 * number, 9, 9)) for number in range(frames)]
    out = io.BytesIO()
    images[0].save(out, "GIF", save_all=True, append_images=images[1:], duration=50)
    kind, data = reencode.fit(out.getvalue(), LIMIT)
    assert kind == media_type
    if media_type == "image/gif":
        assert getattr(Image.open(io.BytesIO(data)), "n_frames", 1) > 1


def test_50_megapixels_are_the_most() -> None:
    """Told by the header alone: nothing is decoded."""
    at_most = Image.new("1", (10_000, 5_000))
    for size, is_taken in (((10_000, 5_000), True), ((10_001, 5_000), False)):
        out = io.BytesIO()
        (at_most if is_taken else Image.new("1", size)).save(out, "PNG")
        if is_taken:
            assert reencode.fit(out.getvalue(), LIMIT)[0] == "image/png"
        else:
            with pytest.raises(reencode.WrongPicture, match="too_large"):
                reencode.fit(out.getvalue(), LIMIT)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "media.heic"),
        (b"\0\0\0\x24ftypmif1\0\0\0\0mif1heicMiPrmiaf", "media.heic"),
        (b"\0\0\0\x14ftypmif1\0\0\0\0mif1", "media.heic"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0avifmif1miaf", "media.unreadable"),
        (b"\0\0\0\x20ftypavif\0\0\0\0avifmif1miaf", "media.unreadable"),
        (b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", "media.video"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0isommp42", "media.video"),
        (b"RIFF\0\0\0\0AVI LIST", "media.video"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "media.unreadable"),
        (b"\x1aE\xdf\xa3\x01", "media.video"),
        (b"ftyp", "media.unreadable"),
        (b"\0\0\0\x08ftyp", "media.video"),
        (b"\xff\xff\xff\xffftypheic", "media.heic"),
        (b"BM\0\0", "media.unreadable"),
    ],
)
def test_why_it_is_no_picture(data: bytes, reason: str) -> None:
    """As far as its writer can do something about it; whatever it was called."""
    with pytest.raises(reencode.WrongPicture, match=f"^{reason}$"):
        reencode.fit(data + bytes(300), LIMIT)


async def test_all_of_a_mail_share_the_limit() -> None:
    """And keep their order."""
    made = await Pictures().fit([picture(), picture("PNG"), picture("GIF")], 90_000)
    assert [photo.name for photo in made] == ["photo-1.jpg", "photo-2.png", "photo-3.png"]
    assert sum(len(photo.content) for photo in made) <= 90_000


@pytest.mark.parametrize("broken", [b"====", b"a", b"\xff\0", b"=ZZ=", b""])
@pytest.mark.parametrize("encoding", ["base64", "quoted-printable", "x" * 99, "\u20ac"])
async def test_what_is_encoded_in_no_way_is_no_picture(broken: bytes, encoding: str) -> None:
    """And raises nothing else."""
    with pytest.raises(BadPicture):
        await Pictures().fit([broken], LIMIT, encoding)


async def test_the_one_that_is_wrong_is_named() -> None:
    """By its place."""
    with pytest.raises(BadPicture) as failed:
        await Pictures().fit([picture(), b"no picture", picture()], LIMIT)
    assert (failed.value.number, failed.value.reason) == (1, "media.unreadable")


async def test_a_process_that_hangs_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The picture is refused, the next one is read, and nothing stays behind."""
    monkeypatch.setattr(module, "_WALL_S", 0.0)
    pictures = Pictures()
    with pytest.raises(BadPicture):
        await pictures.fit([picture()], LIMIT)
    monkeypatch.setattr(module, "_WALL_S", 20.0)
    assert await pictures.fit([picture()], LIMIT)
    assert not _workers()


async def test_who_gives_up_leaves_nothing_behind() -> None:
    """A client that has gone away."""
    task = asyncio.create_task(Pictures().fit([picture()] * 5, LIMIT))
    while not _workers():
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not _workers()


async def test_too_many_at_once_come_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each waits with all of its mail in memory."""
    monkeypatch.setattr(module, "_WAITING", 2)
    pictures = Pictures()
    ended = await asyncio.gather(
        *(pictures.fit([picture()], LIMIT) for _ in range(4)), return_exceptions=True
    )
    assert [isinstance(one, Refusal) for one in ended] == [False, False, True, True]


def test_the_daemon_does_not_load_pillow() -> None:
    """Only the process does."""
    import subprocess

    code = "import sys, mail2sms.daemon; print('PIL' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def _workers() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "mail2sms.reencode" in child.cmdline()]
