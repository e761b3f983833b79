"""The loop back to people: claim due notices -> compose -> mailer or hook -> write the outcome. One lane per channel.

An email that was handed over but whose outcome was not written is sent again under the same Message-ID: a mail twice is
better than a reply lost, and it costs nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from mail2sms import http
from mail2sms.clock import now_ms
from mail2sms.errors import DeliveryFailed, StoreUnavailable
from mail2sms.hooks._base import Hook
from mail2sms.lane import Lane
from mail2sms.log import log, where
from mail2sms.mailer import Mailer
from mail2sms.relay.digest import Subscription, due
from mail2sms.relay.letters import Letters
from mail2sms.store import Bundle, NewNotice, Notice, NoticeClaim, NoticeOutcome, Renewal, Store
from mail2sms.store.notices import next_attempt_at
from mail2sms.store.rows import EMAIL

_LEASE_MS = 15_000
_WINDOW = 8
_DIGESTS_S = 20.0
_DIGEST_VALID_MS = 86_400_000  # then there is the next one


@dataclass(frozen=True, kw_only=True, slots=True)
class Channels:
    """Where notices can go: the smarthost, and chat hooks by name."""

    mailer: Mailer | None
    hooks: Mapping[str, Hook]
    http: http.Http


class Relay:
    """Tells people what is owed to them, as node `owner`."""

    def __init__(self, store: Store, letters: Letters, channels: Channels, owner: str) -> None:
        self._store = store
        self._letters = letters
        self._channels = channels
        self._owner = owner
        names = ([EMAIL] if channels.mailer is not None else []) + list(channels.hooks)
        self._stopping = asyncio.Event()
        self._held: set[str] = set()
        self._lanes = [self._lane(name) for name in names]
        self._account = ""
        self._digests: tuple[Subscription, ...] = ()
        self._begun: set[str] = set()

    @property
    def progressed_s(self) -> float:
        """By the steady clock, when the lane that is furthest behind last went on."""
        return min((lane.turned_s for lane in self._lanes), default=time.monotonic())

    async def run(self) -> None:
        """Work until `stop`; returns when what is under way is written."""
        async with asyncio.TaskGroup() as group:
            lanes = [group.create_task(lane.run()) for lane in self._lanes]
            lanes.append(group.create_task(self._wait_for_stop()))
            beside = [group.create_task(work()) for work in (self._renew, self._begin_digests)]
            await asyncio.wait(lanes)
            for task in beside:
                task.cancel()

    def adopt(self, letters: Letters, mailer: Mailer | None) -> None:
        """Compose and send from now on with these; what is under way keeps what it has."""
        self._letters = letters
        self._channels = replace(self._channels, mailer=mailer)

    def subscribe(self, account: str, digests: tuple[Subscription, ...]) -> None:
        """Begin the digests of these people from now on, and of no others."""
        self._account, self._digests = account, digests

    async def _begin_digests(self) -> None:
        """Queue each digest when its hour has come: of all nodes, and of all that look again, one does."""
        while True:
            now = now_ms()
            new = [self._digest(each, now) for each in self._digests]
            new = [notice for notice in new if notice.id not in self._begun]
            with contextlib.suppress(StoreUnavailable):
                if new and self._channels.mailer is not None:
                    await self._store.put(Bundle(id=new[0].id, at=now, notices=tuple(new)))
                    self._begun = {notice.id for notice in new} | self._begun
            await asyncio.sleep(_DIGESTS_S)

    def _digest(self, subscription: Subscription, now: int) -> NewNotice:
        found = due(subscription, self._account, now)
        said = {
            "since": found.since,
            "until": found.until,
            "is_all": subscription.is_all,
            "when_empty": subscription.when_empty,
        }
        return NewNotice(
            id=found.id,
            account=self._account,
            kind="digest",
            channel=EMAIL,
            address=subscription.address,
            payload=json.dumps(said).encode(),
            created_at=now,
            due_at=now,
            expires_at=now + _DIGEST_VALID_MS,
        )

    async def _wait_for_stop(self) -> None:
        await self._stopping.wait()

    async def _renew(self) -> None:
        """Keep what is under way: a slow smarthost must not make another node send the same mail."""
        while True:
            await asyncio.sleep(_LEASE_MS / 3000)
            renewal = Renewal(owner=self._owner, lease_ms=_LEASE_MS, notices=tuple(self._held))
            with contextlib.suppress(StoreUnavailable):
                await self._store.renew(renewal)

    def stop(self) -> None:
        """Claim nothing more."""
        for lane in self._lanes:
            lane.stop()
        self._stopping.set()

    def _lane(self, channel: str) -> Lane[Notice]:
        async def claim(free: int) -> list[Notice]:
            now = now_ms()
            wanted = NoticeClaim(channel=channel, owner=self._owner, now=now, lease_ms=_LEASE_MS, limit=free)
            return await self._store.claim_notices(wanted)

        return Lane(self._store.bell("notice"), lambda: _WINDOW, claim, self._tell)

    async def _tell(self, notice: Notice) -> None:
        self._held.add(notice.id)
        try:
            outcome = await self._deliver(notice)
            await self._store.settle_notice(outcome)
        except StoreUnavailable:
            log.error("relay_failed", notice=notice.id)  # the lease runs out, and it is told again
        finally:
            self._held.discard(notice.id)

    async def _deliver(self, notice: Notice) -> NoticeOutcome:
        try:
            is_told = await (self._email(notice) if notice.channel == EMAIL else self._post(notice))
        except DeliveryFailed as failure:
            return _after_failure(notice, failure)
        except StoreUnavailable:  # read before anything leaves
            return _after_failure(notice, DeliveryFailed("the database did not answer", word="store"))
        except Exception as e:  # one notice must not stop the others
            log.error("relay_failed", notice=notice.id, error=where(e))
            return _after_failure(notice, DeliveryFailed("it could not be composed", word="composing"))
        log.info("notice_sent" if is_told else "notice_dropped", notice=notice.id, kind=notice.kind)
        return NoticeOutcome(notice=notice, status="sent" if is_told else "dropped", now=now_ms())

    async def _email(self, notice: Notice) -> bool:
        outgoing = await self._letters.email(notice)
        if outgoing is None:
            return False
        assert self._channels.mailer is not None
        await self._channels.mailer.deliver(outgoing.content, outgoing.envelope_from, outgoing.to)
        return True

    async def _post(self, notice: Notice) -> bool:
        event = await self._letters.hook_event(notice)
        if event is None:
            return False
        hook = self._channels.hooks[notice.channel]
        request = hook.request(event, int(time.time()))
        try:
            answer = await self._channels.http.post(
                request.url, body=request.body, headers=request.headers, allow_plain=True
            )
        except (http.NotSent, http.NoAnswer) as e:
            raise DeliveryFailed("the hook did not answer", word="no_answer") from e
        hook.judge(answer)
        return True


def _after_failure(notice: Notice, failure: DeliveryFailed) -> NoticeOutcome:
    now = now_ms()
    due_at = next_attempt_at(notice.attempts, now, random.random())  # noqa: S311  # spreads retries
    if failure.retry_after_s is not None:
        due_at = now + int(failure.retry_after_s * 1000)
    if failure.is_final or due_at >= notice.expires_at:
        log.error("notice_failed", notice=notice.id, kind=notice.kind, reason=failure.word)
        return NoticeOutcome(notice=notice, status="failed", now=now, detail=failure.detail)
    log.warning("notice_retry", notice=notice.id, due_in_s=(due_at - now) // 1000, reason=failure.word)
    return NoticeOutcome(notice=notice, status="queued", now=now, detail=failure.detail, due_at=due_at)
