"""What the DNS said is kept for as long as it holds, and asked once at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from mail2sms import dns as module
from mail2sms.dns import Dns, DnsUnanswered
from tests.servers import NameServer
from tests.test_identity import Clock


@pytest.fixture
def server() -> Iterator[NameServer]:
    """A name server that knows a.example, and is silent about b.example. Answers hold for a minute."""
    with NameServer(
        {"a.example": {"TXT": ['"one"'], "A": ["192.0.2.1"]}, "b.example": {"SILENCE": []}}
    ) as server:
        yield server


async def test_an_answer_is_kept_for_as_long_as_it_says(server: NameServer) -> None:
    """Whatever case and final dot it is asked in."""
    clock = Clock()
    dns = Dns(server.endpoint, clock=clock)
    for name in ("a.example", "A.Example", "a.example."):
        assert await dns.txt(name) == ("one",)
    clock.now_s = 59
    await dns.txt("a.example")
    assert server.asked == ["a.example TXT"]
    clock.now_s = 60
    await dns.txt("a.example")
    assert len(server.asked) == 2


async def test_that_there_is_none_is_kept_for_a_minute(server: NameServer) -> None:
    """No such name, no such record, and no name at all: which is not even asked."""
    clock = Clock()
    dns = Dns(server.endpoint, clock=clock)
    for _ in range(2):
        assert await dns.txt("none.example") == ()
        assert await dns.mx("a.example") == ()
        assert await dns.txt("a..example") == await dns.txt(f"{'a' * 64}.example") == ()
    assert server.asked == ["none.example TXT", "a.example MX"]
    clock.now_s = 60
    await dns.txt("none.example")
    assert len(server.asked) == 3


async def test_silence_is_not_an_answer(server: NameServer) -> None:
    """It is kept for a few seconds, so that a flood of the same question does not wait for each."""
    clock = Clock()
    dns = Dns(server.endpoint, timeout_s=0.05, clock=clock)
    for _ in range(3):
        with pytest.raises(DnsUnanswered):
            await dns.txt("b.example")
    asked = len(server.asked)
    server.zone = {"b.example": {"TXT": ['"two"']}}
    clock.now_s = 6
    assert await dns.txt("b.example") == ("two",)
    assert len(server.asked) == asked + 1


async def test_many_ask_once(server: NameServer) -> None:
    """One who gives up does not take the answer from the others."""
    dns = Dns(server.endpoint)
    asking = [asyncio.create_task(dns.txt("a.example")) for _ in range(20)]
    await asyncio.sleep(0)
    asking[0].cancel()
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert answers[1:] == [("one",)] * 19
    assert server.asked == ["a.example TXT"]


async def test_what_is_kept_is_bounded(server: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was not asked for the longest time goes first."""
    monkeypatch.setattr(module, "_KEPT_ANSWERS", 2)
    dns = Dns(server.endpoint)
    for name in ("a.example", "x.example", "a.example", "y.example", "a.example", "x.example"):
        await dns.txt(name)
    assert [line.partition(".")[0] for line in server.asked] == ["a", "x", "y", "x"]
