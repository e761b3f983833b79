"""Who hears what carriers tell."""

from __future__ import annotations

from mail2sms.carriers._base import CarrierEvent
from mail2sms.errors import StoreUnavailable


class Heard(list[CarrierEvent]):
    """Remembers events; `is_broken`: as a database that does not commit."""

    is_broken = False

    async def record(self, event: CarrierEvent) -> None:
        """Store it."""
        if self.is_broken:
            raise StoreUnavailable("no database")
        self.append(event)
