"""The doctor against fakes of each kind: what is well, what is not, and what to do about it."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mail2sms import certificates, config
from mail2sms.cli import Exit
from mail2sms.cli.doctor import looks, rendered
from mail2sms.cli.main import run
from mail2sms.config import derived
from mail2sms.dns import Dns
from mail2sms.doctor import Finding, Patient, examine, machine, names, peers, webhooks
from mail2sms.intake.limits import Budget, Limits
from mail2sms.intake.listener import listen
from mail2sms.money import read
from mail2sms.store import Store
from mail2sms.store.schema import HEAD
from tests.listening import Desk
from tests.servers import Daemon, MailSink, NameServer, free_port, minimal_config
from tests.servers.certificates import certificate

DOMAIN, MX = "sms.acme.example", "mx.acme.example"
NOW_MS = 1_780_000_000_000
GOOD = {
    DOMAIN: {"MX": [f"10 {MX}."], "TXT": ['"v=spf1 include:spf.acme.example -all"']},
    MX: {"A": ["127.0.0.1"]},
    "smtp.acme.example": {"A": ["9.9.9.9"]},
    "spf.acme.example": {"TXT": ['"v=spf1 ip4:9.9.9.0/24 ?all"']},
}


@pytest.fixture(scope="module")
def _server() -> Iterator[NameServer]:
    with NameServer({}) as server:
        yield server


@pytest.fixture
def server(_server: NameServer) -> NameServer:
    """A name server whose zone is right."""
    _server.zone = GOOD
    return _server


def patient(server: NameServer, folder: Path, extra: str = "", **changes: object) -> Patient:
    """What is looked at: the minimal configuration, with `extra` YAML."""
    text = minimal_config(
        database=f"sqlite:///{folder}/mail2sms.db", smtp_port=free_port(), web_port=free_port(), extra=extra
    )
    mounts = folder / "mounts"
    mounts.write_text("disk / ext4 rw 0 0\n")
    found = Patient(
        settings=config.load(folder / "mail2sms.yaml", text),
        socket=folder / "control.sock",
        state=folder,
        dns=Dns(server.endpoint, timeout_s=1.0),
        now_ms=NOW_MS,
        mounts=mounts,
    )
    return replace(found, **changes)  # type: ignore[arg-type]


def shown(findings: list[Finding]) -> list[str]:
    """Return findings as `level sentence`."""
    return [f"{one.level} {one.sentence}" for one in findings]


SMARTHOST = 'relay: {smarthost: {address: "smtp.acme.example:587"}}'


@pytest.mark.parametrize(
    ("zone", "level", "said", "remedy"),
    [
        ({}, "ok", f"MX 10 {MX} (127.0.0.1, this machine)", ""),
        ({MX: {"A": ["192.0.2.7", "127.0.0.1"]}}, "ok", "127.0.0.1, this machine", ""),
        ({DOMAIN: {"A": ["127.0.0.1"]}}, "ok", f"{DOMAIN} A (127.0.0.1", ""),
        ({MX: {"A": ["192.0.2.7"]}}, "warn", "192.0.2.7): not this machine", "passes mail for"),
        ({DOMAIN: {"TXT": ['"x"']}}, "warn", "no MX and no address", f"else:  {DOMAIN}. MX 10"),
        ({MX: {}}, "warn", "no MX and no address", "has its own way here"),
        ({DOMAIN: {"MX": ["0 ."]}}, "warn", "null MX", "has its own way here"),
        ({DOMAIN: {"SILENCE": []}}, "FAIL", f"no answer about {DOMAIN}", "--dns 9.9.9.9:53"),
    ],
)
async def test_where_mail_to_us_goes(
    server: NameServer,
    tmp_path: Path,
    zone: dict[str, dict[str, list[str]]],
    level: str,
    said: str,
    remedy: str,
) -> None:
    """Here; elsewhere, which may be right; or nowhere."""
    server.zone = {**GOOD, **zone}
    (found,) = await examine(patient(server, tmp_path), (("DNS", names.mail_exchanger),))
    assert found.level == level
    assert said in found.sentence
    assert remedy in " ".join(found.remedy)
    assert bool(found.remedy) == (level != "ok")


LOGINS = 'senders: [{from: "*@acme.example", proof: login}]'
ANYWHERE = f"{LOGINS}\ntls: {{certificate: /c, key: /k}}\nlisten: {{submission: {{address: 0.0.0.0:587}}}}"
NETWORKS = 'senders: [{from: "*@acme.example", network: 10.1.0.20}]\nlisten: {smtp: {address: 0.0.0.0:25}}'


@pytest.mark.parametrize(
    ("extra", "level"),
    [
        ("", "warn"),
        (NETWORKS, "warn"),
        (ANYWHERE, "FAIL"),
        (ANYWHERE.replace("0.0.0.0", "127.0.0.1"), "warn"),
    ],
)
async def test_who_must_find_us_by_the_dns(
    server: NameServer, tmp_path: Path, extra: str, level: str
) -> None:
    """Servers whose networks we know bring mail by a way of their own; people who log in come from anywhere."""
    server.zone = {}
    found = patient(server, tmp_path, extra)
    for look in (names.mail_exchanger, names.sender_policy):
        assert [one.level for one in await look(found)] == [level]


@pytest.mark.parametrize(
    ("zone", "level", "said", "remedy"),
    [
        ({}, "ok", "lists smtp.acme.example (9.9.9.9)", ""),
        ({DOMAIN: {}}, "FAIL", "has no SPF record", f'add:  {DOMAIN}. TXT "v=spf1 ip4:9.9.9.9 -all"'),
        (
            {DOMAIN: {"TXT": ['"v=spf1 mx -all"']}},
            "FAIL",
            "does not list smtp.acme.example (9.9.9.9): fail",
            f'change:  {DOMAIN}. TXT "v=spf1 ip4:9.9.9.9 mx -all"',
        ),
        ({DOMAIN: {"TXT": ['"v=spf1 -all"', '"v=spf1 +all"']}}, "FAIL", "2 SPF records", "keep one"),
        ({DOMAIN: {"TXT": ['"v=spf1 apple -all"']}}, "FAIL", 'unknown term "apple"', "put the record right"),
        ({"smtp.acme.example": {"A": ["10.0.0.1"]}}, "skip", "can't be seen from here", ""),
    ],
)
async def test_who_may_send_as_us(
    server: NameServer,
    tmp_path: Path,
    zone: dict[str, dict[str, list[str]]],
    level: str,
    said: str,
    remedy: str,
) -> None:
    """The record that would be right is shown."""
    server.zone = {**GOOD, **zone}
    (found,) = await names.sender_policy(patient(server, tmp_path, SMARTHOST))
    assert found.level == level
    assert said in found.sentence
    assert remedy in " ".join(found.remedy)


PROVEN = """
senders:
- {from: "*@acme.example", proof: [spf, dmarc, dkim]}
- {from: "*@*.acme.example", proof: [spf]}
"""


@pytest.mark.parametrize(
    ("zone", "levels", "said", "remedy"),
    [
        (
            {
                "acme.example": {"TXT": ['"v=spf1 -all"']},
                "_dmarc.acme.example": {"TXT": ['"v=DMARC1; p=none"']},
            },
            ["ok", "ok"],
            "as _dmarc.acme.example asks",
            "",
        ),
        ({}, ["FAIL", "FAIL"], "all its mail is refused", '_dmarc.acme.example. TXT "v=DMARC1; p=none"'),
        (
            {"acme.example": {"TXT": ['"v=spf1 -all"', '"v=spf1 +all"']}},
            ["FAIL", "FAIL"],
            "2 SPF records",
            "keep one",
        ),
        ({"_dmarc.acme.example": {"TXT": ['"p=none"']}}, ["FAIL", "FAIL"], "asks for dmarc", "add:"),
    ],
)
async def test_what_rules_of_senders_ask_of_the_dns(
    server: NameServer, tmp_path: Path, zone: Any, levels: list[str], said: str, remedy: str
) -> None:
    """A rule that no mail can satisfy is said, with the record that is missing."""
    server.zone = zone
    found = await names.proofs(patient(server, tmp_path, PROVEN))
    assert [one.level for one in found] == levels
    assert said in " ".join(one.sentence for one in found)
    assert remedy in " ".join(line for one in found for line in one.remedy)


# This machine


async def test_listeners_and_daemon_that_are_not_there(server: NameServer, tmp_path: Path) -> None:
    """Each says how it is started."""
    found = await examine(patient(server, tmp_path), (("", machine.listeners), ("", machine.daemon)))
    assert [one.level for one in found] == ["FAIL"] * 3
    assert all("systemctl start mail2sms" in one.remedy[0] for one in found)
    assert "no daemon listens at" in found[2].sentence


async def test_a_stranger_on_our_port(server: NameServer, tmp_path: Path) -> None:
    """Something else answers there."""

    def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"* OK IMAP4 ready\r\n")
        writer.close()

    looked = patient(server, tmp_path)
    at = looked.settings.listen.addresses()["smtp"]
    async with await asyncio.start_server(rude, at.host, at.port):
        smtp, _ = await machine.listeners(looked)
    assert (smtp.level, smtp.name) == ("FAIL", f"port {at.port}")
    assert "answers as a stranger" in smtp.sentence
    assert f":{at.port}" in smtp.remedy[0]


async def test_every_kind_of_door_answers(server: NameServer, tmp_path: Path) -> None:
    """TLS from the start, LMTP by a socket, and one where whoever comes from here must say whom they bring."""
    cert, key = certificate(tmp_path)
    ports = [free_port() for _ in range(2)]
    doors = [
        f'submission: {{address: "127.0.0.1:{ports[0]}", tls: implicit}}',
        f"lmtp: {{address: unix:{tmp_path}/lmtp}}",
        f'devices: {{address: "127.0.0.1:{ports[1]}", proxy: 127.0.0.1}}',
    ]
    text = f"listen: {{{', '.join(doors)}}}\ntls: {{certificate: {cert}, key: {key}}}"
    looked = patient(server, tmp_path, text)
    loaded = certificates.load(looked.settings.tls) if looked.settings.tls else None
    opened = [
        await listen(
            at, derived.listener(looked.settings, name, loaded), Budget(Limits()), Desk(), lambda ip: False
        )
        for name, at in looked.settings.listen.addresses().items()
    ]
    found = await machine.listeners(looked)
    assert [(one.name, one.level) for one in found] == [
        (f"port {ports[0]}", "ok"),
        (f"port {ports[1]}", "ok"),
        ("lmtp", "ok"),
    ], shown(found)
    for each in opened:
        await each.stop(1)


@pytest.mark.parametrize(
    ("after_days", "names_it", "level", "said"),
    [
        (0, True, "warn", "2 days left"),
        (-60, True, "ok", "days left"),
        (3, True, "FAIL", "expired"),
        (-60, False, "warn", "not mx.acme.example or sms.acme.example"),
    ],
)
async def test_the_certificate(
    server: NameServer, tmp_path: Path, after_days: int, names_it: bool, level: str, said: str
) -> None:
    """Days left at the time of the look, and a name that senders use."""
    name = f"DNS:{MX},DNS:x.example" if names_it else "DNS:x.example"
    cert, key = certificate(tmp_path, names=name)
    decoded = ssl._ssl._test_decode_cert(str(cert))  # type: ignore[attr-defined]
    made_ms = int(ssl.cert_time_to_seconds(decoded["notBefore"])) * 1000
    looked = patient(
        server,
        tmp_path,
        f"tls: {{certificate: {cert}, key: {key}}}",
        now_ms=made_ms + after_days * 86_400_000,
    )
    (found,) = await machine.certificate(looked)
    assert (found.level, said in found.sentence) == (level, True), found
    assert bool(found.remedy) == (level != "ok")


async def test_no_certificate(server: NameServer, tmp_path: Path) -> None:
    """No matter while only this machine sends mail; else it comes in the clear."""
    (alone,) = await machine.certificate(patient(server, tmp_path))
    listen = 'listen: {smtp: {address: "0.0.0.0:2525"}}'
    (open_,) = await machine.certificate(patient(server, tmp_path, listen))
    assert (alone.level, open_.level) == ("skip", "warn")
    assert open_.sentence == "no certificate: mail to smtp comes in the clear"


@pytest.mark.parametrize(
    ("mounts", "level", "said"),
    [
        ("disk / ext4 rw 0 0", "ok", "SQLite, made at the first start"),
        ("disk / ext4 rw 0 0\nshm {} tmpfs rw 0 0", "warn", "(tmpfs) does not outlive the next boot"),
        ("overlay / overlay rw 0 0", "warn", "(overlay) does not outlive its container"),
        ("nas:/x {} nfs4 rw 0 0\n", "FAIL", "(nfs4) is on another machine"),
        ("shm /else tmpfs rw 0 0\ndisk / xfs rw 0 0", "ok", "SQLite"),
    ],
)
async def test_the_disk_of_the_database(
    server: NameServer, tmp_path: Path, mounts: str, level: str, said: str
) -> None:
    """SQLite wants a disk of this machine that keeps what is written."""
    looked = patient(server, tmp_path)
    looked.mounts.write_text(mounts.format(tmp_path))
    (found,) = await machine.database(looked)
    assert found.level == level
    assert said in found.sentence
    assert not (tmp_path / "mail2sms.db").exists()


async def test_a_look_at_the_database_leaves_nothing_behind(server: NameServer, tmp_path: Path) -> None:
    """Beside a daemon that has it open, and after one that closed it."""
    looked = patient(server, tmp_path)
    store = await Store.open(looked.settings.database)
    (found,) = await machine.database(looked)
    await store.close()
    files = set(tmp_path.iterdir())
    assert (
        shown([found, *await machine.database(looked)])
        == [f"ok SQLite, schema {HEAD}, keeps what it commits"] * 2
    )
    assert set(tmp_path.iterdir()) == files


async def test_a_database_that_is_none(server: NameServer, tmp_path: Path) -> None:
    """It is said in our words, not in the library's."""
    (tmp_path / "mail2sms.db").write_bytes(b"not a database at all" * 100)
    (found,) = await machine.database(patient(server, tmp_path))
    assert shown([found]) == ["FAIL it cannot be read (DatabaseError)"]


@pytest.mark.servers
async def test_a_database_that_may_lose_commits(
    server: NameServer, tmp_path: Path, postgresql_url: str
) -> None:
    """PostgreSQL is asked for what makes a commit durable, and for the time."""
    (found,) = await machine.database(patient(server, tmp_path, f'database: "{postgresql_url}"'))
    assert shown([found]) == ["ok PostgreSQL, made at the first start, keeps what it commits"]
    port, name = postgresql_url.rpartition(":")[2].split("/")
    for url, why in (
        (
            postgresql_url.replace(port, closed := str(free_port())),
            f"127.0.0.1:{closed}: nothing listens there",
        ),
        (postgresql_url.replace(name, "gone"), f"127.0.0.1:{port}: there is no database gone"),
        (postgresql_url.replace("postgres@", "eve:secret@"), f"127.0.0.1:{port}: there is no user eve"),
    ):
        (found,) = await machine.database(patient(server, tmp_path, f'database: "{url}"'))
        assert shown([found]) == [f"FAIL PostgreSQL at {why}"]


async def test_the_clock(server: NameServer, tmp_path: Path) -> None:
    """The kernel is asked; whatever it says here is one of three."""
    (found,) = await machine.clock(patient(server, tmp_path))
    assert (found.level, bool(found.remedy)) in {("ok", False), ("warn", True), ("skip", False)}


# The others


async def test_the_smarthost(server: NameServer, tmp_path: Path, mail_sink: MailSink) -> None:
    """It is asked up to the mail itself, which is never sent."""
    port = mail_sink.port
    (found,) = await peers.smarthost(
        patient(server, tmp_path, f'relay: {{smarthost: {{address: "127.0.0.1:{port}"}}}}')
    )
    assert shown([found]) == [f"ok 127.0.0.1:{port} takes mail from ...@{DOMAIN}"]
    assert mail_sink.mails == []


async def test_a_smarthost_that_says_no(server: NameServer, tmp_path: Path) -> None:
    """Its words are shown without addresses; what it is that must be mended depends on who says no."""
    said = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 x ESMTP\r\n")
        while line := await reader.readline():
            said.append(line.decode().strip())
            is_rcpt = line.upper().startswith(b"RCPT")
            writer.write(b"550 5.7.1 <sms@sms.acme.example> who?\r\n" if is_rcpt else b"250 ok\r\n")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        looked = patient(server, tmp_path, f'relay: {{smarthost: {{address: "127.0.0.1:{port}"}}}}')
        (found,) = await peers.smarthost(looked)
    assert found.level == "FAIL"
    assert found.sentence.endswith("to postmaster@acme.example: 550 5.7.1 <<address>> who?")
    assert "let it take mail" in found.remedy[0]
    assert not any(line.upper().startswith("DATA") for line in said)
    (gone,) = await peers.smarthost(looked)
    assert shown([gone]) == [f"FAIL 127.0.0.1:{port}: nothing listens there, or a firewall refuses"]
    assert "firewall" in gone.remedy[0]
    (none,) = await peers.smarthost(patient(server, tmp_path, "relay: {}"))
    assert none.level == "warn"


async def test_carriers_are_asked(server: NameServer, tmp_path: Path) -> None:
    """The simulated one says what it is, under its name."""
    (found,) = await peers.all_carriers(patient(server, tmp_path))
    assert (found.name, found.level, found.sentence) == ("sim", "ok", "simulated: no SMS is sent")


BIRD = (
    "carriers: {bird: {type: infobip, api: 'https://x.api.infobip.com', key: k, webhook: {secret: a-path-of-its-own}},"
    " sim: {type: simulated}}\n"
)


@pytest.mark.parametrize(
    ("health", "level", "said"),
    [
        ({}, "warn", "the provider has told nothing since the daemon's start"),
        ({"webhooks": {"bird": "2026-05-28T20:21:40Z"}}, "ok", "was told something 5 min ago"),
    ],
)
async def test_the_url_that_a_provider_calls_is_told(
    server: NameServer,
    tmp_path: Path,
    health: dict[str, Any],
    level: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """To the letter, with its secret; and when it last told something. Simulated carriers have none."""
    monkeypatch.setattr(webhooks.Control, "health", lambda self: health)
    (found,) = await webhooks.all_webhooks(patient(server, tmp_path, BIRD))
    assert (found.name, found.level) == ("bird webhook", level)
    assert said in found.sentence
    assert "/events/bird/a-path-of-its-own" in f"{found.sentence} {found.remedy}"


async def test_without_carriers_that_tell_there_is_no_webhook(server: NameServer, tmp_path: Path) -> None:
    """Nothing is said of it."""
    assert await webhooks.all_webhooks(patient(server, tmp_path)) == []


async def test_hooks_are_reached_and_not_posted_to(server: NameServer, tmp_path: Path) -> None:
    """Nothing is written to them, and their secret path is not shown."""
    heard: list[bytes] = []
    closed = asyncio.Event()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read())
        writer.close()
        closed.set()

    async with await asyncio.start_server(listen, "127.0.0.1", 0) as listener:
        port, gone = listener.sockets[0].getsockname()[1], free_port()
        hooks = [f'{{url: "http://127.0.0.1:{each}/secret", format: mattermost}}' for each in (port, gone)]
        found = await peers.all_hooks(patient(server, tmp_path, f"relay: {{hooks: [{', '.join(hooks)}]}}"))
        await closed.wait()
    assert heard == [b""]
    assert [one.level for one in found] == ["ok", "FAIL"]
    assert not any("secret" in text for one in found for text in (one.sentence, *one.remedy))


# The whole


async def test_what_takes_too_long_is_a_failure_and_stops_nothing_else(
    server: NameServer, tmp_path: Path
) -> None:
    """Every look has its time."""

    async def never(_: Patient) -> list[Finding]:
        await asyncio.Event().wait()
        return []

    found = await examine(patient(server, tmp_path), (("slow", never), ("DNS", names.mail_exchanger)), 1.0)
    assert [(one.name, one.level) for one in found] == [("slow", "FAIL"), ("DNS", "ok")]


def test_what_is_printed() -> None:
    """Names in a column, what to do below, and the count; what strangers wrote can't drive the terminal."""
    findings = [
        Finding(name="DNS", level="ok", sentence="fine"),
        Finding(name="smarthost", level="FAIL", sentence="no \x1b[2J", remedy=("do this",)),
        Finding(name="DKIM", level="skip", sentence="not signed"),
    ]
    assert rendered(findings) == [
        "DNS        ok    fine",
        "smarthost  FAIL  no  [2J",
        "                 do this",
        "DKIM       skip  not signed",
        "1 ok, 1 failure, 1 not looked at",
    ]


def test_the_doctor_with_a_daemon(
    server: NameServer,
    mail_sink: MailSink,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """All at once by its verb: 0 when nothing failed, 1 when something did; the test SMS arrives."""
    for name in ("RUNTIME_DIRECTORY", "STATE_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    extra = 'sender_ids: {default: "+33639980100"}'
    with Daemon(extra=extra, smarthost_port=mail_sink.port) as daemon:
        arguments = ["doctor", "--config", str(daemon.config), "--dns", str(server.endpoint)]
        assert run([*arguments, "--json", "--send-test", "06 39 98 12 34"]) == Exit.OK
        found = {one["name"]: one for one in map(json.loads, capsys.readouterr().out.splitlines())}
        assert found["daemon"]["sentence"] == "runs in mode simulate"
        assert found[f"port {daemon.smtp_port}"]["level"] == "ok"
        assert found[f"port {daemon.web_port}"]["level"] == "ok"
        assert found["test"]["sentence"] == "+33 6 39 98 12 34 delivered by sim"
        assert [shown["text"] for shown in daemon.phone("+33639981234")] == ["mail2sms: this is a test."]
        assert mail_sink.mails == []
        server.zone = {DOMAIN: {"TXT": ['"v=spf1 -all"', '"v=spf1 +all"']}}
        assert run(arguments) == Exit.FAILED
        out = capsys.readouterr().out
        assert "1 failure" in out.splitlines()[-1]
        assert f"else:  {DOMAIN}. MX 10" in out


def test_every_look_is_taken() -> None:
    """What is written is also looked at."""
    written = {
        look
        for module in (machine, names, peers, webhooks)
        for name, look in vars(module).items()
        if asyncio.iscoroutinefunction(look)
        and not name.startswith("_")
        and look.__module__ == module.__name__
    }
    assert {look for _, look in looks()} == written


@pytest.mark.parametrize("server_name", ["nonsense:x", "[::1"])
def test_a_name_server_that_is_none(
    server_name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """64, and how it is written."""
    path = tmp_path / "mail2sms.yaml"
    path.write_text(minimal_config(database=f"sqlite:///{tmp_path}/x.db", smtp_port=2525, web_port=8025))
    assert run(["doctor", "--config", str(path), "--dns", server_name]) == Exit.USAGE
    assert "--dns HOST:PORT" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("left", "below", "level", "sentence"),
    [
        (None, None, "ok", "it knows us"),
        (None, "20 EUR", "ok", "it knows us"),
        ("20 EUR", "20 EUR", "ok", "it knows us; 20 EUR left"),
        ("18.20 EUR", "20 EUR", "warn", "it knows us; 18.20 EUR left, less than 20 EUR"),
        ("900 USD", "20 EUR", "warn", "it knows us; 900 USD left"),
    ],
)
def test_what_is_left_is_told(left: str | None, below: str | None, level: str, sentence: str) -> None:
    """Too little is a warning with its way out; so are amounts that do not compare."""
    amounts = [None if text is None else read(text) for text in (left, below)]
    found = peers._told("twilio", "it knows us", *amounts)
    assert (found.level, found.sentence) == (level, sentence)
    assert bool(found.remedy) is (level == "warn")
