"""Carrier types that only tests know; `tests.servers.posting` starts the daemon with them."""
