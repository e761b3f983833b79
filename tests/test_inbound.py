"""What phones and carriers say, from the carrier's module to the store."""

from __future__ import annotations

from pathlib import Path

import pytest

from mail2sms.clock import now_ms
from mail2sms.inbound import Inbound
from mail2sms.model import MoMessage
from mail2sms.store import NoticeClaim, Store
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
