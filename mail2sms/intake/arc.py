"""The newest link of an ARC chain (RFC 8617): who sealed the mail last, and what they saw. Pure.

Whoever names a sealer believes it: its seal covers all seals before it and says that they held (`cv=pass`), so only
the newest seal and message signature are verified, and no key of anybody else is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mail2sms.intake import auth_results, dkim
from mail2sms.intake.auth_results import Results
from mail2sms.intake.dkim import RawField, Signature, Unusable

_SETS = 50  # RFC 8617 section 4.2.1
_KINDS = ("arc-authentication-results", "arc-message-signature", "arc-seal")
_INSTANCE = re.compile(r"[ \t]*i[ \t]*=[ \t]*([1-9][0-9]?)[ \t]*;")


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """The newest set: what the sealer saw, its two signatures, and what the seal signs."""

    results: Results | None
    message: Signature
    seal: Signature
    sealed: bytes


def newest(mail: Sequence[RawField], now_s: float) -> Link | None:
    """Return the newest set of a mail's chain, None when it has none. Raises Unusable for a broken chain."""
    sets = _sets(mail)
    if not sets:
        return None
    chain = [dkim.seal(mail[at], at, now_s) for _, _, at in sets]
    expected = ["none"] + ["pass"] * (len(chain) - 1)
    if [seal.tags["cv"].lower() for seal in chain] != expected:
        raise Unusable("its chain is broken")
    last = sets[-1]
    before = [dkim.relaxed(mail[at]) for each in sets for at in each][:-1]
    own = dkim.relaxed(dkim.without_value(mail[last[2]])).removesuffix(b"\r\n")
    message = dkim.message_signature(mail[last[1]], last[1], now_s)
    if message.domain != chain[-1].domain:
        raise Unusable("two domains sealed it")
    return Link(results=_seen(mail[last[0]]), message=message, seal=chain[-1], sealed=b"".join(before) + own)


def _sets(mail: Sequence[RawField]) -> list[tuple[int, int, int]]:
    """Return the places of each set's fields, the oldest set first."""
    places: dict[tuple[str, int], int] = {}
    for at, field in enumerate(mail):
        if field[0] in _KINDS and places.setdefault((field[0], _instance(field)), at) != at:
            raise Unusable("its chain is broken")
    count = max((number for _, number in places), default=0)
    wanted = [[(kind, number) for kind in _KINDS] for number in range(1, count + 1)]
    if count > _SETS or len(places) != 3 * count or any(key not in places for keys in wanted for key in keys):
        raise Unusable("its chain is broken")
    return [(places[keys[0]], places[keys[1]], places[keys[2]]) for keys in wanted]


def _instance(field: RawField) -> int:
    value = _unfolded(field)
    if field[0] == _KINDS[0]:
        found = _INSTANCE.match(value)
        text = found[1] if found else ""
    else:
        text = dkim.tags(value).get("i", "")
    if not re.fullmatch(r"[1-9][0-9]?", text):
        raise Unusable("its chain is broken")
    return int(text)


def _seen(field: RawField) -> Results | None:
    return auth_results.read(_INSTANCE.sub("", _unfolded(field), count=1).strip(" \t"))


def _unfolded(field: RawField) -> str:
    return dkim.value_of(field).replace(b"\r\n", b"").decode("latin-1")
