"""The machine: folder, files, certificate, ports, secrets, database. Looks and changes nothing."""

from __future__ import annotations

import errno
import os
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from mail2sms.certificates import decode
from mail2sms.config.references import secrets
from mail2sms.config.schema import Settings
from mail2sms.config.values import API_KEY_LENGTH, ARGON2ID
from mail2sms.endpoint import Endpoint
from mail2sms.errors import BadOption
from mail2sms.intake.template import TemplateInvalid, compile_template
from mail2sms.options import Secret
from mail2sms.yamltext import Document, Fault, Steps

ProbeDatabase = Callable[[str], str | None]
"""URL -> what is wrong with the database, or None. It may take seconds."""

_SOON_DAYS = 14
_Look = Iterator[Fault | str]  # what is wrong, or what was found well


def look(settings: Settings, document: Document, probe_database: ProbeDatabase | None) -> _Look:
    """Yield faults, and in words of a few what was looked at and is well."""
    yield from _database(settings, document, probe_database)
    yield from _certificate(settings, document)
    yield from _listeners(settings, document)
    yield from _devices(settings, document)
    yield from _template(settings, document)
    yield from _secrets(settings, document)


def look_at_files(settings: Settings, document: Document) -> _Look:
    """Yield the same of what a running daemon reads again: certificate, template, secrets."""
    yield from _certificate(settings, document)
    yield from _template(settings, document)
    yield from _secrets(settings, document)


def _fault(
    document: Document, steps: Steps, message: str, hint: str = "", *, is_warning: bool = False
) -> Fault:
    return Fault(message=message, place=document.place(steps), hint=hint, steps=steps, is_warning=is_warning)


def _database(settings: Settings, document: Document, probe: ProbeDatabase | None) -> _Look:
    steps: Steps = ("database",)
    if not settings.database.startswith("sqlite:"):
        trouble = probe(settings.database) if probe else None
        if trouble:
            yield _fault(document, steps, trouble)
        elif probe:
            yield "database reachable"
        return
    folder = Path(settings.database.removeprefix("sqlite:///")).parent
    nearest = next(f for f in (folder, *folder.parents) if f.exists())
    if not nearest.is_dir():
        yield _fault(document, steps, f"{nearest} is not a folder")
    elif not os.access(nearest, os.W_OK | os.X_OK):
        what = "cannot be written" if nearest == folder else "does not exist and cannot be made"
        yield _fault(document, steps, f"the folder {folder} {what} by this user")
    else:
        yield "database folder writable" if nearest == folder else f"{folder} is made at the first start"


def _certificate(settings: Settings, document: Document) -> _Look:
    if not settings.tls:
        return
    for name in ("certificate", "key", "client_ca"):
        path = getattr(settings.tls, name)
        try:
            if path is not None:
                path.read_bytes()
        except OSError as e:
            yield _fault(document, ("tls", name), f"{path} cannot be read: {e.strerror}")
            return
    try:
        # Without a password callback OpenSSL would ask on the terminal for an encrypted key's.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(settings.tls.certificate, settings.tls.key, password=lambda: "")
    except (ssl.SSLError, ValueError) as e:
        is_pair = getattr(e, "reason", "") != "KEY_VALUES_MISMATCH"
        message = "these are no PEM certificate and key" if is_pair else "the key is not this certificate's"
        yield _fault(document, ("tls", "key"), message, "the key may have no passphrase" if is_pair else "")
        return
    try:
        if settings.tls.client_ca is not None:
            context.load_verify_locations(settings.tls.client_ca)
    except ssl.SSLError:
        yield _fault(document, ("tls", "client_ca"), f"{settings.tls.client_ca} holds no PEM certificates")
        return
    yield _validity(settings.tls.certificate, document)


def _validity(certificate: Path, document: Document) -> Fault | str:
    left_s = ssl.cert_time_to_seconds(decode(certificate)["notAfter"]) - time.time()
    days = int(abs(left_s) // 86_400)
    steps: Steps = ("tls", "certificate")
    if left_s < 0:
        ago = f"{days} day{'s' * (days != 1)} ago" if days else "today"
        return _fault(document, steps, f"the certificate expired {ago}")
    if days < _SOON_DAYS:
        return _fault(document, steps, f"the certificate expires in {days} days", is_warning=True)
    return f"certificate valid {days} days"


def _listeners(settings: Settings, document: Document) -> _Look:
    for name, address in settings.listen.addresses().items():
        if address.is_unix:
            yield _socket_folder(Path(address.host).parent, document, ("listen", name, "address"))
            continue
        trouble = _bind(address)
        if trouble is None:
            yield f"port {address.port} free"
            continue
        steps: Steps = ("listen", name, "address")
        if trouble.errno == errno.EADDRINUSE:
            message = f"port {address.port} is in use"
            yield _fault(document, steps, message, "is the daemon running?", is_warning=True)
        elif trouble.errno == errno.EACCES:
            message, hint = (
                f"port {address.port} is not for this user",
                "the systemd unit grants CAP_NET_BIND_SERVICE",
            )
            yield _fault(document, steps, message, hint, is_warning=True)
        else:
            yield _fault(document, steps, f"cannot listen here: {trouble.strerror}")


def _socket_folder(folder: Path, document: Document, steps: Steps) -> Fault | str:
    if not folder.is_dir():
        return _fault(document, steps, f"{folder} is no folder", "make it, or let a socket unit of systemd")
    if not os.access(folder, os.W_OK | os.X_OK):
        hint = "right where a socket unit of systemd opens it"
        return _fault(document, steps, f"{folder} cannot be written", hint, is_warning=True)
    return f"{folder} takes a socket"


def _bind(address: Endpoint) -> OSError | None:
    try:
        found = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, where = found[0]
        with socket.socket(family, kind, protocol) as door:
            door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            door.bind(where)
    except OSError as e:
        return e
    return None


def _devices(settings: Settings, document: Document) -> _Look:
    """What carriers use of this machine; it may be plugged in later."""
    if settings.mode == "simulate":
        return
    for name, options in settings.carriers.items():
        device, steps = options.used_device, ("carriers", name, "device")
        if device is None:
            continue
        if not device.exists():
            hint = "is it plugged in? is another name of it meant?"
            yield _fault(document, steps, f"{device} is not there", hint, is_warning=True)
        elif not os.access(device, os.R_OK | os.W_OK):
            hint = "let this user be in the group dialout, as the service of `unit` is"
            yield _fault(document, steps, f"{device} may not be used by this user", hint, is_warning=True)
        else:
            yield f"{device} can be used"


def _template(settings: Settings, document: Document) -> _Look:
    if not settings.template.startswith("/"):
        return
    try:
        compile_template(Path(settings.template).read_text(encoding="utf-8"), settings.template)
    except TemplateInvalid as e:
        message = f"{settings.template}: {e}"
        yield _fault(document, ("template",), message, e.hint)
    except OSError as e:
        yield _fault(document, ("template",), f"{settings.template} cannot be read: {e.strerror}")
    except UnicodeDecodeError:
        yield _fault(document, ("template",), f"{settings.template} is not UTF-8 text")
    else:
        yield "template readable"


def _secrets(settings: Settings, document: Document) -> _Look:
    known: dict[str, Steps] = {}
    count = 0
    for steps, secret in secrets(settings):
        if secret.is_literal:
            continue
        try:
            value = secret.reveal()
        except BadOption as e:
            yield _fault(document, steps, str(e), e.hint)
            continue
        count += 1
        yield from _revealed(settings, document, steps, value, known)
        if _is_open(secret):
            is_warning = settings.mode == "simulate"
            message = f"every user of this machine can read {secret.reference.partition(':')[2]}"
            yield _fault(document, steps, message, "chmod 600", is_warning=is_warning)
    if count:
        yield f"{count} secret{'s' * (count != 1)} readable"


def _revealed(
    settings: Settings, document: Document, steps: Steps, value: str, known: dict[str, Steps]
) -> Iterator[Fault]:
    """Judge what stands behind a reference as the schema judges a literal."""
    if steps[0] == "carriers":
        option = ".".join(map(str, steps[2:]))
        for found in settings.carriers[str(steps[1])].judge(option, value):
            yield _fault(document, steps, found.message, found.hint, is_warning=found.is_warning)
    if steps[0] == "users" and not value.startswith(ARGON2ID):
        yield _fault(document, steps, "what stands there is no argon2id hash")
    if steps[0] != "api":
        return
    if len(value) < API_KEY_LENGTH:
        yield _fault(document, steps, f"the key there is shorter than {API_KEY_LENGTH} characters")
    if known.setdefault(value, steps) != steps:
        line = document.place(known[value]).line
        yield _fault(document, steps, f"this is the same key as on line {line}", "give each its own")


def _is_open(secret: Secret) -> bool:
    kind, _, name = secret.reference.partition(":")
    return kind == "file" and bool(Path(name).stat().st_mode & 0o004)
