"""What each statement of the store costs a database, and which tables it reads whole.

The cost is counted, not timed, so that it is the same on every machine: SQLite's steps (of its virtual machine) and
PostgreSQL's blocks touched, both while the statement runs with its own parameters.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, Engine, event

from mail2sms.alarm import Alarm, Storm
from mail2sms.breaker import Breaker
from mail2sms.consent import Said, Word
from mail2sms.heard import LateAnswer, MoPart
from mail2sms.ids import conversation_of, derive_id
from mail2sms.lifecycle import Change, Wish
from mail2sms.model import (
    DeliveryReport,
    Dsn,
    Media,
    MoMessage,
    Msisdn,
    MtMessage,
    Part,
    Photo,
    Repeats,
    Status,
)
from mail2sms.money import Money
from mail2sms.options import Rate
from mail2sms.rates import ANY, Rates
from mail2sms.rules._base import Hold, Questions
from mail2sms.store import (
    Asking,
    Blocking,
    Bundle,
    Claim,
    Diverting,
    Fetched,
    Intent,
    Left,
    Lifting,
    MediaClaim,
    NewMo,
    NewNotice,
    NewPart,
    NoticeClaim,
    NoticeOutcome,
    Outage,
    PartOutcome,
    Postponement,
    RatedClaim,
    Recovery,
    Regathering,
    Renewal,
    Rerouting,
    Reservation,
    Search,
    Settlement,
    Store,
    Vigil,
    Warned,
    Wished,
    acknowledged,
    answers,
    approvals,
    backlog,
    balances,
    counters,
    days,
    earlier,
    events,
    media,
    mo_parts,
    mo_views,
    notice_views,
    opt_outs,
    past,
    raised,
    retention,
    sending,
    sent,
    views,
)
from mail2sms.store.columns import metadata
from mail2sms.store.notice_views import NoticeSearch
from tests import fakes

PARTIAL = frozenset(
    str(index.name)
    for table in metadata.sorted_tables
    for index in table.indexes
    if index.dialect_kwargs.get("sqlite_where") is not None
)
"""Indexes over what is not over: to read one of them whole costs the same however long the history is."""
_STEP = 10  # of SQLite's: every so many are noticed
_SCAN = re.compile(r"SCAN (\w+)(?: USING (?:COVERING )?INDEX (\w+))?")
_WATCHED = """
LOAD 'auto_explain'; SET auto_explain.log_min_duration = 0; SET auto_explain.log_analyze = on;
SET auto_explain.log_buffers = on; SET auto_explain.log_timing = off; SET auto_explain.log_format = json;
SET auto_explain.log_level = 'notice'
"""


@dataclass(slots=True)
class Cost:
    """One statement as it ran. `scans` are the tables, or whole indexes of tables, that it went through."""

    verb: str
    statement: str
    cost: int = 0
    scans: set[str] = field(default_factory=set)

    def __str__(self) -> str:
        scans = f", reads all of {', '.join(sorted(self.scans))}" if self.scans else ""
        return f"{self.verb}: {self.cost}{scans}: {' '.join(self.statement.split())[:300]}"


class Watch:
    """Sees every statement of every connection that is opened while it is `watching`; `verb` says what for."""

    def __init__(self) -> None:
        self.costs: list[Cost] = []
        self.verb = ""
        self._current = Cost("", "")

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Look from now on."""
        listeners = (("connect", self._connected), ("before_cursor_execute", self._begins))
        for name, listener in listeners:
            event.listen(Engine, name, listener)
        try:
            yield
        finally:
            for name, listener in listeners:
                event.remove(Engine, name, listener)

    def _connected(self, connection: Any, _: Any) -> None:
        if hasattr(connection, "set_progress_handler"):
            connection.set_progress_handler(self._stepped, _STEP)
        else:
            connection.execute(_WATCHED)
            connection.commit()
            connection.add_notice_handler(self._told)

    def _begins(self, connection: Connection, cursor: Any, statement: str, *rest: Any) -> None:
        parameters, _, is_many = rest
        cost = Cost(self.verb, statement)
        if connection.dialect.name == "sqlite":
            values = parameters[0] if is_many else parameters
            plan = cursor.connection.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall()
            cost.scans = {scan for *_, line in plan if (scan := _sqlite_scan(line))}
        self._current = cost
        self.costs.append(cost)

    def _stepped(self) -> int:
        self._current.cost += _STEP
        return 0

    def _told(self, notice: Any) -> None:
        _, is_plan, text = notice.message_primary.partition("plan:\n")
        if not is_plan:
            return
        told = json.loads(text)
        plan = told["Plan"]
        # PostgreSQL ends a statement, and tells of it, when the next one comes.
        for cost in reversed(self.costs):
            if _bare(cost.statement) == _bare(told["Query Text"]):
                cost.cost += plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
                cost.scans |= set(_postgresql_scans(plan))
                return


def _bare(statement: str) -> str:
    return re.sub(r"%\(\w+\)s|\$\d+", "?", statement)


def _sqlite_scan(line: str) -> str:
    found = _SCAN.match(line)
    return found[1] if found and found[1] in metadata.tables and found[2] not in PARTIAL else ""


def _postgresql_scans(plan: dict[str, Any]) -> Iterator[str]:
    kind, index = plan["Node Type"], plan.get("Index Name")
    if kind == "Seq Scan" or (index is not None and "Index Cond" not in plan and index not in PARTIAL):
        yield plan.get("Relation Name") or f"by {index}"
    for inner in plan.get("Plans", ()):
        yield from _postgresql_scans(inner)


async def observe(url: str, now: int, old: Old) -> dict[str, Cost]:
    """Do all work once on a database with history; return each statement, with the verb or view that it is for."""
    watch = Watch()
    with watch.watching():
        store = await Store.open(url)
        try:
            await Work(store, watch, now, old).run()
        finally:
            await store.close()
    return highest([cost for cost in watch.costs if cost.verb])


def highest(costs: Sequence[Cost]) -> dict[str, Cost]:
    """Return each statement (however many rows it is for) at its highest cost."""
    found: dict[str, Cost] = {}
    for cost in costs:
        key = f"{cost.verb}: {_shape(cost.statement)}"
        so_far = found.get(key, cost)
        dearer = max(so_far, cost, key=lambda c: c.cost)
        found[key] = replace(dearer, scans=so_far.scans | cost.scans)
    return found


def _shape(statement: str) -> str:
    """Lists of values may be longer or shorter."""
    value = r"(\?|%\(\w+\)s(::\w+)?)"
    text = re.sub(rf"\({value}(, {value})*\)", "(..)", " ".join(statement.split()))
    return re.sub(r"(\(\.\.\), )+\(\.\.\)", "(..)", text)


_PHOTO = Photo(name="photo-1.png", media_type="image/png", content=b"\x89PNG")
_ALL_ASKED = Dsn(notify=("SUCCESS", "FAILURE", "DELAY"), report_to="marie@acme.example", has_receipt=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Old:
    """Something of the history: a message, its conversation and phone."""

    id: str
    conversation: str
    msisdn: Msisdn


@dataclass(slots=True)
class Work:
    """Everything that is done for each message, every few seconds, or when somebody looks: each at least once."""

    store: Store
    watch: Watch
    now: int
    old: Old
    carrier: str = "sim"

    def _names(self, verb: str) -> None:
        self.watch.verb = verb

    async def run(self) -> None:
        """Do it all."""
        await self._send()
        await self._tell_of_segments()
        await self._fail()
        await self._rated()
        await self._wish()
        await self._remember()
        await self._hear()
        await self._tell()
        await self._opt_out()
        await self._tell_of_opt_out()
        await self._alarm()
        await self.sweep()
        await self._look()

    async def put(self, id_: str, due_at: int | None = None) -> None:
        """Put one message that is due now, with an allowance and a key that recognises it."""
        new = fakes.bundle(
            id_,
            repeat_key=f"key {id_}",
            route=(self.carrier,),
            created_at=self.now,
            due_at=due_at or self.now,
            expires_at=self.now + 86_400_000,
            conversation=self.old.conversation,
            dsn=_ALL_ASKED,
        )
        asked = replace(new.submissions[0], has_receipt=True, original=b"Subject: x\r\n\r\n")
        new = replace(new, submissions=(asked,))
        allowance = Reservation(key="today", amount=1, limit=10**9, until=self.now + 86_400_000)
        await self.store.put(replace(new, at=self.now, reservations=(allowance,)))

    async def claim(self, limit: int = 10) -> list[MtMessage]:
        """Claim alone."""
        wanted = Claim(carrier=self.carrier, owner="node", now=self.now, lease_ms=60_000, limit=limit)
        return [claimed.mt for claimed in await self.store.claim(wanted)]

    async def begin(self, limit: int = 10) -> list[MtMessage]:
        """Claim with intents, as dispatch does where there is no rate."""
        wanted = Claim(
            carrier=self.carrier,
            owner="node",
            now=self.now,
            lease_ms=60_000,
            limit=limit,
            parts=lambda claimed: (part(claimed.mt),),
        )
        claimed = await self.store.claim(wanted)
        assert all(one.intended for one in claimed)
        self._names("stands")
        assert await self.store.stands(wanted) == claimed
        return [one.mt for one in claimed]

    async def intend(self, mt: MtMessage) -> None:
        """Commit an intent."""
        assert await self.store.intend(Intent(mt=mt, parts=(part(mt),), now=self.now))

    async def settle(self, mt: MtMessage, outcome: str, change: Change) -> None:
        """Write how the attempt ended."""
        ended = PartOutcome(
            attempt_id=part(mt).attempt_id, outcome=outcome, carrier_message_id=f"cid-{mt.id}"
        )
        await self.store.settle(Settlement(mt=mt, outcomes=(ended,), change=change, now=self.now))

    async def report(self, mt: MtMessage, status: Status, cid: str = "") -> None:
        """Record what the carrier says."""
        cid, ours = cid or f"cid-{mt.id}", part(mt).attempt_id
        told = DeliveryReport(
            carrier=self.carrier,
            carrier_message_id=cid,
            status=status,
            at=self.now,
            event_id="",
            attempt_id=ours,
        )
        await self.store.record_report(told)

    async def attempt(self, outcome: str, change: Change, limit: int = 10) -> list[MtMessage]:
        """Bring what is due to a carrier that answers so."""
        self._names("claim")
        claimed = await self.begin(limit)
        self._names("settle")
        await asyncio.gather(*(self.settle(mt, outcome, change) for mt in claimed))
        assert claimed, "nothing was due"
        return claimed

    async def _send(self) -> None:
        self._names("put")
        await asyncio.gather(*(self.put(f"m-work-{number}") for number in range(5)))
        sent = await self.attempt("taken", Change(status=Status.ENROUTE))
        self._names("record_report")
        await asyncio.gather(*(self.report(mt, Status.DELIVERED) for mt in sent))

    async def _fail(self) -> None:
        self._names("put")
        await asyncio.gather(*(self.put(f"m-work-again-{number}") for number in range(3)))
        retry = Change(status=Status.QUEUED, reason="retry", due_at=self.now, position=0)
        await self.attempt("unavailable", retry)
        await self.attempt("uncertain", replace(retry, reason="resend"))
        failed = await self.attempt("uncertain", Change(status=Status.UNKNOWN, reason="carrier.unknown"))
        self._names("record_report")
        await asyncio.gather(*(self.report(mt, Status.UNDELIVERABLE, f"other-{mt.id}") for mt in failed))
        await self.report(replace(failed[0], id="m-work-nobody's"), Status.DELIVERED)
        self._names("record_answer")
        late = (part(failed[0]).attempt_id, part(replace(failed[0], id="m-work-nobody's")).attempt_id)
        await asyncio.gather(*(self._answer(attempt_id) for attempt_id in late))
        self._names("put")
        await self.put("m-work-cancelled")
        self._names("cancel")
        await self.store.cancel(fakes.ACCOUNT, "m-work-cancelled", self.now)
        await self.store.cancel(fakes.ACCOUNT, self.old.id, self.now)

    async def _answer(self, attempt_id: str) -> None:
        answer = LateAnswer(
            carrier=self.carrier,
            attempt_id=attempt_id,
            outcome="taken",
            at=self.now,
            carrier_message_id="late",
        )
        await self.store.record_answer(answer)

    async def _rated(self) -> None:
        """Three of one sender number, of which one may go."""
        self._names("put")
        await asyncio.gather(*(self.put(f"m-work-rated-{number}") for number in range(3)))
        self._names("claim_at_rate")
        rates = Rates(whole=Rate(100, 1), senders={ANY: Rate(1, 60)})
        wanted = RatedClaim(
            carrier=self.carrier,
            owner="node",
            now=self.now,
            lease_ms=60_000,
            limit=10,
            account=fakes.ACCOUNT,
            rates=rates,
        )
        found = await self.store.claim_at_rate(wanted)
        assert len(found.claimed) == 1
        self._names("regather")
        await self.store.regather(Regathering(account=fakes.ACCOUNT, carrier=self.carrier, now=self.now))
        self._names("claim")
        again = await self.claim()
        self._names("cancel")
        for mt in (found.claimed[0].mt, *again):
            await self.store.cancel(fakes.ACCOUNT, mt.id, self.now)

    async def _remember(self) -> None:
        """Write what is over, as a demo's history does."""
        self._names("remember")
        was = fakes.bundle("past")
        new = was.messages[0]
        over = past.PastMessage(
            mt=replace(new.mt, status=Status.DELIVERED),
            reply_key=new.reply_key,
            changes=(past.Change(at=self.now, status=Status.DELIVERED),),
        )
        await self.store.remember(
            past.Past(account=fakes.ACCOUNT, submissions=was.submissions, messages=(over,))
        )

    async def _wish(self) -> None:
        self._names("mark")
        sick = Breaker(failures=5, down_since=self.now, until=self.now, why="connect")
        for breaker in (sick, sick, Breaker()):
            await self.store.mark(
                Outage(account=fakes.ACCOUNT, carrier=self.carrier, breaker=breaker, now=self.now)
            )
        self._names("warn")
        warned = Warned(account=fakes.ACCOUNT, to=("it@acme.example",), before=self.now, now=self.now)
        await self.store.warn(warned)
        self._names("balance")
        asking = Asking(account=fakes.ACCOUNT, carrier=self.carrier, every_ms=3_600_000)
        for _ in range(2):
            await self.store.may_ask_balance(asking)
        left = Left(account=fakes.ACCOUNT, carrier=self.carrier, left=Money(1, "EUR"), at=self.now)
        await self.store.note_balance(left)
        await self.store.read(balances.read_balances, fakes.ACCOUNT)
        self._names("divert")
        await self.store.divert(
            Diverting(carrier=self.carrier, up=frozenset({"other"}), after=(self.now, ""), now=self.now)
        )
        self._names("put")
        await self.put("m-work-held")
        self._names("postpone")
        (mt,) = await self.claim(1)
        later = Change(status=Status.QUEUED, reason="quiet_hours", due_at=self.now + 1)
        assert await self.store.postpone(Postponement(mt=mt, change=later, now=self.now))
        self._names("wish")
        for wish in Wish:
            for id_ in ("m-work-held", self.old.id):
                await self.store.wish(Wished(account=fakes.ACCOUNT, id=id_, wish=wish, now=self.now))
        self._names("cancel")
        await self.store.cancel(fakes.ACCOUNT, "m-work-held", self.now)
        self._names("put")
        held = fakes.bundle("m-work-approval", route=(self.carrier,), created_at=self.now)
        waiting = [replace(new, hold=Hold(reason="held.approval", detail="")) for new in held.messages]
        await self.store.put(replace(held, messages=tuple(waiting), approvers=("it@acme.example",)))
        self._names("approvals")
        (view,) = await self.store.read(approvals.read_open, fakes.ACCOUNT, 10)
        await self.store.read(approvals.read_approval, fakes.ACCOUNT, view.id)
        await self.store.read(approvals.read_of, fakes.ACCOUNT, "m-work-approval")
        self._names("decide")
        decision = approvals.Decision(
            account=fakes.ACCOUNT, id=view.id, status=approvals.REFUSED, by="it@acme.example", now=self.now
        )
        await self.store.decide(decision)

    async def _hear(self) -> None:
        self._names("record_mo")
        fields = {"carrier": "sim", "event_id": "work", "to": fakes.OURS, "at": self.now, "text": "Oui"}
        new = NewMo(
            mo=MoMessage(msisdn=self.old.msisdn, **fields),  # type: ignore[arg-type]
            account=fakes.ACCOUNT,
            conversation=self.old.conversation,
            reply_key="abcdefghij",
            now=self.now,
            window_ms=86_400_000,
        )
        await self.store.record_mo(new)
        await self.store.record_mo(new)
        again = Repeats(prefix="wor", since=self.now - 600_000, until=self.now)
        await self.store.record_mo(replace(new, mo=replace(new.mo, event_id="work-2", repeats=again)))
        files = (Media(url="https://a.example/1"), Media(url="https://a.example/2"))
        await self.store.record_mo(replace(new, mo=replace(new.mo, event_id="work-3", media=files)))
        await self._hear_long(new)

    async def _hear_long(self, new: NewMo) -> None:
        """A text of two parts, and another that stays without its second."""
        for number, text in ((1, "Oui, "), (1, "Non, "), (2, "merci")):
            self._names("keep_part")
            part = MoPart(
                carrier="sim",
                msisdn=self.old.msisdn,
                to=fakes.OURS,
                at=self.now,
                reference=7,
                total=2,
                number=number,
                text=text,
            )
            kept = NewPart(part=part, account=fakes.ACCOUNT, now=self.now)
            for joined in await self.store.keep_part(kept):
                self._names("record_mo")
                await self.store.record_mo(replace(new, mo=joined.mo, parts=joined.parts))
        self._names("give_out_overdue")
        await self.store.give_out_overdue(self.now + mo_parts.PATIENCE_MS)

    async def _tell_of_opt_out(self) -> None:
        """A carrier cut a message in three, and says that its phone wants none."""
        self._names("put")
        await self.put("m-work-stopped", due_at=1)  # before all others: for its phone nothing else waits
        self._names("claim")
        (mt,) = await self.claim(1)
        self._names("intend")
        await self.intend(mt)
        self._names("settle")
        ended = PartOutcome(
            attempt_id=part(mt).attempt_id, outcome="taken", carrier_message_id="c-1", others=("c-2", "c-3")
        )
        change = Change(status=Status.ENROUTE)
        await self.store.settle(Settlement(mt=mt, outcomes=(ended,), change=change, now=self.now))
        self._names("record_opt_out")
        told = DeliveryReport(
            carrier=self.carrier,
            carrier_message_id="c-2",
            status=Status.REJECTED,
            at=self.now,
            event_id="",
            is_opt_out=True,
        )
        await self.store.record_report(told)

    async def _tell_of_segments(self) -> None:
        """A carrier cut messages, and reports come before its answers: it names two segments, or the one."""
        for others in (("s-2",), ()):
            self._names("put")
            await self.put(f"m-work-cut-{len(others)}", due_at=1)
            self._names("claim")
            (mt,) = await self.claim(1)
            self._names("intend")
            await self.intend(mt)
            ours = part(mt).attempt_id
            told = DeliveryReport(
                carrier=self.carrier,
                carrier_message_id=f"s-1-{mt.id}",
                status=Status.DELIVERED,
                at=self.now,
                event_id="",
                attempt_id=ours,
                segment=f"s-1-{mt.id}",
            )
            self._names("record_report")
            await self.store.record_report(replace(told, status=Status.ENROUTE, segments=2))
            await self.store.record_report(told)
            self._names("settle")
            ended = PartOutcome(
                attempt_id=ours, outcome="taken", carrier_message_id=told.segment, others=others
            )
            change = Change(status=Status.ENROUTE)
            await self.store.settle(Settlement(mt=mt, outcomes=(ended,), change=change, now=self.now))

    async def _opt_out(self) -> None:
        """A phone that a message waits for says STOP and START; the operator adds it, forgets its number, lifts it."""
        account, phone, read = fakes.ACCOUNT, Msisdn("+33639989999"), self.store.read
        conversation = conversation_of(account, fakes.OURS, phone)
        self._names("put")
        await self.store.put(fakes.bundle("m-work-unwanted", msisdn=phone, conversation=conversation))
        self._names("record_said")
        for number, word in enumerate(Word):
            mo = MoMessage(
                carrier="sim",
                event_id=f"said {number}",
                msisdn=phone,
                to=fakes.OURS,
                at=self.now,
                text=word,
            )
            new = NewMo(
                mo=mo,
                account=account,
                conversation=conversation,
                reply_key="klmnopqrst",
                now=self.now,
                window_ms=86_400_000,
                said=Said(word=word, keyword=word, is_everywhere=True),
            )
            await self.store.record_mo(new)
        self._names("block")
        await self.store.block(Blocking(account=account, msisdn=phone, now=self.now, source="operator"))
        self._names("facts")
        await read(answers.read, account, [phone], Questions(keys=("tally",), blocks=(phone[:-4],), most=9))
        self._names("listed")
        await read(opt_outs.listed, account, (self.now - 5, "+"), 100)
        self._names("history")
        await read(opt_outs.history, account, phone)
        self._names("erase")
        await self.store.erase_opted_out(account, phone)
        self._names("lift")
        await self.store.lift(Lifting(account=account, msisdn=phone, now=self.now))

    async def _alarm(self) -> None:
        """A device says five things, one of them twice; a phone answers OK; then nothing is heard of it."""
        account, conversation = fakes.ACCOUNT, fakes.mt().conversation
        storm = Storm(
            wait_ms=60_000, repeat_ms=60_000, limit=1, words=dict.fromkeys(("alarms", "more"), "{last}")
        )
        self._names("put")
        for number, after_ms in enumerate((0, 1, 1, 70_000, 70_001)):
            id_, at = f"m-alarm-{number}", self.now + after_ms
            new = fakes.bundle(
                id_, text=f"zone {number % 4}", conversation=conversation, created_at=at, due_at=at
            )
            more = {"alarm": Alarm(device="ups-1", storm=storm), "pictures": (_PHOTO,)}
            submissions = tuple(replace(each, **more) for each in new.submissions)  # type: ignore[arg-type]
            messages = tuple(replace(each, mt=_linked(each.mt)) for each in new.messages)
            new = replace(new, at=at, submissions=submissions, messages=messages, repeat_key=id_)
            await self.store.put(new)
        self._names("would_join")
        await self.store.read(raised.would_join, submissions[0], at)
        self._names("last_alarm")
        assert await self.store.read(acknowledged.last_alarm, conversation, self.now - 1)
        self._names("record_mo")
        fields = {"carrier": "sim", "event_id": "ok", "to": fakes.OURS, "at": self.now, "text": "OK"}
        new_mo = NewMo(
            mo=MoMessage(msisdn=fakes.PHONE, **fields),  # type: ignore[arg-type]
            account=account,
            conversation=conversation,
            reply_key="mnopqrstuv",
            now=self.now,
            window_ms=86_400_000,
            acknowledged="m-alarm-0",
        )
        await self.store.record_mo(new_mo)
        self._names("watch")
        fields = {"account": account, "name": "ups-1", "to": "it@acme.example"}
        vigil = Vigil(silent_ms=1, now=self.now + 80_000, most_ms=60_000, **fields)  # type: ignore[arg-type]
        assert await self.store.watch(vigil)

    async def _tell(self) -> None:
        self._names("put")
        new = NewNotice(
            id="n-work",
            account=fakes.ACCOUNT,
            kind="refused",
            channel="email",
            address="marie@acme.example",
            created_at=self.now,
            due_at=self.now,
            expires_at=self.now + 86_400_000,
            payload=b"{}",
        )
        await self.store.put(Bundle(id="n-work", at=self.now, notices=(new,), repeat_key="n-work"))
        self._names("claim_notices")
        wanted = NoticeClaim(channel="email", owner="node", now=self.now, lease_ms=60_000, limit=8)
        found = await self.store.claim_notices(wanted)
        assert found, "nothing was owed"
        self._names("settle_notice")
        for number, notice in enumerate(found):
            status = "sent" if number else "queued"
            await self.store.settle_notice(
                NoticeOutcome(notice=notice, status=status, now=self.now, due_at=self.now, detail="x")
            )

    async def sweep(self) -> None:
        """What dispatch and relay do every few seconds; something is under way meanwhile."""
        self._names("put")
        await self.put("m-work-sweep")
        self._names("claim")
        held = tuple(mt.id for mt in await self.claim())
        self._names("renew")
        await self.store.renew(Renewal(owner="node", lease_ms=-1, messages=held, notices=("n-work",)))
        self._names("recover")
        await self.store.recover(Recovery(now=self.now, on_unknown="hold"))
        self._names("bring_forward")
        await self.store.bring_forward(self.now - 5)
        self._names("expire")
        await self.store.expire(self.now)
        self._names("reroute")
        await self.store.reroute(Rerouting(carriers=(self.carrier,), now=self.now))
        self._names("forget")
        await self.store.forget(self.now)
        self._names("claim_media")
        wanted = await self.store.claim_media(MediaClaim(account=fakes.ACCOUNT, now=self.now, limit=4))
        self._names("settle_media")
        for each in wanted:
            await self.store.settle_media(Fetched(wanted=each, now=self.now, why="gone"))
        self._names("switch")
        await self.store.switch(None)
        for kind in retention.KINDS:
            self._names(f"sweep {kind}")
            before = self.now - 86_400_000
            old = retention.Sweep(account=fakes.ACCOUNT, kind=kind, before=before, now=self.now)
            await self.store.sweep(old)
            await self.store.sweep(old)

    async def _look(self) -> None:
        account, read = fakes.ACCOUNT, self.store.read
        self._names("read_one")
        await read(views.read_one, account, self.old.id)
        await read(views.read_original, "m-work-0")
        await read(views.heard, self.old.conversation)
        for writer in ("", "marie@acme.example"):
            span = days.Span(account=account, since=self.now - 60_000, until=self.now, writer=writer)
            await read(days.read_day, span)
        self._names("read_parts")
        await read(sent.read_parts, account, self.old.id)
        self._names("read_unreported")
        for beyond in (None, (self.now - 3_600_000, self.old.id)):
            await read(
                sent.read_unreported,
                sent.Unreported(
                    account=account,
                    carrier=self.carrier,
                    status=Status.ENROUTE,
                    now=self.now,
                    after_ms=3_600_000,
                    beyond=beyond,
                ),
            )
        searches = {
            "all": Search(),
            "to": Search(to=self.old.msisdn),
            "since": Search(since=self.now - 10_000),
            "submission": Search(submission=self.old.id),
            "until": Search(until=self.now - 86_400_000),
            "before": Search(before=self.old.id),
            **{f"status={status.value}": Search(status=status.value) for status in Status},
        }
        for name, search in searches.items():
            self._names(f"find {name}")
            await read(views.find, account, search)
        for name, wish in {
            "all": NoticeSearch(),
            "kind": NoticeSearch(kind="refused"),
            "since": NoticeSearch(since=self.now - 10_000),
            "about": NoticeSearch(about=self.old.id),
        }.items():
            self._names(f"find_notices {name}")
            await read(notice_views.find_notices, account, wish)
        self._names("events_of")
        await read(views.events_of, "n-work")
        self._names("read_notice")
        await read(notice_views.read_notice, account, "n-work")
        self._names("waiting")
        await read(views.waiting, account, 100)
        self._names("counts")
        await read(views.counts)
        self._names("backlog")
        await read(backlog.backlog, self.now, fakes.ACCOUNT)
        await read(notice_views.untold)
        self._names("conversation_by_key")
        await read(views.conversation_by_key, account, self.old.msisdn, "abcdefghij")
        self._names("read_pictures")
        await read(media.read_pictures, self.old.id)
        await read(media.read_picture, self.old.id, 1)
        self._names("read_mo")
        await read(mo_views.read_mo, derive_id("r", account, "sim", "work"), "marie@acme.example")
        self._names("messages_of")
        await read(earlier.messages_of, ["key a", "key b"], self.now)
        self._names("repeat_of")
        await read(earlier.repeat_of, "key a", self.now)
        self._names("stopped")
        await read(sending.stopped)
        self._names("taken")
        await read(counters.taken, ["today", "never"])
        self._names("horizon")
        end = await read(events.horizon)
        await read(events.oldest_writer)
        for name, more in (
            ("all", {}),
            ("to", {"to": self.old.msisdn}),
            ("writer", {"writer": "x@acme.example"}),
        ):
            self._names(f"follow {name}")
            wanted = events.Following(after=end.last - 50, last=end.last, **more)
            await read(events.follow, account, wanted)


def _linked(mt: MtMessage) -> MtMessage:
    """Return a message whose pictures are behind a link."""
    return replace(mt, media="link", text=f"{mt.text}\nhttps://sms.acme.example/p/1")


def part(mt: MtMessage) -> Part:
    """Return the whole message as a part."""
    return Part(
        message=mt.id,
        index=0,
        count=1,
        attempt_id=f"a-{mt.id}-{mt.attempts + 1}",
        attempt=mt.attempts + 1,
        msisdn=mt.msisdn,
        sender_id=mt.sender_id,
        encoding="gsm7",
        segments=1,
        text=mt.text,
    )
