"""The proof of what `unknown` means, in small versions, each with its negative control."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from ssl import TLSVersion

import pytest
import uvloop

from mail2sms.http import Http, NotSent
from tests.proofs import _kernel, _letters, _storm, boundary
from tests.proofs._lanes import SHORT_WAITS


def test_in_doubt_is_exactly_what_went_out_without_a_full_answer() -> None:
    """Cut at a sample of bytes, both ways, on new and on kept connections. Nothing is sent again."""
    figures = boundary.run_cuts("hold", 150)
    assert figures.is_kept, figures.wrong
    assert figures.most_taken == 1


def test_in_doubt_is_whatever_servers_answer_without_saying_so() -> None:
    """Garbage, silence, errors that leave it open; and what says it, and what never was a connection."""
    figures = boundary.run_ways("hold")
    assert figures.is_kept, figures.wrong


def test_what_is_in_doubt_is_sent_again_once_if_so_configured() -> None:
    """After its wait; a second doubt ends it."""
    figures = boundary.run_cuts("resend", 300, forms=("length/once",))
    assert figures.is_kept, figures.wrong
    assert figures.most_taken == 2


def test_a_carrier_that_takes_no_answer_for_a_no_is_found() -> None:
    """The negative control: it sends twice."""
    assert boundary.run_cuts("hold", 300, type_name="careless", forms=("length/once",)).most_taken > 1


def test_a_carrier_that_doubts_what_never_left_is_found() -> None:
    """The negative control."""
    assert boundary.run_outages("anxious").doubts_without_reason > 0


@pytest.mark.servers
@pytest.mark.parametrize("version", boundary.TLS.values(), ids=boundary.TLS)
def test_a_tls_connection_that_did_not_come_up_is_no_doubt(version: TLSVersion) -> None:
    """A cut or failing handshake is tried again; a cut in what follows is a doubt."""
    figures = boundary.run_tls(version, 1000)
    assert figures.is_kept, figures.wrong


def test_what_a_server_says_between_requests_answers_none() -> None:
    """Proxies say 408 before they close what was idle; the next message must go out all the same."""
    figures = boundary.run_idle()
    assert figures.is_kept, figures.wrong


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_connection_that_ended_before_it_was_written_to_is_no_doubt(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    """The server says goodbye at once and goes on listening: it hears nothing, so nothing was written."""
    heard: list[bytes] = []

    class Leaves(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            transport.write_eof()  # type: ignore[attr-defined]  # uvloop's is not derived from it

        def data_received(self, data: bytes) -> None:
            heard.append(data)

    async def post() -> None:
        client = Http()
        server = await asyncio.get_running_loop().create_server(Leaves, "127.0.0.1", 0)
        try:
            await client.post(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", body=b"x")
        finally:
            await client.close()
            server.close()

    with asyncio.Runner(loop_factory=new_loop) as runner, pytest.raises(NotSent):
        runner.run(post())
    assert heard == []


@pytest.mark.servers
def test_what_the_kernel_took_is_in_doubt_and_stays_here() -> None:
    """Connections end just when they are written to, by FIN or RST; strace sees who was first."""
    figures = _kernel.run(20)
    assert figures.wrong == [], figures.wrong
    assert figures.taken > 0


@pytest.mark.servers
def test_a_doubt_about_what_the_kernel_was_never_offered_is_found() -> None:
    """The negative control."""
    assert _kernel.run(20, "anxious").baseless


@pytest.mark.parametrize(("on_unknown", "most"), [("hold", 1), ("resend", 2)])
def test_bad_days_lose_nothing_and_send_nothing_too_often(on_unknown: str, most: int) -> None:
    """Every kind of fault at once; a provider that asks for a time gets it."""
    kinds = [*_storm.KINDS, _storm.MIXED] if on_unknown == "hold" else [_storm.MIXED] * 3
    for figures in _storm.run(kinds, 15, on_unknown=on_unknown, waits=SHORT_WAITS):
        assert figures.is_kept, (str(figures), figures.lost, figures.twice, figures.wrong, figures.early)


def test_nothing_is_sent_after_its_expiry() -> None:
    """The provider never takes it."""
    figures = _storm.expire(5, 3)
    assert figures.is_kept, (str(figures), figures.late)


def test_a_reply_email_arrives_wherever_its_smtp_session_is_cut() -> None:
    """Again only when the cut was between its last dot and its 250, and under the same Message-ID."""
    figures = _letters.run(200)
    assert figures.is_kept, (str(figures), figures.lost, figures.renamed, figures.twice)
    assert figures.again > 0


def test_a_mailer_that_forgets_what_did_not_leave_is_found() -> None:
    """The negative control: mails are lost."""
    assert _letters.run(200, _letters.CONTENT).lost


def test_a_mailer_that_renames_what_it_sends_again_is_found() -> None:
    """The negative control: mailboxes could not drop the copy."""
    assert _letters.run(200, _letters.RENAMED).renamed
