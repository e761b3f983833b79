"""What every test gets; with MAIL2SMS_NO_SKIPS=1 a skip is a failure."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

pytest_plugins = [
    "tests.servers.fixtures",
    "tests.listening",
    "tests.unsilenced",
    "tests.migrated",
    "tests.collecting",
    "tests.hanging",
]

_NO_SKIPS = os.environ.get("MAIL2SMS_NO_SKIPS") == "1"


def _fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    if not (_NO_SKIPS and report.skipped) or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
    report.outcome = "failed"
    report.longrepr = f"a skip is a failure here: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn skipped tests into failures."""
    report = yield
    _fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Turn skipped modules into failures."""
    report = yield
    _fail_if_skipped(report)
    return report


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that start real servers come first: begun last, the longest of them would be waited for alone."""
    slow = {item.path for item in items if item.get_closest_marker("servers") or "proofs" in item.path.name}
    items.sort(key=lambda item: item.path not in slow)
