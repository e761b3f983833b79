"""Signs mails as a mail server would: DKIM and ARC, relaxed, by an implementation of its own; and the DNS beside it."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from functools import cache

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

SIGNED = ("from", "to", "subject", "date", "message-id")


@cache
def key(name: str = "") -> RSAPrivateKey:
    """A key for each name, always the same."""
    return generate_private_key(65537, 2048)


def record(name: str = "", tags: str = "v=DKIM1; k=rsa") -> str:
    """The TXT record of a key, as a zone writes it: in pieces of at most 255 characters."""
    der = key(name).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    text = f"{tags}; p={base64.b64encode(der).decode()}"
    return " ".join(f'"{text[at : at + 200]}"' for at in range(0, len(text), 200))


def signature(
    mail: bytes, domain: str, *, by: str = "", name: str = "DKIM-Signature", **changes: str
) -> bytes:
    """The field that signs a mail. `changes` are tags instead of the usual ones; an empty one is left out."""
    head, _, body = mail.partition(b"\r\n\r\n")
    signed = changes.get("h", ":".join(SIGNED)).split(":")
    tags = {
        "v": "1",
        "a": "rsa-sha256",
        "c": "relaxed/relaxed",
        "d": domain,
        "s": "s",
        "h": ":".join(signed),
        "bh": _base64(hashlib.sha256(_body(body[: int(changes.get("l") or len(body))])).digest()),
        **changes,
        "b": "",
    }
    value = "; ".join(f"{tag}={text}" for tag, text in tags.items() if text or tag == "b")
    fields = _fields(head)
    chosen = []
    for each in signed:
        places = [at for at, (known, _) in enumerate(fields) if known == each]
        chosen += [fields.pop(places[-1])[1]] if places else []
    data = b"".join(chosen) + _relaxed(name.lower(), f"{name}: {value}".encode())[:-2]
    return f"{name}: {value}{_sign(data, by)}\r\n".encode()


def sign(mail: bytes, domain: str, *, by: str = "", **changes: str) -> bytes:
    """The mail with its signature on top."""
    return signature(mail, domain, by=by, **changes) + mail


def seal(mail: bytes, domain: str, results: str, *, by: str = "", number: int = 1, **changes: str) -> bytes:
    """The mail with one more ARC set: what the sealer saw, and its two signatures. `changes` are the seal's tags."""
    saw = f"ARC-Authentication-Results: i={number}; mx.{domain}; {results}\r\n".encode()
    name = "ARC-Message-Signature"
    message = signature(mail, domain, by=by, name=name, v="", i=str(number))
    cv = "none" if number == 1 else "pass"
    tags: Mapping[str, str] = {
        "i": str(number),
        "a": "rsa-sha256",
        "cv": cv,
        "d": domain,
        "s": "s",
        **changes,
    }
    value = "; ".join(f"{tag}={text}" for tag, text in tags.items()) + "; b="
    kinds = ("arc-authentication-results", "arc-message-signature", "arc-seal")
    sets = [each for each in _fields(mail.partition(b"\r\n\r\n")[0]) if each[0] in kinds]
    sets.sort(key=lambda each: (int(re.search(rb"i=(\d+)", each[1])[1]), kinds.index(each[0])))  # type: ignore[index]
    own = [_relaxed(kinds[0], saw), _relaxed(kinds[1], message)]
    data = b"".join([raw for _, raw in sets] + own) + _relaxed(kinds[2], f"ARC-Seal: {value}".encode())[:-2]
    return f"ARC-Seal: {value}{_sign(data, by)}\r\n".encode() + message + saw + mail


def _sign(data: bytes, by: str) -> str:
    return _base64(key(by).sign(data, PKCS1v15(), SHA256()))


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _fields(head: bytes) -> list[tuple[str, bytes]]:
    unfolded = re.split(rb"\r\n(?![ \t])", head)
    return [(name, _relaxed(name, each)) for each in unfolded if (name := _name(each))]


def _name(field: bytes) -> str:
    return field.partition(b":")[0].strip().lower().decode()


def _relaxed(name: str, field: bytes) -> bytes:
    value = field.partition(b":")[2].replace(b"\r\n", b"")
    return name.encode() + b":" + re.sub(rb"[ \t]+", b" ", value).strip() + b"\r\n"


def _body(body: bytes) -> bytes:
    lines = [re.sub(rb"[ \t]+", b" ", line).rstrip(b" ") for line in body.split(b"\r\n")]
    while lines and not lines[-1]:
        lines.pop()
    return b"".join(line + b"\r\n" for line in lines)
