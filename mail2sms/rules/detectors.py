"""What looks like somebody else at work waits until a person has looked at it. Pure.

Numbers one after another, a burst into a country that is new, far more than a writer's usual: each is what fraud looks
like, and sometimes a campaign. They act in `mode: live` alone, never on the first message to a country and never on the
phones of users and teams. What a person has released is not held again for three days.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mail2sms import numbers
from mail2sms.model import Msisdn, MtMessage, Proof, Writer
from mail2sms.rules._base import Facts, Hold, Policy, Questions, Reservation, who
from mail2sms.rules._limits import PREFIXED, Detectors, Span, span

_ALL = "all"
_NO_LIMIT = 1 << 62
_NEW_DAYS = 2  # a country is new on its first day and the next: at midnight nothing starts anew
_KNOWN_DAYS = 30
_USUAL_DAYS = 7
_TRUSTED_DAYS = 3
_FEW = 50  # messages a day: less is never unusual
_DAY_MS = 86_400_000


def questions(writer: Writer, phones: Iterable[Msisdn], at: int, policy: Policy) -> Questions:
    """Return what to ask the store about one email or API call; nothing where no detector acts."""
    if not _acts(writer, policy):
        return Questions()
    watch, strangers = policy.quotas.detectors, sorted(set(phones) - policy.ours)
    if not strangers:
        return Questions()
    asked = _Asked(account=writer.account, days=_days(at, policy.quotas.zone))
    regions = {numbers.region(phone) for phone in strangers}
    keys = [key for region in regions for key in asked.tallies("country", region, _KNOWN_DAYS)]
    keys += [key for region in regions for key in asked.trusts("new_country", region)]
    if watch.unusual:
        keys += asked.tallies("writer", who(writer), _USUAL_DAYS)
        keys += asked.tallies(_ALL, "", _USUAL_DAYS)
        keys += asked.trusts("unusual", who(writer))
    blocks = sorted({_block(phone) for phone in strangers}) if watch.sequential else []
    keys += [key for block in blocks for key in asked.trusts("sequential", block)]
    since, most = 0, 0
    if watch.sequential:
        since, most = at - watch.sequential.per_s * 1000, watch.sequential.count + len(policy.ours) + 1
    return Questions(keys=tuple(keys), blocks=tuple(blocks), since=since, most=most)


def tallies(mt: MtMessage, writer: Writer, policy: Policy) -> tuple[Reservation, ...]:
    """Return how a message that is sent is remembered: by the day, of its country, its writer, and all."""
    if not policy.quotas.detectors.is_on or mt.msisdn in policy.ours:
        return ()
    asked = _Asked(account=mt.account, days=(span("day", mt.created_at, policy.quotas.zone),))
    counted = [asked.remember("tally", "country", mt.region, _KNOWN_DAYS + 1)]
    if policy.quotas.detectors.unusual:
        counted.append(asked.remember("tally", "writer", who(writer), _USUAL_DAYS + 1))
        counted.append(asked.remember("tally", _ALL, "", _USUAL_DAYS + 1))
    return tuple(counted)


def judge(messages: Sequence[MtMessage], writer: Writer, policy: Policy, facts: Facts) -> dict[str, Hold]:
    """Return what must wait, by the ids of the messages of one email or API call."""
    if not _acts(writer, policy):
        return {}
    watch, strange = policy.quotas.detectors, [mt for mt in messages if mt.msisdn not in policy.ours]
    if not strange:
        return {}
    case = _Case(
        asked=_Asked(account=writer.account, days=_days(strange[0].created_at, policy.quotas.zone)),
        facts=facts,
        writer=writer,
        messages=tuple(strange),
    )
    held: dict[str, Hold] = {}
    for found in (_sequential(case, watch, policy.ours), _new_country(case, watch), _unusual(case, watch)):
        for id_, hold in found:
            held[id_] = held[id_].and_for(hold) if id_ in held else hold
    firsts = case.first_to_their_country()
    return {id_: hold for id_, hold in held.items() if id_ not in firsts}


def _acts(writer: Writer, policy: Policy) -> bool:
    return policy.mode == "live" and policy.quotas.detectors.is_on and writer.proof is not Proof.OPERATOR


def _block(msisdn: str) -> str:
    return msisdn[:-PREFIXED]


def _days(at: int, zone: str) -> tuple[Span, ...]:
    """Return the day of a moment and those before it, the newest first."""
    days = [span("day", at, zone)]
    while len(days) <= _KNOWN_DAYS:
        days.append(span("day", days[-1].start - 1, zone))
    return tuple(days)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Asked:
    """Names the counters of an account. `days`: the newest first."""

    account: str
    days: tuple[Span, ...]

    def tallies(self, kind: str, of: str, before: int) -> list[str]:
        """Name the counters of today and so many days before."""
        return [self._key("tally", kind, of, day) for day in self.days[: before + 1]]

    def trusts(self, kind: str, of: str) -> list[str]:
        """Name the marks that a person's release leaves."""
        return [self._key("trust", kind, of, day) for day in self.days[:_TRUSTED_DAYS]]

    def remember(self, what: str, kind: str, of: str, days: int) -> Reservation:
        """Count one more today; kept for so many days."""
        until = self.days[0].end + days * _DAY_MS
        return Reservation(
            key=self._key(what, kind, of, self.days[0]), amount=1, limit=_NO_LIMIT, until=until
        )

    def _key(self, what: str, kind: str, of: str, day: Span) -> str:
        return f"{what} {self.account} {kind} {of} {day.start}"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Case:
    """The messages of one email or API call to strangers, and what is known of the past."""

    asked: _Asked
    facts: Facts
    writer: Writer
    messages: tuple[MtMessage, ...]

    def by_day(self, kind: str, of: str, before: int) -> list[int]:
        """Return how much was sent today and on so many days before."""
        return [self.facts.tallies.get(key, 0) for key in self.asked.tallies(kind, of, before)]

    def is_trusted(self, kind: str, of: str) -> bool:
        """Whether somebody has released the like of it."""
        return any(self.facts.tallies.get(key) for key in self.asked.trusts(kind, of))

    def by_region(self) -> Mapping[str, list[MtMessage]]:
        """Return the messages by their country."""
        found: dict[str, list[MtMessage]] = {}
        for mt in self.messages:
            found.setdefault(mt.region, []).append(mt)
        return found

    def first_to_their_country(self) -> set[str]:
        """Return the messages before which nothing went to their country."""
        return {
            mts[0].id
            for region, mts in self.by_region().items()
            if not any(self.by_day("country", region, _KNOWN_DAYS))
        }

    def hold(self, kind: str, of: str, detail: str) -> Hold:
        """Return what makes a message wait, and what its release will be remembered by."""
        trust = self.asked.remember("trust", kind, of, _TRUSTED_DAYS)
        return Hold(reason=f"held.{kind}", detail=detail, then=(trust,))


_Found = Iterator[tuple[str, Hold]]


def _sequential(case: _Case, watch: Detectors, ours: frozenset[Msisdn]) -> _Found:
    """Yield messages to one block of 10,000 numbers of which too many get one within the time."""
    rate = watch.sequential
    if rate is None:
        return
    asked: dict[str, set[Msisdn]] = {}
    for mt in case.messages:
        asked.setdefault(_block(mt.msisdn), set()).add(mt.msisdn)
    for block, phones in asked.items():
        reached = (set(case.facts.blocks.get(block, ())) - ours) | phones
        if len(reached) <= rate.count or case.is_trusted("sequential", block):
            continue
        detail = f"more than {rate} different phones whose numbers begin with {block}"
        hold = case.hold("sequential", block, detail)
        yield from ((mt.id, hold) for mt in case.messages if _block(mt.msisdn) == block)


def _new_country(case: _Case, watch: Detectors) -> _Found:
    """Yield messages to a country that was never written to before these two days, and gets many now."""
    if watch.new_country is None:
        return
    for region, mts in case.by_region().items():
        days = case.by_day("country", region, _KNOWN_DAYS)
        is_known = any(days[_NEW_DAYS:]) or case.is_trusted("new_country", region)
        count = sum(days[:_NEW_DAYS]) + len(mts)
        if is_known or count <= watch.new_country:
            continue
        detail = f"{count} messages to {region}, which is new; more than {watch.new_country}"
        hold = case.hold("new_country", region, detail)
        yield from ((mt.id, hold) for mt in mts)


def _unusual(case: _Case, watch: Detectors) -> _Found:
    """Yield all messages of a writer who sends many times what was usual in the week before."""
    if watch.unusual is None or not any(case.by_day(_ALL, "", _USUAL_DAYS)[1:]):
        return  # where nobody has sent anything yet, nothing is usual
    of = who(case.writer)
    today, *before = case.by_day("writer", of, _USUAL_DAYS)
    usual = sum(before) / _USUAL_DAYS
    count, most = today + len(case.messages), max(_FEW, watch.unusual * usual)
    if count <= most or case.is_trusted("unusual", of):
        return
    hold = case.hold("unusual", of, f"{count} messages in a day, {round(usual)} in a usual one")
    yield from ((mt.id, hold) for mt in case.messages)
