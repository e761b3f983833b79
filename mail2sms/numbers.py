"""Text as people write it to numbers: E.164 and where it belongs, sender IDs, example numbers. Pure.

The only importer of phonenumbers. Knows numbering plans; not which countries are allowed, nor who may send as
what.
Numbers are personal data: no exception's text holds one.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumber, PhoneNumberFormat, PhoneNumberType, timezone

from mail2sms.errors import BadNumber, BadOption
from mail2sms.model import Msisdn, SenderId

# Mobile numbers that regulators keep free for films and examples: no phone has them, though libphonenumber has
# some as valid. The landlines of the same lists are left out: they are no mobile numbers anyway.
_FICTION = (
    # ARCEP, plan de numérotation (décision 2018-0881): numéros pour les œuvres audiovisuelles
    ("FR", r"\+3363998\d{4}"),
    # Ofcom, "Telephone numbers for use in TV and radio drama programmes"
    ("GB", r"\+447700900\d{3}"),
    # PTS, "Telefonnummer för användning i böcker och filmer": 070-174 06 05 to 070-174 06 99
    ("SE", r"\+467017406(?:0[5-9]|[1-9]\d)"),
    # Bundesnetzagentur, Mitteilung 148/2021, Amtsblatt 07/2021: "Drama Numbers"
    (
        "DE",
        r"\+49(?:17139200\d\d|176040690\d\d|152(?:28817386|28895456|54599371)"
        r"|172(?:9925904|9968532|9973185|9973186|9980752)|174(?:9091317|9464308))",
    ),
    # ACMA, "Phone numbers for use in TV shows, films and creative works"
    (
        "AU",
        r"\+6149157(?:0(?:006|110|156|157|158|159|313|737)|1(?:266|491|804)|2(?:549|665|983)|3(?:087|770)"
        r"|4(?:118|632)|5(?:254|789)|6(?:398|801)|7(?:426|644)|8(?:148|888|957)|9(?:212|455|760))",
    ),
    # NANPA, 555 line numbers: 555-0100 to 555-0199; the area code tells US from CA
    ("NANP", r"\+1[2-9]\d\d55501\d\d"),
)
_FICTION_OF = re.compile("|".join(f"(?P<{region}>{pattern})" for region, pattern in _FICTION))

_MOBILE = frozenset({PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE})  # in NANP nobody can tell
_NOWHERE = frozenset({"", "001", "ZZ"})  # satellite, international networks; codes nobody has

_LENGTH = 40  # characters; E.164 has 15 digits
_WRITTEN = re.compile(r"(?i:tel:)?([ (]*\+?[0-9 .\-()/\u00a0]+)")
_SEPARATORS = str.maketrans("", "", " .-()/\u00a0")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Reading:
    """What digits mean in a country. `region` is ISO, or one of _NOWHERE; `kind` and `number` are libphonenumber's."""

    msisdn: Msisdn
    region: str
    number: PhoneNumber | None = None
    kind: str = ""
    is_valid: bool = False
    is_mobile: bool = False
    is_fiction: bool = False


def read(text: str, country: str) -> Msisdn:
    """Read a mobile number as people write it in `country` (ISO code).

    Raises BadNumber: `number.invalid` (facts: `country`, and `digits` with `expected` when there are too many
    or too few), `number.not_mobile` (facts: `country`, `kind`), `number.not_geographic`. The hint is the number
    that was probably meant.
    """
    digits = _digits(text)
    if digits is None:
        raise BadNumber("number.invalid", country=country)
    reading = _read(digits, country)
    if reading.is_mobile:
        return reading.msisdn
    raise _refused(digits, country, reading)


def from_local_part(local: str, country: str) -> Msisdn | None:
    """Read the number in the local part of an address, with its quotes if it has them; None if it is a name.

    Digits without `+` or leading zero are international if that is a mobile number, else national. Raises
    BadNumber as `read` does, and `number.ambiguous` (facts: `home`, `abroad`) where both are.
    """
    if len(local) >= 2 and local[0] == local[-1] == '"':
        local = local[1:-1]
    bare = local.translate(_SEPARATORS).removeprefix("+")
    if not (bare.isascii() and bare.isdigit() and len(bare) >= _SHORTEST):
        return None
    digits = _digits(local)
    if digits is None or digits[0] in "+0":
        return read(local, country)
    abroad, home = _read(f"+{digits}", country), _read(digits, country)
    if abroad.is_mobile and home.is_mobile and abroad.msisdn != home.msisdn:
        raise BadNumber("number.ambiguous", home=display(home.msisdn), abroad=display(abroad.msisdn))
    likely = max(f"+{digits}", digits, key=lambda each: _likelihood(_read(each, country)))
    reading = _read(likely, country)
    if not reading.is_valid and reading.region != country and len(digits) <= _longest(country):
        likely = digits  # neither is a number: one that is not too long for this country is meant for it
    return read(likely, country)


def _longest(country: str) -> int:
    plan = phonenumbers.PhoneMetadata.metadata_for_region(country)
    if plan is None or plan.mobile is None:
        return 0
    return max(plan.mobile.possible_length, default=0) + len(plan.national_prefix or "")


def _likelihood(reading: _Reading) -> tuple[bool, bool, bool]:
    return reading.is_mobile, reading.is_valid, reading.region not in _NOWHERE


_SHORTEST = 4  # digits; fewer are no try at a phone
_SHORT_CODE = re.compile(r"[1-9][0-9]{2,7}")
_CERTAIN_SHORT_CODE = 6  # digits; longer ones may be a whole national number, as in Denmark
_NAME_LIMIT = 11  # characters: 10 octets of the address field, 3GPP TS 23.040 section 9.1.2.5
_NOT_IN_NAME = re.compile(r"[^A-Za-z0-9 ._&-]")
_LETTER = re.compile(r"[A-Za-z]")


def read_sender_id(text: str, country: str) -> SenderId:
    """Read what the phone is to show: a number (landlines too), a short code, or a name.

    Raises BadNumber `template.bad_sender_id`; fact `why` is `number` (fact `country`), `length` (facts
    `length`, `limit`), `characters` (fact `characters`), `letter` (none in it) or `blank` (at an end). The hint
    is the nearest name.
    """
    is_short_code = _SHORT_CODE.fullmatch(text) is not None
    if is_short_code and len(text) <= _CERTAIN_SHORT_CODE:
        return SenderId(text)
    digits = _digits(text)
    if digits is not None:
        reading = _read(digits, country)
        if reading.is_valid:
            return SenderId(reading.msisdn)
        if is_short_code:
            return SenderId(text)
        raise BadNumber("template.bad_sender_id", why="number", country=country)
    return _read_name(text)


def _read_name(text: str) -> SenderId:
    foreign = "".join(dict.fromkeys(_NOT_IN_NAME.findall(text[:_LENGTH])))
    if len(text) > _NAME_LIMIT:
        raise _bad_name(text, "length", length=str(len(text)), limit=str(_NAME_LIMIT))
    if foreign:
        raise _bad_name(text, "characters", characters=foreign)
    if not _LETTER.search(text):
        raise _bad_name(text, "letter")
    if text != text.strip():
        raise _bad_name(text, "blank")
    return SenderId(text)


def _bad_name(text: str, why: str, **facts: str) -> BadNumber:
    plain = unicodedata.normalize("NFKD", text[:_LENGTH]).encode("ascii", "ignore").decode("ascii")
    nearest = _NOT_IN_NAME.sub("", plain).strip()[:_NAME_LIMIT].rstrip()
    return BadNumber("template.bad_sender_id", nearest if _LETTER.search(nearest) else "", why=why, **facts)


def region(msisdn: Msisdn) -> str:
    """Return the ISO code of the country (`001` for satellites and the like)."""
    return _read(msisdn, "").region


@lru_cache(maxsize=4096)
def zones(msisdn: Msisdn) -> tuple[str, ...]:
    """Return the time zones where the phone may be, by its country and area code: people move with their numbers."""
    try:
        found = timezone.time_zones_for_geographical_number(phonenumbers.parse(msisdn))
    except NumberParseException:
        found = ()
    return tuple(zone for zone in found if zone != timezone.UNKNOWN_TIMEZONE) or ("UTC",)


def is_fiction(msisdn: Msisdn) -> bool:
    """Whether a regulator keeps the number free for films and examples."""
    return _FICTION_OF.fullmatch(msisdn) is not None and _read(msisdn, "").is_fiction


@lru_cache(maxsize=4096)
def display(msisdn: Msisdn) -> str:
    """Return the number in groups, for people: +33 6 39 98 12 34. What no plan knows is returned as it is."""
    number = _read(msisdn, "").number
    return msisdn if number is None else phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL)


def mask(msisdn: Msisdn) -> str:
    """Return the last two digits, for logs."""
    return f"..{msisdn[-2:]}"


def is_country(code: str) -> bool:
    """Whether `code` is the ISO code, in capitals, of a country with telephones."""
    return code in phonenumbers.SUPPORTED_REGIONS


# What people write for a country: names of languages, other abbreviations.
_COUNTRY_MEANT = {
    **{"UK": "GB", "EN": "GB", "GBR": "GB", "ENG": "GB", "USA": "US", "CAN": "CA", "FRA": "FR", "ITA": "IT"},
    **{"DEU": "DE", "GER": "DE", "D": "DE", "ESP": "ES", "CHE": "CH", "SUI": "CH", "AUT": "AT", "BEL": "BE"},
    **{"CS": "CZ", "DA": "DK", "EL": "GR", "JA": "JP", "KO": "KR", "ZH": "CN", "F": "FR", "I": "IT"},
}


def suggest_country(code: str) -> str:
    """Return the country that was probably meant, else nothing. `+33` is France."""
    code = code.strip().upper()
    if is_country(code):
        return code
    prefix = code.removeprefix("+")
    if prefix.isascii() and prefix.isdigit() and len(prefix) <= 3:
        found = phonenumbers.region_code_for_country_code(int(prefix))
        return "" if found in _NOWHERE else found
    return _COUNTRY_MEANT.get(code, "")


def read_country(code: str) -> str:
    """Return a country's ISO code as it stands in a configuration. Raises BadOption with what was probably meant."""
    if is_country(code):
        return code
    meant = suggest_country(code)
    raise BadOption(f'"{code}" is not a two-letter country code', f"write {meant}" if meant else "such as FR")


def _digits(text: str) -> str | None:
    """Return the digits, with `+` if they are international; None for what is no way to write a number."""
    if len(text) > _LENGTH:
        return None
    written = _WRITTEN.fullmatch(text.strip())
    if written is None:
        return None
    digits = written[1].translate(_SEPARATORS)
    digits = f"+{digits[2:]}" if digits.startswith("00") else digits
    return digits if digits.strip("+") else None


def _read(digits: str, country: str) -> _Reading:
    if digits[:1] == "+" and (known := _parsed(digits, "")).msisdn:  # the same everywhere: one entry for all
        return known
    return _parsed(digits, country)


@lru_cache(maxsize=8192)
def _parsed(digits: str, country: str) -> _Reading:
    try:
        number = phonenumbers.parse(digits, country or None)
    except NumberParseException as e:
        is_nowhere = e.error_type == NumberParseException.INVALID_COUNTRY_CODE
        return _Reading(msisdn=Msisdn(""), region="" if is_nowhere else country)
    msisdn = Msisdn(phonenumbers.format_number(number, PhoneNumberFormat.E164))
    found = phonenumbers.region_code_for_number(number)
    fiction = _FICTION_OF.fullmatch(msisdn)
    if fiction and fiction.lastgroup != "NANP":
        return _Reading(
            msisdn=msisdn,
            region=str(fiction.lastgroup),
            number=number,
            is_valid=True,
            is_mobile=True,
            is_fiction=True,
        )
    kind = phonenumbers.number_type(number)
    is_valid = found is not None and kind != PhoneNumberType.UNKNOWN  # all that makes it invalid there
    where = found or phonenumbers.region_code_for_country_code(number.country_code or 0)
    is_mobile = is_valid and kind in _MOBILE and where not in _NOWHERE
    return _Reading(
        msisdn=msisdn,
        region=where,
        number=number,
        kind=PhoneNumberType.to_string(kind).lower(),
        is_valid=is_valid,
        is_mobile=is_mobile,
        is_fiction=fiction is not None and is_mobile and where in {"US", "CA"},
    )


def _refused(digits: str, country: str, reading: _Reading) -> BadNumber:
    is_nowhere = reading.region in _NOWHERE
    other = digits.removeprefix("+") if is_nowhere else f"+{digits.removeprefix('+')}"
    meant = _read(other, country)
    hint = meant.msisdn if meant.is_mobile else ""
    if is_nowhere:
        return BadNumber("number.not_geographic", hint)
    if reading.is_valid:
        return BadNumber("number.not_mobile", hint, country=reading.region, kind=reading.kind)
    lengths = {} if hint else _lengths(digits, reading.region)  # what is meant has as many as it should
    return BadNumber("number.invalid", hint, country=reading.region, **lengths)


def _lengths(digits: str, region: str) -> dict[str, str]:
    """Return how many digits there are and how many a mobile number has, as written, if they differ."""
    plan = phonenumbers.PhoneMetadata.metadata_for_region(region)
    if plan is None or plan.mobile is None:
        return {}
    trunk = plan.national_prefix or ""
    prefix = f"+{plan.country_code}" if digits[0] == "+" else trunk
    # Where it is 0 everybody writes it; without it the number is short of that, too.
    is_whole = digits.startswith(prefix)
    more = len(prefix.removeprefix("+")) if is_whole or prefix == "0" else 0
    found = len(digits.removeprefix("+"))
    lengths = [length + more for length in plan.mobile.possible_length]
    if not lengths or found in lengths or (not is_whole and found + more in lengths):
        return {}
    low, high = min(lengths), max(lengths)
    return {"digits": str(found), "expected": str(low) if low == high else f"{low}-{high}"}
