"""Pictures of strangers -> pictures that phones take, in a process that may be killed: the only importer of Pillow.

`python -m mail2sms.reencode` reads pictures from standard input (`pictures` writes them) and answers one after the
other; it imports nothing of the daemon, gets no environment, and limits its own memory and CPU. What comes out was
drawn anew from pixels: no EXIF (its orientation is applied), no comments, no profile, and nothing hidden behind the
picture's end. Only four decoders are ever asked (JPEG, PNG, GIF, WebP), and only after the size in the header is known.
"""

from __future__ import annotations

import binascii
import contextlib
import os
import resource
import string
import struct
import sys
import warnings
from collections.abc import Iterator
from io import BytesIO
from typing import BinaryIO

from PIL import Image

HEAD = struct.Struct(">16sII")
"""On the way in: how it is encoded in the mail, the bytes that it may have, and those that it has; then the picture."""
ANSWER = struct.Struct(">16sI")
"""On the way out: a media type and a length, then the picture; or `WRONG` and a length, then why, as a word."""
WRONG = b"wrong"

_NOT_BASE64 = bytes(set(range(256)) - set(f"{string.ascii_letters}{string.digits}+/=".encode()))
_FORMATS = ("JPEG", "PNG", "GIF", "WEBP")
_PIXELS = 50_000_000  # of the largest phones' sensors; as RGBA 200 MB
_SIDE = 1600  # pixels; phones show no more, and operators scale down what is larger
_SMALLEST = 120  # pixels
_QUALITIES = (85, 75, 62, 50)
_SMALLER = 0.75
_STILL_SIDE, _FRAMES, _FRAME_PIXELS = (
    480,
    60,
    15_000_000,
)  # of an animation, after and before it is made smaller
_ORIENTATION = 0x0112  # EXIF 2.32 section 4.6.4
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_MEMORY_BYTES = 768 * 1024 * 1024
_CPU_S = 10
_NICE = 5
# What Pillow's decoders raise for what is no picture, found by mutating pictures; another one ends the process.
_BAD = (
    OSError,  # UnidentifiedImageError is one
    ValueError,
    SyntaxError,
    EOFError,
    struct.error,
    TypeError,
    KeyError,
    IndexError,
    OverflowError,
    ZeroDivisionError,
    AttributeError,
    MemoryError,
)


class WrongPicture(ValueError):
    """It cannot be used: `media.too_large` (more than 50 million pixels), `media.heic`, `media.video`, or
    `media.unreadable`.
    """


def fit(data: bytes, limit_bytes: int) -> tuple[str, bytes]:
    """Return media type and content of the picture within the limit: a JPEG, PNG or GIF. Raises WrongPicture.

    An animated GIF stays one if it fits, with at most 60 frames; of any other animation the first frame is taken.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _fit(data, limit_bytes)
    except WrongPicture:
        raise
    except _BAD as e:
        raise WrongPicture(_instead(data[:_HEAD_BYTES])) from e


_HEAD_BYTES = 64
_HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"}  # ISO/IEC 23008-12 annex B
_HEIF = {b"mif1", b"msf1"}  # any coding
_BRANDS_OF_STILLS = {b"avif", b"avis", b"jpeg", b"crx "}
_RECORDINGS = (b"\x1aE\xdf\xa3", b"OggS", b"#!AMR", b"ID3", b"\xff\xfb", b"\0\0\1\xba", b"\0\0\0\1")


def _instead(head: bytes) -> str:
    """Return why what begins so is no picture, as far as its writer can do something about it."""
    if head[4:8] == b"ftyp":  # ISO 14496-12 section 4.3: a brand, a version, and more brands
        end = int.from_bytes(head[:4], "big")
        brands = {head[8:12], *(head[at : at + 4] for at in range(16, min(end, len(head)), 4))}
        if brands & _HEIC or (brands & _HEIF and not brands & _BRANDS_OF_STILLS):
            return "media.heic"
        return "media.unreadable" if brands & _BRANDS_OF_STILLS else "media.video"
    is_riff = head[:4] == b"RIFF" and head[8:12] in (b"AVI ", b"WAVE")
    return "media.video" if is_riff or head.startswith(_RECORDINGS) else "media.unreadable"


def _fit(data: bytes, limit_bytes: int) -> tuple[str, bytes]:
    Image.MAX_IMAGE_PIXELS = None  # it would only warn up to twice as much: the next lines refuse
    with Image.open(BytesIO(data), formats=_FORMATS) as opened:
        width, height = opened.size
        if width * height > _PIXELS:
            raise WrongPicture("media.too_large")
        if not width or not height:
            raise WrongPicture("media.unreadable")
        if opened.format == "GIF" and (moving := _animation(opened, limit_bytes)) is not None:
            return "image/gif", moving
        is_drawn = opened.format in ("PNG", "GIF")
        still = _still(opened)
    if is_drawn and (sharp := _png(still)) is not None and len(sharp) <= limit_bytes:
        return "image/png", sharp
    return "image/jpeg", _jpeg(_flat(still), limit_bytes)


def _still(opened: Image.Image) -> Image.Image:
    """Return the first frame, upright, at most 1600 pixels wide and high, as RGB or RGBA."""
    opened.draft("RGB", (_SIDE, _SIDE))  # a JPEG is decoded at half, a quarter or an eighth of its size
    turn = _turn(opened)
    opened.seek(0)
    opened.load()
    made = _in_colours(opened)
    made.thumbnail((_SIDE, _SIDE))
    return made if turn is None else made.transpose(turn)


def _turn(opened: Image.Image) -> Image.Transpose | None:
    try:
        return _TURNS.get(opened.getexif().get(_ORIENTATION, 1))
    except _BAD:  # the picture itself may be well
        return None


def _in_colours(opened: Image.Image) -> Image.Image:
    """Return a copy without anything but its pixels."""
    if opened.mode.startswith(("I", "F")):  # 16 bits a pixel: `convert` alone would cut them at 255
        opened = opened.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    is_clear = "A" in opened.mode or "transparency" in opened.info
    return _bare(opened.convert("RGBA" if is_clear else "RGB"))


def _bare(made: Image.Image) -> Image.Image:
    copy = Image.new(made.mode, made.size)
    copy.paste(made)
    return copy


def _flat(made: Image.Image) -> Image.Image:
    """Return it on white."""
    if made.mode == "RGB":
        return made
    ground = Image.new("RGB", made.size, "white")
    ground.paste(made, mask=made.getchannel("A"))
    return ground


def _png(made: Image.Image) -> bytes | None:
    out = BytesIO()
    made.save(out, "PNG")
    return out.getvalue()


def _jpeg(made: Image.Image, limit_bytes: int) -> bytes:
    while True:
        for quality in _QUALITIES:
            out = BytesIO()
            made.save(out, "JPEG", quality=quality)
            if out.tell() <= limit_bytes:
                return out.getvalue()
        width, height = (max(1, int(side * _SMALLER)) for side in made.size)
        if max(width, height) < _SMALLEST:
            raise WrongPicture("media.unreadable")
        made = made.resize((width, height))


def _animation(opened: Image.Image, limit_bytes: int) -> bytes | None:
    """Return it as a GIF, None for one that does not move, or does not fit."""
    frames: list[Image.Image] = []
    times: list[int] = []
    for frame in _frames(opened):
        if frame is None:
            return None
        times.append(max(20, int(frame.info.get("duration", 100))))
        small = _flat(_in_colours(frame))
        small.thumbnail((_STILL_SIDE, _STILL_SIDE))
        frames.append(small)
    if len(frames) < 2:
        return None
    out = BytesIO()
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:], duration=times, loop=0)
    return out.getvalue() if out.tell() <= limit_bytes else None


def _frames(opened: Image.Image) -> Iterator[Image.Image | None]:
    """Yield the frames; None, and no more, where there are too many or too large ones."""
    pixels = 0
    for index in range(_FRAMES + 1):
        try:
            opened.seek(index)
        except EOFError:
            return
        pixels += opened.width * opened.height
        if index == _FRAMES or pixels > _FRAME_PIXELS:
            yield None
            return
        yield opened


# The process


def main() -> None:
    """Answer pictures from standard input until it ends."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_S, _CPU_S))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    with contextlib.suppress(PermissionError):  # the service's system calls may be filtered: then without
        os.nice(_NICE)
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    while len(head := source.read(HEAD.size)) == HEAD.size:
        encoding, limit_bytes, size = HEAD.unpack(head)
        _answer(decoded(source.read(size), encoding.rstrip(b"\0")), limit_bytes, sink)


def decoded(data: bytes, encoding: bytes) -> bytes:
    """Undo a Content-Transfer-Encoding (RFC 2045 section 6), as far as it can be undone."""
    if encoding == b"quoted-printable":
        return binascii.a2b_qp(data)
    if encoding != b"base64":
        return data
    letters = data.translate(None, _NOT_BASE64).partition(b"=")[0]
    whole = letters[: len(letters) - (len(letters) % 4 == 1)]
    return binascii.a2b_base64(whole + b"=" * (-len(whole) % 4))


def _answer(data: bytes, limit_bytes: int, sink: BinaryIO) -> None:
    try:
        kind, made = fit(data, limit_bytes)
    except WrongPicture as e:
        kind, made = WRONG.decode(), str(e).encode()
    sink.write(ANSWER.pack(kind.encode(), len(made)) + made)
    sink.flush()


if __name__ == "__main__":
    main()
