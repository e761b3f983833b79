"""The README's table of carriers is what their classes say. MAIL2SMS_REWRITE=1 writes it anew, and fails once."""

from __future__ import annotations

import os
from pathlib import Path

from mail2sms import carriers
from mail2sms.carriers._base import Carrier

README = Path(__file__).resolve().parent.parent / "README.md"
BEGIN, END = "<!-- carriers: written by tests/test_abilities.py -->\n", "<!-- /carriers -->\n"
HEAD = (
    "| `type` | provider | replies | reports | MMS | what a phone may see as sender | long texts are cut by "
    "| webhooks are proven by | tested against |\n|---|---|---|---|---|---|---|---|---|\n"
)


def classes() -> dict[str, type[Carrier]]:
    """Return the class of each carrier type."""
    found = {}
    for name in carriers.types():
        module = carriers.load(name)
        own = [
            each
            for each in vars(module).values()
            if isinstance(each, type) and each.__module__ == module.__name__
        ]
        (found[name],) = [each for each in own if issubclass(each, Carrier)]
    return found


def row(name: str, carrier: type[Carrier]) -> str:
    """Return one line of the table."""
    can = carrier.abilities
    is_told = getattr(carriers.load(name).Options, "signed_by", None) is not None
    proof = can.signs or ("its path, and where it comes from" if is_told else "-")
    cut = "the provider" if carrier.split is Carrier.split else "mail2sms"
    replies, reports, mms = (
        "yes" if x else "no" for x in (can.receives, carrier.reports, can.mms is not None)
    )
    if getattr(carriers.load(name).Options, "is_asked", False):
        reports = "yes, and when asked"
    cells = [f"`{name}`", can.title, replies, reports, mms]
    return "| " + " | ".join([*cells, can.senders, cut, proof, can.tested]) + " |\n"


def test_the_readmes_table_is_current() -> None:
    """One line for each carrier type."""
    table = HEAD + "".join(row(name, carrier) for name, carrier in classes().items())
    text = README.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    found, _, after = rest.partition(END)
    if found != table and os.environ.get("MAIL2SMS_REWRITE") == "1":
        README.write_text(before + BEGIN + table + END + after, encoding="utf-8")
    assert found == table
