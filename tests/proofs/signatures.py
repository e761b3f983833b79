"""Webhooks' signatures: what the providers' SDKs take is taken, what they refuse is refused; a replay does nothing.

Usage: signatures [COUNT]: mutations for each provider (10000); a tenth of them is shown to its SDK too.
The SDKs of Twilio, Vonage, Telnyx, Plivo, Sinch and MessageBird are installed into an environment that goes away.
Genuine requests of any texts: the SDK and we take each. Mutations: none tells what no genuine one does; what the SDK
refuses is never taken. Replays, of genuine requests, an hour later: to a store, where they change nothing.
Control that must fail: a check that looks at the signature's length alone.
"""

from __future__ import annotations

import asyncio
import io
import json
import random
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from mail2sms.carriers import _proofs, plivo, sinch, twilio
from mail2sms.carriers._base import Call
from mail2sms.inbound import Inbound
from mail2sms.model import MoMessage
from mail2sms.store import Store, schema
from tests.carriers import cases
from tests.carriers.signing import SIGNS
from tests.fakes import ACCOUNT
from tests.proofs import _sdks, _webhooks

PACKAGES = (
    *("twilio", "vonage-http-client", "vonage-jwt", "telnyx<3", "pynacl"),
    *("plivo", "sinch", "messagebird", "pyjwt"),
)
_SECRETS = {
    **dict.fromkeys(("twilio", "plivo"), "token"),
    **dict.fromkeys(("vonage", "vonage_messages", "sinch"), "signing_secret"),
    "telnyx": "public_key",
    "messagebird": "signing_key",
}
_TEXTS = ("Yes", "", "a=b & c", "Grüße €", "😀 100%+1?", "line\nbreak", "x" * 500, "'\"<>", "%41", " ", "\\")
_GENUINE = 200


@contextmanager
def sdks(python: str | None = None) -> Iterator[subprocess.Popen[str]]:
    """Install the SDKs, unless a Python that has them is named, and start the program that asks them."""
    with tempfile.TemporaryDirectory() as folder:
        if python is None:
            venv.create(folder, with_pip=True)
            python = f"{folder}/bin/python"
            subprocess.run([python, "-m", "pip", "install", "-qq", *PACKAGES], check=True)
        pipe = subprocess.PIPE
        with subprocess.Popen([python, "-P", _sdks.__file__], stdin=pipe, stdout=pipe, text=True) as program:
            yield program
            assert program.stdin is not None
            program.stdin.close()


def ask(program: subprocess.Popen[str], type_name: str, call: Call) -> bool:
    """Return what the SDK says of a call."""
    assert program.stdin is not None
    assert program.stdout is not None
    asked = {
        "type": type_name,
        "method": call.method,
        "url": cases.URL + (f"?{call.query}" if call.query else ""),
        "headers": dict(call.headers),
        "body": call.body.decode("utf-8", "replace"),
        "secret": cases.FILES[type_name]["options"][_SECRETS[type_name]],
    }
    program.stdin.write(json.dumps(asked) + "\n")
    program.stdin.flush()
    return program.stdout.readline().strip() == "true"


def varied(type_name: str, count: int, seed: int) -> list[Call]:
    """Return genuine requests of now, with any texts in them."""
    chance, made = random.Random(seed), list[Call]()
    texts = [case for case in cases.FILES[type_name]["calls"] if case["events"]]
    for _ in range(count):
        case = _with(chance.choice(texts), chance)
        unsigned = replace(cases.call(type_name, case, is_proven=False), at=int(time.time()) * 1000)
        made.append(SIGNS[type_name](unsigned, cases.FILES[type_name]["options"], cases.URL))
    return made


def _with(value: Any, chance: random.Random) -> Any:
    """Return a case whose texts are others."""
    if isinstance(value, list):
        return [_with(each, chance) for each in value]
    if not isinstance(value, dict):
        return value
    said = {"Body", "Text", "text", "body"}
    return {
        name: chance.choice(_TEXTS) if name in said and isinstance(each, str) else _with(each, chance)
        for name, each in value.items()
    }


def agree(
    program: subprocess.Popen[str], type_name: str, count: int, mutations: int, seed: int = 1
) -> list[str]:
    """Return where the SDK and we differ: on genuine requests at all, on others where we take what it refuses."""
    chance, under_test = random.Random(seed), cases.provider(type_name, Path())
    calls, found = varied(type_name, count, seed), list[str]()
    for call in calls:
        theirs, ours = ask(program, type_name, call), _takes(under_test, call)
        if not (theirs and ours):
            found.append(f"{type_name}: genuine, the SDK says {theirs}, we say {ours}: {call.body!r}")
    for _ in range(mutations):
        call = _webhooks.forged(chance.choice(calls), chance)
        if _takes(under_test, call) and not ask(program, type_name, call):
            found.append(
                f"{type_name}: we take what the SDK refuses: {call.query} {call.body!r} {call.headers}"
            )
    return found


def _takes(under_test: Any, call: Call) -> bool:
    try:
        under_test.check_signature(call)
    except (PermissionError, ValueError):
        return False
    return True


async def replay(url: str, type_name: str, times: int) -> tuple[int, int]:
    """Record a provider's genuine requests again and again; return how many emails are owed, and of how many texts."""
    store = await Store.open(url)
    try:
        inbound = Inbound(store, ACCOUNT, {}, "desk@acme.example", 3_600_000)
        under_test = cases.provider(type_name, Path())
        calls = _webhooks.genuine(type_name)
        for _ in range(times):
            for call in calls:
                for event in await under_test.receive(call):
                    await inbound.record(event)
        events = [event for call in calls for event in under_test.events(call)]
        ids = {event.event_id for event in events if isinstance(event, MoMessage)}
        owed = select(func.count()).select_from(schema.notice)  # those that wait for files, too
        return await store.read(lambda connection: connection.execute(owed).scalar_one()), len(ids)
    finally:
        await store.close()


@contextmanager
def careless() -> Iterator[None]:
    """The negative control: the length of a signature is looked at."""
    modules: tuple[Any, ...] = (_proofs, twilio, plivo, sinch)
    kept = [module.same for module in modules]
    for module in modules:
        module.same = lambda given, expected: len(given) == len(expected)
    try:
        yield
    finally:
        for module, same in zip(modules, kept, strict=True):
            module.same = same


def main(argv: Sequence[str]) -> int:
    """Print what came of each provider; 0 when all is as it must be and the control was found."""
    count = int(argv[0]) if argv else 10_000
    is_proven = True
    with sdks() as program:
        for name in _sdks.SDKS:
            differ = agree(program, name, _GENUINE, count // 10)
            print(
                f"{name}: {_GENUINE} genuine, {count // 10} mutated, {len(differ)} judged otherwise by its SDK"
            )
            print(*differ[:5], sep="\n", end="\n" if differ else "", flush=True)
            is_proven &= not differ
    for name in _webhooks.signed():
        figures = _webhooks.forge(name, count, seed=1)
        print(f"{name}: {figures}", *figures.forged[:5], sep="\n    ", flush=True)
        is_proven &= figures.is_kept and not figures.forged
    for name in _webhooks.types():
        with tempfile.TemporaryDirectory() as folder, redirect_stdout(io.StringIO()):  # its log
            shown, wanted = asyncio.run(replay(f"sqlite:///{folder}/x.db", name, 10))
        print(f"{name}: every request 10 times: {shown} emails, of {wanted} texts")
        is_proven &= shown == wanted
    with careless():
        is_found = any(_webhooks.forge(name, 2000, seed=1).forged for name in ("twilio", "plivo", "sinch"))
    print(f"  control: the length of a signature is enough: {'found' if is_found else 'NOT FOUND'}")
    return 0 if is_proven and is_found else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
