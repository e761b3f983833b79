"""Bare aiosmtpd that says 250 to every mail and keeps none. Usage: discard PORT. Runs in an environment of its own."""

import asyncio
import sys

from aiosmtpd.controller import Controller


class _Discard:
    """aiosmtpd's handler."""

    async def handle_DATA(self, server: object, session: object, envelope: object) -> str:  # noqa: N802
        return "250 2.0.0 taken"


if __name__ == "__main__":
    controller = Controller(
        _Discard(), hostname="127.0.0.1", port=int(sys.argv[1]), data_size_limit=50_000_000
    )
    controller.start()
    asyncio.new_event_loop().run_forever()
