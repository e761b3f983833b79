"""The proof of countries and kinds of numbers: a few of each, and its controls."""

from __future__ import annotations

import pytest

from tests.proofs import countries


def test_only_mobiles_of_listed_countries_get_something() -> None:
    """Every code without a country, some numbers of each kind, the neighbours of the US, GB, RU, KZ and IT."""
    kinds, beside, listed = countries.run(4).values()
    assert kinds.wrong == [] and set(kinds.tried) >= {*countries.KINDS, *(f"+{c}" for c in countries.NOWHERE)}
    assert beside.wrong == []
    tried = set(beside.tried)
    for other, region in [("JM", "US"), ("PR", "US"), ("CA", "US"), ("JE", "GB"), ("GG", "GB"), ("IM", "GB"),
                          ("KZ", "RU"), ("RU", "KZ"), ("VA", "IT")]:  # fmt: skip
        assert f"{other} where {region} is listed" in tried
    assert sum(map(len, listed.sent.values())) == sum(listed.tried.values()) > 0


def test_there_are_enough() -> None:
    """At full size: at least thirty countries for the kinds that fraud likes, and all nine codes."""
    of = [kind for kind, _ in countries.of_kinds(len(countries.EVERY))]
    assert all(of.count(kind) >= 30 for kind in ("premium", "shared cost", "toll-free"))
    assert len(countries.NOWHERE) == 9
    assert len(countries.mobiles()) > 200


@pytest.mark.parametrize("name", countries.BREAKS)
def test_what_is_broken_is_found(name: str) -> None:
    """The negative control."""
    assert countries.broken(name, 1)
