"""Costly mails are read in a process of their own, which may die without harm."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator

import psutil
import pytest

from mail2sms.errors import Refusal
from mail2sms.intake.sandbox import Sandbox, read_letter

_HTML = b"From: a@acme.example\r\nContent-Type: text/html\r\n\r\n<p>Hello %d"
_PLAIN = b"From: a@acme.example\r\n\r\nHello"
# One wide cell makes inscriptis pad every row of the table to its width: gigabytes.
_BOMB = (
    b"Content-Type: text/html\r\n\r\n<table><tr><td>" + b"x" * 150_000 + b"<td>y" + b"<tr><td>a<td>b" * 6000
)


def _workers() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "mail2sms.intake.sandbox" in child.cmdline()]


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    sandbox = Sandbox()
    yield sandbox
    await sandbox.close()
    assert not _workers()


async def test_simple_mails_start_no_worker(sandbox: Sandbox) -> None:
    """An ordinary plain mail is read at once."""
    assert (await read_letter(_PLAIN, sandbox)).text == "Hello"
    assert not _workers()


async def test_html_is_read_by_one_worker(sandbox: Sandbox) -> None:
    """The letter comes back whole, and the worker is used again."""
    first = await read_letter(_HTML % 1, sandbox)
    pids = [worker.pid for worker in _workers()]
    second = await read_letter(_HTML % 2, sandbox)
    assert (first.text, second.text) == ("Hello 1", "Hello 2")
    assert (first.text_source, first.from_addresses, first.attachments) == ("html", ("a@acme.example",), ())
    assert [worker.pid for worker in _workers()] == pids
    assert len(pids) == 1


async def test_an_empty_plain_part_sends_the_html_to_the_worker(sandbox: Sandbox) -> None:
    """Only reading shows that the plain alternative says nothing."""
    raw = (
        b"Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n\r\n \r\n"
        b"--b\r\nContent-Type: text/html\r\n\r\n<p>Hello\r\n--b--"
    )
    assert (await read_letter(raw, sandbox)).text == "Hello"


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"Content-Type: text/html\r\n\r\n<img>", "mail.no_text"),
        (b"Content-Type: application/pdf\r\n\r\nx", "mail.no_text"),
        (b"Content-Type: text/html\r\n\r\n" + b"<b>" * 300, "mail.too_complex"),
        (b"X: y\r\n" * 300 + b"\r\n", "mail.too_complex"),
    ],
)
async def test_refusals_come_through(sandbox: Sandbox, raw: bytes, reason: str) -> None:
    """What the worker refuses is refused here, with its facts."""
    with pytest.raises(Refusal) as caught:
        await read_letter(raw, sandbox)
    assert caught.value.problems[0].reason == reason


async def test_a_mail_that_exhausts_the_worker_is_refused_and_the_next_is_read(sandbox: Sandbox) -> None:
    """Memory and CPU are limited by the kernel; the next mail gets a fresh process."""
    with pytest.raises(Refusal) as caught:
        await read_letter(_BOMB, sandbox)
    assert caught.value.problems[0].reason == "mail.too_complex"
    assert (await read_letter(_HTML % 2, sandbox)).text == "Hello 2"


async def test_a_worker_killed_at_work_refuses_its_mail_only(sandbox: Sandbox) -> None:
    """The mails behind it in the queue are read by a fresh process."""
    await read_letter(_HTML % 0, sandbox)
    (worker,) = _workers()
    worker.suspend()
    reading = asyncio.gather(
        read_letter(_HTML % 1, sandbox), read_letter(_HTML % 2, sandbox), return_exceptions=True
    )
    for _ in range(10):
        await asyncio.sleep(0)  # the first has been handed over
    worker.kill()
    first, second = await reading
    assert isinstance(first, Refusal)
    assert not isinstance(second, BaseException)
    assert second.text == "Hello 2"


async def test_a_worker_that_died_idle_is_replaced(sandbox: Sandbox) -> None:
    """No mail is refused for it."""
    await read_letter(_HTML % 1, sandbox)
    (worker,) = _workers()
    worker.kill()
    await asyncio.to_thread(worker.wait, 5)
    for _ in range(100):
        await asyncio.sleep(0)
    assert (await read_letter(_HTML % 2, sandbox)).text == "Hello 2"


async def test_a_caller_that_gives_up_leaves_no_answer_behind(sandbox: Sandbox) -> None:
    """The next caller gets its own letter, not the one nobody waited for."""
    await read_letter(_HTML % 0, sandbox)
    task = asyncio.create_task(read_letter(_HTML % 1, sandbox))
    for _ in range(3):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await read_letter(_HTML % 2, sandbox)).text == "Hello 2"


async def test_the_queue_is_bounded(sandbox: Sandbox) -> None:
    """Fifty mails wait or are read; the others are told to come again."""
    letters = await asyncio.gather(
        *(read_letter(_HTML % number, sandbox) for number in range(60)), return_exceptions=True
    )
    refused = [letter for letter in letters if isinstance(letter, Refusal)]
    assert [refusal.problems[0].reason for refusal in refused] == ["system.busy"] * 10
    assert [letter.text for letter in letters[:50] if not isinstance(letter, BaseException)] == [
        f"Hello {number}" for number in range(50)
    ]


async def test_an_idle_worker_ends_and_another_is_started() -> None:
    """Its memory is given back."""
    sandbox = Sandbox(idle_s=0)
    await read_letter(_HTML % 1, sandbox)
    for worker in _workers():
        await asyncio.to_thread(worker.wait, 5)
    assert (await read_letter(_HTML % 2, sandbox)).text == "Hello 2"
    await sandbox.close()
    await sandbox.close()
    assert not _workers()


async def test_the_worker_sees_no_secrets(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets may stand in the environment; a process that reads strangers' mails gets none of it."""
    monkeypatch.setenv("MAIL2SMS_SECRET", "canary")
    await read_letter(_HTML % 1, sandbox)
    (worker,) = _workers()
    assert "canary" not in worker.environ().values()


async def test_the_worker_imports_nothing_of_the_daemon() -> None:
    """It starts fast and stays small."""
    code = (
        "import sys, mail2sms.intake.sandbox, mail2sms.intake.html;"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}), *sys.modules)"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    names = set((await process.communicate())[0].decode().split())
    assert not names & {
        "aiohttp",
        "aiosmtpd",
        "fastapi",
        "jinja2",
        "phonenumbers",
        "pydantic",
        "sqlalchemy",
        "yaml",
    }
    assert {name for name in names if name.startswith("mail2sms.")} == {
        "mail2sms.errors",
        "mail2sms.intake",
        "mail2sms.intake.charsets",
        "mail2sms.intake.headers",
        "mail2sms.intake.html",
        "mail2sms.intake.mime",
        "mail2sms.intake.sandbox",
    }
