"""The daemon's command line with a dispatcher that waits until it is told to stop: what comes in stays queued."""

from __future__ import annotations

from mail2sms.cli.main import main
from mail2sms.dispatch import Dispatch


async def _wait(self: Dispatch) -> None:
    await self._wait_for_stop()


if __name__ == "__main__":
    Dispatch.run = _wait  # type: ignore[method-assign]
    main()
