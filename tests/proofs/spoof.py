"""Nobody sends as somebody else: every way that is known to be somebody else, and none is sent.

Usage: spoof [-v]. A real listener, a real name server, clients of several addresses of this machine; the rules of
`senders` ask for each proof there is. The genuine mail of each proof is sent, once each. `-v` prints every case.
Controls that must fail: the same cases with one piece of the verification taken out at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import smtplib
import ssl
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import argon2

from mail2sms import certificates, config, log
from mail2sms.accept import Accept
from mail2sms.config import derived
from mail2sms.dns import Dns
from mail2sms.endpoint import Endpoint
from mail2sms.intake import address_keys, dkim, dmarc, headers, mailauth
from mail2sms.intake.evidence import Evidence
from mail2sms.intake.identity import Identity
from mail2sms.intake.limits import Budget, Limits
from mail2sms.intake.listener import listen
from mail2sms.intake.mailauth import Mailauth
from mail2sms.intake.receive import Receiver
from mail2sms.intake.sandbox import Sandbox
from mail2sms.model import Proof
from mail2sms.store import Store, views
from tests.proofs import _spoofs
from tests.proofs._spoofs import GENUINE, NOW_S, PASSWORD, SPOOFS, Case
from tests.servers import NameServer
from tests.servers.certificates import certificate

_SILENCE_S = 0.05
_CHEAP = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of one case; `sent` are the messages that it became."""

    group: str
    case: Case
    reply: str
    sent: int

    @property
    def is_right(self) -> bool:
        """Whether it was sent if, and only if, it is genuine, with the reply that it must get."""
        return self.reply.startswith(str(self.case.code)) and self.sent == (self.case.code == 250)

    def __str__(self) -> str:
        return f"{'' if self.is_right else 'WRONG '}{self.group}: {self.case.name}: {self.reply} ({self.sent} sent)"


@asynccontextmanager
async def _bridge(folder: Path, server: NameServer) -> AsyncIterator[tuple[Endpoint, Store]]:
    """The door of a bridge: everything of the daemon between port and store."""
    settings = config.load(folder / "m.yaml", _spoofs.CONFIG.replace("/FOLDER", str(folder)))
    certificate(folder)
    shown = [certificate(folder, *names)[0].read_bytes() for names in _spoofs.CERTIFICATES.values()]
    (folder / "ca.pem").write_bytes(b"".join(shown[:-1]))
    hashed = _CHEAP.hash(PASSWORD)
    passwords = dict.fromkeys(settings.users, hashed)
    identity = Identity(
        settings.sender_rules(),
        settings.all_users(),
        passwords,
        account=settings.account,
        teams=settings.team_mailboxes(),
    )
    store = await Store.open(f"sqlite:///{folder}/x.db")
    accept = Accept(store, derived.policy(settings), settings.route_table(), settings.validity)
    sandbox = Sandbox()
    looks = Mailauth(Dns(server.endpoint, timeout_s=_SILENCE_S), clock=lambda: NOW_S)
    receiver = Receiver(derived.desk(settings), identity, accept, store, sandbox, looks)
    assert settings.tls is not None
    options = derived.listener(settings, "smtp", certificates.load(settings.tls))
    budget = Budget(Limits())
    listener = await listen(Endpoint("127.0.0.1", 0), options, budget, receiver, identity.is_known_network)
    try:
        yield listener.addresses[0], store
    finally:
        await listener.stop(1)
        looks.close()
        identity.close()
        await sandbox.close()
        await store.close()


def _post(where: Endpoint, case: Case, id_: str, folder: Path) -> str:
    """Hand a mail over; return the first reply that is a refusal, or the last."""
    try:
        return _hand_over(where, case, id_, folder)
    except (
        OSError,
        smtplib.SMTPServerDisconnected,
    ) as e:  # a handshake that failed; in TLS 1.3 it shows late
        return f"421 {type(e).__name__}"


def _hand_over(where: Endpoint, case: Case, id_: str, folder: Path) -> str:
    with contextlib.closing(smtplib.SMTP(where.host, where.port, source_address=(case.ip, 0))) as client:
        client.ehlo("client.example")
        if case.login or case.certificate:
            client.starttls(context=_trusting(folder, case.certificate))
            client.ehlo("client.example")
        if case.login:
            try:
                client.login(case.login, case.password)
            except smtplib.SMTPAuthenticationError as e:
                return _said(e.smtp_code, e.smtp_error)
        steps: list[Callable[[], Any]] = [
            lambda: client.mail(case.mail_from),
            lambda: client.rcpt(case.rcpt),
            lambda: client.data(case.build(id_)),
        ]
        reply = ""
        for step in steps:
            try:
                code, text = step()
            except smtplib.SMTPDataError as e:
                code, text = e.smtp_code, e.smtp_error
            reply = _said(code, text)
            if code >= 400:
                break
        return reply


def _said(code: int, text: bytes | str) -> str:
    return f"{code} {text.decode() if isinstance(text, bytes) else text}"


def _trusting(folder: Path, name: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if name:
        file = folder / _spoofs.CERTIFICATES[name][0]
        context.load_cert_chain(f"{file}.pem", f"{file}.key")
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


async def _observe(cases: Sequence[tuple[str, Case]]) -> list[Seen]:
    seen: list[Seen] = []
    with tempfile.TemporaryDirectory() as folder, NameServer(_spoofs.zone()) as server:
        async with _bridge(Path(folder), server) as (where, store):
            before = 0
            for at, (group, case) in enumerate(cases):
                reply = await asyncio.to_thread(_post, where, case, f"m{at}", Path(folder))
                found = await store.read(views.find, "sms.acme.example", views.Search(limit=1000))
                seen.append(Seen(group, case, reply, len(found) - before))
                before = len(found)
    return seen


def run(groups: Sequence[str] = ()) -> list[Seen]:
    """The spoofs of these groups; all of them, and the genuine mails, when none is named."""
    cases = [
        (group, case) for group, found in SPOOFS.items() if not groups or group in groups for case in found
    ]
    genuine = [] if groups else [("genuine", case) for case in GENUINE]
    return asyncio.run(_observe([*cases, *genuine]))


# Controls


async def _never_refused(*_: object) -> None:
    """In the place of a proof that is asked for."""


def _anything(*_: object, **__: object) -> None:
    """In the place of what raises when something is wrong."""


@contextmanager
def _silence_proves() -> Iterator[None]:
    attempt = mailauth._attempt

    async def lenient(mail: Any, rule: Any, proof: Any, until_s: float) -> mailauth.Tried:
        tried = await attempt(mail, rule, proof, until_s)
        return (
            mailauth.Tried(rule=rule, proof=proof, result="pass", why="")
            if tried.result == "unknown"
            else tried
        )

    with mock.patch.object(mailauth, "_attempt", lenient):
        yield


def _lines(mail: Evidence, hops: int) -> list[str]:
    return [
        dkim.value_of(each).decode().strip() for each in mail.fields if each[0] == "authentication-results"
    ]


@contextmanager
def _first_counts() -> Iterator[None]:
    """The first thing that looks like an address is one, as lenient readers take it."""

    def first(text: str) -> list[tuple[str, str]]:
        words = [word.strip("<>,;:") for word in text.replace(",", " ").split()]
        return [(next((word for word in words if "@" in word), ""), "")]

    with mock.patch.object(headers, "_mailboxes", first):
        headers._short_authors.cache_clear()
        yield
    headers._short_authors.cache_clear()


_TO_ALL: Any = lambda self, peer, address: next(  # noqa: E731
    ((rule, Proof.LOGIN) for rule in self._rules if peer.login), None
)
BREAKS: dict[str, tuple[str, Callable[[], contextlib.AbstractContextManager[Any]]]] = {
    "any organisation's signature counts": (
        "dkim", lambda: mock.patch.object(dmarc, "is_aligned", lambda *_, **__: True)
    ),
    "nobody checks the signature": ("dkim", lambda: mock.patch.object(dkim, "check", _anything)),
    "nobody checks the text": ("dkim", lambda: mock.patch.object(dkim, "check_body", _anything)),
    "signatures never end": ("dkim", lambda: mock.patch.object(dkim, "_check_times", _anything)),
    "a signed mail is for everybody": ("dkim", lambda: mock.patch.object(Evidence, "_check_purpose", _anything)),
    "results count wherever they stand": (
        "authentication_results", lambda: mock.patch.object(Evidence, "believed", _lines)
    ),
    "results count whatever they say": ("arc", lambda: mock.patch.object(mailauth, "_require_dmarc", _anything)),
    "a silent DNS proves": ("DNS faults", _silence_proves),
    "SPF is not asked": ("spf", lambda: mock.patch.dict(mailauth._PROOFS, {Proof.SPF: _never_refused})),
    "any certificate counts": (
        "certificate", lambda: mock.patch("mail2sms.intake.smtp.certificate_names", lambda _: {"mx.cert.example"})
    ),
    "a login proves everybody": ("login", lambda: mock.patch.object(Identity, "proven", _TO_ALL)),
    "any key counts": ("key", lambda: mock.patch.object(address_keys, "holds", lambda *_: True)),
    "everybody is a member": ("a team", lambda: mock.patch.object(Identity, "_is_member", lambda *_: True)),
    "the first address is the author": (
        "the From field", _first_counts
    ),
}  # fmt: skip
"""What is taken out of the product, and the group of spoofs of which some must then get through."""


def broken(name: str) -> int:
    """How many spoofs are sent without one piece of the verification."""
    group, without = BREAKS[name]
    with without():
        return _sent(run([group]))


def _sent(seen: Sequence[Seen]) -> int:
    return sum(each.sent for each in seen)


def main(argv: list[str]) -> int:
    """Print what came of the cases and of the controls."""
    log.configure("critical")
    seen = run()
    for group in dict.fromkeys(each.group for each in seen):
        of = [each for each in seen if each.group == group]
        wrong = sum(not each.is_right for each in of)
        print(f"{group:<24} {len(of):>4} mails, {_sent(of):>3} sent, {wrong} wrong")
    for each in seen:
        if "-v" in argv or not each.is_right:
            print(f"  {each}")
    spoofs = [each for each in seen if each.group != "genuine"]
    genuine = [each for each in seen if each.group == "genuine"]
    print(f"{len(spoofs)} spoofs: {_sent(spoofs)} sent; {len(genuine)} genuine: {_sent(genuine)} sent")
    is_kept = all(each.is_right for each in seen)
    for name in BREAKS:
        got_through = broken(name)
        is_kept = is_kept and got_through > 0
        print(f"control: {name}: {got_through} sent")
    print("kept" if is_kept else "BROKEN")
    return 0 if is_kept else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
