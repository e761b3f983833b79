"""A key in an address: how it is read, what it proves, and that it is written nowhere."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from mail2sms import config
from mail2sms.assembly import Base, Parts, assemble
from mail2sms.cli.main import run
from mail2sms.intake import address_keys
from mail2sms.intake.address_keys import KeyCut, fingerprint, split, without
from mail2sms.intake.envelope import Client, Envelope
from mail2sms.intake.identity import Identity, SenderRule
from mail2sms.intake.mailauth import Mailauth
from mail2sms.intake.sandbox import Sandbox
from mail2sms.model import Dsn, Proof, User
from mail2sms.relay.letters import Letters
from mail2sms.store import Notice, NoticeClaim, Store, views

KEY, OTHER = "q7rk2f6h3wd" * 2 + "abcd", "z" * 26
DOMAIN, MARIE = "sms.acme.example", "marie@acme.example"
NUMBER = f"33639981234+k{KEY}@{DOMAIN}"


@pytest.mark.parametrize(
    ("local", "read"),
    [
        ("33639981234", ("33639981234", "")),
        (f"33639981234+k{KEY}", ("33639981234", KEY)),
        (f"33639981234+K{KEY.upper()}", ("33639981234", KEY)),
        (f"33639981234+k{KEY.upper()}", ("33639981234", KEY)),
        (f"+33639981234+k{KEY}", ("+33639981234", KEY)),
        (f"33639981234+rabcdefghij+k{KEY}", ("33639981234+rabcdefghij", KEY)),
        (f"oncall+k{KEY}", ("oncall", KEY)),
        (f"+k{KEY}", (f"+k{KEY}", "")),  # no address at all
        ("marie+kitchen@home", ("marie+kitchen@home", "")),
    ],
)
def test_what_is_a_key(local: str, read: tuple[str, str]) -> None:
    """26 characters of base32 at the end, in any case."""
    assert split(local) == read


@pytest.mark.parametrize("key", ["", KEY[:-1], KEY + "a", KEY[:-1] + "1", "kitchen"])
def test_what_is_no_whole_key(key: str) -> None:
    """Cut, longer, or with a character that there is not."""
    with pytest.raises(KeyCut):
        split(f"33639981234+k{key}")


def test_keys_are_made_of_chance_and_known_by_their_hash() -> None:
    """Each is one that can be read again."""
    made = address_keys.make(bytes(range(20)))
    assert split(f"1+k{made}") == ("1", made) and len(made) == address_keys.LENGTH
    assert address_keys.holds({OTHER, made}, (fingerprint(KEY), fingerprint(made)))
    assert not address_keys.holds({OTHER}, (fingerprint(KEY),))
    assert not address_keys.holds({KEY}, ())


def test_a_text_without_keys() -> None:
    """Whatever else is in it stays."""
    text = f"To: {NUMBER}, x+k@y, 1 + kilo\nTo: <oncall+k{KEY.upper()}@{DOMAIN}>"
    assert without(text) == f"To: 33639981234@{DOMAIN}, x+k@y, 1 + kilo\nTo: <oncall@{DOMAIN}>"


def test_who_guesses_is_not_listened_to_for_a_while() -> None:
    """Ten wrong keys for one sender from one place; others, and the sender elsewhere, are not kept out."""
    now = [0.0]
    known = Identity(
        (SenderRule(pattern="*@acme.example", proofs=frozenset({Proof.ADDRESS_KEY})),),
        {MARIE: User(address=MARIE, keys=(fingerprint(KEY),))},
        {},
        account=DOMAIN,
        clock=lambda: now[0],
    )
    assert known.why_no_key(MARIE, {KEY}, "192.0.2.1") == ""
    for n in range(10):
        assert "none of this sender's" in known.why_no_key(MARIE, {f"{n:a>26}"}, "192.0.2.66")
    assert "too many wrong keys" in known.why_no_key(MARIE, {KEY}, "192.0.2.66")
    assert known.why_no_key(MARIE, {KEY}, "192.0.2.1") == ""
    assert "none of" in known.why_no_key("paul@acme.example", {KEY}, "192.0.2.66")
    now[0] = 600.0
    assert known.why_no_key(MARIE, {KEY}, "192.0.2.66") == ""
    for n in range(10):  # all of one mail count
        known.why_no_key(MARIE, {f"{n}{m:a>25}" for m in range(2)}, f"198.51.100.{n}")
    assert "too many" in known.why_no_key(MARIE, {KEY}, "203.0.113.1")
    assert known.why_no_key(MARIE, {KEY}, "192.0.2.1") == "", "who was right there before is not kept out"


CONFIG = f"""\
domain: {DOMAIN}
country: FR
mode: simulate
database: sqlite:////nowhere/x.db
listen: {{smtp: {{address: "127.0.0.1:2525"}}}}
senders: [{{from: "*@acme.example", proof: key}}]
users: {{{MARIE}: {{name: Marie, number: "+33639980101", keys: "{fingerprint(KEY)}"}}}}
teams: {{oncall: {{phones: ["+33639985678"]}}}}
countries: [FR]
carriers: {{sim: {{type: simulated}}}}
routes: [{{to: any, via: [sim]}}]
relay: {{smarthost: {{address: "127.0.0.1:2526"}}}}
"""


async def _take(parts: Parts, to: str, body: str, id_: str, dsn: Dsn | None = None) -> str:
    content = f"From: {MARIE}\r\nTo: {to}\r\nSubject: x\r\nMessage-ID: <{id_}@acme.example>\r\n\r\n{body}\r\n"
    client = Client(ip="192.0.2.1")
    refused = parts.receiver.begin(client, offers_login=False) or parts.receiver.rcpt(client, to)
    if isinstance(refused, str):
        return refused
    envelope = Envelope(
        client=client, mail_from=MARIE, rcpts=(to,), content=content.encode(), dsns=(dsn,) if dsn else ()
    )
    return (await parts.receiver.mail(envelope))[0]


async def test_it_proves_and_is_written_nowhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not in the store, the log, or the emails about refusals; a key in the quoted text does not reach the phone."""
    store, sandbox, mailauth = await Store.open(f"sqlite:///{tmp_path}/x.db"), Sandbox(), Mailauth(None)
    base = Base(store=store, sandbox=sandbox, mailauth=mailauth, simulated_number=None)
    parts = assemble(config.load(tmp_path / "m.yaml", CONFIG), base)
    orcpt = Dsn(notify=("FAILURE",), original=f"rfc822;{NUMBER}")
    try:
        assert (await _take(parts, NUMBER, f"Bonjour, voir {NUMBER}", "1", orcpt)).startswith("250 2.0.0 m-")
        assert (await _take(parts, f"oncall+k{KEY}@{DOMAIN}", "Alarme", "2")).startswith("250 2.0.0 m-")
        asked = replace(orcpt, ret="FULL")
        refused = await _take(parts, f"sms+k{KEY}@{DOMAIN}", f"Tel: {NUMBER}\n\nBonjour", "3", asked)
        assert refused.startswith("250 2.0.0 n-")
        for to, code, why in [
            (f"33639981234+k{OTHER}@{DOMAIN}", "550 5.7.1", "none of this sender's"),
            (f"33639981234@{DOMAIN}", "550 5.7.1", "no key stands in the address"),
            (f"33639981234+k{KEY[:-1]}@{DOMAIN}", "550 5.1.1", "is not whole"),
            (f"0142345678+k{KEY}@{DOMAIN}", "550 5.1.3", '"0142345678" is not a mobile number'),
        ]:
            reply = await _take(parts, to, "Bonjour", "4")
            assert reply.startswith(code) and why in reply, reply
        found = await store.read(views.find, DOMAIN, views.Search())
        assert {(one.to, one.text, one.proof) for one in found} == {
            ("+33639981234", f"Bonjour, voir 33639981234@{DOMAIN}", "address_key"),
            ("+33639985678", "Alarme", "address_key"),
        }
        (notice,) = await _refusals(store)
        letter = await Letters(store, parts.letters._house, parts.letters._render).email(notice)
        assert letter is not None and b"Tel" in letter.content
        written = [letter.content.decode(), capsys.readouterr().out, "\n".join(_dump(tmp_path / "x.db"))]
    finally:
        await sandbox.close()
        mailauth.close()
        await store.close()
    written += [path.read_bytes().decode("latin-1") for path in tmp_path.glob("x.db*")]
    assert not [text for text in written if KEY in text.lower() or OTHER in text]


async def _refusals(store: Store) -> list[Notice]:
    now = (await store.read(views.find, DOMAIN, views.Search()))[0].created_at
    wanted = NoticeClaim(channel="email", owner="n", now=now + 60_000, lease_ms=1, limit=9)
    return [notice for notice in await store.claim_notices(wanted) if notice.kind == "refused"]


def _dump(path: Path) -> list[str]:
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        return list(connection.iterdump())


async def test_explain_tells_whether_a_key_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And does not print it."""
    (tmp_path / "m.yaml").write_text(CONFIG)
    (tmp_path / "x.eml").write_text(f"From: {MARIE}\nTo: x\n\nBonjour\n")
    asked = ["explain", str(tmp_path / "x.eml"), "--config", str(tmp_path / "m.yaml"), "--ip", "192.0.2.1"]
    assert await asyncio.to_thread(run, [*asked, "--to", NUMBER]) == 0
    good = capsys.readouterr().out
    assert f"{MARIE}, user Marie, by address key 192.0.2.1" in good and KEY not in good
    assert await asyncio.to_thread(run, [*asked, "--to", NUMBER, "--json"]) == 0
    assert KEY not in capsys.readouterr().out
    assert await asyncio.to_thread(run, [*asked, "--to", f"33639981234+k{OTHER}@{DOMAIN}"]) == 65
    bad = capsys.readouterr().out
    assert "address_key: fail, the key in the address is none of this sender's" in bad and OTHER not in bad


def test_keys_are_made_and_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A new one is shown once, with the line for the file; the list shows no key."""
    file = tmp_path / "m.yaml"
    file.write_text(CONFIG)
    assert run(["key", MARIE, "--config", str(file), "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert fingerprint(made["key"]) == made["hash"] and made["rule"] == "*@acme.example"
    assert made["example"] == f"33639981234+k{made['key']}@{DOMAIN}"
    assert run(["key", MARIE, "--config", str(file)]) == 0
    assert f'users: {{{MARIE}: {{keys: "sha256:' in capsys.readouterr().out
    assert run(["key", "--config", str(file)]) == 0
    assert fingerprint(KEY)[:15] in capsys.readouterr().out
    assert run(["key", "mari@acme.example", "--config", str(file)]) == 64
    assert "did you mean" in capsys.readouterr().err
