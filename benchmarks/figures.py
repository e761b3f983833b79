"""What was measured, round by round, and the tables of it. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """How the load comes: so many sessions, a connection for each mail (n) or one for all (r)."""

    sessions: int
    reuse: bool
    attachment_bytes: int = 0

    @property
    def name(self) -> str:
        """As it is called in tables and on the command line: 10n, 50r, 4r-5MB."""
        size = f"-{self.attachment_bytes // 1_000_000}MB" if self.attachment_bytes else ""
        return f"{self.sessions}{'r' if self.reuse else 'n'}{size}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """One measurement. CPU is microseconds for each mail; `sent`, `sent_s` where messages go out."""

    target: str
    case: str
    round: int
    accepted: int
    rate: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    database_us: float
    load_us: float
    failures: dict[str, int] = field(default_factory=dict)
    sent: int | None = None
    sent_s: float | None = None


def as_json(figures: Sequence[Figures]) -> list[dict[str, object]]:
    """Return them as JSON takes them."""
    return [asdict(each) for each in figures]


def _spread(values: Iterable[float], digits: int = 0) -> str:
    """The median with the extremes."""
    found = sorted(values)
    if not found:
        return "-"
    middle = f"{statistics.median(found):.{digits}f}"
    return middle if len(found) == 1 else f"{middle} ({found[0]:.{digits}f}-{found[-1]:.{digits}f})"


_COLUMNS: dict[str, Callable[[Sequence[Figures]], str]] = {
    "mails/s": lambda rows: _spread((f.rate for f in rows), 0 if rows[0].rate >= 20 else 1),
    "p50 ms": lambda rows: _spread((f.p50_ms for f in rows), 2),
    "p99 ms": lambda rows: _spread((f.p99_ms for f in rows), 2),
    "CPU us": lambda rows: _spread(f.cpu_us for f in rows),
    "database us": lambda rows: _spread(f.database_us for f in rows) if rows[0].database_us else "",
}


def _grouped(figures: Sequence[Figures]) -> dict[tuple[str, str], list[Figures]]:
    groups: dict[tuple[str, str], list[Figures]] = {}
    for each in figures:
        groups.setdefault((each.case, each.target), []).append(each)
    return groups


def table(figures: Sequence[Figures]) -> str:
    """Return one line for each case and target: medians, with the extremes where there were several rounds."""
    rows = [["load", "server", *_COLUMNS]]
    for (case, target), group in _grouped(figures).items():
        rows.append([case, target, *(column(group) for column in _COLUMNS.values())])
    return _aligned(rows)


def submits(figures: Sequence[Figures]) -> str:
    """Return one line for each window and SMPP client, as `table` does for mails."""
    rows = [["load", "client", "submits/s", "CPU us"]]
    for (case, target), group in _grouped(figures).items():
        rows.append([case, target, _spread(f.rate for f in group), _spread((f.cpu_us for f in group), 1)])
    return _aligned(rows)


def ratios(figures: Sequence[Figures], ours: Sequence[str], peers: Sequence[str]) -> str:
    """Return how our rate and CPU stand to each peer's: medians of the rounds' own ratios, measured side by side."""
    groups = _grouped(figures)
    rows = [["load", "server", "peer", "rate x peer's", "CPU x peer's"]]
    for case, target in groups:
        if target not in ours:
            continue
        for other_case, peer in groups:
            if other_case != case or peer not in peers:
                continue
            pairs = list(zip(groups[case, target], groups[case, peer], strict=False))
            rate = _spread((a.rate / b.rate for a, b in pairs if b.rate), 2)
            used = _spread(((a.cpu_us + a.database_us) / b.cpu_us for a, b in pairs if b.cpu_us), 2)
            rows.append([case, target, peer, rate, used])
    return _aligned(rows) if len(rows) > 1 else ""


def sending(figures: Sequence[Figures]) -> str:
    """Return what became of the messages where they go out, and what that costs taking mail."""
    groups = _grouped(figures)
    rows = [["load", "server", "accepted", "out", "s until out", "% of paused rate"]]
    for (case, target), group in groups.items():
        if group[0].sent is None:
            continue
        paused = groups.get((case, target.replace("running", "paused")), [])
        share = [100 * a.rate / b.rate for a, b in zip(group, paused, strict=False) if b.rate]
        rows.append(
            [
                case,
                target,
                str(sum(f.accepted for f in group)),
                str(sum(f.sent or 0 for f in group)),
                _spread((f.sent_s or 0.0 for f in group), 1),
                _spread(share) if share else "",
            ]
        )
    return _aligned(rows) if len(rows) > 1 else ""


def complaints(figures: Sequence[Figures]) -> list[str]:
    """Return what makes a measurement doubtful or bad, one line each."""
    found = []
    for each in figures:
        where = f"{each.target} {each.case} round {each.round}"
        found += [f"{where}: {count} times: {what}" for what, count in each.failures.items()]
        if not each.accepted:
            found.append(f"{where}: nothing accepted")
        if each.sent is not None and each.sent != each.accepted:
            found.append(f"{where}: {each.accepted} accepted, {each.sent} out")
    return found


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if i == 0 or (i < 3 and not cell[:1].isdigit()) else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join(lines)
