"""Signatures by public keys, of providers' webhooks. Pure."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey


def is_signed_ed25519(public_key: bytes, signature: str, signed: bytes) -> bool:
    """Whether a signature in base64 is that of the key's owner (RFC 8032)."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(
            base64.b64decode(signature, validate=True), signed
        )
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def is_signed_by_certificate(
    pem: bytes, signature: str, signed: bytes, *, is_sha256: bool, at: datetime
) -> bool:
    """Whether a signature in base64 (RSA, PKCS #1 v1.5) is that of a certificate which is valid at this time."""
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        key = certificate.public_key()
        if not isinstance(key, RSAPublicKey):
            return False
        if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
            return False
        algorithm = hashes.SHA256() if is_sha256 else hashes.SHA1()  # noqa: S303  # SNS's first version
        key.verify(base64.b64decode(signature, validate=True), signed, PKCS1v15(), algorithm)
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True
