"""Countries and kinds of numbers: what is not listed gets nothing, whatever its calling code; what is listed does.

Usage: countries [COUNT]. COUNT is how many countries are tried for each kind of number (all at full size). Example
numbers of each plan are written to as an address, as the To of a template and over the API's door, by a bridge whose
`countries:` lists every country there is: premium, shared-cost, personal, pager, voicemail, toll-free, universal and
VoIP numbers, landlines where they can be told from mobiles, all codes without a country, short numbers. Then, for every
calling code of several countries, each of them alone is listed, and the others' mobiles are written to.
Controls: mobiles of every country are sent to where it is listed. Broken on purpose, each must send: any kind of
number is a mobile, a calling code stands for its country, no code is without a country.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import phonenumbers
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from mail2sms import config, log, numbers
from mail2sms.assembly import Base, Parts, assemble
from mail2sms.clock import new_id, now_ms
from mail2sms.config import Settings
from mail2sms.errors import Refusal
from mail2sms.intake.envelope import Client, Envelope
from mail2sms.intake.mailauth import Mailauth
from mail2sms.intake.sandbox import Sandbox
from mail2sms.model import Msisdn, Origin, Proof, Submission, Writer
from mail2sms.rules import countries
from mail2sms.store import Store
from mail2sms.web.bodies import read_number

DOMAIN, MARIE = "sms.acme.example", "marie@acme.example"
EVERY = tuple(sorted(phonenumbers.SUPPORTED_REGIONS))
NOWHERE = tuple(sorted(phonenumbers.COUNTRY_CODES_FOR_NON_GEO_REGIONS))
KINDS = {
    "premium": PhoneNumberType.PREMIUM_RATE,
    "shared cost": PhoneNumberType.SHARED_COST,
    "personal": PhoneNumberType.PERSONAL_NUMBER,
    "pager": PhoneNumberType.PAGER,
    "voicemail": PhoneNumberType.VOICEMAIL,
    "toll-free": PhoneNumberType.TOLL_FREE,
    "universal": PhoneNumberType.UAN,
    "VoIP": PhoneNumberType.VOIP,
    "landline": PhoneNumberType.FIXED_LINE,
}
_MOBILES = (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE)
_SHORT = ("112", "15", "911", "3131", "36180", "81212", "118218")
_AT_ONCE = 50
_FIRST = ("US", "GB", "RU", "KZ", "IT")  # whose neighbours are tried however few are
_RANDOM = 40  # numbers of each code without a country
CONFIG = f"""\
domain: {DOMAIN}
country: FR
mode: simulate
database: sqlite:////nowhere/x.db
listen: {{smtp: {{address: "127.0.0.1:2525"}}}}
senders: [{{from: "*@acme.example", network: 127.0.0.1}}]
users: {{{MARIE}: {{number: "+33639980101"}}}}
countries: [FR]
carriers: {{sim: {{type: simulated}}}}
routes: [{{to: any, via: [sim]}}]
"""


@dataclass(slots=True)
class Tried:
    """How many numbers of each kind were tried at each door, and those that were sent to."""

    tried: Counter[str] = field(default_factory=Counter)
    sent: dict[str, list[str]] = field(default_factory=dict)

    @property
    def wrong(self) -> list[str]:
        """What was sent to and should not be."""
        return [f"{kind} {number}" for kind, found in self.sent.items() for number in found]


def _e164(number: phonenumbers.PhoneNumber | None) -> str:
    return phonenumbers.format_number(number, PhoneNumberFormat.E164) if number is not None else ""


def of_kinds(count: int) -> Iterator[tuple[str, str]]:
    """Yield kind and number of what is no mobile, of so many countries for each kind; then of no country."""
    chance = random.Random(7)
    for name, kind in KINDS.items():
        found = {_e164(phonenumbers.example_number_for_type(region, kind)) for region in EVERY} - {""}
        # In some plans nobody can tell the two apart: such a number counts as a mobile.
        told_apart = sorted(
            n for n in found if phonenumbers.number_type(phonenumbers.parse(n)) not in _MOBILES
        )
        yield from ((name, number) for number in told_apart[:: max(1, len(told_apart) // count)])
    for code in NOWHERE:
        example = _e164(phonenumbers.example_number_for_non_geo_entity(code))
        yield f"+{code}", example
        for _ in range(_RANDOM if count >= len(EVERY) else 3):
            digits = "".join(str(chance.randrange(10)) for _ in example[len(str(code)) + 3 :])
            yield f"+{code}", example[: len(str(code)) + 3] + digits
    yield from (("short", number) for number in _SHORT)


def mobiles() -> dict[str, str]:
    """Return an example of each country's mobiles."""
    found = {r: _e164(phonenumbers.example_number_for_type(r, PhoneNumberType.MOBILE)) for r in EVERY}
    return {
        region: number
        for region, number in found.items()
        if number and phonenumbers.region_code_for_number(phonenumbers.parse(number)) == region
    }


def neighbours() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yield each country that shares its calling code, with mobiles (else any number) of the others."""
    for regions in phonenumbers.COUNTRY_CODE_TO_REGION_CODE.values():
        for region in regions if len(regions) > 1 else ():
            yield region, [(other, n) for other in regions if other != region for n in _any_of(other)]


def _any_of(region: str) -> Iterator[str]:
    for kind in (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE):
        number = phonenumbers.example_number_for_type(region, kind)
        if number is not None and phonenumbers.region_code_for_number(number) == region:
            yield _e164(number)


# The bridge


@dataclass(frozen=True, kw_only=True, slots=True)
class Bridge:
    """Everything between a door and the store."""

    settings: Settings
    base: Base

    def listing(self, regions: Sequence[str]) -> Parts:
        """Return the doors of a bridge that writes to these countries."""
        return assemble(self.settings.model_copy(update={"countries": tuple(regions)}), self.base)


@asynccontextmanager
async def bridge() -> AsyncIterator[Bridge]:
    """Open one over a store of its own."""
    with tempfile.TemporaryDirectory() as folder:
        store, sandbox, mailauth = await Store.open(f"sqlite:///{folder}/x.db"), Sandbox(), Mailauth(None)
        settings = config.load(Path(folder) / "m.yaml", CONFIG)
        settings = settings.model_copy(update={"max_parts": 1})
        try:
            base = Base(store=store, sandbox=sandbox, mailauth=mailauth, simulated_number=None)
            yield Bridge(settings=settings, base=base)
        finally:
            await sandbox.close()
            mailauth.close()
            await store.close()


async def _by_address(parts: Parts, number: str) -> bool:
    to = f"{number}@{DOMAIN}"
    refused = parts.receiver.rcpt(Client(ip="127.0.0.1"), to)
    return refused is None and await _mail(parts, to, "Hello")


async def _by_template(parts: Parts, number: str) -> bool:
    return await _mail(parts, f"sms@{DOMAIN}", f"To: {number}\n\nHello")


async def _mail(parts: Parts, to: str, text: str) -> bool:
    head = f"From: {MARIE}\nTo: {to}\nSubject: x\nMessage-ID: <{new_id('x', now_ms())}@acme.example>\n\n"
    content = f"{head}{text}\n".replace("\n", "\r\n").encode()
    envelope = Envelope(client=Client(ip="127.0.0.1"), mail_from=MARIE, rcpts=(to,), content=content)
    return (await parts.receiver.mail(envelope))[0].startswith("250 2.0.0 m-")


async def _by_api(parts: Parts, number: str) -> bool:
    try:
        phone = read_number(number, "FR")
        writer = Writer(account=DOMAIN, address=MARIE, proof=Proof.OPERATOR, number=Msisdn("+33639980101"))
        now = now_ms()
        asked = Submission(
            id=new_id("m", now),
            writer=writer,
            text="Hello",
            recipients=(phone,),
            origin=Origin(source="api"),
            created_at=now,
        )
        await parts.accept.accept([asked])
    except Refusal:
        return False
    return True


DOORS: dict[str, Callable[[Parts, str], Awaitable[bool]]] = {
    "address": _by_address,
    "template": _by_template,
    "API": _by_api,
}


async def _try(asked: Iterable[tuple[Parts, str, str]]) -> Tried:
    """Try numbers, each with the doors and the kind that it is counted for, some at a time: they share commits."""
    tried, turn = Tried(), asyncio.Semaphore(_AT_ONCE)

    async def one(name: str, parts: Parts, kind: str, number: str) -> None:
        async with turn:
            tried.tried[kind] += 1
            if await DOORS[name](parts, number):
                tried.sent.setdefault(kind, []).append(f"{number} by {name}")

    await asyncio.gather(*(one(name, *each) for each in asked for name in DOORS))
    return tried


async def _kinds(here: Bridge, count: int) -> Tried:
    every = here.listing(EVERY)
    return await _try((every, kind, number) for kind, number in of_kinds(count))


async def _beside(here: Bridge, count: int) -> Tried:
    of = sorted(neighbours(), key=lambda each: each[0] not in _FIRST)
    rest = of[len(_FIRST) :]
    more = max(0, count - len(_FIRST))
    return await _try(
        (alone, f"{other} where {region} is listed", number)
        for region, others in (*of[: len(_FIRST)], *(rest[:: max(1, len(rest) // more)] if more else ()))
        for alone in [here.listing([region])]
        for other, number in others
    )


async def _listed(here: Bridge, count: int) -> Tried:
    each = list(mobiles().items())
    some = each[:: max(1, len(each) // count)]
    return await _try((here.listing([region]), region, number) for region, number in some)


ALL: dict[str, Callable[[Bridge, int], Awaitable[Tried]]] = {
    "kinds": _kinds,
    "beside": _beside,
    "listed": _listed,
}
"""Other kinds of numbers, countries with a listed one's calling code, and mobiles of listed countries."""


def run(count: int, *names: str) -> dict[str, Tried]:
    """Return what came of all, or of what is named."""

    async def go() -> dict[str, Tried]:
        async with bridge() as here:
            return {name: await ALL[name](here, count) for name in names or ALL}

    return asyncio.run(go())


# Controls


def _same_code(region: str, policy: SimpleNamespace) -> None:
    codes = {phonenumbers.country_code_for_region(listed) for listed in policy.countries}
    if phonenumbers.country_code_for_region(region) not in codes:
        raise Refusal


@contextmanager
def _without(*patches: contextlib.AbstractContextManager[object]) -> Iterator[None]:
    numbers._parsed.cache_clear()
    with contextlib.ExitStack() as stack:
        for patch in patches:
            stack.enter_context(patch)
        yield
    numbers._parsed.cache_clear()


def _any_kind() -> contextlib.AbstractContextManager[object]:
    every = frozenset(PhoneNumberType.values())
    return mock.patch.object(numbers, "_MOBILE", every)


BREAKS: dict[str, tuple[str, str, Callable[[], contextlib.AbstractContextManager[None]]]] = {
    "any kind of number is a mobile": ("kinds", "", lambda: _without(_any_kind())),
    "a calling code stands for its country": (
        "beside",
        "",
        lambda: _without(
            mock.patch.object(countries, "allows", _same_code),
            mock.patch.object(countries, "judge", lambda *_: None),
            mock.patch("mail2sms.verdict._RULES", ()),
            mock.patch("mail2sms.routing.carriers", lambda *_: ("sim",)),
        ),
    ),
    "no code is without a country": (
        "kinds",
        "+",
        lambda: _without(
            _any_kind(),
            mock.patch.object(numbers, "_NOWHERE", frozenset()),
            mock.patch.object(countries, "allows", lambda *_: None),
            mock.patch("mail2sms.verdict._RULES", ()),
        ),
    ),
}
"""What is taken out of the product, and which of the numbers must then get something."""


def broken(name: str, count: int = 6) -> int:
    """How many are sent to without one piece of the product."""
    what, prefix, without = BREAKS[name]
    with without():
        found = run(count, what)[what]
    return sum(len(sent) for kind, sent in found.sent.items() if kind.startswith(prefix))


def main(argv: list[str]) -> int:
    """Print what came of it all and of the controls."""
    log.configure("critical")
    count = int(argv[0]) if argv else len(EVERY)
    kinds, beside, listed = run(count).values()
    for kind, tried in kinds.tried.items():
        sent = len(kinds.sent.get(kind, ()))
        print(f"{kind:<12} {tried // len(DOORS):>4} numbers at {len(DOORS)} doors, {sent} sent")
    pairs = len(beside.tried)
    print(f"{pairs} countries beside a listed one of the same code: {sum(beside.tried.values())} tries, "
          f"{len(beside.wrong)} sent")  # fmt: skip
    silent = [region for region in listed.tried if len(listed.sent.get(region, ())) != len(DOORS)]
    print(f"control: mobiles of {len(listed.tried)} listed countries: {len(listed.wrong)} of "
          f"{sum(listed.tried.values())} sent")  # fmt: skip
    for line in (*kinds.wrong, *beside.wrong, *(f"not sent to {region}" for region in silent)):
        print(f"  WRONG {line}")
    is_kept = not (kinds.wrong or beside.wrong or silent)
    for name in BREAKS:
        got_through = broken(name)
        is_kept = is_kept and got_through > 0
        print(f"control: {name}: {got_through} sent")
    print("kept" if is_kept else "BROKEN")
    return 0 if is_kept else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
