"""Who writes, by which proof: rules in order, networks, logins, passwords."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from ipaddress import ip_network

import argon2
import pytest

from mail2sms.errors import BadOption, Refusal
from mail2sms.intake import identity as module
from mail2sms.intake.envelope import Client
from mail2sms.intake.identity import Busy, Identity, SenderRule
from mail2sms.model import Msisdn, Proof, User, Writer
from mail2sms.options import read_networks
from tests.cpu import least_s

MARIE = User(
    address="marie@acme.example",
    name="Marie Dubois",
    number=Msisdn("+33639980101"),
    language="fr",
    zone="Europe/Paris",
)
PAUL = User(address="paul@acme.example", name="Paul Martin")
CHEAP = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


def _rule(pattern: str, *, networks: object = (), login: bool = False) -> SenderRule:
    proofs = frozenset({Proof.LOGIN}) if login else frozenset()
    return SenderRule(pattern=pattern, networks=read_networks(networks) if networks else (), proofs=proofs)


def _identity(*rules: SenderRule, passwords: dict[str, str] | None = None, **options: object) -> Identity:
    users = {user.address: user for user in (MARIE, PAUL)}
    return Identity(rules, users, passwords or {}, account="sms.acme.example", **options)  # type: ignore[arg-type]


def _ask(known: Identity, ip: str, login: str | None, address: str) -> Proof | str:
    try:
        found = known.author(Client(ip=ip, login=login), (address,), "bounce@acme.example").proof
        return found or "in the mail"
    except Refusal as e:
        return e.problems[0].reason


@pytest.mark.parametrize(
    ("pattern", "address", "expected"),
    [
        ("*@acme.example", "marie@acme.example", True),
        ("*@acme.example", "Marie@ACME.Example", True),
        ("*@ACME.example", "marie@acme.example", True),
        ("*@acme.example", "marie@sub.acme.example", False),
        ("*@acme.example", "marie@acme.example.evil.example", False),
        ("*@acme.example", "marie@evilacme.example", False),
        ("*@acme.example", "x@evil.example@acme.example", False),
        ("*@acme.example", '"x@evil.example"@acme.example', False),
        ("*@acme.example", "@acme.example", True),
        ("*@acmexexample", "marie@acme.example", False),
        ("*@acme.example", "marie@acmexexample", False),
        ("*@*.acme.example", "marie@sub.acme.example", True),
        ("*@*.acme.example", "marie@acme.example", False),
        ("ups-*@acme.example", "ups-1@acme.example", True),
        ("ups-*@acme.example", "nas-1@acme.example", False),
        ("marie@acme.example", "marie@acme.example", True),
        ("marie@acme.example", "marie@acme.example\n", False),
        ("m.rie@acme.example", "marie@acme.example", False),
        ("*", "anybody@anywhere.example", True),
        ("*@exämple.fr", "zoé@xn--exmple-cua.fr", True),
        ("zoé@*", "zoé@xn--exmple-cua.fr", True),
        ("zoé@exämple.fr", "zoe@xn--exmple-cua.fr", False),
        ("*", "nic\u212a@acme.example", False),  # no address at all
    ],
)
def test_patterns(pattern: str, address: str, expected: bool) -> None:
    """`*` stands for anything but an `@`; case doesn't matter; the rest is literal."""
    known = _identity(_rule(pattern, networks="192.0.2.1"))
    assert (_ask(known, "192.0.2.1", None, address) == Proof.NETWORK) == expected


@pytest.mark.parametrize("login", ["zoé@exämple.fr", "ZOÉ@xn--exmple-cua.fr", "zoe\u0301@exämple.fr"])
async def test_a_login_beyond_ascii_is_one_whatever_its_form(login: str) -> None:
    """As keyboards and mail programs write it; and it proves only its own address."""
    hashed = CHEAP.hash("right")
    known = _identity(_rule("*", login=True), passwords={"zoé@xn--exmple-cua.fr": hashed})
    assert await known.verify(login, "right")
    assert _ask(known, "192.0.2.9", login, "zoé@xn--exmple-cua.fr") == Proof.LOGIN
    assert _ask(known, "192.0.2.9", login, "zoe@xn--exmple-cua.fr") == "sender.unknown"


@pytest.mark.parametrize(
    ("ip", "login", "address", "expected"),
    [
        ("10.1.0.20", None, "marie@acme.example", Proof.NETWORK),
        ("10.1.0.20", None, "stranger@acme.example", Proof.NETWORK),
        ("::ffff:10.1.0.20", None, "marie@acme.example", Proof.NETWORK),
        ("2001:db8:1::7", None, "marie@acme.example", Proof.NETWORK),
        ("10.1.1.20", None, "marie@acme.example", "sender.login_required"),
        ("2001:db8:2::7", None, "marie@acme.example", "sender.login_required"),
        ("", None, "marie@acme.example", "sender.login_required"),
        ("10.1.0.20", None, "marie@other.example", "sender.unknown"),
        ("192.0.2.1", None, "marie@other.example", "sender.unknown"),
        ("192.0.2.1", "marie@acme.example", "marie@acme.example", Proof.LOGIN),
        ("192.0.2.1", "Marie@Acme.example", "MARIE@acme.example", Proof.LOGIN),
        ("192.0.2.1", "marie@acme.example", "paul@acme.example", "sender.unknown"),
        ("192.0.2.1", "marie@acme.example", "marie@other.example", "sender.unknown"),
        ("10.1.0.20", "marie@acme.example", "marie@acme.example", Proof.LOGIN),
        ("10.1.0.20", "marie@acme.example", "paul@acme.example", "sender.unknown"),
        ("127.0.0.1", None, "paul@partner.example", Proof.NETWORK),
        ("127.0.0.1", "paul@partner.example", "paul@partner.example", Proof.LOGIN),
        ("192.0.2.1", "paul@partner.example", "paul@partner.example", "sender.unknown"),
        ("127.0.0.2", None, "paul@both.example", Proof.NETWORK),
        ("127.0.0.2", "paul@both.example", "paul@both.example", Proof.LOGIN),
        ("127.0.0.2", "paul@both.example", "marie@both.example", "sender.unknown"),
        ("192.0.2.1", "paul@both.example", "paul@both.example", Proof.LOGIN),
        ("192.0.2.1", None, "paul@both.example", "sender.login_required"),
    ],
)
def test_proofs(ip: str, login: str | None, address: str, expected: Proof | str) -> None:
    """A network proves any address of its rule; who has logged in proves his own by that, and nothing else."""
    known = _identity(
        _rule("*@acme.example", login=True),
        _rule("*@acme.example", networks=["10.1.0.0/24", "2001:db8:1::/48"]),
        _rule("*@partner.example", networks="127.0.0.1"),
        _rule("*@both.example", networks="127.0.0.2", login=True),
    )
    assert _ask(known, ip, login, address) == expected


def test_nothing_is_accepted_without_a_rule() -> None:
    """A user entry proves nothing, nor does a login without a rule for it."""
    for login in (None, "marie@acme.example"):
        assert _ask(_identity(), "127.0.0.1", login, "marie@acme.example") == "sender.unknown"


@pytest.mark.parametrize(
    ("from_addresses", "mail_from", "reason"),
    [
        ((), "a@acme.example", "sender.from_missing"),
        (("a@acme.example", "b@acme.example"), "a@acme.example", "sender.from_missing"),
        (("a@acme.example",), "", "sender.null"),
        (("",), "a@acme.example", "sender.from_missing"),
    ],
)
def test_exactly_one_from(from_addresses: tuple[str, ...], mail_from: str, reason: str) -> None:
    """No From, two of them, one that can't be read for certain, or no envelope sender: nobody writes."""
    known = _identity(_rule("*", networks="192.0.2.1"))
    with pytest.raises(Refusal) as caught:
        known.author(Client(ip="192.0.2.1"), from_addresses, mail_from)
    assert caught.value.problems[0].reason == reason


def test_the_writer_is_the_user_or_has_the_defaults() -> None:
    """Addresses are told apart without case, so that quotas can't be split by it."""
    known = _identity(_rule("*@acme.example", networks="192.0.2.1"), language="fr", zone="Europe/Rome")
    here = Client(ip="192.0.2.1")

    def writer(sender: str) -> Writer:
        author = known.author(here, (sender,), "x")
        assert author.proof is not None
        return known.writer(author.address, author.proof)

    assert writer("MARIE@acme.example") == Writer(
        account="sms.acme.example",
        address="marie@acme.example",
        proof=Proof.NETWORK,
        name="Marie Dubois",
        number=Msisdn("+33639980101"),
        language="fr",
        zone="Europe/Paris",
    )
    assert writer("Ups-1@acme.example") == Writer(
        account="sms.acme.example",
        address="ups-1@acme.example",
        proof=Proof.NETWORK,
        language="fr",
        zone="Europe/Rome",
    )


def test_known_networks() -> None:
    """Those that a rule names, and no others."""
    known = _identity(
        SenderRule(pattern="*", networks=(ip_network("10.1.0.0/24"),)), _rule("*", networks="2001:db8:1::/48")
    )
    ips = ["10.1.0.1", "::ffff:10.1.0.1", "2001:db8:1::1", "10.1.1.1", "::1", "", "fe80::1%eth0"]
    assert [known.is_known_network(ip) for ip in ips] == [True, True, True, False, False, False, False]


@pytest.mark.parametrize(
    ("ip", "login", "expected"),
    [
        ("10.1.0.20", None, True),
        ("10.1.1.20", None, False),
        ("", None, False),
        ("10.1.1.20", "marie@acme.example", True),
        ("10.1.1.20", "Marie@ACME.example", True),
        ("10.1.1.20", "marie@other.example", False),
        ("10.1.0.20", "marie@other.example", True),
    ],
)
def test_who_may_prove_anything(ip: str, login: str | None, expected: bool) -> None:
    """A network of a rule, or a login that a rule asks for: nothing else need be read."""
    known = _identity(_rule("*@acme.example", login=True), _rule("*", networks="10.1.0.0/24"))
    assert known.may_prove(Client(ip=ip, login=login)) == expected
    assert known.has_logins
    assert not _identity(_rule("*", networks="10.1.0.0/24")).has_logins


def test_a_writer_costs_little() -> None:
    """A thousand rules, the address seen before: less than 50 us of CPU each."""
    rules = [_rule(f"user-{i}@acme.example", networks=f"10.{i // 256}.{i % 256}.0/24") for i in range(1000)]
    known = _identity(*rules)
    here = Client(ip="10.3.231.1")
    known.author(here, ("user-999@acme.example",), "x")

    def each() -> None:
        for _ in range(1000):
            known.author(here, ("user-999@acme.example",), "x")

    assert least_s(each, 0.05) < 0.05


class Clock:
    """A clock that is set by hand."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The hashes that were tried, in order."""
    hashes: list[str] = []
    verify = argon2.PasswordHasher.verify

    def counted(self: argon2.PasswordHasher, known: str, password: str) -> bool:
        hashes.append(known)
        return verify(self, known, password)

    monkeypatch.setattr(argon2.PasswordHasher, "verify", counted)
    yield hashes


async def test_passwords(tried: list[str]) -> None:
    """Right, wrong, of somebody else, of nobody; an unknown name costs as much as a known one."""
    passwords = {"marie@acme.example": CHEAP.hash("trompette é"), "paul@acme.example": CHEAP.hash("clé")}
    known = _identity(passwords=passwords)
    assert await known.verify("Marie@acme.example", "trompette é")
    assert not await known.verify("marie@acme.example", "clé")
    assert not await known.verify("paul@acme.example", "")
    assert not await known.verify("nobody@acme.example", "clé")
    assert len(tried) == 4
    assert tried[3] not in passwords.values()
    assert argon2.extract_parameters(tried[3]) == argon2.extract_parameters(tried[0])
    known.close()


async def test_who_just_logged_in_is_known(tried: list[str]) -> None:
    """For five minutes, with the same password, until a failure under that name."""
    clock = Clock()
    known = _identity(passwords={"marie@acme.example": CHEAP.hash("right")}, clock=clock)

    async def tries(password: str) -> tuple[bool, int]:
        before = len(tried)
        return await known.verify("marie@acme.example", password), len(tried) - before

    assert await tries("right") == (True, 1)
    assert await tries("right") == (True, 0)
    clock.now_s = 299
    assert await tries("right") == (True, 0)
    clock.now_s = 300
    assert await tries("right") == (True, 1)
    assert await tries("wrong") == (False, 1)
    assert await tries("wrong") == (False, 1)
    assert await tries("right") == (True, 1)
    known.close()


async def test_verifications_wait_in_a_bounded_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is over the bound is told to try again."""
    monkeypatch.setattr(module, "_WAITING", 2)
    known = _identity(passwords={"marie@acme.example": CHEAP.hash("right")})
    attempts = (known.verify("marie@acme.example", "right") for _ in range(3))
    first, second, third = await asyncio.gather(*attempts, return_exceptions=True)
    assert (first, second, type(third)) == (True, True, Busy)
    assert await known.verify("marie@acme.example", "right")
    known.close()


async def test_without_passwords_nobody_logs_in() -> None:
    """And nothing is tried."""
    known = _identity()
    assert not await known.verify("marie@acme.example", "")
    known.close()


@pytest.mark.parametrize(
    "known", ["", "secret", "$argon2i$v=19$m=8,t=1,p=1$c29tZXNhbHQ$aGFzaGhhc2g", "$2b$12$abc"]
)
def test_only_argon2id(known: str) -> None:
    """A hash of another kind, or a password in clear, stops the daemon at its start; the message doesn't show it."""
    with pytest.raises(BadOption) as caught:
        _identity(passwords={"marie@acme.example": known})
    assert not known or known not in str(caught.value)
