"""The proof `media` in a small version, with its negative controls."""

from __future__ import annotations

import pytest

from tests import ssrf
from tests.proofs import media


def test_no_mutation_harms() -> None:
    """Each becomes a whole picture within the limit, without what a camera wrote, or is refused."""
    found = media.run_chunk(0, 300, seed=11)
    assert found.wrong == []
    assert {"image/jpeg", "image/png", "image/gif", "media.unreadable"} <= found.ends.keys()
    assert found.worst_s < media.CPU_S


def test_a_picture_that_is_passed_on_is_found() -> None:
    """The negative control."""
    assert any(
        "the word is still there" in fault for fault in media.run_chunk(0, 50, 11, media.as_it_came).wrong
    )


async def test_bombs_are_refused_or_made_small() -> None:
    """In the real process, by their headers where those say enough."""
    found = await media.bombed()
    assert (
        found["900 megapixels in a PNG"] == found["a GIF's screen of 65,535 by 65,535"] == "media.too_large"
    )
    assert found["2,000 frames"] == "image/png"
    assert (found["an iPhone's HEIC"], found["a video"]) == ("media.heic", "media.video")
    assert found["SVG"] == found["PostScript"] == found["HTML"] == found["half a JPEG"] == "media.unreadable"


async def test_nothing_private_is_asked() -> None:
    """By whatever URL, name server or redirect."""
    asked = await media.fetched()
    assert asked.private == []
    assert asked.public, "some of it may be asked, or nothing was shown"
    assert asked.places > 150


def test_a_fetcher_that_is_open_to_all_is_found() -> None:
    """The negative control: every address would have been tried."""
    assert len(media.open_to_all().private) > 2 * len(ssrf.ADDRESSES)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:4700::1111", "8.8.8.8", "::ffff:8.8.8.8"])
def test_public_addresses_stay_public(address: str) -> None:
    """Or nothing would ever be fetched."""
    assert media.is_public(address)
