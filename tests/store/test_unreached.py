"""Why a database cannot be used, in words that say where and what, and never the password."""

from __future__ import annotations

import pytest
from sqlalchemy import exc

from mail2sms.store.engine import unreached

_HEAD = 'connection failed: connection to server at "10.1.0.9", port 5432 failed: '


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("Connection refused\n\tIs the server running?", "nothing listens there"),
        ("timeout expired", "it does not answer in time"),
        ('FATAL:  password authentication failed for user "sms"', "the password of sms is wrong"),
        ("fe_sendauth: no password supplied", "it asks for a password of sms"),
        ('FATAL:  role "sms" does not exist', "there is no user sms"),
        ('FATAL:  database "bridge" does not exist', "there is no database bridge"),
        ('FATAL:  permission denied for database "bridge"', "sms has no right to do that there"),
        (
            'FATAL:  no pg_hba.conf entry for host "10.1.0.5", user "sms", database "bridge"',
            "its pg_hba.conf lets sms in from nowhere here",
        ),
        ("FATAL:  sorry, too many clients already", "it has no connection left"),
        ("FATAL:  the database system is starting up", "it is starting up"),
        ("FATAL:  hunter2", "it cannot be used (Exception)"),
    ],
)
def test_why(said: str, why: str) -> None:
    """The sentences are those of PostgreSQL 15 and libpq."""
    error = exc.OperationalError("", {}, Exception(_HEAD + said))
    url = "postgresql://sms:hunter2@10.1.0.9/bridge"
    assert unreached(url, error) == f"PostgreSQL at 10.1.0.9:5432: {why}"


def test_a_name_that_nobody_has() -> None:
    """The host as it stands in the URL, and a port of its own."""
    error = exc.OperationalError("", {}, Exception("failed to resolve host 'db': [Errno -2] x"))
    assert (
        unreached("postgresql://db:5433/x", error)
        == "PostgreSQL at db:5433: its name is not known to the DNS"
    )
