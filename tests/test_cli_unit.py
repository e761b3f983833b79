"""The systemd units that are printed: what they hold, and what systemd itself says of them."""

from __future__ import annotations

import os
import re
import smtplib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mail2sms.cli import Failed, typed, unit_access, unit_files
from mail2sms.cli.main import run
from mail2sms.config import Settings
from mail2sms.config.check import load
from tests.servers import Daemon, minimal_config, program, wait_until

PLACE = unit_files.Place(program=("/usr/bin/mail2sms",), config=Path("/etc/mail2sms/mail2sms.yaml"))
PORT_25 = (
    'listen: {smtp: {address: "0.0.0.0:25"}, web: {address: "127.0.0.1:8025", url: "http://127.0.0.1:8025"}}'
)

MODEM = 'carriers: {sim: {type: modem, device: /dev/serial/by-id/x, number: "+33639980101"}}'


def settings(
    extra: str = "", smtp_port: int = 2525, database: str = "sqlite:////var/lib/mail2sms/x.db"
) -> Settings:
    """A configuration that names its API key."""
    named = 'api: {keys: [{name: booking, key: "credential:booking-key", may: [send]}]}'
    text = minimal_config(
        database=database, smtp_port=smtp_port, web_port=8025, extra=f"{extra}\n{named}".strip()
    )
    return load(Path("nowhere.yaml"), text)


def directives(text: str) -> list[str]:
    """The lines that systemd reads."""
    return [line for line in text.splitlines() if line and line[0] not in "#["]


KEY = "LoadCredential=booking-key:/etc/mail2sms/secrets/booking-key"
HASH = "password: 'credential:marie'"


@pytest.mark.parametrize(
    ("extra", "there", "not_there"),
    [
        (
            "",
            ["CapabilityBoundingSet=", "PrivateUsers=yes", KEY],
            ["AmbientCapabilities=CAP_NET_BIND_SERVICE", "EnvironmentFile=-/etc/mail2sms/environment"],
        ),
        (PORT_25, ["AmbientCapabilities=CAP_NET_BIND_SERVICE"], ["PrivateUsers=yes", "CapabilityBoundingSet="]),
        (
            f"users: {{marie@acme.example: {{{HASH}}}}}",
            ["LoadCredential=marie:/etc/mail2sms/secrets/marie"],
            [],
        ),
        (
            'relay: {hooks: [{on: reply, url: "env:HOOK_URL", format: mattermost}]}',
            ["EnvironmentFile=-/etc/mail2sms/environment"],
            [],
        ),
        ("template: /run/user/1000/order.txt", ["ProtectHome=read-only"], ["ProtectHome=yes"]),
        ("", ["PrivateDevices=yes"], ["SupplementaryGroups=dialout"]),
        (
            MODEM,
            ["SupplementaryGroups=dialout", "DeviceAllow=char-ttyUSB rw"],
            ["PrivateDevices=yes", "PrivateUsers=yes"],
        ),
    ],
)  # fmt: skip
def test_the_unit_follows_the_configuration(extra: str, there: list[str], not_there: list[str]) -> None:
    """A right only for the ports that need it, each credential by name, and each file that must be readable."""
    lines = directives(unit_files.service(settings(extra), PLACE, has_sockets=False))
    assert set(there) <= set(lines)
    assert not set(not_there) & set(lines)


def test_the_life_of_the_service() -> None:
    """It tells systemd when it is ready, is watched, comes back unless a person must act, and reloads checked."""
    lines = directives(unit_files.service(settings(), PLACE, has_sockets=False))
    expected = [
        "Type=notify",
        "WatchdogSec=30",
        "Restart=on-failure",
        "RestartPreventExitStatus=77 78",
        "StartLimitIntervalSec=0",
        "KillMode=mixed",
        "DynamicUser=yes",
        "StateDirectory=mail2sms",
        "RuntimeDirectory=mail2sms",
        "UMask=0077",
        "ExecStart=/usr/bin/mail2sms serve --config /etc/mail2sms/mail2sms.yaml",
    ]
    assert [line for line in expected if line not in lines] == []
    check = "/usr/bin/mail2sms check --quiet --no-environment /etc/mail2sms/mail2sms.yaml"
    assert f"ExecStartPre=-{check}" in lines
    assert [line for line in lines if line.startswith("ExecReload=")] == [
        f"ExecReload={check}",
        "ExecReload=/bin/kill -HUP $MAINPID",
    ]


@pytest.mark.parametrize(
    ("database", "expected"),
    [
        ("sqlite:////var/lib/mail2sms/mail2sms.db", []),
        ("sqlite:////srv/sms data/mail2sms.db", ['ReadWritePaths="/srv/sms data"']),
        ("postgresql://mail2sms@db/mail2sms", []),
    ],
)
def test_where_the_database_is(database: str, expected: list[str]) -> None:
    """The state folder is systemd's; another folder must be opened for writing."""
    lines = directives(unit_files.service(settings(database=database), PLACE, has_sockets=False))
    assert [line for line in lines if line.startswith("ReadWritePaths=")] == expected


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1:25", ["ListenStream=127.0.0.1:25"]),
        ("[::1]:25", ["ListenStream=[::1]:25"]),
        ("[::]:25", ["ListenStream=[::]:25", "BindIPv6Only=both"]),
        ("localhost:25", ["ListenStream=127.0.0.1:25", "ListenStream=[::1]:25"]),
    ],
)
def test_a_socket_unit_for_each_listener(address: str, expected: list[str]) -> None:
    """Named as the daemon will look for it, and opened where the configuration says."""
    units = unit_files.sockets(settings(f'listen: {{smtp: {{address: "{address}"}}}}'))
    lines = directives(units.pop("mail2sms-smtp.socket"))
    assert units == {}
    assert [line for line in lines if line.startswith(("ListenStream", "BindIPv6Only"))] == expected
    assert {"FileDescriptorName=smtp", "Service=mail2sms.service"} <= set(lines)


def test_a_unix_socket_of_lmtp() -> None:
    """systemd makes it for every user, as a port of this machine would be; else the service must have its folder."""
    listen = 'listen: {lmtp: {address: "unix:/run/mail2sms-lmtp/socket"}}'
    lines = directives(unit_files.sockets(settings(listen))["mail2sms-lmtp.socket"])
    assert {"ListenStream=/run/mail2sms-lmtp/socket", "SocketMode=0666", "FileDescriptorName=lmtp"} <= set(
        lines
    )
    alone, inherited = (
        directives(unit_files.service(settings(listen), PLACE, has_sockets=each)) for each in (False, True)
    )
    assert "ReadWritePaths=/run/mail2sms-lmtp" in alone
    assert "ReadWritePaths=/run/mail2sms-lmtp" not in inherited
    assert "CapabilityBoundingSet=" in alone  # no port, so none below 1024


def test_systemd_opens_no_names() -> None:
    """A host name is said to be wrong before systemd says so less clearly."""
    with pytest.raises(
        Failed, match=r"listen\.smtp\.address: systemd opens IP addresses, not names such as mx\."
    ):
        unit_files.sockets(settings('listen: {smtp: {address: "mx.acme.example:25"}}'))


def test_writing_the_units(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--to` writes what it made before again, and nobody else's file; the program is the one that runs."""
    config = tmp_path / "mail2sms.yaml"
    config.write_text(
        minimal_config(database="sqlite:////x.db", smtp_port=25, web_port=8025), encoding="utf-8"
    )
    for _ in range(2):
        assert run(["unit", "--socket", "--to", str(tmp_path), "--config", str(config)]) == 0
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["mail2sms-smtp.socket", "mail2sms-web.socket", "mail2sms.service", "mail2sms.yaml"]
    started = f"ExecStart={sys.executable} -m mail2sms serve --config {config}"
    assert started in (tmp_path / "mail2sms.service").read_text(encoding="utf-8")
    (tmp_path / "mail2sms.service").write_text("[Service]\n", encoding="utf-8")
    assert run(["unit", "--to", str(tmp_path), "--config", str(config)]) == 64
    assert f"was not made by {typed('unit')}" in capsys.readouterr().err
    assert run(["unit", "--config", str(config)]) == 0
    assert "AmbientCapabilities=CAP_NET_BIND_SERVICE" in capsys.readouterr().out


@pytest.fixture
def etc() -> Iterator[Path]:
    """A folder that everybody may enter: pytest's own are private."""
    with tempfile.TemporaryDirectory(prefix="mail2sms-unit-") as name:
        Path(name).chmod(0o755)
        yield Path(name).resolve()


STRANGER, OWNER = unit_access.Reader(), unit_access.Reader(uid=os.geteuid())
LITERAL = 'api: {keys: [{name: a, key: "a-long-random-key-for-tests-only-0001", may: read}]}'
TLS = "listen: {smtp: {address: 127.0.0.1:25, tls: offered}}\ntls: {certificate: {f}/cert, key: {f}/key}"


@pytest.mark.parametrize(
    ("extra", "modes", "service", "told"),
    [
        ("", {}, STRANGER, []),
        ("", {"x.yaml": 0o600}, OWNER, []),
        ("", {"x.yaml": 0o640}, STRANGER, ["{f}/x.yaml: chmod o+r {f}/x.yaml"]),
        ("", {"x.yaml": 0o640}, unit_access.Reader(groups=frozenset({os.getegid()})), []),
        ("", {".": 0o750}, STRANGER, ["{f}/x.yaml: chmod o+x {f}, or keep it in /etc/mail2sms"]),
        (LITERAL, {"x.yaml": 0o600}, STRANGER, ["{f}/x.yaml: move its secrets into files of their own"]),
        (TLS, {"key": 0o644}, STRANGER, []),
        (TLS, {}, STRANGER, ["{f}/key: useradd --system mail2sms && chgrp mail2sms {f}/key && chmod g+r {f}/key"]),
        (TLS, {}, unit_access.Reader(uid=1), ["{f}/key: chgrp mail2sms {f}/key && chmod g+r {f}/key"]),
        (LITERAL.replace('"a-long-random-key-for-tests-only-0001"', "file:{f}/key"), {}, STRANGER,
         ["{f}/key: name it as credential:key and put it into /etc/mail2sms/secrets, which systemd reads as root"]),
        ("database: sqlite:///{f}/x.db", {}, STRANGER, ["{f}: database: sqlite:////var/lib/mail2sms/"]),
        ("database: sqlite:///{f}/x.db", {}, OWNER, []),
    ],
)  # fmt: skip
def test_what_the_service_could_not_read_is_told(
    etc: Path, extra: str, modes: dict[str, int], service: unit_access.Reader, told: list[str]
) -> None:
    """By the modes of files and of the folders above, with what to type; the user may be there already or not."""
    for name, mode in {"x.yaml": 0o644, "cert": 0o644, "key": 0o600, **modes}.items():
        (etc / name).touch()
        (etc / name).chmod(mode)
    extra = extra.replace("{f}", str(etc))
    extra += "" if "api" in extra else "\napi: {}"
    extra += "" if "database" in extra else "\ndatabase: sqlite:////var/lib/mail2sms/x.db"
    found = load(Path("x.yaml"), minimal_config(database="", smtp_port=25, web_port=8025, extra=extra))
    hints = list(unit_access.hints(found, etc / "x.yaml", service))
    assert len(hints) == len(told), hints
    assert all(said.format(f=etc) in hint for said, hint in zip(told, hints, strict=True)), hints


@pytest.mark.parametrize(
    ("closed", "in_tmp", "told"),
    [
        ("", False, ""),
        (
            "checkout",
            False,
            "{f}/checkout/.venv/bin/python: {f}/checkout is closed to other users; keep the checkout in",
        ),
        (
            "pyenv",
            False,
            "{f}/pyenv/python: {f}/pyenv is closed to other users; build the environment with a Python",
        ),
        (
            "",
            True,
            "{f}/checkout/.venv/bin/python: it has a /tmp of its own (PrivateTmp); keep the checkout in",
        ),
    ],
)
def test_what_the_service_could_not_execute_is_told(
    etc: Path, closed: str, in_tmp: bool, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Python of its environment may be a link into somebody's home."""
    if not in_tmp:
        monkeypatch.setattr(unit_access, "_TEMPORARY", ())
    named, python, package = (
        etc / "checkout/.venv/bin/python",
        etc / "pyenv/python",
        etc / "checkout/mail2sms",
    )
    for folder in (named.parent, python.parent, package):
        folder.mkdir(parents=True)
    python.touch(0o755)
    named.symlink_to(python)
    (etc / closed).chmod(0o700 if closed else 0o755)
    place = unit_files.Place(program=(str(named),), config=etc / "x.yaml", python=python, package=package)
    hints = list(unit_access.started(place, STRANGER))
    assert len(hints) == bool(told)
    assert all(f"could not execute {told.format(f=etc)}" in hint for hint in hints), hints


@pytest.mark.parametrize(
    ("mode", "told"), [(None, ["is not there yet"]), (0o600, []), (0o644, ["every user of this machine"])]
)
def test_credentials_are_looked_for_where_systemd_does(
    etc: Path, mode: int | None, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service is not started without them."""
    monkeypatch.setattr(unit_access, "SECRETS_FOLDER", etc)
    if mode is not None:
        (etc / "booking-key").touch(mode)
    hints = list(unit_access.hints(settings(), etc, STRANGER))
    assert len(hints) == len(told)
    assert all(said in hint for said, hint in zip(told, hints, strict=True))


def analyzed(*arguments: str | Path) -> str:
    """What systemd-analyze says; it has nothing to complain about."""
    command = [program("systemd-analyze", "systemd"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.servers
@pytest.mark.parametrize(
    ("has_sockets", "ceiling"), [(False, 1.6), (True, 1.3)], ids=["port 25 by capability", "sockets"]
)
def test_what_systemd_says(has_sockets: bool, ceiling: float, tmp_path: Path) -> None:
    """It understands every word, and what the service is exposed to is little."""
    # Here the program stands for itself: what is run must exist.
    place = unit_files.Place(program=(sys.executable, "-m", "mail2sms"), config=PLACE.config)
    config = settings(PORT_25)
    units = {unit_files.SERVICE: unit_files.service(config, place, has_sockets=has_sockets)}
    units |= unit_files.sockets(config) if has_sockets else {}
    for name, text in units.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert analyzed("verify", *(tmp_path / name for name in units)) == ""
    said = analyzed("security", "--offline=true", tmp_path / unit_files.SERVICE)
    found = re.search(r"exposure level for mail2sms\.service: ([0-9.]+)", said)
    assert found, said
    assert float(found[1]) <= ceiling


def _calls_of(group: str) -> set[str]:
    """The system calls of a group such as @system-service."""
    found: set[str] = set()
    for line in analyzed("syscall-filter", group).splitlines()[1:]:
        word = line.strip()
        if word.startswith("@"):
            found |= _calls_of(word)
        elif word and not word.startswith("#"):
            found.add(word)
    return found


# SQLite gives its files to the owner of the database when it is root, which the service is not; a worker that may not
# lower its priority goes on without.
SPARED = {"fchown", "setpriority"}
LOOKED_AT = {"mmap", "mprotect", "pkey_mprotect", "socket"}


@pytest.mark.servers
def test_the_daemon_needs_no_more_than_the_unit_allows(tmp_path: Path) -> None:
    """Its system calls, workers' too: none that is filtered, no memory to write and execute, no other sockets."""
    log = tmp_path / "calls"
    allowed = _calls_of("@system-service") - _calls_of("@privileged") - _calls_of("@resources")
    allowed |= _calls_of("@default")
    # The kernel lets the allowed ones pass without the tracer, which would make the daemon ten times slower.
    looked_at = "trace=!" + ",".join(f"?{name}" for name in sorted(allowed - LOOKED_AT))
    strace = [program("strace", "strace"), "-f", "-D", "-qq", "--seccomp-bpf", "-e", looked_at, "-o", log]
    mail = "From: marie@acme.example\r\nContent-Type: text/html\r\n\r\n<p>hello <b>you</b></p>\r\n"
    with Daemon(wrap=strace) as daemon:
        with smtplib.SMTP("127.0.0.1", daemon.smtp_port, timeout=60) as connection:
            connection.sendmail("marie@acme.example", ["33639981234@sms.acme.example"], mail)
        assert wait_until(lambda: bool(daemon.phone("+33639981234")), 30)
        assert daemon.api("/metrics")[0] == 200
        daemon.stop()
    lines = log.read_text(errors="replace").splitlines()
    named = [(found[1], line) for line in lines if (found := re.match(r"\d+ +(\w+)\(", line))]
    seen = {name for name, _ in named}
    assert LOOKED_AT - {"mprotect", "pkey_mprotect"} <= seen  # it was recorded at all
    assert seen - allowed <= SPARED
    assert not [
        line for name, line in named if name.startswith(("mmap", "mprotect")) and _is_written_and_run(line)
    ]
    assert not [
        line for name, line in named if name == "socket" and not re.search(r"\(AF_(UNIX|INET6?)\b", line)
    ]


def _is_written_and_run(line: str) -> bool:
    return "PROT_WRITE" in line and "PROT_EXEC" in line
