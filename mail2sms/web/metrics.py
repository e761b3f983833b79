"""What monitoring asks: the only importer of prometheus_client. Numbers only, nothing about anybody."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from mail2sms.errors import StoreUnavailable
from mail2sms.store import Store
from mail2sms.store.balances import read_balances
from mail2sms.store.outages import down
from mail2sms.store.sending import stopped
from mail2sms.store.views import counts
from mail2sms.web.context import Context, Here

_STATES = ("queued", "sending", "unknown")
_KEPT_S = 1.0  # anybody may ask, and counting costs a query

router = APIRouter()


class _Cost(Collector):
    """What carriers took since the start, by the configured prices; what has none is not in it."""

    def __init__(self) -> None:
        self.spent: Mapping[tuple[str, str], int] = {}

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Yield the counter."""
        family = CounterMetricFamily(
            "mail2sms_cost", "What messages cost that carriers took.", labels=("carrier", "currency")
        )
        for labels, millionths in self.spent.items():
            family.add_metric(labels, millionths / 1_000_000)
        yield family


class Metrics:
    """A registry of its own, filled when it is scraped."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self.requests = Counter(
            "mail2sms_http_requests", "Requests answered.", ("route", "code"), registry=self._registry
        )
        self._queue = Gauge(
            "mail2sms_queue", "Messages whose work is not over.", ("status",), registry=self._registry
        )
        self._notices = Gauge("mail2sms_notices", "Emails and chat posts that wait.", registry=self._registry)
        self._stopped = Gauge(
            "mail2sms_sending_stopped", "Whether the operator lets nothing leave.", registry=self._registry
        )
        self._carrier_up = Gauge(
            "mail2sms_carrier_up", "Whether a carrier works.", ("carrier",), registry=self._registry
        )
        self._balance = Gauge(
            "mail2sms_carrier_balance",
            "What the account at a carrier has left.",
            ("carrier", "currency"),
            registry=self._registry,
        )
        self._store_up = Gauge("mail2sms_store_up", "Whether the database answers.", registry=self._registry)
        self._cost = _Cost()
        self._registry.register(self._cost)
        self._counted_s = -_KEPT_S

    async def scrape(self, context: Context) -> bytes:
        """Return all values in the text format."""
        self._cost.spent = context.spent()
        if time.monotonic() - self._counted_s >= _KEPT_S:
            self._counted_s = time.monotonic()
            await self._count(context.store, context.account, context.carriers)
        return generate_latest(self._registry)

    async def _count(self, store: Store, account: str, carriers: Collection[str]) -> None:
        try:
            found = await store.read(counts) if store.is_answering else None
            is_stopped = found is not None and await store.read(stopped) is not None
            outages = await store.read(down, account) if found is not None else {}
            balances = await store.read(read_balances, account) if found is not None else {}
        except StoreUnavailable:
            found = None
        self._store_up.set(found is not None)
        if found is None:
            return
        self._stopped.set(is_stopped)
        for name in carriers:
            self._carrier_up.labels(name).set(name not in outages)
        for name, (left, _) in balances.items():
            if name in carriers:
                self._balance.labels(name, left.currency).set(left.millionths / 1_000_000)
        self._notices.set(found["notices"])
        for status in _STATES:
            self._queue.labels(status).set(found.get(status, 0))


@router.get("/metrics", include_in_schema=False)
async def scrape(request: Request, context: Here) -> Response:
    """Answer Prometheus."""
    text = await request.app.state.metrics.scrape(context)
    return Response(text, headers={"content-type": CONTENT_TYPE_LATEST})
