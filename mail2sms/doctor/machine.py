"""This machine as it runs: daemon, listeners, certificate, clock, database."""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import ssl
from ipaddress import ip_address
from pathlib import Path

from mail2sms.certificates import decode
from mail2sms.cli import Failed, typed
from mail2sms.cli.control import Control
from mail2sms.clock import now_ms
from mail2sms.config.listeners import AnyMailListener
from mail2sms.doctor import Finding, Level, Patient
from mail2sms.endpoint import Endpoint
from mail2sms.errors import StoreUnavailable
from mail2sms.options import Network
from mail2sms.store.engine import is_sqlite, sqlite_path
from mail2sms.store.look import look
from mail2sms.store.schema import HEAD

_ANSWER_S = 5.0
_SOON_DAYS = 14
_DRIFT_MS = 2_000
_ROOM_BYTES = 500_000_000
_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronized
_TIMEX_BYTES = 512  # struct timex is 208 bytes today
_FORGETFUL = {"tmpfs": "the next boot", "ramfs": "the next boot", "overlay": "its container"}
_REMOTE = frozenset({"nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p"})


async def daemon(patient: Patient) -> list[Finding]:
    """The daemon answers on its control socket and says that it is well."""
    try:
        answer = await asyncio.to_thread(Control(patient.socket, _ANSWER_S).health)
    except Failed as e:
        return [Finding(name="daemon", level="FAIL", sentence=str(e), remedy=(_start(patient),))]
    failing = {part: what for part, what in answer.get("parts", {}).items() if what != "ok"}
    if failing:
        parts = ", ".join(f"{part} {what}" for part, what in failing.items())
        remedy = ("its log says why:  journalctl -u mail2sms -n 50",)
        return [Finding(name="daemon", level="FAIL", sentence=f"it runs, but: {parts}", remedy=remedy)]
    return [Finding(name="daemon", level="ok", sentence=f"runs in mode {answer.get('mode', '?')}")]


def _start(patient: Patient) -> str:
    return f"start it: systemctl start mail2sms, or {typed('serve', patient.config)}"


async def listeners(patient: Patient) -> list[Finding]:
    """Each listener answers as we do. Whether others can reach it, only they can tell."""
    settings = patient.settings
    mail = settings.listen.mail()
    looked = [
        _listener(name, at, _start(patient), mail.get(name))
        for name, at in settings.listen.addresses().items()
    ]
    return list(await asyncio.gather(*looked))


def _cause(error: OSError) -> str:
    """In the system's words: asyncio's own name the address again, and not what is the matter."""
    return os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)


async def _listener(name: str, address: Endpoint, start: str, mail: AnyMailListener | None) -> Finding:
    title = name if address.is_unix else f"port {address.port}"
    try:
        async with asyncio.timeout(_ANSWER_S):
            said = await _greeting(address, mail)
    except (OSError, TimeoutError) as e:
        why = "does not answer" if isinstance(e, TimeoutError) else f"cannot be reached: {_cause(e)}"
        return Finding(name=title, level="FAIL", sentence=f"{name} {address} {why}", remedy=(start,))
    if not said.startswith("220" if mail else "HTTP/1.1"):
        looking = f"ss -lxp src {address.host}" if address.is_unix else f"ss -ltnp 'sport = :{address.port}'"
        remedy = (f"another program listens there:  {looking}",)
        return Finding(
            name=title, level="FAIL", sentence=f"{name} {address} answers as a stranger", remedy=remedy
        )
    seen = "only this machine can reach it" if address.is_loopback else "answers; try it from outside too"
    return Finding(name=title, level="ok", sentence=f"{name} {address} {seen}")


async def _greeting(address: Endpoint, mail: AnyMailListener | None) -> str:
    here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host)  # noqa: S104  # is not bound
    if address.is_unix:
        reader, writer = await asyncio.open_unix_connection(address.host)
    else:
        reader, writer = await asyncio.open_connection(here, address.port)
    try:
        if mail is None:
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        elif _is_in(writer.get_extra_info("sockname"), mail.proxy):
            writer.write(b"PROXY UNKNOWN\r\n")
        if mail and mail.tls.endswith("implicit"):
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # `certificate` looks at that
            await writer.start_tls(context)
        line = await reader.readline()
        if mail:
            writer.write(b"QUIT\r\n")
        return line.decode("latin-1").strip()
    finally:
        writer.close()


def _is_in(own: object, networks: tuple[Network, ...]) -> bool:
    """Whether we would pass for a load balancer, which must say first whom it brings."""
    return isinstance(own, tuple) and any(ip_address(own[0]) in network for network in networks)


async def certificate(patient: Patient) -> list[Finding]:
    """The certificate lasts, and has the name that senders know us by."""
    settings = patient.settings
    if settings.tls is None:
        reachable = [n for n, mail in settings.listen.mail().items() if not mail.address.is_loopback]
        if not reachable:
            return [
                Finding(name="TLS", level="skip", sentence="no certificate, and no mail from other machines")
            ]
        remedy = ("tls: {certificate: /etc/mail2sms/tls/fullchain.pem, key: /etc/mail2sms/tls/privkey.pem}",)
        sentence = f"no certificate: mail to {', '.join(reachable)} comes in the clear"
        return [Finding(name="TLS", level="warn", sentence=sentence, remedy=remedy)]
    known_as = {settings.domain, *(host for _, host in await patient.dns.mx(settings.domain) if host)}
    return [_certificate(settings.tls.certificate, known_as, patient)]


def _certificate(path: Path, known_as: set[str], patient: Patient) -> Finding:
    renew = (f"renew {path} and its key: they are read again within a minute",)
    try:
        decoded = decode(path)
    except (OSError, ssl.SSLError):
        sentence = f"{path} cannot be read as a certificate"
        remedy = (f"{typed('check', patient.config)} says more",)
        return Finding(name="TLS", level="FAIL", sentence=sentence, remedy=remedy)
    days = int((ssl.cert_time_to_seconds(decoded["notAfter"]) - patient.now_ms / 1000) // 86_400)
    names = {value.lower() for kind, value in decoded.get("subjectAltName", ()) if kind == "DNS"}
    fits = sorted(name for name in known_as if _covers(names, name))
    if days < 0:
        return Finding(
            name="TLS", level="FAIL", sentence=f"the certificate expired {-days} days ago", remedy=renew
        )
    if not fits:
        sentence = f"the certificate is for {', '.join(sorted(names)) or 'nobody'}, not {' or '.join(sorted(known_as))}"
        remedy = ("get one for a name that senders use; those that verify it will not send otherwise",)
        return Finding(name="TLS", level="warn", sentence=sentence, remedy=remedy)
    sentence = f"certificate for {', '.join(fits)}, {days} days left"
    level: Level = "warn" if days < _SOON_DAYS else "ok"
    return Finding(name="TLS", level=level, sentence=sentence, remedy=renew if level == "warn" else ())


def _covers(names: set[str], wanted: str) -> bool:
    return wanted in names or f"*.{wanted.partition('.')[2]}" in names


async def clock(patient: Patient) -> list[Finding]:
    """Somebody keeps the clock right: schedules, expiry and reports are told by it."""
    state = await asyncio.to_thread(_kernel_clock)
    if state is None:
        return [Finding(name="clock", level="skip", sentence="this system does not tell who keeps its clock")]
    if state == _TIME_ERROR:
        remedy = ("timedatectl set-ntp true, or install systemd-timesyncd or chrony",)
        sentence = "nothing keeps the clock of this machine right (no NTP)"
        return [Finding(name="clock", level="warn", sentence=sentence, remedy=remedy)]
    return [Finding(name="clock", level="ok", sentence="kept right by NTP")]


def _kernel_clock() -> int | None:
    """Return what adjtimex(2) says of the clock, with no mode: it only reads. None where there is no such call."""
    try:
        return int(ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES)))
    except (OSError, AttributeError):
        return None


async def database(patient: Patient) -> list[Finding]:
    """It answers, keeps what it commits, and has our schema; on SQLite its disk is a real one with room."""
    url = patient.settings.database
    try:
        found = await asyncio.to_thread(look, url)
    except StoreUnavailable as e:
        remedy = (f"{typed('check', patient.config)} names what stands in the way",)
        return [Finding(name="database", level="FAIL", sentence=str(e), remedy=remedy)]
    kind = "SQLite" if is_sqlite(url) else "PostgreSQL"
    if found.schema is not None and found.schema > HEAD:
        remedy = ("install the newer mail2sms that wrote it",)
        sentence = f"schema {found.schema} is newer than this program's {HEAD}"
        return [Finding(name="database", level="FAIL", sentence=sentence, remedy=remedy)]
    drift_ms = found.clock_ms - now_ms() if found.clock_ms is not None else 0
    if abs(drift_ms) > _DRIFT_MS:
        remedy = ("let both machines keep their clocks by NTP",)
        sentence = f"its clock is {drift_ms / 1000:+.0f} s from this machine's"
        return [Finding(name="database", level="warn", sentence=sentence, remedy=remedy)]
    state = f"schema {found.schema}" if found.schema else "made at the first start"
    trouble = None
    if is_sqlite(url):
        trouble = await asyncio.to_thread(_disk, sqlite_path(url).parent, patient.mounts)
    return [
        trouble or Finding(name="database", level="ok", sentence=f"{kind}, {state}, keeps what it commits")
    ]


def _disk(folder: Path, mounts: Path) -> Finding | None:
    nearest = next(f for f in (folder, *folder.parents) if f.exists())
    kind = _filesystem(nearest, mounts)
    if kind in _REMOTE or kind in _FORGETFUL:
        lost = (
            f"does not outlive {_FORGETFUL[kind]}"
            if kind in _FORGETFUL
            else "is on another machine: SQLite breaks"
        )
        remedy = (
            "database: sqlite:////var/lib/mail2sms/mail2sms.db on a disk of this machine, or postgresql://",
        )
        level: Level = "FAIL" if kind in _REMOTE else "warn"
        return Finding(name="database", level=level, sentence=f"{folder} ({kind}) {lost}", remedy=remedy)
    free = shutil.disk_usage(nearest).free
    if free < _ROOM_BYTES:
        sentence = f"{folder} has {free // 1_000_000} MB left"
        return Finding(name="database", level="warn", sentence=sentence, remedy=("make room on that disk",))
    return None


def _filesystem(folder: Path, mounts: Path) -> str:
    """Return the kind of filesystem a folder is on: of the deepest mount above it, the last one there."""
    best, kind = "", ""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        _, point, found, *_ = line.split(" ")
        is_above = folder == Path(point) or Path(point) in folder.parents
        if is_above and len(point) >= len(best):
            best, kind = point, found
    return kind
