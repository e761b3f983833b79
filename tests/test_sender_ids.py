"""Which sender ID a message gets in a country, what is refused, and what is said of one that is used."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mail2sms import destinations, numbers
from mail2sms.destinations import Destination
from mail2sms.errors import Refusal
from mail2sms.model import Msisdn, Proof, SenderId, Writer
from mail2sms.rules._base import Policy, Registration
from mail2sms.rules.sender_ids import choose, notes, why_not

OURS = SenderId("+33639980101")
MARIE = Writer(account="acme", address="marie@acme.example", proof=Proof.NETWORK, number=Msisdn(OURS))
PAUL = replace(MARIE, address="paul@acme.example", number=None)
DAY_MS = 86_400_000
NOW = 1000 * DAY_MS


def policy(**more: Any) -> Policy:
    """Return a policy with what the data file knows."""
    return replace(Policy(destinations=destinations.shipped()), **more)


@pytest.mark.parametrize(
    ("writer", "region", "sender_ids", "owned", "expected"),
    [
        (MARIE, "FR", {"default": "ACME"}, (), OURS),  # a number can be answered
        (MARIE, "FR", {"FR": "ACME"}, (), "ACME"),  # the country's comes first
        (MARIE, "US", {"US": "ACME"}, (), OURS),  # ... unless it would not arrive
        (PAUL, "FR", {"default": "ACME"}, ("ACME Shop",), "ACME Shop"),  # one's own name before the default
        (PAUL, "US", {"default": "ACME"}, ("ACME Shop", "+12015550123"), "+12015550123"),
        (PAUL, "CA", {"CA": "12345", "default": "ACME"}, (), "12345"),  # a short code is no name
        (PAUL, "BE", {"default": "ACME"}, (), "ACME"),  # replaced on the way, but it arrives
        (PAUL, "IT", {"IT": "Marco", "default": "ACME"}, (), "ACME"),
        (PAUL, "IT", {"IT": "Marina"}, (), "Marina"),  # another word as well
        (PAUL, "FR", {"FR": "Marco"}, (), "Marco"),  # Italy's rule alone
    ],
)
def test_the_best_that_gets_through(
    writer: Writer, region: str, sender_ids: dict[str, str], owned: tuple[SenderId, ...], expected: str
) -> None:
    """The country's, one's own, the default: the first that the country lets through."""
    rules = policy(sender_ids=sender_ids, owned={writer.address: owned})
    assert choose(writer, None, region, rules) == expected


@pytest.mark.parametrize(
    ("declared", "region", "sender_ids", "reason"),
    [
        (None, "US", {"default": "ACME"}, "sender_id.numeric_only"),
        ("acme", "US", {"default": "ACME"}, "sender_id.numeric_only"),
        ("ACME", "CA", {"CA": "ACME"}, "sender_id.numeric_only"),
        (None, "IT", {"IT": "GianLuca"}, "sender_id.given_name"),
        ("MARCO", "IT", {"IT": "Marco"}, "sender_id.given_name"),
        ("BANK", "FR", {"default": "ACME"}, "sender_id.not_yours"),
        (None, "FR", {}, "sender_id.none"),
    ],
)
def test_what_is_refused(declared: str | None, region: str, sender_ids: dict[str, str], reason: str) -> None:
    """By its reason; what is nobody's is refused before what would not arrive."""
    with pytest.raises(Refusal) as caught:
        choose(PAUL, declared, region, policy(sender_ids=sender_ids))
    assert [problem.reason for problem in caught.value.problems] == [reason]


@pytest.mark.parametrize("region", ["US", "CA", "PR", "GU"])
def test_north_america_takes_numbers_only(region: str) -> None:
    """US and Canada and what is under their plan of names: never a name, whatever is configured."""
    problem = why_not(SenderId("ACME"), region, policy())
    assert problem is not None
    assert problem.reason == "sender_id.numeric_only"
    assert why_not(SenderId("+12015550123"), region, policy()) is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Marco", "sure"),
        ("MARCO", "sure"),
        ("Nicolò", "sure"),
        ("Anna Maria", "sure"),
        ("Anna-Maria", "sure"),
        ("AnnaMaria", "sure"),
        ("Marina", "maybe"),
        ("Rosa Viola", "maybe"),
        ("MarinaMarket", ""),
        ("Marco SRL", ""),
        ("ACME", ""),
        ("...", ""),
    ],
)
def test_given_names_count_as_a_whole(name: str, expected: str) -> None:
    """Never a part of a name; two together are still nothing but given names."""
    assert destinations.given_name(name, "IT") == expected
    assert destinations.given_name(name, "FR") == ""


def registered(**changes: Any) -> tuple[Registration, ...]:
    """Return one registration of ACME in Singapore, where it is needed."""
    return (replace(Registration(sender_id=SenderId("ACME"), region="SG"), **changes),)


@pytest.mark.parametrize(
    ("records", "carrier", "codes"),
    [
        ((), "ovh", ["registration.missing"]),
        (registered(), "ovh", []),
        (registered(carrier="ovh"), "ovh", []),
        (registered(carrier="ovh"), "twilio", ["registration.missing"]),
        (registered(state="pending"), "ovh", ["registration.pending"]),
        (registered(state="pending") + registered(), "ovh", []),
        (registered(since=NOW + 1), "ovh", ["registration.future"]),
        (registered(until=NOW), "ovh", ["registration.expired"]),
        (registered(until=NOW + 29 * DAY_MS), "ovh", ["registration.ending"]),
        (registered(until=NOW + 31 * DAY_MS), "ovh", []),
        (registered(region="GB"), "ovh", ["registration.missing"]),
    ],
)
def test_registrations(records: tuple[Registration, ...], carrier: str, codes: list[str]) -> None:
    """What is on record with the carrier, or with all, as it stands today."""
    found = notes(SenderId("acme"), "SG", carrier, policy(registrations=records), NOW)
    assert [note.code for note in found if note.code != "no_answer"] == codes


def test_a_registered_given_name_may_be_used_and_a_refused_name_may_not() -> None:
    """The register decides, not the list of names."""
    marco = SenderId("Marco")
    allowed = (Registration(sender_id=marco, region="IT"),)
    assert why_not(marco, "IT", policy(registrations=allowed)) is None
    refused = (Registration(sender_id=marco, region="FR", state="refused"),)
    problem = why_not(marco, "FR", policy(registrations=refused))
    assert problem is not None
    assert problem.reason == "sender_id.refused"


@pytest.mark.parametrize(
    ("destination", "is_refused", "codes"),
    [
        ({"names": "no", "certainty": "high"}, True, []),
        ({"names": "no", "certainty": "low"}, False, ["no_answer", "unsure"]),  # too old to refuse by
        ({"names": "replaced", "certainty": "high"}, False, ["no_answer", "replaced"]),
        ({"names": "yes", "certainty": "high"}, False, ["no_answer"]),
        ({"names": "no", "certainty": "operator"}, True, []),
        ({}, False, ["no_answer", "unsure"]),
    ],
)
def test_what_is_not_known_for_sure_is_no_refusal(
    destination: dict[str, str], is_refused: bool, codes: list[str]
) -> None:
    """It is said instead."""
    rules = policy(destinations={"FR": Destination(region="FR", **destination)})
    assert (why_not(SenderId("ACME"), "FR", rules) is not None) is is_refused
    if not is_refused:
        assert [note.code for note in notes(SenderId("ACME"), "FR", "ovh", rules, NOW)] == codes


def test_a_number_has_no_snags() -> None:
    """In most countries; in the US it is numbers that are registered."""
    assert notes(OURS, "FR", "ovh", policy(), NOW) == ()
    assert [n.code for n in notes(OURS, "US", "ovh", policy(), NOW)] == ["registration.missing"]


@pytest.mark.parametrize(
    ("name", "other", "expected"),
    [
        ("P0STE", "Poste", True),
        ("POSTE", "Poste", True),
        ("P.O.S.T.E", "Poste", True),
        ("lNPS", "INPS", True),
        ("Arnazon", "Amazon", True),
        ("5PARKASSE", "Sparkasse", True),
        ("Porte", "Poste", False),
        ("ACME", "Poste", False),
    ],
)
def test_names_that_look_alike(name: str, other: str, expected: bool) -> None:
    """Digits for letters, rn for m, points between, in any case."""
    assert destinations.looks_like(name, other) is expected


def test_the_data_knows_every_country_and_only_known_words() -> None:
    """One row for each region with telephones, in words that the program reads."""
    rows = destinations.shipped()
    assert {region for region in rows if region not in rows} == set()
    missing = [region for region in ("FR", "US", "CA", "IT", "XK", "AX", "VA", "IM") if region not in rows]
    assert missing == []
    for row in rows.values():
        assert numbers.is_country(row.region) or row.certainty in {"none", "low", "medium", "high"}
        assert row.names in {"yes", "replaced", "no", "unknown"}
        assert row.registration in {"yes", "optional", "no", "unknown"}
        assert {row.two_way, row.mms} <= {"yes", "no", "unknown"}
        assert row.certainty in {"high", "medium", "low", "none"}
        assert bool(row.source) is (row.certainty != "none")
