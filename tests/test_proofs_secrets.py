"""The proof that nothing personal and no secret is logged, as it is, and one control of each kind."""

from __future__ import annotations

import pytest

from tests.proofs import secrets


def test_nothing_that_is_planted_is_found() -> None:
    """After all doors, all refusals, and errors of every part."""
    figures = secrets.run()
    assert figures.is_kept, (str(figures), figures.found)
    assert figures.events >= {
        *("daemon_crashed", "dispatch_failed", "relay_failed", "notice_retry", "login_failed"),
    }


@pytest.mark.parametrize(
    ("written", "is_found"),
    [
        ("Zwiebelkuchen", True),
        ("zwiebelkuchen", True),
        ("bitte: WndpZWJlbGt1Y2hlbg==", True),
        ("5a77696562656c6b756368656e", True),
        ("+33639987654", True),
        ("06 39 98 76 54", True),
        ("rosalinde%40acme.example", True),
        ("..54", False),
        ("m-1QV4CD8WX0GV73YC", False),
    ],
)
def test_what_is_planted_is_found_however_it_is_written(written: str, is_found: bool) -> None:
    """The negative control of the search."""
    assert bool(secrets.leaks("the log", f"x {written} x")) is is_found


def test_an_error_that_is_logged_with_its_text_is_found() -> None:
    """The negative control of the run; the proof has one of each kind."""
    assert secrets.run(secrets.ERRORS_TEXT).found
