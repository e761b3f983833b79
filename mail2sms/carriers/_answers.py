"""What an HTTP provider's answer means: taken, not now, never, or nobody knows. Pure.

Codes are data (data/provider_errors.csv). An answer that does not say clearly that nothing was taken is Uncertain:
5xx (but for 503 from the provider itself), a redirect, 2xx without an id, what is no JSON or only its beginning.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

from mail2sms.errors import Misconfigured, OptedOut, Refused, SendFailed, Unavailable, Uncertain, Unsuited
from mail2sms.http import Answer

_CONFIG_S, _SPEND_S = 300.0, 3600.0  # how long a message waits whose carrier the operator must mend, or pay


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What a code means. `kind`: permanent, config, optout, spend, throttle or retry; `scope`: account or message."""

    kind: str
    scope: str = "message"
    meaning: str = ""


_ACCOUNT = "account"
_BY_STATUS = {
    401: Verdict(kind="config", scope=_ACCOUNT, meaning="the credentials are not accepted"),
    402: Verdict(kind="spend", scope=_ACCOUNT, meaning="no credit"),
    403: Verdict(kind="config", scope=_ACCOUNT, meaning="not allowed"),
    404: Verdict(kind="config", scope=_ACCOUNT, meaning="there is no such account or address"),
    405: Verdict(kind="config", scope=_ACCOUNT, meaning="the address is not that of the API"),
    408: Verdict(kind="retry", meaning="the request did not arrive in time"),  # RFC 9110 section 15.5.9
    429: Verdict(kind="throttle", meaning="too many requests"),
    503: Verdict(kind="retry", meaning="not available"),
}
_TRY_AGAIN = "retry"  # says of a fault that it is theirs, and nothing of how far they came
_REFUSED = Verdict(kind="permanent", meaning="refused")
_NOT_NOW = Verdict(kind=_TRY_AGAIN, meaning="not taken")
_LONGEST_CODE = 40


@lru_cache(maxsize=1)
def _table() -> Mapping[tuple[str, str, str], Verdict]:
    text = (resources.files("mail2sms") / "data" / "provider_errors.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return {
        (row["provider"], row["stage"], row["code"]): Verdict(
            kind=row["class"], scope=row["scope"], meaning=row["meaning"]
        )
        for row in rows
    }


def verdict(provider: str, stage: str, code: str) -> Verdict | None:
    """Return what a code of a provider means in an answer (api) or a report (dlr), if it is known."""
    table = _table()
    return table.get((provider, stage, code)) or table.get((provider, "any", code))


def said(answer: Answer) -> Any:
    """Return the JSON of an answer, None for what is no JSON."""
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError
        return None


def dig(value: Any, *steps: str | int) -> Any:
    """Return what stands at the end of these steps in JSON, None where one does not exist."""
    for step in steps:
        is_there = (
            isinstance(value, dict)
            if isinstance(step, str)
            else isinstance(value, list) and step < len(value)
        )
        if not is_there:
            return None
        value = value.get(step) if isinstance(step, str) else value[step]
    return value


def word(value: Any) -> str:
    """Return a text or number of JSON as a short text, "" for anything else: codes, ids and statuses."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    return "".join(c for c in str(value)[:200] if c.isprintable())


def failure(provider: str, answer: Answer, code: str = "", *, may_be_taken: bool = False) -> SendFailed:
    """Return what an answer means that does not say that it was taken, with the provider's own `code` if it has one.

    `may_be_taken`: something in it speaks for it, such as an id beside the code. Then only a code that is known to
    refuse says that it was not.
    """
    status, wait_s = answer.status, answer.retry_after_s
    shown = code or str(status)
    is_busy = status == 503 and (bool(code) or wait_s is not None)
    codes = (code, code.partition("/")[0], f"HTTP-{status}")  # of AWS: an exception, then its reason
    known = next(filter(None, (verdict(provider, "api", each) for each in codes)), None)
    is_open = (status >= 500 and not is_busy) or 300 <= status < 400 or (status < 300 and not code)
    if is_open or (may_be_taken and (known is None or known.kind == _TRY_AGAIN)):
        return doubt(shown, code)
    default = _BY_STATUS.get(status) or (_REFUSED if 400 <= status < 500 else _NOT_NOW)
    return raised(known or default, shown, wait_s)


def doubt(shown: str, code: str = "") -> Uncertain:
    """Return that nobody knows. The operator sees the provider's code, where it has one, and no more of its answer."""
    told = f": code {code[:_LONGEST_CODE]}" if code else ""
    return Uncertain(shown[:_LONGEST_CODE], f"the answer does not say whether it was taken{told}")


def raised(found: Verdict, shown: str, wait_s: float | None = None) -> SendFailed:
    """Return the failure for a verdict."""
    what = found.meaning
    if found.kind == "permanent":
        return Refused(shown, what)
    if found.kind == "optout":
        return OptedOut(shown, what)
    if found.kind == "throttle":
        return Unavailable(shown, what, retry_after_s=wait_s, same_carrier=True)
    if found.kind == _TRY_AGAIN:
        return Unavailable(shown, what, retry_after_s=wait_s)
    kind = Misconfigured if found.scope == _ACCOUNT else Unsuited
    return kind(shown, what, retry_after_s=wait_s or (_SPEND_S if found.kind == "spend" else _CONFIG_S))
