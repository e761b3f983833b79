"""The log stays as it is in every test: a verb that runs in this process would silence it for those after it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def _unsilenced() -> Iterator[None]:
    """What configures the log for a process does nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mail2sms.log.configure", lambda level="info": None)
        yield
