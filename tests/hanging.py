"""A test that hangs is ended, and told with its place in the code."""

from __future__ import annotations

import signal
from collections.abc import Generator
from types import FrameType

import pytest

_HANGS_AFTER_S = 180


def pytest_configure() -> None:
    """Listen to Ctrl-C, as what the tests start then does: a shell's background is told not to, by inheritance."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _give_up(signum: int, frame: FrameType | None) -> None:
    pytest.fail(f"hangs: no end after {_HANGS_AFTER_S} s")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, None, None]:
    """End a test that hangs, so that it is told with its place in the code."""
    signal.signal(signal.SIGALRM, _give_up)
    signal.alarm(_HANGS_AFTER_S)
    try:
        yield
    finally:
        signal.alarm(0)
