"""A refused notice offers what its writer meant, and nothing else."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from mail2sms.errors import Refusal
from mail2sms.model import Origin
from mail2sms.relay.letters import House, Letters
from mail2sms.render import Render
from mail2sms.store import Notice, Store
from tests.fuzz_templates import CONTEXT, shipped

HOUSE = House(
    domain="sms.acme.example", country="FR", template_mailbox="sms", language="en", zone="Europe/Paris"
)


def notice(mail: str) -> Notice:
    """Return the notice of a mail that the strict template refuses."""
    with pytest.raises(Refusal) as caught:
        shipped("strict").read(mail, CONTEXT)
    payload = {
        "problems": [asdict(problem) for problem in caught.value.problems],
        "source": caught.value.source,
        "corrected": caught.value.corrected,
        "language": "en",
        "origin": asdict(Origin(source="smtp", message_id="<a@acme.example>")),
    }
    return Notice(
        id="n-1",
        account="acme",
        kind="refused",
        channel="email",
        address="marie@acme.example",
        reason=caught.value.problems[0].reason,
        attempts=1,
        fence=1,
        created_at=1_778_580_000_000,
        expires_at=1_778_680_000_000,
        mo=None,
        message=None,
        payload=json.dumps(payload).encode(),
    )


@pytest.mark.parametrize(
    ("mail", "offered"),
    [
        ("Tel: 06 39 98 12 35\n\nHi", "33639981235"),
        ("To: Marie <06 39 98 12 35>\n\nHi", "33639981235"),
        ("Tel: 06 39 98 12 34\n\nHi", "33639981234"),  # the example, but the writer's own
        ("To: 06 39 98 12\n\nHi", ""),
        ("Hello", ""),
        ("To: \n\nHi", ""),
        ("To: 06 39 98 12 35\nTo: 06 39 98 12 36\n\nHi", ""),
        ("".join(f"x{n}: y\n" for n in range(120)) + "\nHi", ""),  # that To is missing is told no more
    ],
)
async def test_the_easier_address_is_never_that_of_the_example(
    mail: str, offered: str, tmp_path: Path
) -> None:
    """The corrected mail has a number in it even where the writer gave none."""
    store = await Store.open(f"sqlite:///{tmp_path}/mail2sms.db")
    try:
        outgoing = await Letters(store, HOUSE, Render()).email(notice(mail))
    finally:
        await store.close()
    assert outgoing is not None
    text = outgoing.content.decode()
    assert ("Easier: write to" in text) == bool(offered)
    assert f"{offered}@sms.acme.example" in text
