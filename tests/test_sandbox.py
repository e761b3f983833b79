"""Costly mails are read in a process of their own, which may die without harm."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator

import psutil
import pytest

from mail2sms.errors import Refusal
from mail2sms.intake import headers
from mail2sms.intake import sandbox as module
from mail2sms.intake.mime import Letter
from mail2sms.intake.sandbox import Sandbox
from mail2sms.intake.turns import TurnLost, Turns

_HTML = b"From: a@acme.example\r\nContent-Type: text/html\r\n\r\n<p>Hello %d"
_PLAIN = b"From: a@acme.example\r\n\r\nHello"
# One wide cell makes inscriptis pad every row of the table to its width: gigabytes.
_BOMB = (
    b"Content-Type: text/html\r\n\r\n<table><tr><td>" + b"x" * 150_000 + b"<td>y" + b"<tr><td>a<td>b" * 6000
)


async def read_letter(
    raw: bytes, sandbox: Sandbox, writer: str = "a@acme.example", *, has_left: bool = False
) -> Letter:
    """Return the letter of a writer who waits for it."""
    head = headers.split(raw, 0, len(raw))
    return await module.read_letter(raw, head, sandbox, writer, lambda: has_left)


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


async def test_a_mail_that_exhausts_the_worker_is_refused_and_the_next_is_read(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    """Memory and CPU are limited by the kernel; the next mail gets a fresh process."""
    with pytest.raises(Refusal) as caught:
        await read_letter(_BOMB, sandbox)
    assert caught.value.problems[0].reason == "mail.too_complex"
    assert capsys.readouterr().out.count("sandbox_killed") == 1
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
    for _ in range(10):
        await asyncio.sleep(0)  # turns for the end of its output to be seen
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


@pytest.mark.parametrize(("writers", "taken"), [(60, 51), (1, 21)])
async def test_the_queue_is_bounded(sandbox: Sandbox, writers: int, taken: int) -> None:
    """Fifty mails may wait, twenty of one writer; the others are told to come again."""
    letters = await asyncio.gather(
        *(read_letter(_HTML % number, sandbox, f"{number % writers}@a.example") for number in range(60)),
        return_exceptions=True,
    )
    refused = [letter for letter in letters if isinstance(letter, Refusal)]
    assert [refusal.problems[0].reason for refusal in refused] == ["system.busy"] * (60 - taken)
    assert [letter.text for letter in letters[:taken] if not isinstance(letter, BaseException)] == [
        f"Hello {number}" for number in range(taken)
    ]


async def test_who_has_left_while_waiting_is_not_read(sandbox: Sandbox) -> None:
    """Nobody would hear the verdict. Who need not wait is read anyway."""
    first, gone, third = await asyncio.gather(
        read_letter(_HTML % 1, sandbox, has_left=True),
        read_letter(_HTML % 2, sandbox, has_left=True),
        read_letter(_HTML % 3, sandbox),
        return_exceptions=True,
    )
    assert isinstance(gone, Refusal)
    assert gone.problems[0].reason == "system.busy"
    assert [letter.text for letter in (first, third) if not isinstance(letter, BaseException)] == [
        "Hello 1",
        "Hello 3",
    ]


class Course:
    """A course of turns, each of its own length, on a clock of its own."""

    def __init__(self, *, per_key: int = 9, total: int = 9) -> None:
        self.now_s = 0.0
        self.order: list[str] = []
        self.turns = Turns(per_key=per_key, total=total, clock=lambda: self.now_s)
        self.tasks: list[asyncio.Task[None]] = []

    def ask(self, *names: str, seconds: float = 1.0) -> None:
        """Ask for turns; the first letter of a name is its key."""
        self.tasks += [asyncio.create_task(self._turn(name, seconds), name=name) for name in names]

    async def _turn(self, name: str, seconds: float) -> None:
        async with self.turns.turn(name[0], lambda: name.endswith("gone")):
            self.order.append(name)
            await asyncio.sleep(0)
            self.now_s += seconds

    async def lost(self) -> list[str]:
        """Return who had no turn, once all is over."""
        await asyncio.wait(self.tasks)
        return [t.get_name() for t in self.tasks if t.cancelled() or isinstance(t.exception(), TurnLost)]


async def test_many_turns_of_one_keep_nobody_waiting() -> None:
    """Who comes later waits for the one that is under way; equal ones alternate."""
    course = Course()
    course.ask("a1", "a2", "a3", "a4", "b1", "b2", "b3")
    assert await course.lost() == []
    assert course.order == ["a1", "b1", "a2", "b2", "a3", "b3", "a4"]


async def test_turns_are_shared_by_time() -> None:
    """Two long turns of one key cost as much as many short ones of another; nobody saves up while away."""
    course = Course()
    course.ask("a1", "a2", "a3", seconds=10)
    course.ask("b1", "b2", "b3", "b4", seconds=1)
    assert await course.lost() == []
    assert course.order == ["a1", "b1", "b2", "b3", "b4", "a2", "a3"]
    course.ask("b5", "b6", seconds=10)
    course.ask("c1", "c2", seconds=10)
    assert await course.lost() == []
    assert course.order[7:] == ["b5", "c1", "b6", "c2"]


async def test_queues_are_bounded_by_key_and_in_all() -> None:
    """One turn, two that wait for each key, three in all."""
    course = Course(per_key=2, total=3)
    course.ask("a1", "a2", "a3", "a4", "b1", "b2", "c1")
    assert await course.lost() == ["a4", "b2", "c1"]


async def test_turns_of_who_gave_up_or_left_go_to_the_next() -> None:
    """Cancelled in the queue, cancelled when the turn had just come, gone without a word."""
    for turns_of_the_loop in range(8):
        course = Course()
        course.ask("a1", "b1", "c-gone", "d1", "d2")
        for _ in range(turns_of_the_loop):
            await asyncio.sleep(0)
        course.tasks[1].cancel()
        lost = await course.lost()
        assert lost in (["b1", "c-gone"], ["c-gone"])
        assert course.order[-2:] == ["d1", "d2"]
        course.ask("e1")
        assert course.tasks[-1].get_name() not in await course.lost()


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
        "argon2",
        "fastapi",
        "idna",
        "jinja2",
        "phonenumbers",
        "pydantic",
        "sqlalchemy",
        "structlog",
        "yaml",
    }
    own = {name for name in names if name.startswith("mail2sms.")}
    assert {name for name in own if not name.startswith("mail2sms.intake")} == {
        "mail2sms.addresses",
        "mail2sms.errors",
        "mail2sms.workers",
    }
