"""What every HTTP provider shares: when nothing is asked, how fast, and what is known when no answer comes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mail2sms.carriers._http import HttpCarrier
from mail2sms.errors import BadOption, Misconfigured, Refused, Unavailable, Uncertain
from mail2sms.http import Answer, NoAnswer, NotSent
from mail2sms.model import Msisdn
from tests.carriers.cases import part, provider

REAL = part(msisdn=Msisdn("+33612345678"))
TAKEN = Answer(status=201, body=b'{"sid": "SM1"}')


@pytest.fixture
def asked(tmp_path: Path) -> tuple[HttpCarrier, list[Any], Callable[[object], None]]:
    """A carrier, what it was asked to ask, and a way to say what comes of it."""
    return answering(provider("twilio", tmp_path))


def answering(carrier: HttpCarrier) -> tuple[HttpCarrier, list[Any], Callable[[object], None]]:
    """Let a carrier's requests go nowhere."""
    requests: list[Any] = []
    outcome: list[object] = [TAKEN]

    async def request(method: str, url: str, **given: object) -> Answer:
        requests.append((method, url))
        if isinstance(outcome[0], Exception):
            raise outcome[0]
        assert isinstance(outcome[0], Answer)
        return outcome[0]

    carrier._http.request = request  # type: ignore[method-assign, assignment]
    return carrier, requests, lambda value: outcome.__setitem__(0, value)


Asked = tuple[HttpCarrier, list[Any], Callable[[object], None]]


async def test_a_part_is_asked_once(asked: Asked) -> None:
    """And its id comes back."""
    carrier, requests, _ = asked
    assert (await carrier.send(REAL)).carrier_message_id == "SM1"
    assert len(requests) == 1


async def test_an_example_number_is_nobodys(asked: Asked) -> None:
    """Nothing is asked of a real provider."""
    carrier, requests, _ = asked
    with pytest.raises(Refused):
        await carrier.send(part())
    assert requests == []


@pytest.mark.parametrize(
    ("happens", "known"), [(NotSent("h: refused"), Unavailable), (NoAnswer("h: reset"), Uncertain)]
)
async def test_what_is_known_without_an_answer(asked: Asked, happens: Exception, known: type) -> None:
    """Certainly not taken, or a doubt."""
    carrier, _, says = asked
    says(happens)
    with pytest.raises(known):
        await carrier.send(REAL)


async def test_an_account_out_of_order_is_left_alone(asked: Asked) -> None:
    """One message finds it out; the others go another way, or wait for it."""
    carrier, requests, says = asked
    says(Answer(status=401, body=b'{"code": 20003}'))
    with pytest.raises(Misconfigured):
        await carrier.send(REAL)
    with pytest.raises(Unavailable) as later:
        await carrier.send(REAL)
    assert later.value.code == "20003"
    assert later.value.retry_after_s is not None
    assert len(requests) == 1
    carrier._rests_s = 0.0
    says(TAKEN)
    await carrier.send(REAL)


async def test_one_message_that_is_refused_stops_no_other(asked: Asked) -> None:
    """What is wrong with it is not wrong with the account."""
    carrier, requests, says = asked
    says(Answer(status=400, body=b'{"code": 21606}'))
    for _ in range(2):
        with pytest.raises(Unavailable):
            await carrier.send(REAL)
    assert len(requests) == 2


@pytest.mark.parametrize(
    ("status", "outcome"), [(200, ""), (401, "Refused"), (403, "Refused"), (500, "Unavailable")]
)
async def test_the_account_is_asked_about(asked: Asked, status: int, outcome: str) -> None:
    """Nothing is sent."""
    carrier, requests, says = asked
    says(Answer(status=status))
    if outcome:
        with pytest.raises(Refused if outcome == "Refused" else Unavailable):
            await carrier.probe()
    else:
        assert await carrier.probe() == "Twilio knows the account"
    ((method, _),) = requests
    assert method == "GET"


@pytest.mark.parametrize(
    "changes", [{"webhook": {"secret": "short"}}, {"api": "http://api.example"}, {"api": "http://10.0.0.1"}]
)
def test_what_would_not_be_safe_is_not_built(tmp_path: Path, changes: dict[str, Any]) -> None:
    """A secret that can be guessed, and texts in clear."""
    with pytest.raises(BadOption):
        provider("twilio", tmp_path, **changes)
