"""Certificates for servers of this machine, made by openssl."""

from __future__ import annotations

import ssl
from pathlib import Path

from tests.servers._server import program, run


def certificate(folder: Path, name: str = "test", names: str = "IP:127.0.0.1") -> tuple[Path, Path]:
    """Return a new certificate for 127.0.0.1 (or other `names`), signed by nobody else, and its key; two days."""
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    key_kind = ["-newkey", "rsa:2048", "-nodes", "-days", "2"]  # whose signatures are all of one length
    called = ["-subj", f"/CN={name}", "-addext", f"subjectAltName={names}"]
    run([program("openssl", "openssl"), "req", "-x509", *key_kind, *called, "-keyout", key, "-out", cert])
    return cert, key


def server_context(cert: Path, key: Path, version: ssl.TLSVersion) -> ssl.SSLContext:
    """Return what a server of exactly this version of TLS needs."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = version
    context.load_cert_chain(cert, key)
    return context
