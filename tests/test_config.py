"""mail2sms.yaml becomes typed settings, or a report that shows where to look and never a secret."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mail2sms import config
from mail2sms.config import derived
from mail2sms.endpoint import Endpoint
from mail2sms.hooks.webhook import Options as WebhookOptions
from mail2sms.intake.identity import SenderRule
from mail2sms.model import Msisdn, Proof, Team, User
from mail2sms.options import read_networks
from mail2sms.quiet import read_period
from mail2sms.wording import LANGUAGES
from tests.config_cases import MINIMAL, PATH, found, whole

EXAMPLE = Path(__file__).parents[1] / "mail2sms.yaml"
HASH = "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQ$cGFzc3dvcmQ"
HIDDEN = "hunter2-hunter2-hunter2-hunter2"


def test_the_minimal_file_loads() -> None:
    """What the design promises to start with is enough."""
    loaded = config.load(PATH, MINIMAL)
    assert loaded.account == "sms.acme.example"
    assert loaded.listen.addresses() == {
        "smtp": Endpoint("127.0.0.1", 2525),
        "web": Endpoint("127.0.0.1", 8025),
    }
    assert (loaded.template, loaded.template_mailbox, loaded.max_parts) == ("strict", "sms", 4)
    assert (loaded.validity, loaded.reply_window, loaded.on_unknown) == (
        2 * 86_400_000,
        72 * 3_600_000,
        "hold",
    )
    assert (loaded.limits.connections, loaded.limits.size) == (200, 1_000_000)
    assert loaded.api.keys[0].key.reveal() == "a-long-random-key-for-tests-only-0001"


def test_the_example_is_valid_without_a_warning() -> None:
    """The file that people copy is right."""
    assert config.check(EXAMPLE, environment=False).findings == ()


def test_what_the_example_shows_as_a_comment_is_valid_too() -> None:
    """Every option that is commented out can be switched on."""
    text = EXAMPLE.read_text(encoding="utf-8").replace('  smarthost: {address: "127.0.0.1:2526"}', "")
    switched_on = re.sub(r"^#(?=\w|  )", "", text, flags=re.MULTILINE)
    assert len(re.findall(r"^#\S", switched_on, re.MULTILINE)) == 0
    assert found(switched_on) == []
    assert (
        len(found(switched_on, "warning")) == 2
    )  # the URL of the chat hook, and mails too small for snapshots


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_may_be_the_houses_or_a_persons(language: str) -> None:
    """Each that the emails are written in."""
    paul = f"users: {{paul@acme.example: {{language: {language}}}}}"
    loaded = config.load(PATH, whole(f"language: {language}\n{paul}\n"))
    assert loaded.language == language
    assert loaded.all_users()["paul@acme.example"].language == language


def test_settings_are_typed_for_the_rest_of_the_program() -> None:
    """Numbers are E.164, addresses lower case, and membership is the same from both sides."""
    loaded = config.load(
        PATH,
        whole(
            "domain: SMS.Acme.example\n"
            "users:\n"
            "  Marie@Acme.example: {name: Marie Dubois, number: 06 39 98 01 01, teams: support}\n"
            f"  paul@acme.example: {{language: en, timezone: Europe/Berlin, password: '{HASH}'}}\n"
            "teams:\n"
            "  support: {number: +44 20 7946 0018, email: Support@acme.example, members: [Paul@acme.example]}\n"
            "  oncall: {phones: 06 39 98 12 34}\n"
            'senders: [{from: "*@ACME.example", network: [10.1.0.0/16, "::1"]}, {from: "ups-*@acme.example", '
            "network: 10.2.0.1}]\n"
            'routes: [{to: [FR, "+32"], via: sim}, {to: any, refuse: too far}]\n'
            "default_mailbox: Desk@acme.example\n"
            "sender_ids: {default: ACME, FR: number, US: +1 212 555 0100}\n"
            'relay: {hooks: [{url: "env:HOOK", format: webhook, secret: "file:/s"}]}\n'
        ),
    )
    assert (loaded.domain, loaded.default_mailbox) == ("sms.acme.example", "desk@acme.example")
    assert loaded.all_users() == {
        "marie@acme.example": User(
            address="marie@acme.example",
            name="Marie Dubois",
            number=Msisdn("+33639980101"),
            teams=("support",),
        ),
        "paul@acme.example": User(
            address="paul@acme.example", language="en", zone="Europe/Berlin", teams=("support",)
        ),
    }
    assert loaded.all_teams() == {
        "support": Team(
            name="support",
            number=Msisdn("+442079460018"),  # a landline may be a sender ID
            email="support@acme.example",
            members=("paul@acme.example", "marie@acme.example"),
        ),
        "oncall": Team(name="oncall", phones=(Msisdn("+33639981234"),)),
    }
    assert loaded.own_numbers() == {"+33639980101", "+442079460018", "+33639981234"}
    assert [(r.to, r.via, r.refuse) for r in loaded.route_table()] == [
        (("FR", "+32"), ("sim",), ""),
        (("any",), (), "too far"),
    ]
    assert loaded.sender_ids == {"default": "ACME", "FR": "number", "US": "+12125550100"}
    assert loaded.sender_rules() == (
        SenderRule(
            pattern="*@acme.example",
            networks=read_networks(["10.1.0.0/16", "::1"]),
            proofs=frozenset({Proof.NETWORK}),
        ),
        SenderRule(
            pattern="ups-*@acme.example",
            networks=read_networks("10.2.0.1"),
            proofs=frozenset({Proof.NETWORK}),
        ),
    )
    assert isinstance(loaded.relay.hooks[0], WebhookOptions)


def test_addresses_beyond_ascii_are_known_by_their_one_form() -> None:
    """However they are written; what only looks like a letter is none."""
    loaded = config.load(
        PATH,
        whole(
            "senders: [{from: '*@exämple.fr', network: 127.0.0.1}]\n"
            "users: {ZOÉ@exämple.fr: {teams: support}}\n"
            "teams: {support: {members: ['zoe\u0301@exämple.fr'], email: support@exämple.fr}}\n"
        ),
    )
    assert list(loaded.all_users()) == ["zoé@xn--exmple-cua.fr"]
    assert loaded.all_teams()["support"].members == ("zoé@xn--exmple-cua.fr",)
    assert loaded.all_teams()["support"].email == "support@xn--exmple-cua.fr"
    assert loaded.sender_rules()[0].matches("zoé@xn--exmple-cua.fr")
    (fault,) = found(whole("users: {nic\u212a@acme.example: {}}"))
    assert "is not an email address" in fault


def test_load_raises_with_every_finding() -> None:
    """What the daemon prints when it does not start is the whole report."""
    with pytest.raises(config.ConfigInvalid) as raised:
        config.load(PATH, whole("mode: lve\nmax_parts: 0"))
    assert [f.line for f in raised.value.findings] == [1, 2]
    first = 'm.yaml:1:7: error: expected simulate, trial or live, got "lve"'
    assert str(raised.value).splitlines()[0] == first


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "m.yaml: error: cannot be read: No such file or directory"),
        (b"domain: a\nlanguage: \xe9\n", "m.yaml:2:11: error: this is not UTF-8 text"),
        (b"", "m.yaml:1:1: error: the file is empty"),
    ],
)
def test_a_file_that_cannot_be_read_is_said_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, message: str
) -> None:
    """Missing, or in another encoding."""
    monkeypatch.chdir(tmp_path)
    if content is not None:
        PATH.write_bytes(content)
    assert [str(f) for f in config.check(PATH, environment=True).findings] == [message]


def test_the_printed_report_shows_the_line_and_underlines_the_fault() -> None:
    """File, line, column, the line itself, a caret as wide as the fault, and the way out."""
    text = whole("countries: [FR, UK]\nlimits: {szie: 1MB}\nrelay: {}")
    assert config.render(config.check(PATH, environment=False, text=text), colour=False) == (
        'm.yaml:1:17: error: "UK" is not a two-letter country code\n'
        "    1 | countries: [FR, UK]\n"
        "      |                 ^^ write GB\n"
        'm.yaml:2:10: error: unknown option "limits.szie"\n'
        "    2 | limits: {szie: 1MB}\n"
        '      |          ^^^^ did you mean "size"?\n'
        "m.yaml:3:8: warning: no smarthost: replies and refusals reach nobody by email\n"
        "    3 | relay: {}\n"
        '      |        ^ add relay: {smarthost: {address: "127.0.0.1:25"}}\n'
        "2 errors, 1 warning\n"
    )


def test_a_missing_option_is_printed_without_a_place() -> None:
    """No line is better than a wrong one."""
    text = "\n".join(line for line in whole("").splitlines() if not line.startswith("mode"))
    assert config.render(config.check(PATH, environment=False, text=text), colour=False) == (
        'm.yaml: error: missing option "mode"\n      simulate, trial or live\n1 error\n'
    )


def test_the_printed_report_says_what_was_looked_at_when_all_is_well() -> None:
    """A stage a line; warnings in one line each."""
    report = config.check(PATH, environment=False, text=whole("listen: {}"))
    assert config.render(report, colour=False) == (
        "Fields       ok   12 sections, 12 lines\n"
        "References   ok   1 carrier, 1 route, 1 user\n"
        "Warning      m.yaml:1: no listener takes mail"
        '   (add listen.smtp: {address: "127.0.0.1:2525"})\n'
        "m.yaml: ok, 1 warning\n"
    )


def test_colour_changes_nothing_but_colour() -> None:
    """Without its escapes the coloured report is the plain one."""
    for snippet in ("mode: lve", "listen: {}", ""):
        report = config.check(PATH, environment=False, text=whole(snippet))
        coloured = config.render(report, colour=True)
        assert "\x1b[" in coloured
        assert re.sub(r"\x1b\[\d+m", "", coloured) == config.render(report, colour=False)


def test_machines_get_the_same_findings() -> None:
    """`check --json`."""
    report = json.loads(config.check(PATH, environment=False, text=whole("mode: lve")).as_json())
    assert (report["ok"], report["path"]) == (False, "m.yaml")
    assert report["findings"] == [
        {
            "path": "m.yaml",
            "line": 1,
            "column": 7,
            "width": 3,
            "level": "error",
            "message": 'expected simulate, trial or live, got "lve"',
            "hint": 'did you mean "live"?',
            "source_line": "mode: lve",
        }
    ]


@pytest.mark.parametrize(
    "snippet",
    [
        f"users: {{a@acme.example: {{password: {HIDDEN}, nmae: A}}}}",
        f"users: {{a@acme.example: {{pasword: {HIDDEN}}}}}",
        f"users: {{a@acme.example: {{password:{HIDDEN}}}}}",
        f"users: {{a@acme.example: {{password: {HIDDEN}, password: {HIDDEN}}}}}",
        f"users: {{a@acme.example: {{password: [{HIDDEN}], x: y}}}}",
        f"users: {{a@acme.example: {{password: x,{HIDDEN},{HIDDEN}:x}}}}",
        f"users: {{a@acme.example: {{password: *{HIDDEN}}}}}",
        f"users: {{a@acme.example: {{password: &{HIDDEN} x}}}}",
        f"users: {{a@acme.example: {{password: !{HIDDEN} x}}}}",
        f"users:\n  a@acme.example:\n    password: '{HIDDEN}",
        f"users:\n  a@acme.example:\n    password: {HIDDEN}: {HIDDEN}",
        f"users:\n  a@acme.example:\n    password: x\n      {HIDDEN}\n    name: {{}}",
        f'relay: {{smarthost: {{address: "h", login: a, password: {HIDDEN}}}}}',
        f'relay: {{smarthost: {{address: "h:1", password: {HIDDEN}}}}}',
        f"relay: {{hooks: [{{url: ftp://{HIDDEN}, format: webhook}}]}}",
        f"relay: {{hooks: [{{url: https://chat.example/{HIDDEN}, format: fax, sceret: {HIDDEN}}}]}}",
        f"api: {{keys: [{{name: a, key: {HIDDEN[:20]}, may: red}}]}}",
        f"api: {{keys: [{{name: a, key: {HIDDEN}, may: read}}, {{name: b, key: {HIDDEN}, may: read}}]}}",
        f"api: {{key: {HIDDEN}}}",
        f"carriers: {{sim: {{type: simulated, token: {HIDDEN}}}}}",
        f"carriers: {{sim: {{type: ovh, key: {HIDDEN}}}}}",
        f"database: postgres://mail2sms:{HIDDEN}@db/mail2sms",
        f"database: postgresql://mail2sms:{HIDDEN}@db/mail2sms\nmode: [",
    ],
)
def test_no_finding_shows_a_secret(snippet: str) -> None:
    """Neither message nor line nor hint, however the file is broken."""
    report = config.check(PATH, environment=False, text=whole(snippet))
    assert report.findings
    shown = report.as_json() + config.render(report, colour=True)
    assert HIDDEN[:20] not in shown


def test_a_path_is_no_secret(tmp_path: Path) -> None:
    """Of a key it is shown, as of a certificate; a key that stands there itself is not."""
    path = f"{tmp_path}/missing.pem"
    for key, is_shown in ((path, True), (f'"-----BEGIN {HIDDEN}"', False)):
        text = whole(f"tls: {{certificate: {path}, key: {key}}}")
        report = config.check(PATH, environment=True, text=text)
        assert report.errors
        assert ("***" not in config.render(report, colour=False)) is is_shown
        assert HIDDEN not in config.render(report, colour=False)


@pytest.mark.parametrize(
    ("mode", "permissions", "level"),
    [
        ("trial", 0o600, "warning"),
        ("trial", 0o640, "warning"),
        ("trial", 0o644, "error"),
        ("simulate", 0o644, "warning"),  # nothing to protect yet
    ],
)
def test_a_secret_in_a_file_that_everybody_reads_is_an_error(
    tmp_path: Path, mode: str, permissions: int, level: str
) -> None:
    """A literal secret is warned of; for all users of the machine to see, it is refused."""
    path = tmp_path / "mail2sms.yaml"
    path.write_text(MINIMAL.replace("simulate\n", f"{mode}\n"), encoding="utf-8")
    path.chmod(permissions)
    findings = config.check(path, environment=False).findings
    found = [f for f in findings if "secret" in f.message]
    assert [(f.line, f.column, f.level) for f in found] == [(12, 32, level)]
    assert ("chmod o-r" in found[0].hint) == bool(permissions & 4)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two certificates and their keys: `long` for 90 days, `short` for 5."""
    folder = tmp_path_factory.mktemp("tls")
    for name, days in (("long", "90"), ("short", "5")):
        files = ["-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.pem")]
        made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        subprocess.run(
            [*made, "-days", days, "-subj", "/CN=sms.acme.example", *files], check=True, capture_output=True
        )
    return folder


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody else listens on."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        door.listen()
        yield door.getsockname()[1]


def looked(folder: Path, snippet: str) -> tuple[list[str], tuple[str, ...]]:
    """Return what the look at the machine found: faults, and what is well."""
    database = f"database: sqlite:///{folder}/mail2sms.db"
    free = "listen: {smtp: {address: 127.0.0.1:0}}"
    text = whole("\n".join([snippet, *(line for line in (database, free) if line[:6] not in snippet)]))
    report = config.check(
        PATH, environment=True, text=text, probe_database=lambda url: "down" if "bad" in url else None
    )
    faults = [f"{f.line}:{f.column} {f.level} {f.message}" for f in report.findings]
    return faults, report.stages[-1].facts


@pytest.mark.parametrize(
    ("snippet", "faults", "well"),
    [
        ("mode: simulate", [], ("database folder writable", "port 0 free")),
        (
            "database: sqlite:///{f}/new/deep/mail2sms.db",
            [],
            ("{f}/new/deep is made at the first start", "port 0 free"),
        ),
        (
            "database: sqlite:///{f}/long.pem/mail2sms.db",
            ["1:11 error {f}/long.pem is not a folder"],
            ("port 0 free",),
        ),
        ("database: postgresql://good/db", [], ("database reachable", "port 0 free")),
        ("database: postgresql://bad/db", ["1:11 error down"], ("port 0 free",)),
        (
            "tls: {{certificate: {f}/long.pem, key: {f}/long.key}}",
            [],
            ("database folder writable", "certificate valid 89 days", "port 0 free"),
        ),
        (
            "tls: {{certificate: {f}/short.pem, key: {f}/short.key}}",
            ["warning the certificate expires in 4 days"],
            None,
        ),
        (
            "tls: {{certificate: {f}/long.pem, key: {f}/short.key}}",
            ["error the key is not this certificate's"],
            None,
        ),
        (
            "tls: {{certificate: {f}/long.key, key: {f}/long.key}}",
            ["error these are no PEM certificate and key"],
            None,
        ),
        (
            "tls: {{certificate: {f}/long.pem, key: {f}/long.key, client_ca: {f}/long.key}}",
            ["error {f}/long.key holds no PEM certificates"],
            None,
        ),
        (
            "tls: {{certificate: {f}/long.pem, key: {f}/long.key, client_ca: {f}/no.pem}}",
            ["error {f}/no.pem cannot be read: No such file"],
            None,
        ),
        (
            "tls: {{certificate: {f}/no.pem, key: {f}/long.key}}",
            ["error {f}/no.pem cannot be read: No such file"],
            None,
        ),
        ("listen: {{smtp: {{address: 127.0.0.1:{p}}}}}", ["1:26 warning port {p} is in use"], None),
        (
            "listen: {{smtp: {{address: 192.0.2.1:25}}}}",
            ["1:26 error cannot listen here: Cannot assign"],
            None,
        ),
        ("template: {f}/none.txt", ["1:11 error {f}/none.txt cannot be read: No such file"], None),
        ("template: {f}/brief", ["1:11 error {f}/brief"], None),
        ("template: {f}/order", [], ("database folder writable", "port 0 free", "template readable")),
        (
            "users: {{a@acme.example: {{password: file:{f}/hash}}}}",
            [],
            ("database folder writable", "port 0 free", "1 secret readable"),
        ),
        (
            "users: {{a@acme.example: {{password: file:{f}/key}}}}",
            ["1:36 error what stands there is no argon2id hash"],
            None,
        ),
        (
            "users: {{a@acme.example: {{password: env:MAIL2SMS_UNSET}}}}",
            ["1:36 error the environment variable MAIL2SMS_UNSET is not set"],
            None,
        ),
        (
            "api: {{keys: [{{name: a, key: file:{f}/key, may: read}}, {{name: b, key: file:{f}/same, may: read}}]}}",
            ["error this is the same key as on line 1"],
            None,
        ),
        (
            "api: {{keys: [{{name: a, key: file:{f}/brief, may: read}}]}}",
            ["1:29 error the key there is shorter than 24 characters"],
            None,
        ),
        (
            "mode: trial\napi: {{keys: [{{name: a, key: file:{f}/open, may: read}}]}}",
            ["warning", "2:29 error every user of this machine can read {f}/open"],
            None,
        ),
        (
            "users: {{a@acme.example: {{password: file:{f}/none}}}}",
            ["1:36 error the secret file:{f}/none cannot be read: No such file or directory"],
            None,
        ),
        (
            "carriers: {{o: {{type: smpp, address: '10.0.0.1:2775', system_id: a, password: file:{f}/lengthy}}, "
            "sim: {{type: simulated}}}}",
            ["1:78 error no bind can hold this password: at most 64 characters of Latin-1"],
            None,
        ),
        (
            "tls: {{certificate: {f}/long.pem, key: {f}/no.key}}",
            ["error {f}/no.key cannot be read: No such file"],
            None,
        ),
    ],
)
def test_the_machine_is_looked_at(
    certificates: Path, taken: int, snippet: str, faults: list[str], well: tuple[str, ...] | None
) -> None:
    """Folder, certificate, ports, template and secrets: what would fail at the start is found before it."""
    order = "Mobile: {to}\n\n{text}\nENDE\n"
    content = {
        "order": order,
        "hash": HASH,
        "key": HIDDEN,
        "same": HIDDEN,
        "brief": "abc",
        "lengthy": "p" * 65,
        "open": HIDDEN[::-1],
    }
    for name, text in content.items():
        file = certificates / name
        file.write_text(text, encoding="utf-8")
        file.chmod(0o644 if name == "open" else 0o600)
    told, facts = looked(certificates, snippet.format(f=certificates, p=taken))
    assert len(told) == len(faults)
    assert all(
        fault.format(f=certificates, p=taken) in line for fault, line in zip(faults, told, strict=True)
    )
    assert well is None or facts == tuple(fact.format(f=certificates) for fact in well)


@pytest.mark.parametrize(("later_days", "told"), [(90.1, "today"), (91.5, "1 day ago"), (92.9, "2 days ago")])
def test_an_expired_certificate(
    certificates: Path, later_days: float, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Days that are over are counted, not begun ones."""
    now = time.time()
    monkeypatch.setattr("mail2sms.config.environment.time.time", lambda: now + later_days * 86_400)
    faults, _ = looked(
        certificates, f"tls: {{certificate: {certificates}/long.pem, key: {certificates}/long.key}}"
    )
    assert faults == [f"1:20 error the certificate expired {told}"]


def test_the_machine_is_not_looked_at_while_the_file_has_errors() -> None:
    """First things first."""
    report = config.check(PATH, environment=True, text=whole("mode: lve"))
    assert [f.message for f in report.findings] == ['expected simulate, trial or live, got "lve"']
    assert report.stages == ()


def test_quiet_hours_and_classes_reach_the_policy() -> None:
    """A country's own hours, the usual ones elsewhere with their holidays; a team's class is its members'."""
    text = whole(
        'quiet_hours: {FR: ["21:00-08:00", sunday], default: usual}\nquiet_for: all\n'
        "users: {a@acme.example: {teams: news}, b@acme.example: {}}\nteams: {news: {class: marketing}}"
    )
    settings = config.load(PATH, text)
    policy = derived.policy(settings)
    assert policy.is_quiet_for_all
    assert policy.quiet_hours["FR"].periods == (read_period("21:00-08:00"), read_period("sunday"))
    assert policy.quiet_hours["US"].periods == (read_period("20:00-09:00"), read_period("sunday 09:00-12:00"))
    assert (12, 25) in policy.quiet_hours["FR"].holidays
    assert "default" in policy.quiet_hours
    classes = {address: user.class_.value for address, user in settings.all_users().items()}
    assert classes == {"a@acme.example": "marketing", "b@acme.example": "transactional"}
