"""What rules must know of a phone: who wants no message. A phone is known by a keyed hash."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, select

from mail2sms.ids import base32, keyed
from mail2sms.model import Msisdn
from mail2sms.rules._base import Facts, OptOut
from mail2sms.store import schema

SECRET = "opt_out_secret"  # noqa: S105  # the name of the setting that holds it
_CHUNK = 500
_ASKED = schema.opt_out.c.phone.in_(bindparam("phones", expanding=True))
_LISTED, _KNOWN = select(schema.opt_out).where(_ASKED), select(schema.opt_out.c.phone).where(_ASKED)


def phone_key(connection: Connection, account: str, msisdn: str) -> str:
    """Return what stands for a phone in the list."""
    secret: bytes | None = connection.info.get(SECRET)
    if secret is None:
        query = select(schema.setting.c.value).where(schema.setting.c.key == SECRET)
        secret = connection.info[SECRET] = bytes.fromhex(connection.execute(query).scalar_one())
    return base32(keyed(secret, f"{account}\0{msisdn}".encode()), 26)


def facts(connection: Connection, account: str, msisdns: Collection[Msisdn]) -> Facts:
    """Return what rules must know of these phones."""
    keys = {phone_key(connection, account, msisdn): msisdn for msisdn in msisdns}
    return Facts(opt_outs=tuple(opt_out_of(row, keys[row.phone]) for row in listed(connection, list(keys))))


def known(connection: Connection, phones: Iterable[tuple[str, Msisdn]]) -> set[tuple[str, Msisdn]]:
    """Return the phones, each with its account, of which `facts` has something to say."""
    keys = {phone_key(connection, *phone): phone for phone in phones}
    return {keys[row.phone] for row in _read(connection, _KNOWN, list(keys))}


def listed(connection: Connection, keys: Sequence[str]) -> list[Row[Any]]:
    """Return the entries of the list of opt-outs about these phones, by their keys."""
    return _read(connection, _LISTED, keys)


def _read(connection: Connection, query: Select[Any], keys: Sequence[str]) -> list[Row[Any]]:
    rows: list[Row[Any]] = []
    for start in range(0, len(keys), _CHUNK):
        rows += connection.execute(query, {"phones": keys[start : start + _CHUNK]})
    return rows


def opt_out_of(row: Row[Any], msisdn: str) -> OptOut:
    """Return an opt-out as rules see it, of a phone by its number."""
    return OptOut(
        msisdn=Msisdn(msisdn),
        our_address=row.our_address,
        source=row.source,
        keyword=row.keyword,
        who=row.who,
        at=row.at,
    )
