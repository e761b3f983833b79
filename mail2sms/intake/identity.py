"""Who writes, and by which proof: passwords, and the rules of `senders`. The only importer of argon2.

Knows addresses, networks and hashes; nothing of SMTP or of what is written. No proof, no writer.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import ipaddress
import secrets
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError

from mail2sms.addresses import canonical, matches
from mail2sms.errors import BadOption, Problem, Refusal
from mail2sms.ids import keyed
from mail2sms.intake import address_keys
from mail2sms.intake.devices import Device
from mail2sms.intake.limits import Attempt, Lockout
from mail2sms.model import PROOFS_IN_MAIL, RELAYED_PROOFS, Proof, Team, User, Writer
from mail2sms.options import Network

_THREADS = 2  # a verification takes 64 MiB and some 50 ms
_WAITING = 32
_RECENT_S = 300
_CACHED = 4096


class Busy(Exception):
    """More passwords wait to be verified than we are willing to keep: try again later."""


class Peer(Protocol):
    """The client as a listener knows it."""

    @property
    def ip(self) -> str:
        """Its address, empty for a unix socket."""

    @property
    def login(self) -> str | None:
        """The name that was proven by a password."""

    @property
    def names(self) -> frozenset[str]:
        """The names of its certificate, in lower case."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SenderRule:
    """One line of `senders`: who may write, by which proof. `*` stands for anything without `@`; alone, for anybody.

    Networks and proofs are alternatives, but for the results of a relay: then the networks are the relays that are
    believed, and prove nothing themselves. Who has logged in writes only as themselves, whichever proof they have.

    `authserv_id` is how the relays call themselves, `hops` how many Received lines they put on; `sealers` are the
    domains whose ARC seals are believed, `certificates` the names of clients, in lower case. With `is_for_teams` who
    has logged in may write as a team of theirs too.
    """

    pattern: str
    networks: tuple[Network, ...] = ()
    proofs: frozenset[Proof] = field(default_factory=frozenset)
    authserv_id: str = ""
    hops: int = 1
    sealers: frozenset[str] = field(default_factory=frozenset)
    certificates: frozenset[str] = field(default_factory=frozenset)
    is_for_teams: bool = False

    def matches(self, address: str) -> bool:
        """Whether the rule is about this address, in lower case."""
        return matches(self.pattern, address)

    def proof(self, peer: Peer) -> Proof | None:
        """Return what this client can prove by the rule, whatever its mail shows."""
        is_inside = not self.proofs & RELAYED_PROOFS and _is_in(peer.ip, self.networks)
        if peer.login is not None:
            return Proof.LOGIN if is_inside or Proof.LOGIN in self.proofs else None
        if is_inside:
            return Proof.NETWORK
        has_name = Proof.CERTIFICATE in self.proofs and not self.certificates.isdisjoint(peer.names)
        return Proof.CERTIFICATE if has_name else None

    def proofs_in_mail(self, peer: Peer) -> tuple[Proof, ...]:
        """Return what a mail of this client could prove by the rule, the cheap proofs first."""
        if peer.login is not None:
            return ()
        is_relay = _is_in(peer.ip, self.networks)
        return tuple(
            proof
            for proof in PROOFS_IN_MAIL
            if proof in self.proofs and (is_relay or proof not in RELAYED_PROOFS)
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Author:
    """Whom a mail says to be from. `proof` is what the client has; `in_mail` are rules and what a mail could show.

    `by_key` is the rule by which a key in an address would prove it. `acting` is who has logged in, as a team.
    """

    address: str
    proof: Proof | None
    in_mail: tuple[tuple[SenderRule, tuple[Proof, ...]], ...]
    by_key: SenderRule | None = None
    acting: str = ""


class Identity:
    """The rules, users and passwords of one account. Logins and addresses are compared in their one form.

    `passwords` are argon2id hashes by login name. Raises BadOption for anything else. `teams` are by
    their addresses.
    """

    def __init__(  # noqa: PLR0913  # each is one section of the configuration
        self,
        rules: tuple[SenderRule, ...],
        users: Mapping[str, User],
        passwords: Mapping[str, str],
        *,
        account: str,
        language: str = "en",
        zone: str = "UTC",
        devices: tuple[Device, ...] = (),
        teams: Mapping[str, Team] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rules = rules
        self._users = users
        self._devices = devices
        self._hashes = passwords
        self._account, self._language, self._zone = account, language, zone
        self._teams = dict(teams or {})
        self._guesses = Lockout()
        self._clock = clock
        for name, known in passwords.items():
            _check_hash(name, known)
        self._nobody = _hash_of_nobody(next(iter(passwords.values()), ""))
        self._key = secrets.token_bytes(32)
        self._recent: dict[str, tuple[bytes, float]] = {}  # by login name: so never more than there are users
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="password")
        self._waiting = 0
        networks = [network for rule in rules for network in rule.networks]
        networks += [network for device in devices for network in device.networks]
        self.has_logins = any(Proof.LOGIN in r.proofs for r in rules) or any(d.login for d in devices)
        by_anybody = {*PROOFS_IN_MAIL, Proof.ADDRESS_KEY} - RELAYED_PROOFS
        self._is_open = any(rule.proofs & by_anybody for rule in rules)
        self._rules_for = lru_cache(_CACHED)(self._find_rules)
        self.is_known_network: Callable[[str], bool] = lru_cache(_CACHED)(lambda ip: _is_in(ip, networks))

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def retire(self) -> None:
        """Let the threads end when the passwords that wait are verified; no other comes."""
        self._threads.shutdown(wait=False)

    async def verify(self, name: str, password: str) -> bool:
        """Whether the password is right; unknown names cost the same. Raises Busy.

        Who logged in within the last five minutes is known by an HMAC under a key of this process: a client that
        logs in for every mail costs one verification.
        """
        name = canonical(name)
        digest = keyed(self._key, f"{len(name)} {name} {password}".encode())
        recent, until_s = self._recent.get(name, (b"", 0.0))
        if hmac.compare_digest(recent, digest) and self._clock() < until_s:
            return True
        if self._waiting >= _WAITING:
            raise Busy
        known = self._hashes.get(name)
        loop = asyncio.get_running_loop()
        self._waiting += 1
        try:
            is_right = await loop.run_in_executor(self._threads, _is_right, known or self._nobody, password)
        finally:
            self._waiting -= 1
        if known is None or not is_right:
            self._recent.pop(name, None)
            return False
        self._recent[name] = (digest, self._clock() + _RECENT_S)
        return True

    def may_prove(self, peer: Peer) -> bool:
        """Whether some mail of this client could be proven: if not, none is worth to be read."""
        if peer.login is not None and any(device.login == peer.login for device in self._devices):
            return True
        if peer.login is not None:
            login = canonical(peer.login)
            addresses = [login, *(each for each in self._teams if self._is_member(login, each))]
            return any(self.proven(peer, address) for address in addresses)
        has_name = bool(peer.names) and any(rule.proof(peer) for rule in self._rules)
        return self._is_open or has_name or self.is_known_network(peer.ip)

    def device(self, peer: Peer, from_addresses: tuple[str, ...]) -> Device | None:
        """Return the device that this client is: the first that its login, or network and From address, make it."""
        if peer.login is not None:
            return next((device for device in self._devices if device.login == peer.login), None)
        address = canonical(from_addresses[0]) if len(from_addresses) == 1 else ""
        for device in self._devices:
            is_meant = not device.pattern or matches(device.pattern, address)
            if is_meant and _is_in(peer.ip, device.networks):
                return device
        return None

    def author(self, peer: Peer, from_addresses: tuple[str, ...], mail_from: str) -> Author:
        """Return whom a mail says to be from, and what could prove it. Raises Refusal when nothing could.

        A login proves only its own address; a user entry alone proves nothing. The envelope's sender decides
        nothing, but an empty one is nobody (RFC 3834).
        """
        if not mail_from:
            raise Refusal(Problem(reason="sender.null"))
        address = canonical(from_addresses[0]) if len(from_addresses) == 1 else ""
        if not address:
            raise Refusal(Problem(reason="sender.from_missing"))
        proven = self.proven(peer, address)
        rules = self._rules_for(address)
        in_mail = tuple((rule, proofs) for rule in rules if (proofs := rule.proofs_in_mail(peer)))
        by_key = next((r for r in rules if Proof.ADDRESS_KEY in r.proofs and peer.login is None), None)
        if proven is None and not in_mail and by_key is None:
            wants_login = peer.login is None and any(Proof.LOGIN in rule.proofs for rule in rules)
            raise Refusal(Problem(reason="sender.login_required" if wants_login else "sender.unknown"))
        login = canonical(peer.login) if peer.login is not None else address
        return Author(
            address=address,
            proof=proven[1] if proven else None,
            in_mail=in_mail,
            by_key=by_key,
            acting=login if login != address else "",
        )

    def why_no_key(self, address: str, keys: Collection[str], ip: str) -> str:
        """Return why these keys don't prove that this author (in lower case) writes; "" where one does.

        Wrong ones are counted: who guesses from one place is not listened to for a while, right or wrong.
        """
        if not keys:
            return "no key stands in the address that was written to; +kKEY goes before the @"
        attempt = Attempt(ip=ip, name=address, is_shared=True)  # a place may be a provider of many
        if self._guesses.why(attempt, self._clock()):
            return "too many wrong keys lately; try again later"
        user = self._users.get(address)
        if address_keys.holds(keys, user.keys if user and user.keys else _NOBODYS):
            self._guesses.succeeded(attempt)
            return ""
        for _ in keys:
            self._guesses.failed(attempt, self._clock())
        return "the key in the address is none of this sender's"

    def proven(self, peer: Peer, address: str) -> tuple[SenderRule, Proof] | None:
        """Return the first rule for the address (in lower case) whose proof the client itself has, and the proof."""
        is_other = peer.login is not None and canonical(peer.login) != address
        if is_other and not self._is_member(canonical(peer.login or ""), address):
            return None
        for rule in self._rules_for(address):
            if is_other and not (rule.is_for_teams and Proof.LOGIN in rule.proofs):
                continue
            if proof := rule.proof(peer):
                return rule, proof
        return None

    def _is_member(self, login: str, address: str) -> bool:
        team = self._teams.get(address)
        return team is not None and login in team.members

    def writer(self, address: str, proof: Proof, acting: str = "") -> Writer:
        """Return who writes, now that it is proven: a person, or (`acting` as) a team of theirs."""
        user = self._users.get(acting or address) or User(address=address)
        team = self._teams.get(address) if acting else None
        return Writer(
            account=self._account,
            address=address if team else user.address,
            acting=acting,
            proof=proof,
            name=team.name if team else user.name,
            number=team.number if team else user.number,
            language=user.language or self._language,
            zone=user.zone or self._zone,
            class_=user.class_,
            receipts=user.receipts,
        )

    def _find_rules(self, address: str) -> tuple[SenderRule, ...]:
        return tuple(rule for rule in self._rules if rule.matches(address))


@lru_cache(_CACHED)
def _address(ip: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(ip.partition("%")[0])
    except ValueError:  # a unix socket has none
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _is_in(ip: str, networks: tuple[Network, ...] | list[Network]) -> bool:
    address = _address(ip)
    return address is not None and any(address in network for network in networks)


_NOBODYS = (address_keys.HASHED + "0" * 64,)  # who has no key costs as much to guess
_HASHER = PasswordHasher()


def _is_right(known: str, password: str) -> bool:
    try:
        return _HASHER.verify(known, password)
    except (VerificationError, InvalidHashError):
        return False


def _check_hash(name: str, known: str) -> None:
    try:
        extract_parameters(known)
    except InvalidHashError:
        known = ""
    if not known.startswith("$argon2id$"):
        raise BadOption(
            f"the password of {name} is not an argon2id hash", 'a text that starts with "$argon2id$"'
        )


def _hash_of_nobody(model: str) -> str:
    """Return a hash that no password is known for, as costly to try as the model; empty without one."""
    if not model:
        return ""
    digest = base64.b64encode(secrets.token_bytes(extract_parameters(model).hash_len))
    return model.rpartition("$")[0] + "$" + digest.rstrip(b"=").decode()
