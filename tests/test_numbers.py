"""Numbers are read as people write them, and refused with what helps to put them right."""

from __future__ import annotations

import re

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mail2sms import numbers
from mail2sms.errors import BadNumber
from mail2sms.model import Msisdn
from mail2sms.reasons import REASONS

FR = "+33639981234"


@pytest.mark.parametrize(
    ("text", "country", "msisdn"),
    [
        ("+33639981234", "FR", FR),
        ("+33 6 39 98 12 34", "US", FR),
        ("+33 (0)6 39 98 12 34", "US", FR),
        ("(+33) 6 39 98 12 34", "FR", FR),
        ("+33-6-39-98-12-34", "FR", FR),
        ("0033 6 39 98 12 34", "FR", FR),
        ("0033 6 39 98 12 34", "US", FR),  # 00 is no prefix there; people who write it mean +
        ("011 33 6 39 98 12 34", "US", FR),
        ("06 39 98 12 34", "FR", FR),
        ("06.39.98.12.34", "FR", FR),
        ("06-39-98-12-34", "FR", FR),
        ("06/39/98/12/34", "FR", FR),
        ("06\u00a039\u00a098\u00a012\u00a034", "FR", FR),
        ("  0639981234\n", "FR", FR),
        ("639981234", "FR", FR),
        ("33639981234", "FR", FR),
        ("tel:+33639981234", "FR", FR),
        ("TEL:06 39 98 12 34", "FR", FR),
        ("07700 900123", "GB", "+447700900123"),
        ("(202) 555-0123", "US", "+12025550123"),
        ("1-416-555-0123", "US", "+14165550123"),
        ("0491 570 006", "AU", "+61491570006"),
        ("070-174 06 05", "SE", "+46701740605"),
        ("0171 39200 42", "DE", "+491713920042"),
    ],
)
def test_numbers_are_read_as_people_write_them(text: str, country: str, msisdn: str) -> None:
    """One row for each way of writing."""
    assert numbers.read(text, country) == msisdn


@pytest.mark.parametrize(
    ("text", "country", "reason", "hint", "facts"),
    [
        ("06 39 98 12 3", "FR", "number.invalid", "", {"country": "FR", "digits": "9", "expected": "10"}),
        ("06 39 98 12 345", "FR", "number.invalid", "", {"country": "FR", "digits": "11", "expected": "10"}),
        ("+33 6 39 98 12 3", "US", "number.invalid", "", {"country": "FR", "digits": "10", "expected": "11"}),
        ("+1 202 555 012", "FR", "number.invalid", "", {"country": "US", "digits": "10", "expected": "11"}),
        ("+1 999 555 0123", "FR", "number.invalid", "", {"country": "US"}),  # no such area code
        ("01512", "DE", "number.invalid", "", {"country": "DE", "digits": "5", "expected": "11-12"}),
        ("01 99 00 12 34", "FR", "number.not_mobile", "", {"country": "FR", "kind": "fixed_line"}),
        ("+44 20 7946 0123", "FR", "number.not_mobile", "", {"country": "GB", "kind": "fixed_line"}),
        ("800 555 0123", "US", "number.not_mobile", "", {"country": "US", "kind": "toll_free"}),
        ("+881612345678", "FR", "number.not_geographic", "", {}),  # satellite, and MOBILE to libphonenumber
        ("+8835100012345", "FR", "number.not_geographic", "", {}),
        ("+80012345678", "FR", "number.not_geographic", "", {}),
        ("+999 123 456", "FR", "number.not_geographic", "", {}),
        ("+06 39 98 12 34", "FR", "number.not_geographic", FR, {}),
        ("0639981234", "", "number.not_geographic", "", {}),
    ],
)
def test_a_refusal_says_what_is_wrong(
    text: str, country: str, reason: str, hint: str, facts: dict[str, str]
) -> None:
    """The reason stands in the table, and digits are counted as the writer sees them."""
    with pytest.raises(BadNumber) as refused:
        numbers.read(text, country)
    assert (refused.value.reason, refused.value.hint, refused.value.facts) == (reason, hint, facts)
    assert reason in REASONS


def test_a_forgotten_plus_is_the_hint() -> None:
    """Digits that are no number of the country, but one of another, are offered as such."""
    with pytest.raises(BadNumber) as refused:
        numbers.read("1 202 555 0123", "FR")
    assert refused.value.hint == "+12025550123"


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "+",
        "00",
        "()",
        "112",
        "marie",
        "06 39 98 12 34 ext 5",
        "+33639981234;ext=1",
        "+33639981234x1",
        "++33639981234",
        "33+639981234",
        "٠٦٣٩٩٨١٢٣٤",  # digits to libphonenumber
        "０６３９９８１２３４",
        "06\u200b39981234",
        "06 39 98 12 34, 06 39 98 12 35",
        "0639981234\x00",
        "0" * 1_000_000,
        "+33639981234" + " " * 40,
    ],
)
def test_what_is_no_way_to_write_a_number_is_invalid(text: str) -> None:
    """Letters, extensions, other digits and over-long texts never reach the parser."""
    with pytest.raises(BadNumber) as refused:
        numbers.read(text, "FR")
    assert refused.value.reason == "number.invalid"


@settings(derandomize=True, max_examples=500, deadline=None)
@given(
    st.text(alphabet="0123456789+ .-()/\u00a0aé", max_size=45), st.sampled_from(["FR", "US", "IT", "DE", ""])
)
def test_reading_gives_a_mobile_number_or_bad_number(text: str, country: str) -> None:
    """Nothing else comes out, whatever goes in; and what comes out reads as itself."""
    for reader in (numbers.read, numbers.from_local_part):
        try:
            found = reader(text, country)
        except BadNumber as e:
            assert e.reason in REASONS
            assert str(e) == e.reason
            continue
        if found is not None:
            assert re.fullmatch(r"\+[1-9][0-9]{6,14}", found)
            assert numbers.read(found, "") == found
            assert numbers.is_country(numbers.region(found))


@pytest.mark.parametrize(
    ("local", "country", "msisdn"),
    [
        ("33639981234", "FR", FR),
        ("33639981234", "IT", FR),
        ("+33639981234", "IT", FR),
        ("0033639981234", "IT", FR),
        ("0639981234", "FR", FR),
        ("06.39.98.12.34", "FR", FR),
        ('"06 39 98 12 34"', "FR", FR),
        ('"+33 6 39 98 12 34"', "US", FR),
        ("12025550123", "FR", "+12025550123"),
        ("2025550123", "US", "+12025550123"),  # +20 2555... is no number in Egypt
        ("639981234", "FR", FR),
        ("447700900123", "FR", "+447700900123"),
        ("marie", "FR", None),
        ("33639981234+r0123456789", "FR", None),
        ("6e39981234", "FR", None),
        ("112", "FR", None),
        ("123_456_789", "FR", None),
        ("06+39981234", "FR", None),
        ("", "FR", None),
        ("+", "FR", None),
        ('"', "FR", None),
        ('""', "FR", None),
        ("٠٦٣٩٩٨١٢٣٤", "FR", None),
    ],
)
def test_local_parts(local: str, country: str, msisdn: str | None) -> None:
    """A number in an address, or a name."""
    assert numbers.from_local_part(local, country) == msisdn


def test_a_national_mobile_goes_before_a_foreign_landline() -> None:
    """Italian mobile numbers have no leading zero, and begin like French landlines with +33."""
    local = "3319900123"  # +33 1 99 00 12 3 is a digit short; 331 990 0123 is an Italian mobile number
    assert numbers.from_local_part(local, "IT") == f"+39{local}"


@pytest.mark.parametrize(
    ("local", "country", "reason", "facts"),
    [
        ("12345", "FR", "number.invalid", {"country": "FR", "digits": "5", "expected": "10"}),
        ("06399", "FR", "number.invalid", {"country": "FR", "digits": "5", "expected": "10"}),
        ("123456", "FR", "number.invalid", {"country": "FR", "digits": "6", "expected": "10"}),
        ("7911123456", "FR", "number.invalid", {"country": "FR"}),  # not of Russia: too short for that, too
        ("4479111234567", "FR", "number.invalid", {"country": "GB", "digits": "13", "expected": "12"}),
        ("3363998123", "FR", "number.invalid", {"country": "FR", "digits": "10", "expected": "11"}),
        ("063998123", "FR", "number.invalid", {"country": "FR", "digits": "9", "expected": "10"}),
        ("33199001234", "IT", "number.not_mobile", {"country": "FR", "kind": "fixed_line"}),
        ("0199001234", "FR", "number.not_mobile", {"country": "FR", "kind": "fixed_line"}),
        ("881612345678", "FR", "number.not_geographic", {}),
        ("0" * 64, "FR", "number.invalid", {"country": "FR"}),
    ],
)
def test_local_parts_that_look_like_numbers_but_are_none(
    local: str, country: str, reason: str, facts: dict[str, str]
) -> None:
    """They are refused as numbers, so that the writer learns of the wrong digit."""
    with pytest.raises(BadNumber) as refused:
        numbers.from_local_part(local, country)
    assert (refused.value.reason, refused.value.facts) == (reason, facts)


@pytest.mark.parametrize(
    ("msisdn", "region", "is_fiction", "display"),
    [
        ("+33639980000", "FR", True, "+33 6 39 98 00 00"),
        ("+33639989999", "FR", True, "+33 6 39 98 99 99"),
        ("+33639970000", "FR", False, "+33 6 39 97 00 00"),
        ("+33199001234", "FR", False, "+33 1 99 00 12 34"),
        ("+447700900000", "GB", True, "+44 7700 900000"),
        ("+447700900999", "GB", True, "+44 7700 900999"),
        ("+12025550100", "US", True, "+1 202-555-0100"),
        ("+12025550199", "US", True, "+1 202-555-0199"),
        ("+12025550200", "US", False, "+1 202-555-0200"),
        ("+12025550099", "US", False, "+1 202-555-0099"),
        ("+14165550123", "CA", True, "+1 416-555-0123"),
        ("+18005550123", "US", False, "+1 800-555-0123"),  # toll-free
        ("+61491570006", "AU", True, "+61 491 570 006"),
        ("+61491570007", "AU", False, "+61 491 570 007"),
        ("+46701740604", "SE", False, "+46 70 174 06 04"),
        ("+46701740605", "SE", True, "+46 70 174 06 05"),
        ("+46701740699", "SE", True, "+46 70 174 06 99"),
        ("+491713920000", "DE", True, "+49 171 3920000"),
        ("+4915228817386", "DE", True, "+49 1522 8817386"),
        ("+881612345678", "001", False, "+881 6 123 45678"),
    ],
)
def test_region_fiction_and_display(msisdn: str, region: str, is_fiction: bool, display: str) -> None:
    """Edges of the ranges that no phone has."""
    number = Msisdn(msisdn)
    assert numbers.region(number) == region
    assert numbers.is_fiction(number) is is_fiction
    assert numbers.display(number) == display


def test_every_country_has_mobile_numbers_that_are_read_back() -> None:
    """libphonenumber's own examples of mobile numbers are read everywhere; Tristan da Cunha has none."""
    unread = []
    for country in sorted(phonenumbers.SUPPORTED_REGIONS):
        example = phonenumbers.example_number_for_type(country, phonenumbers.PhoneNumberType.MOBILE)
        if example is None:
            unread.append(country)
            continue
        written = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.INTERNATIONAL)
        assert numbers.read(written, "") == numbers.read(f" {written} ", country)
    assert unread == ["TA"]


@pytest.mark.parametrize(
    ("text", "country", "sender_id"),
    [
        ("ACME", "FR", "ACME"),
        ("a" * 11, "FR", "a" * 11),
        ("A&B_c-d.e f", "FR", "A&B_c-d.e f"),
        ("3M", "FR", "3M"),
        ("36180", "FR", "36180"),
        ("123", "FR", "123"),
        ("666666", "DE", "666666"),  # a landline in a small town too
        ("12345678", "FR", "12345678"),
        ("+33 6 39 98 12 34", "US", FR),
        ("06 39 98 12 34", "FR", FR),
        ("01 99 00 12 34", "FR", "+33199001234"),
        ("202 555 0123", "US", "+12025550123"),
    ],
)
def test_sender_ids(text: str, country: str, sender_id: str) -> None:
    """Numbers, landlines too, short codes and names."""
    assert numbers.read_sender_id(text, country) == sender_id


@pytest.mark.parametrize(
    ("text", "hint", "facts"),
    [
        ("ACME Services", "ACME Servic", {"why": "length", "length": "13", "limit": "11"}),
        ("Société", "Societe", {"why": "characters", "characters": "é"}),
        ("A$B€", "AB", {"why": "characters", "characters": "$€"}),
        ("ACME ", "ACME", {"why": "blank"}),
        (" ACME", "ACME", {"why": "blank"}),
        ("ACME\n", "ACME", {"why": "characters", "characters": "\n"}),
        ("", "", {"why": "letter"}),
        ("_&_", "", {"why": "letter"}),
        ("12", "", {"why": "number", "country": "FR"}),
        ("06 39 98 12", "", {"why": "number", "country": "FR"}),
        ("0639981", "", {"why": "number", "country": "FR"}),  # no short code begins with 0
        ("x" * 1_000_000, "x" * 11, {"why": "length", "length": "1000000", "limit": "11"}),
    ],
)
def test_bad_sender_ids(text: str, hint: str, facts: dict[str, str]) -> None:
    """The refusal says why, and offers the nearest name."""
    with pytest.raises(BadNumber) as refused:
        numbers.read_sender_id(text, "FR")
    assert (refused.value.reason, refused.value.hint, refused.value.facts) == (
        "template.bad_sender_id",
        hint,
        facts,
    )


@pytest.mark.parametrize(
    ("code", "country"),
    [
        ("UK", "GB"),
        ("en", "GB"),
        ("fr", "FR"),
        (" it ", "IT"),
        ("+33", "FR"),
        ("1", "US"),
        ("DEU", "DE"),
        ("XX", ""),
        ("", ""),
        ("881", ""),
        ("999", ""),
        ("٣٣", ""),
    ],
)
def test_suggest_country(code: str, country: str) -> None:
    """What people write for a country leads to its code."""
    assert numbers.suggest_country(code) == country
    assert numbers.is_country(country) or country == ""


@pytest.mark.parametrize(("code", "is_country"), [("FR", True), ("fr", False), ("UK", False), ("001", False)])
def test_is_country(code: str, is_country: bool) -> None:
    """Only ISO codes in capitals."""
    assert numbers.is_country(code) is is_country


def test_logs_get_two_digits() -> None:
    """The mask shows the end of the number and nothing else."""
    assert numbers.mask(Msisdn(FR)) == "..34"


@pytest.mark.parametrize(
    ("local", "country", "msisdn"),
    [
        ("4792345678", "US", None),  # Arkansas, or a mobile in Norway
        ("+4792345678", "US", "+4792345678"),
        ("14792345678", "US", "+14792345678"),
        ("2025550123", "US", "+12025550123"),
    ],
)
def test_digits_that_may_mean_two_phones_are_refused(local: str, country: str, msisdn: str | None) -> None:
    """A wrong person would get the SMS; a + in front settles it."""
    if msisdn is None:
        with pytest.raises(BadNumber) as caught:
            numbers.from_local_part(local, country)
        assert caught.value.reason == "number.ambiguous"
    else:
        assert numbers.from_local_part(local, country) == msisdn
