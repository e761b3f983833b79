"""What the reading of mails is told by the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mail2sms.intake.template import Template
from mail2sms.model import Msisdn


@dataclass(frozen=True, kw_only=True, slots=True)
class Desk:
    """What the reading of mails needs to know. `teams` are phones by lower-case team name.

    `devices` are the names of those that say themselves who is written to: their own mailboxes.
    With `takes_keys`, addresses may hold a key of who writes to them.
    """

    account: str
    domain: str
    country: str
    template_mailbox: str
    template: Template
    simple: Template
    teams: Mapping[str, tuple[Msisdn, ...]]
    devices: frozenset[str] = frozenset()
    takes_keys: bool = False
