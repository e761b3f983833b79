"""Which domains belong together, and what a domain's DMARC record asks (RFC 7489). Pure.

The only importer of publicsuffixlist, which brings the list of public suffixes with it: nothing is fetched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from publicsuffixlist import PublicSuffixList

from mail2sms.intake.dkim import Unusable, tags

_POLICIES = frozenset({"none", "quarantine", "reject"})
_CACHED = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """How close the domains must be that pass: the same, or of one organisation."""

    is_strict_dkim: bool = False
    is_strict_spf: bool = False


@lru_cache(maxsize=1)
def _list() -> PublicSuffixList:  # some 80 ms of CPU: not for the event loop
    return PublicSuffixList()


@lru_cache(_CACHED)
def organisation(domain: str) -> str:
    """Return the domain that its owner registered: acme.co.uk of mail.acme.co.uk; empty for a public suffix."""
    return _list().privatesuffix(domain.lower()) or ""


def is_aligned(domain: str, author: str, *, is_strict: bool = False) -> bool:
    """Whether what `domain` vouches for counts for the author's domain (RFC 7489 section 3.1)."""
    if domain.lower() == author.lower():
        return True
    found = organisation(author)
    return not is_strict and bool(found) and organisation(domain) == found


def policy(records: Sequence[str]) -> Policy | None:
    """Return what the TXT records of `_dmarc` ask; None when there is not exactly one that can be read."""
    ours = [record for record in records if record.replace(" ", "").lower().startswith("v=dmarc1")]
    if len(ours) != 1:
        return None
    try:
        found = tags(ours[0])
    except Unusable:
        return None
    if found.get("v") != "DMARC1" or found.get("p", "").lower() not in _POLICIES:
        return None
    modes = [found.get(name, "r").lower() for name in ("adkim", "aspf")]
    return Policy(is_strict_dkim=modes[0] == "s", is_strict_spf=modes[1] == "s")
