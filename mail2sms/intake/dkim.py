"""DKIM signatures (RFC 6376, 8301, 8463): what one says, and whether a key made it. The only importer of cryptography.

Pure: keys are looked up by who asks. A mail comes as its fields, raw and in order, and its body; every step is linear
in it, and none holds the GIL for long: common libraries collapse blanks by regular expressions that are quadratic.
Stricter than the RFC where a signature is to prove who writes: it signs the From field and the whole text, and neither
SHA-1 nor a short key nor a key that is only being tried counts.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # 9 MB that most daemons never need: imported when the first key is read
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

FIELDS_SIGNED = 200
_RSA, _ED25519 = "rsa-sha256", "ed25519-sha256"
_RSA_BITS = range(1024, 4097)  # RFC 8301 section 3.2
_EXPONENT_BITS = 64
_AHEAD_S = 300  # of a signer's clock
_BLANK = " \t\r\n"
_TAG = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")
_HOST = re.compile(
    r"(?=.{1,253}\Z)[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,62})(?:\.[A-Za-z0-9_][A-Za-z0-9_-]{0,62})*\Z"
)
_DIGITS = re.compile(r"[0-9]{1,12}\Z")
_OWN_VALUE = re.compile(rb"((?:^|;)[ \t\r\n]*b[ \t\r\n]*=)[^;]*")

RawField = tuple[str, bytes]
"""A field's lower-case name, and all of it with its line end."""


class Unusable(Exception):
    """A signature or key that proves nothing, and why, in a few words."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Signature:
    """What a signature says of itself. `tags` are all of it, `at` is its place among the fields."""

    domain: str
    selector: str
    algorithm: str
    is_relaxed_head: bool
    is_relaxed_body: bool
    signed: tuple[str, ...]
    body_hash: bytes
    value: bytes
    identity: str
    tags: Mapping[str, str]
    at: int

    @property
    def key_name(self) -> str:
        """Where its key stands in the DNS."""
        return f"{self.selector}._domainkey.{self.domain}"


def tags(text: str) -> dict[str, str]:
    """Return the tags of a list such as `v=1; a=rsa-sha256`. Raises Unusable for what is none."""
    found: dict[str, str] = {}
    items = text.split(";")
    if not items[-1].strip(_BLANK):
        items.pop()
    for item in items:
        name, equals, value = item.partition("=")
        name = name.strip(_BLANK)
        if not equals or not _TAG.match(name) or name in found:
            raise Unusable("it cannot be read")
        found[name] = value.strip(_BLANK)
    return found


def is_host(name: str) -> bool:
    """Whether a name may be asked for in the DNS."""
    return _HOST.match(name) is not None


def read(field: RawField, at: int, now_s: float) -> Signature:
    """Return what a DKIM-Signature says. Raises Unusable when it can't prove anything, whatever its key."""
    found = _required(field, ("v", "a", "b", "bh", "d", "h", "s"))
    if found["v"] != "1":
        raise Unusable("it has another version")
    return signature(found, at, now_s, identity=found.get("i", f"@{found['d']}"))


def _required(field: RawField, names: Sequence[str]) -> dict[str, str]:
    found = tags(value_of(field).decode("latin-1"))
    missing = [name for name in names if not found.get(name)]
    if missing:
        raise Unusable(f"it has no {missing[0]}=")
    return found


def message_signature(field: RawField, at: int, now_s: float) -> Signature:
    """Return what an ARC-Message-Signature says: a DKIM-Signature but for `v` and `i` (RFC 8617 section 4.1.2)."""
    found = _required(field, ("i", "a", "b", "bh", "d", "h", "s"))
    made = signature(found, at, now_s, identity=f"@{found['d']}")
    if "arc-seal" in made.signed:
        raise Unusable("it signs an ARC-Seal")
    return made


def seal(field: RawField, at: int, now_s: float) -> Signature:
    """Return what an ARC-Seal says (RFC 8617 section 4.1.3). It signs no text."""
    found = _required(field, ("i", "a", "b", "cv", "d", "s"))
    if "h" in found or "bh" in found:
        raise Unusable("it names fields")
    return signature({**found, "h": "from", "bh": "", "c": "relaxed"}, at, now_s, identity=f"@{found['d']}")


def signature(found: Mapping[str, str], at: int, now_s: float, *, identity: str) -> Signature:
    """Return what these tags say. Raises Unusable."""
    head, _, body = found.get("c", "simple/simple").lower().partition("/")
    domain, algorithm = found["d"].lower(), found["a"].lower()
    signed = tuple(name.strip(_BLANK).lower() for name in found["h"].split(":"))
    if algorithm not in (_RSA, _ED25519):
        raise Unusable(f"{_shown(algorithm)} proves nothing")
    if head not in ("simple", "relaxed") or body not in ("", "simple", "relaxed"):
        raise Unusable("its canonicalization is unknown")
    if not is_host(domain) or not is_host(found["s"]):
        raise Unusable("its domain or selector is no name")
    if "l" in found:
        raise Unusable("it has l=: text can be added to what it signs")
    if "from" not in signed:
        raise Unusable("it does not sign the From field")
    if len(signed) > FIELDS_SIGNED or "" in signed:
        raise Unusable("its list of fields cannot be read")
    if "dns/txt" not in [each.strip(_BLANK) for each in found.get("q", "dns/txt").lower().split(":")]:
        raise Unusable("its key is not in the DNS")
    of = identity.rpartition("@")[2].lower()
    if "@" not in identity or not (of == domain or of.endswith(f".{domain}")):
        raise Unusable("its i= is not of its domain")
    _check_times(found, now_s)
    return Signature(
        domain=domain,
        selector=found["s"],
        algorithm=algorithm,
        is_relaxed_head=head == "relaxed",
        is_relaxed_body=body == "relaxed",
        signed=signed,
        body_hash=_decode(found["bh"]),
        value=_decode(found["b"]),
        identity=of,
        tags=found,
        at=at,
    )


def _check_times(found: Mapping[str, str], now_s: float) -> None:
    times = {name: found[name] for name in ("t", "x") if name in found}
    if not all(_DIGITS.match(text) for text in times.values()):
        raise Unusable("its times cannot be read")
    made_s, ends_s = int(times.get("t", 0)), int(times.get("x", 10**13))
    if ends_s <= now_s:
        raise Unusable("it has expired")
    if made_s > now_s + _AHEAD_S or ends_s < made_s:
        raise Unusable("it is from the future")


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as e:
        raise Unusable("it cannot be read") from e


def _shown(text: str) -> str:
    return text[:30] if text.isascii() and text.isprintable() else "its algorithm"


# The key


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """A public key, one of its two kinds; `is_strict`: it is not for subdomains in `i=`."""

    rsa: RSAPublicKey | None = None
    ed25519: Ed25519PublicKey | None = None
    is_strict: bool = False


def key(records: Sequence[str]) -> Key:
    """Return the key of a selector's TXT records. Raises Unusable."""
    if len(records) != 1:
        raise Unusable("there are several keys" if records else "there is no key")
    return _read_key(records[0])


@lru_cache(maxsize=256)
def _read_key(record: str) -> Key:
    try:
        found = tags(record)
    except Unusable as e:
        raise Unusable("the key cannot be read") from e
    flags, uses = (_words(found.get(name, default)) for name, default in (("t", ""), ("s", "*")))
    if found.get("v", "DKIM1") != "DKIM1" or "p" not in found:
        raise Unusable("there is no key")
    if not found["p"]:
        raise Unusable("the key was revoked")
    if "y" in flags:
        raise Unusable("the key is only being tried (t=y)")
    if not uses & {"*", "email"} or "sha256" not in _words(found.get("h", "sha256")):
        raise Unusable("the key is for something else")
    is_strict, kind = "s" in flags, found.get("k", "rsa").lower()
    if kind == "ed25519":
        return Key(ed25519=_ed25519(found["p"]), is_strict=is_strict)
    if kind != "rsa":
        raise Unusable("the key is of another kind")
    return Key(rsa=_rsa(found["p"]), is_strict=is_strict)


def _words(text: str) -> set[str]:
    return {word.strip(_BLANK).lower() for word in text.split(":")}


def _ed25519(text: str) -> Ed25519PublicKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        return Ed25519PublicKey.from_public_bytes(_decode(text))
    except (Unusable, ValueError) as e:
        raise Unusable("the key cannot be read") from e


def _rsa(text: str) -> RSAPublicKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    try:
        public = load_der_public_key(_decode(text))
    except (Unusable, ValueError, UnsupportedAlgorithm) as e:
        raise Unusable("the key cannot be read") from e
    if not isinstance(public, RSAPublicKey):
        raise Unusable("the key is of another kind")
    if public.key_size not in _RSA_BITS:
        raise Unusable(f"the key has {public.key_size} bits")
    if public.public_numbers().e.bit_length() > _EXPONENT_BITS:
        raise Unusable("the key cannot be used")
    return public


# The mail


def value_of(field: RawField) -> bytes:
    """Return what stands behind a field's colon."""
    return field[1].partition(b":")[2]


def relaxed(field: RawField) -> bytes:
    """Return a field in the relaxed form, with its line end (RFC 6376 section 3.4.2)."""
    value = _collapse(value_of(field).replace(b"\r\n", b""))
    return field[0].encode("latin-1") + b":" + value.strip(b" ") + b"\r\n"


def without_value(field: RawField) -> RawField:
    """Return a signature's field as it was when it was signed: `b=` is empty."""
    name, colon, value = field[1].partition(b":")
    return field[0], name + colon + _OWN_VALUE.sub(rb"\1", value, count=1)


def _collapse(data: bytes) -> bytes:
    """Make every run of blanks one; each turn halves the runs, so all of them together are linear."""
    data = data.replace(b"\t", b" ")
    while b"  " in data:
        data = data.replace(b"  ", b" ")
    return data


def body_digest(body: bytes, *, is_relaxed: bool) -> bytes:
    """Return the SHA-256 of a text (RFC 6376 sections 3.4.3 and 3.4.4)."""
    if is_relaxed:
        body = _collapse(body).replace(b" \r\n", b"\r\n").removesuffix(b" ")
    body = body.rstrip(b"\r\n")  # line ends are CRLF: another is refused long before
    return hashlib.sha256(body + b"\r\n" if body or not is_relaxed else b"").digest()


def head_bytes(mail: Sequence[RawField], made: Signature) -> bytes:
    """Return what a signature signs of the header: of several fields of a name the last ones first."""
    places: dict[str, list[int]] = {}
    for at, (name, _) in enumerate(mail):
        places.setdefault(name, []).append(at)
    chosen = [mail[places[name].pop()] for name in made.signed if places.get(name)]
    own = without_value(mail[made.at])
    if made.is_relaxed_head:
        return b"".join(map(relaxed, chosen)) + relaxed(own).removesuffix(b"\r\n")
    return b"".join(raw for _, raw in chosen) + own[1].removesuffix(b"\r\n")


def check_body(made: Signature, body: bytes) -> None:
    """Raise Unusable when the text is not the one that was signed."""
    digest = body_digest(body, is_relaxed=made.is_relaxed_body)
    if not hmac.compare_digest(digest, made.body_hash):
        raise Unusable("the text was changed")


def check(made: Signature, signed: bytes, by: Key) -> None:
    """Raise Unusable when the key did not sign these bytes."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    if by.is_strict and made.identity != made.domain:
        raise Unusable("the key is not for subdomains")
    try:
        if by.rsa is not None and made.algorithm == _RSA:
            by.rsa.verify(made.value, signed, PKCS1v15(), SHA256())
        elif by.ed25519 is not None and made.algorithm == _ED25519:  # RFC 8463 section 3: it signs the hash
            by.ed25519.verify(made.value, hashlib.sha256(signed).digest())
        else:
            raise Unusable("the key is of another kind")
    except InvalidSignature as e:
        raise Unusable("the signed fields were changed") from e
