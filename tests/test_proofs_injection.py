"""The proof that nothing gets into our headers in a small version, with its controls."""

from __future__ import annotations

import pytest

from mail2sms.errors import DeliveryFailed
from mail2sms.relay import wire
from tests.proofs import injection


def test_whatever_a_phone_says_the_headers_are_ours() -> None:
    """Every kind of email, read by three readers."""
    figures = injection.run_chunk(0, 150, seed=7)
    assert figures.is_kept, figures.injected
    assert figures.mails == 150 + 3 * 6


@pytest.mark.parametrize("what", injection.CONTROLS, ids=" and ".join)
def test_a_missing_guard_is_found(what: tuple[str, ...]) -> None:
    """The negative control: without the cleaner a header gets in, unless the finished mail is read again."""
    found, figures = injection.is_found(what, 150, seed=1)
    assert found, figures


def test_a_boundary_that_we_did_not_write_is_found() -> None:
    """The last line of defence: parts that are others than ours don't leave."""
    headers = [("From", "<a@b.example>")]
    whole = wire.write(headers, {}, "x", "y")
    name = whole.partition(b'boundary="')[2].partition(b'"')[0]
    assert wire._is_whole(f'multipart/alternative;\r\n boundary="{name.decode()}"', whole)
    forged = whole + b"--" + name + b"\r\n\r\nz\r\n"
    assert not wire._is_whole(f'multipart/alternative;\r\n boundary="{name.decode()}"', forged)
    with pytest.raises(DeliveryFailed), pytest.MonkeyPatch.context() as patch:
        patch.setattr(wire, "_is_whole", lambda *_: False)
        wire.write(headers, {}, "x", "y")
