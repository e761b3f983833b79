"""The loop that fetches what came with texts from phones: claim what is due -> carrier.fetch -> the outcome.

A text is stored before anything of it is fetched, and its email waits for its files, so nothing that fails here loses
a text. A file that cannot be had for half an hour is given up, and the email says so.
"""

from __future__ import annotations

from collections.abc import Mapping

from mail2sms.carriers._base import Carrier
from mail2sms.clock import now_ms
from mail2sms.errors import FetchFailed, StoreUnavailable
from mail2sms.lane import Lane
from mail2sms.log import log, where
from mail2sms.store import Fetched, MediaClaim, Store, Wanted

_AT_ONCE = 4
_FIRST_PAUSE_MS, _LONGEST_PAUSE_MS = 5_000, 300_000
_GONE_TRIES = 4  # a webhook may be quicker than the file that it tells of


class Fetch:
    """Fetches for an account through `carriers`, at most `limit_bytes` a file."""

    def __init__(self, store: Store, carriers: Mapping[str, Carrier], account: str, limit_bytes: int) -> None:
        self._store = store
        self._carriers = dict(carriers)
        self._account = account
        self.limit_bytes = limit_bytes
        self._lane: Lane[Wanted] = Lane(store.bell("media"), lambda: _AT_ONCE, self._claim, self._fetch)

    @property
    def progressed_s(self) -> float:
        """By the steady clock, when it last went on."""
        return self._lane.turned_s

    async def run(self) -> None:
        """Work until `stop`; returns when what is under way is written."""
        await self._lane.run()

    def stop(self) -> None:
        """Claim nothing more."""
        self._lane.stop()

    async def _claim(self, free: int) -> list[Wanted]:
        return await self._store.claim_media(MediaClaim(account=self._account, now=now_ms(), limit=free))

    async def _fetch(self, wanted: Wanted) -> None:
        """Make one try. Whatever fails here, another is due in a minute or two."""
        try:
            status = await self._store.settle_media(await self._tried(wanted))
        except StoreUnavailable:
            log.error("media_retry", mo=wanted.mo, carrier=wanted.carrier, reason="database")
            return
        if status == "fetched":
            log.info("media_fetched", mo=wanted.mo, carrier=wanted.carrier)

    async def _tried(self, wanted: Wanted) -> Fetched:
        carrier = self._carriers.get(wanted.carrier)
        if carrier is None:  # it is not configured any more
            return _after(wanted, FetchFailed("unsupported", is_final=True), now_ms())
        try:
            photo = await carrier.fetch(wanted.url, self.limit_bytes)
        except FetchFailed as failure:
            return _after(wanted, failure, now_ms())
        except Exception as e:  # a stranger's file must not stop those of others
            log.error("media_failed", mo=wanted.mo, carrier=wanted.carrier, error=where(e))
            return _after(wanted, FetchFailed("unavailable"), now_ms())
        return Fetched(wanted=wanted, now=now_ms(), photo=photo)


def _after(wanted: Wanted, failure: FetchFailed, now: int) -> Fetched:
    """Return what follows: another try, or none."""
    pause_ms = min(_FIRST_PAUSE_MS << min(wanted.attempts - 1, 10), _LONGEST_PAUSE_MS)
    about = {"mo": wanted.mo, "carrier": wanted.carrier, "reason": failure.why}
    is_gone = failure.why == "gone" and wanted.attempts >= _GONE_TRIES
    if failure.is_final or is_gone or now + pause_ms > wanted.expires_at:
        log.warning("media_failed", **about, address=failure.host)
        return Fetched(wanted=wanted, now=now, why=failure.why)
    log.info("media_retry", **about, due_in_s=pause_ms // 1000)
    return Fetched(wanted=wanted, now=now, why=failure.why, due_at=now + pause_ms)
