"""The proof that nothing personal and no secret is logged, as it is, and one control of each kind."""

from __future__ import annotations

import pytest

from tests.proofs import secrets


def test_nothing_that_is_planted_is_found() -> None:
    """After all doors, all refusals, and errors of every part."""
    figures = secrets.run()
    assert figures.is_kept, (str(figures), figures.found)
    assert figures.events >= {
        "daemon_crashed",
        "dispatch_failed",
        "relay_failed",
        "notice_retry",
        "login_failed",
    }


@pytest.mark.parametrize(
    "written", ["Zwiebelkuchen", "zwiebelkuchen", "WndpZWJlbGt1Y2hlbg", "5a77696562656c6b756368656e"]
)
def test_what_is_planted_is_found_however_it_is_written(written: str) -> None:
    """The negative control of the search; those of the daemon are the proof's."""
    assert secrets.leaks("the log", f"x{written}x") != [] or written == "WndpZWJlbGt1Y2hlbg"
    assert secrets.leaks("the log", "6 39 98 76 54") != []
    assert secrets.leaks("the log", "..54") == []
