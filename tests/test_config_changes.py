"""What a reload applies and says, and what it leaves for a restart."""

from __future__ import annotations

from pathlib import Path

import pytest

from mail2sms.config.changes import compare
from mail2sms.config.check import load
from mail2sms.config.schema import Settings
from mail2sms.errors import BadOption
from mail2sms.money import read
from mail2sms.options import Secret
from tests.servers import minimal_config

KEPT = """\
users:
  marie@acme.example: {name: Marie Dubois, number: "+33639980101"}
  paul@acme.example: {name: Paul Martin}
routes: [{to: "+338", refuse: special}, {to: FR, via: [sim]}, {to: any, via: [sim]}]
countries: [FR, DE]
tls: {certificate: /a.pem, key: /a.key}
"""


def settings(extra: str, mode: str = "simulate") -> Settings:
    """Settings with the options of KEPT, those of `extra` in their place."""
    names = {line.partition(":")[0] for line in extra.splitlines() if line[:1].strip()}
    kept: list[str] = []
    is_replaced = False
    for line in KEPT.splitlines():
        if line[:1].strip():
            is_replaced = line.partition(":")[0] in names
        if not is_replaced:
            kept.append(line)
    text = minimal_config(
        database="sqlite:////x.db", smtp_port=1, web_port=2, mode=mode, extra="\n".join([*kept, extra])
    )
    return load(Path("nowhere.yaml"), text)


MARIE = 'marie@acme.example: {name: Marie Dubois, number: "+33639980101"}'
PAUL = "paul@acme.example: {name: Paul Martin}"


@pytest.mark.parametrize(
    ("extra", "applied"),
    [
        ("", []),
        (f"users: {{{MARIE}, {PAUL}, a@acme.example: {{}}, b@acme.example: {{}}}}", ["2 users added"]),
        (f"users: {{{MARIE}}}", ["1 user removed"]),
        (f"users: {{{MARIE}, paul@acme.example: {{name: Paul}}}}", ["1 user changed"]),
        ("teams: {support: {members: [paul@acme.example]}}", ["1 team added"]),
        (
            'routes: [{to: "+338", refuse: special}, {to: FR, via: [sim]}, {to: DE, via: [sim]}]',
            ["route 3 changed"],
        ),
        ("routes: [{to: FR, via: [sim]}, {to: any, via: [sim]}]", ["1 route removed"]),
        (
            'routes: [{to: FR, via: [sim]}, {to: "+338", refuse: special}, {to: any, via: [sim]}]',
            ["routes in another order"],
        ),
        (
            'senders: [{from: "*@acme.example", network: 127.0.0.1}, {from: "*", network: 10.0.0.0/8}]',
            ["1 sender added"],
        ),
        ("countries: [FR, IT, BE]", ["countries +IT +BE -DE"]),
        ("max_parts: 6", ["max_parts 4 -> 6"]),
        ("language: fr\ntimezone: Europe/Paris", ["language en -> fr", "timezone UTC -> Europe/Paris"]),
        ("validity: 3d\nreply_window: 5d", ["validity changed", "reply_window changed"]),
        ("default_mailbox: desk@acme.example", ["default_mailbox changed"]),
        ("sender_ids: {default: ACME}", ["sender_ids.default changed"]),
        ("limits: {per_ip: 20}", ["limits.per_ip changed"]),
        ("carriers: {sim: {type: simulated, price: {FR: 1 EUR}}}", ["carriers.sim.price changed"]),
        ("tls: {certificate: /b.pem, key: /b.key}", ["tls changed"]),
        ('relay: {smarthost: {address: "127.0.0.1:25"}}', ["relay.smarthost changed"]),
        ("on_unknown: resend", ["on_unknown hold -> resend"]),
        (
            'api: {keys: [{name: test, key: "another-key-for-tests-only-00001", may: read}]}',
            ["1 API key changed"],
        ),
    ],
)
def test_what_is_applied_at_once(extra: str, applied: list[str]) -> None:
    """It is in force then, nothing waits, and the words tell what is new."""
    changes = compare(settings(""), settings(extra))
    assert list(changes.applied) == applied
    assert changes.restart == ()
    assert changes.settings == settings(extra)


WEB = 'web: {address: "127.0.0.1:2", url: "http://127.0.0.1:2"}'


@pytest.mark.parametrize(
    ("extra", "restart"),
    [
        (
            f'listen: {{smtp: {{address: "127.0.0.1:3"}}, {WEB}}}',
            ["listen.smtp.address 127.0.0.1:1 -> 127.0.0.1:3"],
        ),
        (f"listen: {{{WEB}}}", ["listen.smtp"]),
        ('database: "sqlite:////y.db"', ["database"]),
        ("domain: sms.other.example", ["domain sms.acme.example -> sms.other.example"]),
        ("carriers: {sim: {type: simulated, delay: 5s}}", ["carriers.sim"]),
        (
            "carriers: {sim: {type: simulated}, b: {type: simulated}}\nroutes: [{to: any, via: [b, sim]}]",
            ["carriers.b", "routes"],
        ),
        ("relay: {}", ["relay.smarthost"]),
    ],
)
def test_what_waits_for_a_restart(extra: str, restart: list[str]) -> None:
    """It is named, and the settings in force stay as they were: a route to a carrier that does not run waits too."""
    old = settings("")
    changes = compare(old, settings(extra))
    assert list(changes.restart) == restart
    assert changes.applied == ()
    assert changes.settings == old


def test_a_certificate_comes_or_goes_with_a_restart() -> None:
    """The listeners would speak differently."""
    without = load(Path("nowhere.yaml"), minimal_config(database="sqlite:////x.db", smtp_port=1, web_port=2))
    added = without.model_copy(update={"tls": settings("").tls})
    for old, new in ((without, added), (added, without)):
        changes = compare(old, new)
        assert (changes.restart, changes.settings) == (("tls",), old)


def test_both_at_once() -> None:
    """What can be applied is, what cannot is named."""
    changes = compare(settings(""), settings("mode: trial\nmax_parts: 2"))
    assert changes.applied == ("max_parts 4 -> 2",)
    assert changes.restart == ("mode simulate -> trial",)
    assert (changes.settings.mode, changes.settings.max_parts) == ("simulate", 2)


def test_prices_change_together() -> None:
    """No carrier keeps one in the currency that was: what a mail costs by its route must add up."""
    old = settings(
        "carriers: {sim: {type: simulated, price: {FR: 1 EUR}}, b: {type: simulated, price: {FR: 2 EUR}}}"
    )
    new = settings("carriers: {sim: {type: simulated, delay: 5s, price: {FR: 3 USD}}}")
    changes = compare(old, new)
    assert changes.applied == ("carriers.sim.price changed", "carriers.b.price changed")
    assert changes.restart == ("carriers.sim", "carriers.b")
    assert changes.settings.price_table() == {"sim": {"FR": read("3 USD")}, "b": {}}


def test_nothing_said_names_a_person() -> None:
    """The words are logged: no address, no number, no secret."""
    extra = (
        f"users: {{{MARIE.replace('0101', '0102')}, zoe@acme.example: {{}}}}\n"
        "default_mailbox: zoe@acme.example\n"
        'teams: {oncall: {phones: ["+33639981234"]}}\n'
        'api: {keys: [{name: b, key: "another-key-for-tests-only-00001", may: read}]}'
    )
    said = " ".join(compare(settings(""), settings(extra)).applied)
    assert not any(hidden in said for hidden in ("@", "+33", "another-key"))
    assert said == "1 user added 1 user removed 1 user changed 1 team added default_mailbox changed" + (
        " 1 API key added 1 API key removed"
    )


@pytest.mark.parametrize(
    ("folder", "hint"), [("", ""), ("/run/credentials/mail2sms.service", "then restart")]
)
def test_a_credential_that_systemd_did_not_pass(
    folder: str, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was passed at the start, so a reload finds no new one: that is said where it can be so."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", folder)
    with pytest.raises(BadOption) as missing:
        Secret("credential:mail2sms-none").reveal()
    assert hint in missing.value.hint
    assert bool(missing.value.hint) is bool(hint)
