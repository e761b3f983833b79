"""The systemd units of one configuration: settings in, the texts of files out. Pure.

Without sockets the service opens its ports itself; with them systemd does, one socket unit for each listener, so that
the service needs no right at all and that nobody is refused while it restarts. Directives: systemd.exec(5) and
systemd.service(5) of systemd 252 (Debian 12), which does not know Type=notify-reload yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mail2sms.cli import SYSTEM_FOLDER, Exit, Failed
from mail2sms.config import Settings
from mail2sms.config.references import secrets
from mail2sms.endpoint import Endpoint
from mail2sms.options import SECRETS_FOLDER

SERVICE = "mail2sms.service"
HEAD = "# Made by mail2sms unit"
STATE_FOLDER = Path("/var/lib/mail2sms")
USER = "mail2sms"
SERIAL_GROUP = "dialout"
_PRIVILEGED_PORTS = 1024
_HOMES = ("/home", "/root", "/run/user")

_LIFE = """\
Type=notify
NotifyAccess=main
WatchdogSec=30
# It never gives up: a database may be away for an hour. What only a person can mend (77, 78) is not tried again.
Restart=on-failure
RestartSec=5
RestartPreventExitStatus=77 78
TimeoutStartSec=15min
# It asks its helpers to end itself, when the mails that they read are through.
KillMode=mixed
TimeoutStopSec=60
OOMPolicy=continue
LimitNOFILE=65536"""

_IDENTITY = f"""\
DynamicUser=yes
User={USER}
ConfigurationDirectory=mail2sms
StateDirectory=mail2sms
StateDirectoryMode=0700
RuntimeDirectory=mail2sms
RuntimeDirectoryMode=0700
UMask=0077"""

_HARDENING = """\
NoNewPrivileges=yes
ProtectSystem=strict
ProtectProc=invisible
ProcSubset=pid
PrivateTmp=yes
DevicePolicy=closed
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RemoveIPC=yes
LockPersonality=yes
KeyringMode=private
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """The words that start the program, and the configuration's absolute path.

    `python` is the interpreter itself, `package` the folder of our modules; None where nobody asks for them.
    """

    program: Sequence[str]
    config: Path
    python: Path | None = None
    package: Path | None = None


def service(settings: Settings, place: Place, *, has_sockets: bool) -> str:
    """Return the text of mail2sms.service."""
    return "\n".join(
        (
            *_head(settings, place),
            "[Unit]",
            "Description=mail2sms, from email to SMS and back",
            "Wants=network-online.target",
            "After=network-online.target nss-lookup.target",
            "StartLimitIntervalSec=0",
            *_drivers(settings),
            "",
            "[Service]",
            *_run(place),
            _LIFE,
            *([f"Sockets={' '.join(map(socket_name, settings.listen.addresses()))}"] if has_sockets else ()),
            "",
            _IDENTITY,
            *_folders(settings, has_sockets=has_sockets),
            *_credentials(settings),
            "",
            *_rights(settings, has_sockets=has_sockets),
            *_devices(settings),
            f"ProtectHome={'read-only' if _is_at_home(settings, place) else 'yes'}",
            _HARDENING,
            "",
            "[Install]",
            "WantedBy=multi-user.target",
            "",
        )
    )


def sockets(settings: Settings) -> dict[str, str]:
    """Return the texts of the socket units by file name. Raises Failed for an address that systemd can't open."""
    return {
        socket_name(name): _socket(name, address) for name, address in settings.listen.addresses().items()
    }


def socket_name(listener: str) -> str:
    """Return the name of the socket unit of a listener."""
    return f"mail2sms-{listener}.socket"


def _socket(listener: str, address: Endpoint) -> str:
    lines = [
        f"{HEAD}: listen.{listener}",
        "[Unit]",
        f"Description=mail2sms, listen.{listener}",
        "",
        "[Socket]",
        *_streams(listener, address),
        f"FileDescriptorName={listener}",
        f"Service={SERVICE}",
        "Backlog=512",
        "",
        "[Install]",
        "WantedBy=sockets.target",
        "",
    ]
    return "\n".join(lines)


def _streams(listener: str, address: Endpoint) -> Iterator[str]:
    if address.is_unix:
        yield f"ListenStream={address.host}"
        yield "SocketMode=0666"
    elif address.host == "localhost":
        yield f"ListenStream=127.0.0.1:{address.port}"
        yield f"ListenStream=[::1]:{address.port}"
    elif address.host.replace(".", "").isdigit() or ":" in address.host:
        yield f"ListenStream={address}"
        if address.host == "::":
            yield "BindIPv6Only=both"
    else:
        text = f"listen.{listener}.address: systemd opens IP addresses, not names such as {address.host}"
        raise Failed(Exit.BAD_CONFIG, f"{text}; write its address, or 0.0.0.0 for all")


def _head(settings: Settings, place: Place) -> Iterator[str]:
    yield f"{HEAD} for {place.config}; changes belong in `systemctl edit mail2sms`."
    yield "# The service's user reads that file and may not be root: its secrets belong in files of their own, as"
    yield f"# credential:NAME in {SECRETS_FOLDER}, which systemd reads as root (LoadCredential)."
    named = sorted({str(path) for path in files(settings)})
    if named:
        yield "# It must also be able to read, now and after each renewal:"
        yield from (f"#   {path}" for path in named)
    yield ""


def _is_at_home(settings: Settings, place: Place) -> bool:
    paths = (place.program[0], *map(str, (place.config, place.python, place.package, *files(settings))))
    return any(path.startswith(_HOMES) for path in paths)


def files(settings: Settings) -> Iterator[Path]:
    """Yield what the service must be able to read beside the configuration."""
    if settings.tls is not None:
        yield from (settings.tls.certificate, settings.tls.key)
        if settings.tls.client_ca is not None:
            yield settings.tls.client_ca
    if settings.template.startswith("/"):
        yield Path(settings.template)
    yield from map(Path, referenced(settings, "file"))


def _run(place: Place) -> Iterator[str]:
    program, config = " ".join(map(_quoted, place.program)), _quoted(str(place.config))
    check = f"{program} check --quiet --no-environment {config}"
    yield "# Without the dash systemd would try again for ever: RestartPreventExitStatus= is for ExecStart= alone."
    yield f"ExecStartPre=-{check}"
    yield f"ExecStart={program} serve --config {config}"
    yield f"ExecReload={check}"
    yield "ExecReload=/bin/kill -HUP $MAINPID"


def _quoted(word: str) -> str:
    word = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{word}"' if any(c in word for c in " \t'\"\\;") else word


def _folders(settings: Settings, *, has_sockets: bool) -> Iterator[str]:
    folder = database_folder(settings)
    if folder is not None:
        yield f"ReadWritePaths={_quoted(str(folder))}"
    for address in settings.listen.addresses().values():
        if address.is_unix and not has_sockets:
            yield f"ReadWritePaths={_quoted(str(Path(address.host).parent))}"


def database_folder(settings: Settings) -> Path | None:
    """Return where the database is if not in the state folder: the service's user must be able to write there."""
    if not settings.database.startswith("sqlite:///"):
        return None
    folder = Path(settings.database.removeprefix("sqlite:///")).parent
    return None if folder.is_relative_to(STATE_FOLDER) else folder


def _credentials(settings: Settings) -> Iterator[str]:
    for name in sorted(set(referenced(settings, "credential"))):
        yield f"LoadCredential={name}:{SECRETS_FOLDER / name}"
    if any(referenced(settings, "env")):
        yield f"EnvironmentFile=-{SYSTEM_FOLDER}/environment"


def referenced(settings: Settings, kind: str) -> Iterable[str]:
    """Yield what stands behind references of a kind: credential, file, env."""
    for _, secret in secrets(settings):
        found, _, name = secret.reference.partition(":")
        if found == kind and not secret.is_literal:
            yield name


def _rights(settings: Settings, *, has_sockets: bool) -> Iterator[str]:
    ports = [address.port for address in settings.listen.addresses().values()]
    if not has_sockets and any(0 < port < _PRIVILEGED_PORTS for port in ports):
        yield "AmbientCapabilities=CAP_NET_BIND_SERVICE"
        yield "CapabilityBoundingSet=CAP_NET_BIND_SERVICE"
    else:
        yield "CapabilityBoundingSet="
        if not any(devices(settings)):  # there a user would not have the group that may use them
            yield "PrivateUsers=yes"


def devices(settings: Settings) -> Iterator[Path]:
    """Yield the devices that carriers use."""
    used = (options.used_device for options in settings.carriers.values())
    yield from filter(None, used)


def _devices(settings: Settings) -> Iterator[str]:
    """Serial devices by their kind: a stick that is plugged in again may have another number."""
    if not any(devices(settings)):
        yield "PrivateDevices=yes"
        return
    yield f"SupplementaryGroups={SERIAL_GROUP}"
    yield from (f"DeviceAllow=char-{kind} rw" for kind in ("ttyUSB", "ttyACM", "ttyS"))


def _drivers(settings: Settings) -> Iterator[str]:
    """What makes these kinds known, which they must be when the service starts."""
    if any(devices(settings)):
        drivers = "modprobe@usbserial.service modprobe@cdc_acm.service"
        yield from (f"Wants={drivers}", f"After={drivers}")
