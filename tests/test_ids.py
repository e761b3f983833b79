"""Ids and keys."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from mail2sms import ids


@pytest.mark.parametrize("secret", [b"", b"s", b"k" * 64, b"longer than a block " * 9])
@pytest.mark.parametrize("message", [b"", b"acme\0+33639981234", b"m" * 5000])
def test_keyed_is_the_standard_hmac(secret: bytes, message: bytes) -> None:
    """The same digest, and again from the half that is kept."""
    expected = hmac.digest(secret, message, hashlib.sha256)
    assert [ids.keyed(secret, message) for _ in range(2)] == [expected, expected]
