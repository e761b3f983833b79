"""What the tests of the configuration share: the minimal file, snippets made whole, findings as lines."""

from __future__ import annotations

import re
from pathlib import Path

from mail2sms import config

PATH = Path("m.yaml")
MINIMAL = """\
domain: sms.acme.example
country: FR
mode: simulate
database: sqlite:////some/folder/mail2sms.db
listen: {smtp: {address: "127.0.0.1:2525"}, web: {address: "127.0.0.1:8025", url: "http://127.0.0.1:8025"}}
senders: [{from: "*@acme.example", network: 127.0.0.1}]
users: {marie@acme.example: {name: Marie Dubois, number: "+33639980101"}}
countries: [FR]
carriers: {sim: {type: simulated}}
routes: [{to: any, via: [sim]}]
relay: {smarthost: {address: "127.0.0.1:2526"}}
api: {keys: [{name: test, key: "a-long-random-key-for-tests-only-0001", may: [read, send]}]}
sender_ids: {default: ACME}
"""


def whole(snippet: str) -> str:
    """Return the snippet, and after it the sections of the minimal file that it does not have itself."""
    named = {*re.findall(r"^(\w+):", snippet, re.MULTILINE), "api"}
    rest = [line for line in MINIMAL.splitlines() if line.partition(":")[0] not in named]
    return "\n".join([snippet.rstrip("\n"), *rest, ""])


def found(text: str, level: str = "error") -> list[str]:
    """Return what a check finds: `line:column message -> hint`."""
    report = config.check(PATH, environment=False, text=text)
    return [
        f"{f.line}:{f.column} {f.message}" + (f" -> {f.hint}" if f.hint else "")
        for f in report.findings
        if f.level == level
    ]
