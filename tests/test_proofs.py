"""Each proof in a small version; `./run prove NAME` runs it at full size."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from copy import copy
from pathlib import Path

import pytest
from sqlalchemy import make_url

from tests.proofs import crash, kill, latency
from tests.servers.daemon import Daemon
from tests.servers.sink import MailSink


def test_kill_minus_nine_loses_nothing_and_sends_nothing_twice(database_url: str) -> None:
    """Three kills under six clients, on each database."""
    with MailSink() as sink, Daemon(database=database_url, smarthost_port=sink.port) as daemon:
        figures = kill.run(daemon, 3, sink=sink)
    assert figures.is_kept, str(figures)
    assert figures.replies > 0


def test_a_mail_that_is_on_no_phone_is_found_by_the_comparison() -> None:
    """The negative control: a promise that nobody kept is counted as lost, a text shown twice as twice."""
    with Daemon() as daemon:
        figures = kill.Figures()
        kill.compare(daemon, {"never sent": "m-0000000000000000"}, figures)
        assert figures.lost == ["m-0000000000000000 404"]
        kill.run(daemon, 0)
        file = daemon.folder / "phones.jsonl"
        shown = [line for line in file.read_text().splitlines(keepends=True) if '"shown"' in line]
        file.write_text(file.read_text() + shown[0])
        figures = kill.Figures()
        kill.compare(daemon, {}, figures)
        assert len(figures.twice) == 1


def test_a_reply_that_no_email_brought_is_found() -> None:
    """The negative control: what the phone was told is taken, and never came."""
    with MailSink() as sink:
        figures = kill.Figures()
        kill.compare_replies(sink, {"reply 1"}, figures, patience_s=0)
    assert figures.lost == ["reply 1"]


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        ("UPDATE message SET status = 'cancelled'", "a status that is not its last event's"),
        ("DELETE FROM content", "a message without its text"),
        ("DELETE FROM attempt", "sending or beyond without an intent"),
        ("DELETE FROM notice", "an MO without its notice"),
        ("UPDATE submission SET message_id = 'x'", "two messages for one mail"),
    ],
)
def test_a_broken_database_is_found(damage: str, found: str, lived: Daemon) -> None:
    """The negative control: each fault that the examination knows, made by hand."""
    file = make_url(lived.database).database
    assert file is not None
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(damage)
        connection.commit()
    assert found in kill.examine(lived)


@pytest.fixture
def lived(lived_once: Daemon, tmp_path: Path) -> Daemon:
    """A daemon that has stopped after two messages and a reply; its database is a copy for one test."""
    ended = copy(lived_once)
    whole = make_url(lived_once.database).database
    assert whole is not None
    shutil.copy(whole, tmp_path / "mail2sms.db")
    ended.database = f"sqlite:///{tmp_path}/mail2sms.db"
    assert kill.examine(ended) == []
    return ended


@pytest.fixture(scope="module")
def lived_once() -> Iterator[Daemon]:
    """As `lived`, once."""
    with MailSink() as sink, Daemon(smarthost_port=sink.port) as daemon:
        kill.run(daemon, 0, sink=sink)
        daemon.stop()
        yield daemon


@pytest.mark.parametrize("seconds", [2])
def test_a_steady_stream_arrives_whole(seconds: int) -> None:
    """The run of the latency proof, without its clock."""
    with Daemon() as daemon:
        assert latency.run(daemon, seconds)["mails"] == latency.RATE * seconds


@pytest.mark.parametrize(
    "point", ["after-commit", "after-intent", "before-answer", "after-mo", "after-email"]
)
def test_after_a_crash_at_a_named_point_all_is_as_it_must_be(point: str) -> None:
    """Those where something has just been promised, sent or heard; the proof has them all."""
    assert crash.observe(point) == crash.POINTS[point]
