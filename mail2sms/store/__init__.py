"""The store: everything durable, behind verbs. The only door to SQLAlchemy.

Writes go through the one writer (group commit) and return when they are on disk; reads run in threads on connections
of their own. Both raise StoreUnavailable when the database does not answer. Names of verbs: `put`, `claim`, `intend`,
`settle`, `record_*`; each lives in the module of its noun.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, exc

from mail2sms.errors import StoreUnavailable
from mail2sms.heard import LateAnswer
from mail2sms.lifecycle import Change
from mail2sms.model import DeliveryReport, Msisdn, Status
from mail2sms.rules._base import Reservation
from mail2sms.store import (
    approvals,
    balances,
    bell,
    engine,
    facts,
    media,
    migrate,
    mo_parts,
    mos,
    notices,
    opt_outs,
    outages,
    outcomes,
    past,
    put,
    queue,
    rated,
    reports,
    rescue,
    retention,
    sending,
    settings,
    strays,
    vigils,
    wishes,
)
from mail2sms.store.balances import Asking, Left
from mail2sms.store.counters import Exceeded
from mail2sms.store.media import Fetched, MediaClaim, Wanted
from mail2sms.store.mo_parts import Joined, NewPart
from mail2sms.store.mo_views import LastMail, MoView
from mail2sms.store.mos import NewMo, RecordedMo
from mail2sms.store.notices import Notice, NoticeClaim, NoticeOutcome
from mail2sms.store.opt_outs import Blocked, Blocking, Lifting
from mail2sms.store.outages import Diverted, Diverting, Outage, Warned
from mail2sms.store.outcomes import PartOutcome, Settlement
from mail2sms.store.put import Bundle, Repeat, Stored
from mail2sms.store.queue import Claim, Claimed, Intent
from mail2sms.store.rated import RatedClaim, RatedClaimed, Regathering
from mail2sms.store.reports import Moved
from mail2sms.store.rescue import Postponement, Recovery, Renewal, Rerouting
from mail2sms.store.rows import NewMessage, NewNotice
from mail2sms.store.sending import Stop
from mail2sms.store.views import EventView, MessageView, Search
from mail2sms.store.vigils import Vigil
from mail2sms.store.wishes import Granted, Wished
from mail2sms.store.writer import Writer

__all__ = [
    "Asking",
    "Blocked",
    "Blocking",
    "Bundle",
    "Change",
    "Claim",
    "Claimed",
    "Diverted",
    "Diverting",
    "EventView",
    "Exceeded",
    "Fetched",
    "Granted",
    "Intent",
    "Joined",
    "LastMail",
    "Left",
    "Lifting",
    "MediaClaim",
    "MessageView",
    "MoView",
    "Moved",
    "NewMessage",
    "NewMo",
    "NewNotice",
    "NewPart",
    "Notice",
    "NoticeClaim",
    "NoticeOutcome",
    "Outage",
    "PartOutcome",
    "Postponement",
    "RatedClaim",
    "RatedClaimed",
    "RecordedMo",
    "Recovery",
    "Regathering",
    "Renewal",
    "Repeat",
    "Rerouting",
    "Reservation",
    "Search",
    "Settlement",
    "Stop",
    "Store",
    "Stored",
    "Vigil",
    "Wanted",
    "Warned",
    "Wished",
]

P = ParamSpec("P")
R = TypeVar("R")


class Store:
    """One database, opened. Make it with `Store.open`."""

    def __init__(self, url: str, hooks: Mapping[str, tuple[str, ...]]) -> None:
        self.url = url
        self._lock = engine.lock(url) if engine.is_sqlite(url) else None
        self._write_engine = engine.writer_engine(url).execution_options(hooks=dict(hooks))
        self._read_engine = engine.reader_engine(url)
        self._readers = ThreadPoolExecutor(engine.READERS, thread_name_prefix="store-reader")
        self._is_closed = False
        self._loop = asyncio.get_running_loop()
        self._bells: dict[str, list[asyncio.Event]] = {}
        self._writer: Writer | None = None
        self._bell: bell.Bell | None = None
        self._anchor: Connection | None = None
        self.reply_secret = b""

    @classmethod
    async def open(cls, url: str, hooks: Mapping[str, tuple[str, ...]] | None = None) -> Store:
        """Open the database, migrate it, and begin to write. `hooks`: which kinds each chat hook wants.

        Raises StoreUnavailable when it can't be reached, is in use, or would lose commits.
        """
        store = cls(url, hooks or {})
        try:
            await asyncio.to_thread(store._prepare)
        except exc.DBAPIError as e:
            raise StoreUnavailable(engine.unreached(url, e)) from e
        is_shared = not engine.is_sqlite(url)
        store._writer = Writer(store._write_engine, store._ring, bell.ring if is_shared else None)
        if is_shared:
            store._bell = bell.Bell(store._read_engine, store._ring_from_thread)
        secret = await store._writer.run(settings.REMEMBER, ("reply_secret", secrets.token_hex(32)))
        store.reply_secret = bytes.fromhex(secret)
        await store._writer.run(settings.REMEMBER, (facts.SECRET, secrets.token_hex(32)))
        return store

    def _prepare(self) -> None:
        migrate.upgrade(self._write_engine)
        connection = self._read_engine.connect()
        if engine.is_sqlite(self.url):
            # Stays open, so that a writer given up after a failed sync is never SQLite's last connection: the last
            # one copies the log into the database, with what the kernel says was written and the disk never got.
            with connection.begin():
                migrate.version(connection)
            self._anchor = connection
        else:
            with connection:
                engine.refuse_if_not_durable(connection)

    @property
    def is_shared(self) -> bool:
        """Whether several nodes may use this database (PostgreSQL)."""
        return self._bell is not None

    @property
    def is_answering(self) -> bool:
        """Whether the database commits what is written. Costs nothing, and is true again as soon as it does."""
        return self._write.is_answering

    async def close(self) -> None:
        """Write what waits and close everything."""
        if self._bell is not None:
            await asyncio.to_thread(self._bell.stop)
        if self._writer is not None:
            await self._writer.close()
        self._is_closed = True
        self._readers.shutdown(wait=True)
        if self._anchor is not None:
            self._anchor.close()
        self._read_engine.dispose()  # before the writer: SQLite's last connection checkpoints
        self._write_engine.dispose()
        if self._lock is not None:
            self._lock.close()

    def bell(self, topic: str) -> asyncio.Event:
        """Return an event that is set whenever there is new work of `topic` (mt, notice, media)."""
        event = asyncio.Event()
        self._bells.setdefault(topic, []).append(event)
        return event

    def _ring(self, topic: str) -> None:
        for event in self._bells.get(topic, ()):
            event.set()

    def _ring_from_thread(self, topic: str) -> None:
        self._loop.call_soon_threadsafe(self._ring, topic)

    @property
    def _write(self) -> Writer:
        assert self._writer is not None, "the store is not open"
        return self._writer

    async def put(self, bundle: Bundle) -> Stored:
        """Store what was accepted (or the notice of a refusal), durably and once."""
        return await self._write.run(put.PUT, bundle)

    async def remember(self, was: past.Past) -> None:
        """Store messages that are over, with all that became of them."""
        await self._write.run(past.REMEMBER_PAST, was, bulk=True)

    async def claim(self, claim: Claim) -> list[Claimed]:
        """Lease due messages of a carrier, and with `parts` commit that these are about to leave."""
        return await self._write.run(queue.CLAIM, claim)

    async def stands(self, claim: Claim) -> list[Claimed]:
        """Return what a claim got with an intent, if that was committed: for whoever did not hear of it."""
        return await self._write.run(queue.STANDS, claim)

    async def claim_at_rate(self, claim: RatedClaim) -> RatedClaimed:
        """Lease due messages of a carrier as its rates allow."""
        return await self._write.run(rated.CLAIM_AT_RATE, claim)

    async def regather(self, wanted: Regathering) -> bool:
        """Let what waits for its sender number's rate be due now; returns whether to go on."""
        return await self._write.run(rated.REGATHER, wanted, bulk=True)

    async def intend(self, intent: Intent) -> bool:
        """Commit that parts are about to leave. False: they must not."""
        return await self._write.run(queue.INTEND, intent)

    async def postpone(self, postponement: Postponement) -> bool:
        """Give back a claimed message that must wait; returns whether it was still ours."""
        return await self._write.run(rescue.POSTPONE, postponement)

    async def settle(self, settlement: Settlement) -> Status:
        """Write how an attempt ended; returns the status that was wanted."""
        return await self._write.run(outcomes.SETTLE, settlement)

    async def recover(self, recovery: Recovery) -> int:
        """Take back the leases of the dead; returns how many there were."""
        return await self._write.run(rescue.RECOVER, recovery)

    async def renew(self, renewal: Renewal) -> None:
        """Keep the leases of what is under way."""
        await self._write.run(rescue.RENEW, renewal)

    async def reroute(self, rerouting: Rerouting) -> int:
        """Help messages whose carrier is no longer there; returns how many."""
        return await self._write.run(rescue.REROUTE, rerouting, bulk=True)

    async def mark(self, outage: Outage) -> None:
        """Write that a carrier is down, or up again, for all nodes."""
        await self._write.run(outages.MARK, outage)

    async def warn(self, warned: Warned) -> int:
        """Tell administrators of carriers that are down for long; returns of how many."""
        return await self._write.run(outages.WARN, warned)

    async def may_ask_balance(self, asking: Asking) -> bool:
        """Whether it is time to ask a carrier what is left there: then it is on the caller."""
        return await self._write.run(balances.ASK, asking)

    async def note_balance(self, left: Left) -> bool:
        """Write what a carrier says is left; returns whether administrators are told."""
        return await self._write.run(balances.NOTE, left)

    async def divert(self, diverting: Diverting) -> Diverted:
        """Let what waits for a carrier that is down go by another."""
        return await self._write.run(outages.DIVERT, diverting, bulk=True)

    async def expire(self, now: int) -> int:
        """Give up messages that waited too long; returns how many."""
        return await self._write.run(rescue.EXPIRE, now, bulk=True)

    async def bring_forward(self, now: int) -> bool:
        """Where the clock was set back, let waits be as long as they were meant to; returns whether to go on."""
        return await self._write.run(rescue.BRING_FORWARD, now, bulk=True)

    async def forget(self, now: int) -> int:
        """Drop repeat keys and counters long past their time."""
        return await self._write.run(put.FORGET, now, bulk=True)

    async def sweep(self, sweep: retention.Sweep) -> bool:
        """Erase some of what is too old; returns whether there may be more."""
        return await self._write.run(retention.SWEEP, sweep, bulk=True)

    async def cancel(self, account: str, id_: str, now: int) -> Status | None:
        """Cancel a queued message; returns its status now, None when there is no such message."""
        return await self._write.run(rescue.CANCEL, (account, id_, now))

    async def decide(self, decision: approvals.Decision) -> approvals.ApprovalView | None:
        """Release or refuse what waits for approval, unless that was decided; returns how it stands."""
        return await self._write.run(approvals.DECIDE, decision)

    async def switch(self, stop: Stop | None) -> None:
        """Stop all sending, on all nodes, or (None) go on."""
        await self._write.run(sending.SWITCH, stop)

    async def wish(self, wished: Wished) -> Granted | None:
        """Hold, release or retry a message; None when there is no such message."""
        return await self._write.run(wishes.WISH, wished)

    async def watch(self, vigil: Vigil) -> bool:
        """Look at a device; returns whether it has just been silent for too long."""
        return await self._write.run(vigils.WATCH, vigil)

    async def record_report(self, report: DeliveryReport) -> Moved | None:
        """Store a report, and the opt-out that it tells of; returns the message that it moved, and where to."""
        verb = opt_outs.RECORD_OPT_OUT if report.is_opt_out else reports.RECORD_REPORT
        return await self._write.run(verb, report)

    async def record_answer(self, answer: LateAnswer) -> Moved | None:
        """Store an answer that came late; returns the message that it moved, and where to."""
        return await self._write.run(strays.RECORD_ANSWER, answer)

    async def keep_part(self, new: NewPart) -> tuple[Joined, ...]:
        """Store a part of an MO; returns the texts that can be recorded now."""
        return await self._write.run(mo_parts.KEEP_PART, new)

    async def give_out_overdue(self, now: int) -> tuple[Joined, ...]:
        """Return texts of parts whose rest is waited for no longer, to be recorded."""
        return await self._write.run(mo_parts.GIVE_OUT_OVERDUE, now)

    async def record_mo(self, new: NewMo) -> RecordedMo:
        """Store an MO once, with what it changes if it is STOP or START, and queue its relay."""
        return await self._write.run(mos.RECORD_SAID if new.said is not None else mos.RECORD_MO, new)

    async def block(self, blocking: Blocking) -> Blocked:
        """Put a phone on the list of opt-outs: after the commit no intent for it follows."""
        return await self._write.run(opt_outs.BLOCK, blocking)

    async def lift(self, lifting: Lifting) -> bool:
        """Take a phone off the list of opt-outs; returns whether it was on it and may be written to now."""
        return await self._write.run(opt_outs.LIFT, lifting)

    async def erase_opted_out(self, account: str, msisdn: Msisdn) -> bool:
        """Keep a block without its number, as a keyed hash alone; returns whether there was one."""
        return await self._write.run(opt_outs.ERASE, (account, msisdn))

    async def claim_notices(self, claim: NoticeClaim) -> list[Notice]:
        """Lease due notices of a channel."""
        return await self._write.run(notices.CLAIM_NOTICES, claim)

    async def settle_notice(self, outcome: NoticeOutcome) -> bool:
        """Write how the delivery of a notice ended."""
        return await self._write.run(notices.SETTLE_NOTICE, outcome)

    async def claim_media(self, claim: MediaClaim) -> list[Wanted]:
        """Take files that are due to be fetched."""
        return await self._write.run(media.CLAIM_MEDIA, claim)

    async def settle_media(self, fetched: Fetched) -> str:
        """Write what became of a try to fetch a file; returns its status."""
        return await self._write.run(media.SETTLE_MEDIA, fetched)

    async def read(
        self, query: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Run one of `views` on a reading connection, in a thread. Raises StoreUnavailable."""
        if self._is_closed:
            raise StoreUnavailable("the store is closed")

        def run() -> R:
            with self._read_engine.connect() as connection, connection.begin():
                return query(connection, *args, **kwargs)

        try:
            return await self._loop.run_in_executor(self._readers, run)
        except (exc.DBAPIError, exc.TimeoutError) as e:
            raise StoreUnavailable(type(e).__name__) from e
