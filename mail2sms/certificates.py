"""The certificate of the listeners: loaded, and loaded again by itself when its files are renewed."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mail2sms.log import log

if TYPE_CHECKING:
    from mail2sms.config.schema import TlsOptions

_LOOK_S = 60.0
_DAY_S = 86_400
_Stamp = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Certificate:
    """What one pair of files gives. `legacy` is for old devices alone: TLS 1.0 and its ciphers too."""

    modern: ssl.SSLContext
    legacy: ssl.SSLContext
    not_after_s: float

    def days_left(self, now_s: float) -> int:
        """Return for how many whole days it is good; negative when it has expired."""
        return int((self.not_after_s - now_s) // _DAY_S)


def load(options: TlsOptions) -> Certificate:
    """Read the pair. Raises OSError (ssl.SSLError is one) or ValueError when it can't be used."""
    modern, legacy = (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) for _ in range(2))
    modern.minimum_version = ssl.TLSVersion.TLSv1_2
    legacy.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    legacy.set_ciphers("ALL:!aNULL:!eNULL:@SECLEVEL=0")
    for context in (modern, legacy):
        # Without a password callback OpenSSL would ask on the terminal for an encrypted key's.
        context.load_cert_chain(options.certificate, options.key, password=lambda: "")
    if options.client_ca is not None:  # what old ciphers and digests show proves nothing: not asked for there
        modern.load_verify_locations(options.client_ca)
        modern.verify_mode = ssl.CERT_OPTIONAL  # who shows none may still log in, or be proven by the mail
    not_after_s = ssl.cert_time_to_seconds(decode(options.certificate)["notAfter"])
    return Certificate(modern=modern, legacy=legacy, not_after_s=not_after_s)


def decode(path: Path) -> dict[str, Any]:
    """Return what stands in a certificate. Raises OSError."""
    # Private, but what CPython's own tests rely on since 3.0; the public ways need a connection.
    found: dict[str, Any] = ssl._ssl._test_decode_cert(str(path))  # type: ignore[attr-defined]
    return found


class Renewal:
    """Looks after the files once a minute; what can't be used changes nothing, and `fault` says so.

    `adopt` is called with each new certificate.
    """

    def __init__(self, adopt: Callable[[Certificate], None]) -> None:
        self._adopt = adopt
        self._options: TlsOptions | None = None
        self._seen: _Stamp = ()
        self._certificate: Certificate | None = None
        self.fault = ""

    def use(self, options: TlsOptions | None, certificate: Certificate | None) -> None:
        """From now on this one is in force, and these are its files."""
        self._options, self._certificate = options, certificate
        self._seen, self.fault = _stamp(options) if options else (), ""

    def days_left(self) -> int | None:
        """Return for how many days the one in force is good; None without one."""
        return self._certificate.days_left(time.time()) if self._certificate else None

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_S)
            await self.look()

    async def look(self) -> None:
        """Load the pair if a file is another than last time."""
        options = self._options
        if options is None:
            return
        stamp = await asyncio.to_thread(_stamp, options)
        if stamp == self._seen or options is not self._options:
            return
        try:
            certificate = await asyncio.to_thread(load, options)
        except (OSError, ValueError) as e:
            self._seen = stamp
            self.fault = getattr(e, "reason", None) or getattr(e, "strerror", None) or type(e).__name__
            log.error("certificate_refused", reason=self.fault)
            return
        if options is self._options:  # else a reload came between
            self.use(options, certificate)
            self._seen = stamp  # what has changed since then is looked at next time
            log.info("certificate_renewed", count=certificate.days_left(time.time()))
            self._adopt(certificate)


def _stamp(options: TlsOptions) -> _Stamp:
    files = (options.certificate, options.key, options.client_ca)
    return tuple(_stamp_of(path) for path in files if path is not None)


def _stamp_of(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:  # between two steps of a renewal
        return (0, 0, 0)
    return found.st_ino, found.st_size, found.st_mtime_ns
