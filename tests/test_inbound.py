"""What phones and carriers say, from the carrier's module to the store."""

from __future__ import annotations

from pathlib import Path

import pytest

from mail2sms.clock import now_ms
from mail2sms.config import derived
from mail2sms.consent import Consent
from mail2sms.inbound import Inbound
from mail2sms.model import MoMessage, Msisdn
from mail2sms.relay.house import House
from mail2sms.relay.letters import Letters
from mail2sms.render import Render
from mail2sms.routing import Route
from mail2sms.rules._base import Policy
from mail2sms.store import Claim, NoticeClaim, Store, facts, opt_outs
from mail2sms.verdict import Judge
from tests.fakes import ACCOUNT, NOW, OURS, PHONE


@pytest.mark.parametrize(
    ("to", "address"), [(OURS, "marie@acme.example"), ("+33639980199", "desk@acme.example")]
)
async def test_an_unexpected_text_goes_to_the_numbers_owner(tmp_path: Path, to: str, address: str) -> None:
    """Nobody wrote to this phone: the owner of the number it wrote to is told, else the default mailbox."""
    store = await Store.open(f"sqlite:///{tmp_path}/x.db")
    inbound = Inbound(store, ACCOUNT, {OURS: "marie@acme.example"}, "desk@acme.example", 1000)
    mo = MoMessage(carrier="sim", event_id="e-1", msisdn=PHONE, to=to, at=NOW, text="Bonjour ?")
    await inbound.record(mo)
    await inbound.record(mo)
    claim = NoticeClaim(channel="email", owner="n", now=now_ms() + 1000, lease_ms=1000, limit=5)
    assert [notice.address for notice in await store.claim_notices(claim)] == [address]
    await store.close()


async def test_what_belongs_to_nobody_is_kept(tmp_path: Path) -> None:
    """No owner, no default mailbox: it is stored, and the log says that nobody was told."""
    store = await Store.open(f"sqlite:///{tmp_path}/x.db")
    inbound = Inbound(store, ACCOUNT, {}, "", 1000)
    await inbound.record(MoMessage(carrier="s", event_id="e", msisdn=PHONE, to=OURS, at=NOW, text="?"))
    claim = NoticeClaim(channel="email", owner="n", now=now_ms() + 1000, lease_ms=1000, limit=5)
    assert await store.claim_notices(claim) == []
    await store.close()


BERLIN, SHORT_CODE = Msisdn("+4917139200001"), Msisdn("36111")


def consent(mode: str = "simulate", **changes: object) -> Consent:
    """Return how keywords are read and answered, as of a configuration."""
    policy = Policy(mode=mode, countries=frozenset({"FR", "DE"}))
    values = {
        "keywords": derived.words(),
        "account": ACCOUNT,
        "house": "ACME",
        "answers": derived._answers(),
        "judge": Judge(policy, [Route(to=("any",), via=("sim",))], 1000),
    }
    return Consent(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("read", "phone", "texts", "answers"),
    [
        (consent(), PHONE, ["Arrêt"], ["vous ne recevrez plus"]),
        (consent(), BERLIN, ["STOP"], ["Sie erhalten von dieser Nummer keine SMS mehr"]),
        (consent(), BERLIN, ["STOP", "stop", "STOPP"], ["keine SMS mehr"]),
        (consent(), PHONE, ["STOP", "Start"], ["ne recevrez plus", "à nouveau les SMS"]),
        (consent(), PHONE, ["STOP", "START", "STOP"], ["ne recevrez plus", "à nouveau les SMS"]),
        (consent(), PHONE, ["HELP", "aide"], ["nous vous écrivons de ce numéro"]),
        (consent(), PHONE, ["START"], []),  # nothing was blocked: it is a reply as any other
        (consent(), PHONE, ["Oui", "Annulez mon rendez-vous", "stop ou encore ?"], []),
        (consent(answers={}), PHONE, ["STOP"], []),
        (consent(silent=frozenset({"sim"})), PHONE, ["STOP"], []),
        (consent(), SHORT_CODE, ["STOP"], []),  # machines might answer each other for ever
        (consent("trial"), PHONE, ["STOP"], []),
    ],
)
async def test_keywords_are_answered(
    tmp_path: Path, read: Consent, phone: Msisdn, texts: list[str], answers: list[str]
) -> None:
    """Once a day for each word, in the country's language, by nobody twice; the list changes all the same."""
    store = await Store.open(f"sqlite:///{tmp_path}/x.db")
    inbound = Inbound(store, ACCOUNT, {}, "desk@acme.example", 1000, read)
    for number, text in enumerate(texts):
        mo = MoMessage(carrier="sim", event_id=f"e-{number}", msisdn=phone, to=OURS, at=NOW, text=text)
        await inbound.record(mo)
        await inbound.record(mo)
    wanted = Claim(carrier="sim", owner="n", now=now_ms() + 1000, lease_ms=1000, limit=9)
    sent = sorted((one.mt.created_at, one.mt.text) for one in await store.claim(wanted))
    assert len(sent) == len(answers)
    assert all(part in text for part, (_, text) in zip(answers, sent, strict=True))
    last = read.keywords.find(texts[-1], "FR")
    is_blocked = last is not None and last.word == "stop"
    assert bool(await store.read(opt_outs.listed, ACCOUNT, None, 9)) == is_blocked
    await store.close()


async def test_a_sentence_that_may_be_an_opt_out_is_marked_and_changes_nothing(tmp_path: Path) -> None:
    """Whoever wrote reads it above the text; the phone may still be written to."""
    store = await Store.open(f"sqlite:///{tmp_path}/x.db")
    house = House(
        domain=ACCOUNT,
        country="FR",
        template_mailbox="sms",
        language="en",
        zone="UTC",
        may_mean_stop=derived.words().may_mean_stop,
    )
    inbound = Inbound(store, ACCOUNT, {OURS: "marie@acme.example"}, "", 1000, consent())
    text = "Hello, please stop texting me, I have moved"
    await inbound.record(MoMessage(carrier="sim", event_id="e", msisdn=PHONE, to=OURS, at=NOW, text=text))
    claim = NoticeClaim(channel="email", owner="n", now=now_ms() + 1000, lease_ms=1000, limit=5)
    (notice,) = await store.claim_notices(claim)
    letter = await Letters(store, house, Render()).email(notice)
    assert (
        letter is not None and b"PERHAPS AN OPT-OUT" in letter.content and b"stop texting" in letter.content
    )
    assert (await store.read(facts.facts, ACCOUNT, [PHONE])).opt_outs == ()
    await store.close()
