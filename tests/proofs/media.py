"""Pictures and files of strangers: no mutation harms us or shows what cameras wrote, and nothing private is asked.

Usage: media [COUNT] [SEED]. COUNT mutated pictures of ten kinds (JPEG, also progressive and CMYK, PNG with alpha,
palette and 16 bits, GIF, also moving, WebP, lossy and lossless), each with a planted word in its EXIF, comments and
behind its end, are decoded as the process does that decodes for the daemon, with its limit of memory: each becomes a
picture within the limit that is whole and has lost the word, or is refused; CPU and memory are measured. Bombs and cut
files go through the real process. Then every URL and address of `tests.ssrf`, as a URL, as an answer of a name server
and as a redirect: connections to what is not public, 0.
Controls that must fail: pictures that are passed on as they came, and a fetcher to which every address is public.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import multiprocessing
import os
import random
import resource
import socket
import struct
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cache, partial
from unittest.mock import patch

import aiohttp
from PIL import Image, PngImagePlugin

from mail2sms import http as http_module
from mail2sms import reencode
from mail2sms.carriers import _media
from mail2sms.endpoint import is_public
from mail2sms.errors import BadPicture, FetchFailed
from mail2sms.http import Answer, Http, NoAnswer, NotPublic, NotSent
from mail2sms.pictures import Pictures
from tests import ssrf

WORD = b"PLANTED-BY-A-CAMERA"
LIMIT_BYTES = 60_000
CPU_S = 2.0
_CHUNK = 250
Fit = Callable[[bytes, int], tuple[str, bytes]]


def _noise(chance: random.Random, mode: str, width: int, height: int) -> Image.Image:
    bands = len(Image.new(mode, (1, 1)).getbands())
    return Image.frombytes(mode, (width, height), chance.randbytes(width * height * bands))


def _saved(image: Image.Image, kind: str, **more: object) -> bytes:
    out = io.BytesIO()
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = WORD.decode(), 6
    if kind in ("JPEG", "WEBP"):
        more["exif"] = exif
    if kind in ("JPEG", "GIF"):
        more["comment"] = WORD
    if kind == "PNG":
        info = PngImagePlugin.PngInfo()
        info.add_text("Comment", WORD.decode())
        more |= {"pnginfo": info, "exif": exif}
    image.save(out, kind, **more)
    return out.getvalue() + WORD


@cache
def seeds() -> tuple[bytes, ...]:
    """Return one picture of each kind, with the planted word."""
    chance = random.Random(1)
    frames = [_noise(chance, "RGB", 60, 40) for _ in range(6)]
    return (
        _saved(_noise(chance, "RGB", 120, 80), "JPEG"),
        _saved(_noise(chance, "RGB", 120, 80), "JPEG", progressive=True),
        _saved(_noise(chance, "RGB", 60, 40).convert("CMYK"), "JPEG"),
        _saved(_noise(chance, "RGBA", 60, 40), "PNG"),
        _saved(_noise(chance, "RGB", 60, 40).convert("P"), "PNG"),
        _saved(Image.new("I;16", (64, 64), 40_000), "PNG"),
        _saved(frames[0], "GIF"),
        _saved(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=90, loop=0),
        _saved(_noise(chance, "RGBA", 60, 40), "WEBP"),
        _saved(_noise(chance, "RGB", 60, 40), "WEBP", lossless=True),
    )


def mutant(number: int, seed: int) -> bytes:
    """Return a picture with some of its bytes changed, taken away, doubled or cut: the same for the same numbers."""
    chance = random.Random(f"{seed} {number}")
    data = bytearray(chance.choice(seeds()))
    for _ in range(chance.choice((0, 1, 1, 2, 5, 20))):
        at = chance.randrange(min(len(data), chance.choice((40, 200, 1 << 30))))
        span = chance.randrange(1, 40)
        edit = chance.randrange(6)
        if edit < 3:
            data[at] = chance.randrange(256)
        elif edit == 3:
            data[at : at + 4] = chance.choice(
                (b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", struct.pack(">I", 65_000))
            )
        elif edit == 4:
            data[at:at] = data[at : at + span]
        else:
            del data[at : chance.choice((at + span, len(data)))]
        if not data:
            return b""
    return bytes(data)


@dataclass(slots=True)
class Figures:
    """What came of mutants: how they ended, what was wrong (with its number), and the dearest one."""

    ends: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    worst_s: float = 0.0
    rss_mb: float = 0.0

    def add(self, other: Figures) -> None:
        """Count another chunk."""
        self.ends += other.ends
        self.wrong += other.wrong
        self.worst_s, self.rss_mb = max(self.worst_s, other.worst_s), max(self.rss_mb, other.rss_mb)


def run_chunk(first: int, count: int, seed: int, fit: Fit = reencode.fit) -> Figures:
    """Take so many mutants through `fit`."""
    found = Figures()
    for number in range(first, first + count):
        data = mutant(number, seed)
        began_s = time.process_time()
        try:
            kind, made = fit(data, LIMIT_BYTES)
        except reencode.WrongPicture as e:
            found.ends[str(e)] += 1
        except Exception as e:
            found.wrong.append(f"{number}: {type(e).__name__}")
        else:
            found.ends[kind] += 1
            found.wrong += [f"{number}: {fault}" for fault in _faults(kind, made)]
        found.worst_s = max(found.worst_s, time.process_time() - began_s)
    found.rss_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return found


def _faults(kind: str, made: bytes) -> list[str]:
    faults = ["too large"] if len(made) > LIMIT_BYTES else []
    faults += ["the word is still there"] if WORD in made else []
    try:
        with Image.open(io.BytesIO(made)) as image:
            image.load()
            faults += ["it has EXIF"] if image.getexif() else []
            faults += [f"{image.format} is called {kind}"] if Image.MIME[image.format or ""] != kind else []
    except OSError:
        faults.append("it is not whole")
    return faults


def _limited() -> None:
    limit = reencode._MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _png_of(width: int, height: int, data: bytes) -> bytes:
    """Return a PNG that claims a size, whatever it holds."""
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", data),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks
    )


def bombs() -> dict[str, bytes]:
    """Return pictures that would cost much, and what is none."""
    one = Image.new("1", (30_000, 30_000))
    many = [Image.new("RGB", (2, 2), (number % 250, number // 250, 9)) for number in range(2_000)]
    moving = io.BytesIO()
    many[0].save(moving, "GIF", save_all=True, append_images=many[1:], duration=10)
    gif = bytearray(seeds()[6])
    gif[6:10] = b"\xff\xff\xff\xff"  # a screen of 65,535 by 65,535
    whole = seeds()[0]
    return {
        "900 megapixels in a PNG": _saved(one, "PNG"),
        "a PNG of 65,535 by 65,535 that inflates without end": _png_of(
            65_535, 65_535, zlib.compress(bytes(50_000_000))
        ),
        "a PNG of 2 billion by 1": _png_of(2_000_000_000, 1, b""),
        "a PNG of nothing": _png_of(0, 0, b""),
        "a GIF's screen of 65,535 by 65,535": bytes(gif),
        "2,000 frames": moving.getvalue(),
        "half a JPEG": whole[: len(whole) // 2],
        "a JPEG's first bytes": whole[:20],
        "a ZIP with a JPEG's beginning": whole[:4] + b"PK\3\4" + bytes(5_000),
        "HTML": b"<html><script>alert(1)</script>" * 100,
        "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
        "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "an iPhone's HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(5_000),
        "a video": b"\0\0\0\x18ftypmp42\0\0\0\0isommp42" + bytes(5_000),
        "nothing": b"",
    }


async def bombed() -> dict[str, str]:
    """Return what becomes of each of them in the real process: a media type, or why not."""
    pictures, found = Pictures(), {}
    for name, data in bombs().items():
        try:
            (made,) = await pictures.fit([data], LIMIT_BYTES)
        except BadPicture as e:
            found[name] = e.reason
        else:
            found[name] = made.media_type
    return found


# What is fetched


@dataclass(slots=True)
class Asked:
    """Whom connections were tried to, and how many places were to be fetched from."""

    places: int = 0
    public: list[str] = field(default_factory=list)
    private: list[str] = field(default_factory=list)

    async def connect(self, addr_infos: Sequence[tuple[object, ...]], **_: object) -> socket.socket:
        """Stand in for the connection: note whom it would be to."""
        for info in addr_infos:
            host = str(info[4][0])  # type: ignore[index]
            (self.public if is_public(host) else self.private).append(host)
        raise OSError("nobody is asked in a proof")


HOSTS = ("api.provider.example", ".media.example")


async def fetched() -> Asked:
    """Try to fetch from everywhere: by the URL, by what a name server says, and by where a redirect leads."""
    asked = Asked()
    with patch("aiohttp.connector.aiohappyeyeballs.start_connection", asked.connect):
        for url in (*ssrf.URLS, *(f"https://{_in_url(each)}/x" for each in ssrf.ADDRESSES)):
            await _try(asked, url, "93.184.216.34")
        for address in ssrf.ADDRESSES:
            await _try(asked, "https://files.media.example/x", address)
            await _try(asked, "https://files.media.example/x", "93.184.216.34", address)
        for url in ssrf.URLS:
            await _redirected(asked, url)
    return asked


def _in_url(address: str) -> str:
    return f"[{address.replace('%', '%25')}]" if ":" in address else address


async def _try(asked: Asked, url: str, *found: str) -> None:
    """Fetch as a carrier does, and as if its list of hosts had everything in it."""
    source = _media.Source(hosts=HOSTS, api="https://api.provider.example")

    http = Http(_Names(found))
    asked.places += 1
    with contextlib.suppress(FetchFailed):
        await _media.fetch(http, source, url, 1_000)
    with contextlib.suppress(NotPublic, NotSent, NoAnswer):
        await http.download(url, limit_bytes=1_000, timeout_s=1)
    await http.close()


class _Names(aiohttp.abc.AbstractResolver):
    """A name server to which every host is at these addresses."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[aiohttp.abc.ResolveResult]:
        """Return them."""
        rest = {"hostname": host, "port": port, "family": family, "proto": 0, "flags": 0}
        return [aiohttp.abc.ResolveResult(host=each, **rest) for each in self._addresses]  # type: ignore[typeddict-item]

    async def close(self) -> None:
        """Nothing is open."""


async def _redirected(asked: Asked, url: str) -> None:
    """A server of the provider's leads us there."""
    http = Http()
    real = http.download

    async def download(asked_url: str, **more: object) -> Answer:
        if asked_url == "https://api.provider.example/moved":
            return Answer(status=302, headers={"location": url})
        return await real(asked_url, **more)  # type: ignore[arg-type]

    asked.places += 1
    with patch.object(http, "download", download):
        source = _media.Source(hosts=HOSTS, api="https://api.provider.example")
        with contextlib.suppress(FetchFailed):
            await _media.fetch(http, source, "https://api.provider.example/moved", 1_000)
    await http.close()


def as_it_came(data: bytes, _: int) -> tuple[str, bytes]:
    """Pass a picture on: the control that shows that the word would be found."""
    with Image.open(io.BytesIO(data)) as image:
        return Image.MIME[image.format or ""], data


def open_to_all() -> Asked:
    """Fetch with every address taken for public: the control."""
    with patch.object(http_module, "is_public", lambda _: True):
        return asyncio.run(fetched())


def main(argv: Sequence[str]) -> int:
    """Run it all; return 0 when it holds and its controls fail."""
    count = int(argv[0].replace(",", "")) if argv else 20_000
    seed = int(argv[1]) if argv[1:] else 1
    began_s, total = time.monotonic(), Figures()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), context, initializer=_limited) as pool:
        sizes = [min(_CHUNK, count - first) for first in range(0, count, _CHUNK)]
        firsts = range(0, count, _CHUNK)
        for found in pool.map(partial(run_chunk, seed=seed), firsts, sizes):
            total.add(found)
    ends = ", ".join(f"{number} {end}" for end, number in total.ends.most_common())
    print(f"pictures: {count} mutants in {time.monotonic() - began_s:.0f} s: {ends}")
    print(
        f"  wrong {len(total.wrong)} {total.wrong[:5]}, the dearest {total.worst_s:.2f} s, {total.rss_mb:.0f} MB"
    )
    became = asyncio.run(bombed())
    for name, end in became.items():
        print(f"  {name}: {end}")
    asked = asyncio.run(fetched())
    print(
        f"fetching: {asked.places} places, {len(asked.private)} connections that are not public {asked.private[:5]}"
    )
    control = run_chunk(0, 200, seed, as_it_came)
    leaked = open_to_all()
    print(
        f"controls: {len(control.wrong)} faults in 200 that are passed on, {len(leaked.private)} connections"
    )
    holds = not (total.wrong or asked.private) and total.worst_s < CPU_S
    holds = holds and set(became.values()) <= {
        "media.unreadable",
        "media.too_large",
        "media.heic",
        "media.video",
        "image/png",
        "image/jpeg",
    }
    return 0 if holds and control.wrong and leaked.private else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
