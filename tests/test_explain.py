"""`mail2sms explain` says what the listener does: of every mail of tests/mails, and of what a mail can ask for."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from mail2sms import config
from mail2sms.accept import Accept
from mail2sms.cli import explained as page
from mail2sms.cli.main import run
from mail2sms.clock import now_ms
from mail2sms.config import Settings, derived
from mail2sms.intake.envelope import Client, Envelope
from mail2sms.intake.identity import Identity
from mail2sms.intake.receive import Receiver
from mail2sms.intake.sandbox import Sandbox
from mail2sms.model import Msisdn, MtMessage
from mail2sms.store import Blocking, NoticeClaim, Stop, Store, views
from tests import signing
from tests.fakes import PHONE, submission, writer
from tests.proofs import _spoofs
from tests.servers import NameServer
from tests.web_fakes import world

CONFIG = Path(__file__).resolve().parent.parent / "mail2sms.yaml"
MAILS = sorted((Path(__file__).parent / "mails").glob("*.eml"))
DOMAIN = "sms.acme.example"
NUMBER = f"33639981234@{DOMAIN}"
MAIL = "From: {sender}\nTo: {to}\nSubject: x\nMessage-ID: <1@acme.example>\n\n{text}\n"


@dataclass(frozen=True, kw_only=True)
class Took:
    """What the listener did with a mail."""

    reply: str
    messages: Sequence[MtMessage | Any]
    reasons: list[str]


def listened(settings: Settings, content: bytes, rcpt: str, client: Client, folder: Path) -> Took:
    """Hand a mail to the listener's own code with an empty store; return what was answered and stored."""
    return asyncio.run(_listened(settings, content, rcpt, client, folder))


async def _listened(settings: Settings, content: bytes, rcpt: str, client: Client, folder: Path) -> Took:
    store = await Store.open(f"sqlite:///{folder}/x.db")
    identity = Identity(
        settings.sender_rules(), settings.all_users(), {}, account=DOMAIN, language="fr", zone="Europe/Paris"
    )
    sandbox = Sandbox()
    accept = Accept(store, derived.policy(settings), settings.route_table(), settings.validity)
    receiver = Receiver(derived.desk(settings), identity, accept, store, sandbox)
    try:
        refused = receiver.begin(client, offers_login=False) or receiver.rcpt(client, rcpt)
        assert refused is None or isinstance(refused, str)
        mail = Envelope(client=client, mail_from="someone@acme.example", rcpts=(rcpt,), content=content)
        reply = refused or (await receiver.mail(mail))[0]
        claim = NoticeClaim(channel="email", owner="n", now=now_ms() + 1, lease_ms=1000, limit=50)
        payloads = [json.loads(notice.payload or b"{}") for notice in await store.claim_notices(claim)]
        return Took(
            reply=reply,
            messages=await store.read(views.find, DOMAIN, views.Search()),
            reasons=sorted({problem["reason"] for each in payloads for problem in each["problems"]}),
        )
    finally:
        await sandbox.close()
        await store.close()
        identity.close()


def explained(capsys: pytest.CaptureFixture[str], file: Path, *options: str) -> tuple[int, dict[str, Any]]:
    """Explain a mail for a program; return the exit code and the document."""
    code = run(["explain", str(file), "--config", str(CONFIG), "--json", *options])
    return code, json.loads(capsys.readouterr().out)


def shape(reply: str) -> str:
    """A reply without the id that is made for it."""
    return re.sub(r"\b[mn]-[0-9A-Z]{16}\b|<id>", "ID", reply)


@pytest.mark.parametrize("login", [None, "marie@acme.example"])
@pytest.mark.parametrize("file", MAILS, ids=lambda file: file.stem)
def test_it_says_what_the_listener_does(
    file: Path, login: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same reply, messages and reasons for every mail, from the mail server and from a login."""
    code, said = explained(capsys, file, "--to", NUMBER, *(["--login", login] if login else []))
    content = re.sub(rb"\r?\n", b"\r\n", file.read_bytes())
    took = listened(config.load(CONFIG), content, NUMBER, Client(ip="127.0.0.1", login=login), tmp_path)
    replies = [said["reply"], *(problem["reply"] for problem in said["problems"])]
    assert shape(took.reply) in map(shape, replies)
    messages = [message for order in said["orders"] for message in order["messages"]]
    assert [(m["to"], m["sender_id"]) for m in messages] == [(m.to, m.sender_id) for m in took.messages]
    assert {o["text"] for o in said["orders"] if o["messages"]} == {m.text for m in took.messages}
    assert sorted({p["reason"] for p in said["problems"]} if said["told"] == "email" else []) == took.reasons
    assert (code == 0) == bool(took.messages)


CASES: list[tuple[str, str, list[str], str, list[str]]] = [
    # text, to, options, verdict, reasons
    ("Bonjour", NUMBER, [], "sent", []),
    ("Bonjour", NUMBER, ["--ip", "192.0.2.1"], "refused", ["sender.unknown"]),
    ("Bonjour", NUMBER, ["--from", ""], "refused", ["sender.null"]),
    ("Bonjour", f"0142345678@{DOMAIN}", [], "refused", ["number.not_mobile"]),
    ("Bonjour", f"nobody@{DOMAIN}", [], "refused", ["address.unknown"]),
    ("Bonjour", f"oncall@{DOMAIN}", [], "sent", []),
    ("Bonjour", f"33639981234+rabcdefghij@{DOMAIN}", [], "sent", []),
    ("Bonjour", f"{NUMBER}, nobody@{DOMAIN}, x@else.example", [], "partly", ["address.unknown"]),
    ("Bonjour", "x@else.example", ["--to", "0639981234"], "sent", []),
    ("a" * 700, NUMBER, [], "refused", ["text.too_long"]),
    ("To: 06 39 98 12 34\n\nBonjour", f"sms@{DOMAIN}", [], "sent", []),
    ("Tel: 06 39 98 12 34\n\nBonjour", f"sms@{DOMAIN}", [], "refused", ["template.unknown_field"]),
    ("To: 0639981234\nColour: red\n\nBonjour", f"sms@{DOMAIN}, {NUMBER}", [], "refused", ["template.unknown_field"]),
    ("To: 06 39 98 12 34\n\nBonjour", f"sms@{DOMAIN}, 33639985678@{DOMAIN}", [], "sent", []),
    ("To: +34 612 34 56 78\n\nBonjour", f"sms@{DOMAIN}, {NUMBER}", [], "partly", ["country.not_allowed"]),
    ("a\rb", NUMBER, [], "refused", ["mail.bare_newline"]),
    ("a" * 1_100_000, NUMBER, [], "refused", ["mail.too_large"]),
    (".\n.", NUMBER, [], "sent", []),
]  # fmt: skip


@pytest.mark.parametrize(("text", "to", "options", "verdict", "reasons"), CASES)
def test_what_a_mail_can_ask_for(
    text: str,
    to: str,
    options: list[str],
    verdict: str,
    reasons: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each kind of address and of refusal, by its code; all is well only with exit code 0."""
    file = tmp_path / "x.eml"
    file.write_bytes(MAIL.format(sender="marie@acme.example", to=to, text=text).encode())
    code, said = explained(capsys, file, *options)
    assert (said["verdict"], code, said["exit"]) == (verdict, 0 if verdict == "sent" else 65, code)
    assert reasons == [p["reason"] for p in said["problems"] if p["reason"] in reasons]
    assert bool(said["problems"]) == bool(reasons)


def test_the_page_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every fact has its row of at most 100 columns; rules have their lines at the right."""
    file = tmp_path / "x.eml"
    text = "Déjà prêt à 14 h 30 €\n\n-- \nMarie"
    file.write_text(MAIL.format(sender="marie@acme.example", to=NUMBER, text=text), encoding="utf-8")
    assert run(["explain", str(file), "--config", str(CONFIG)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    rows = {line[:10].strip(): line for line in lines if not line.startswith(" ")}
    source = CONFIG.read_text(encoding="utf-8").splitlines()
    for label, option in (("From", "network:"), ("Route", "via: [sim]"), ("Sender ID", "marie@acme.example")):
        line = int(rows[label].rpartition("mail2sms.yaml:")[2])
        assert option in source[line - 1], label
    assert "ê U+00EA" in " ".join(lines)
    assert 'left out: signature (2 lines: "--")' in " ".join(lines)
    assert rows["Cost"].split(maxsplit=1)[1] == "0.045 EUR"
    assert "would be SENT to 1 phone, 1 part" in rows["Verdict"]


@pytest.mark.parametrize(
    ("price", "to", "row", "costs"),
    [
        ("{FR: 0.045 EUR}", "06 39 98 12 34", "0.09 EUR", ["0.09 EUR"]),
        (
            "{FR: 0.045 EUR, DE: 0.08 EUR}",
            "06 39 98 12 34, +49 171 3920012",
            "0.25 EUR for 2 phones",
            ["0.09 EUR", "0.16 EUR"],
        ),
        (
            "{FR: 0.045 EUR}",
            "06 39 98 12 34, +49 171 3920012",
            "0.09 EUR for 1 phone; not known: sim has no price for DE",
            ["0.09 EUR", None],
        ),
        ("{}", "06 39 98 12 34, 06 39 98 56 78", "not known: sim has no price for FR", [None, None]),
    ],
)
def test_what_it_would_cost(
    price: str, to: str, row: str, costs: list[str | None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All phones together; what has no price is named, and is not taken for nothing."""
    example = CONFIG.read_text(encoding="utf-8")
    text = re.sub(r"price: \{[^}]*\}", f"price: {price}", example)
    assert text != example
    (tmp_path / "mail2sms.yaml").write_text(text, encoding="utf-8")
    file = tmp_path / "x.eml"
    body = f"To: {to}\nFrom: ACME\n\n{'a' * 161}"
    file.write_text(MAIL.format(sender="marie@acme.example", to=f"sms@{DOMAIN}", text=body), encoding="utf-8")
    options = ["explain", str(file), "--config", str(tmp_path)]
    assert run(options) == 0
    assert f"\nCost       {row}\n" in capsys.readouterr().out
    assert run([*options, "--json"]) == 0
    (order,) = json.loads(capsys.readouterr().out)["orders"]
    assert [message["cost"] for message in order["messages"]] == costs


def test_the_line_at_fault_and_the_email(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A caret under what is wrong; with --show-email the mail that would go out, as its text part."""
    file = tmp_path / "x.eml"
    text = "To: 06 39 98 12 34\nColour: red\n\nBonjour"
    file.write_text(MAIL.format(sender="marie@acme.example", to=f"sms@{DOMAIN}", text=text), encoding="utf-8")
    options = ["explain", str(file), "--config", str(CONFIG)]
    assert run(options) == 65
    lines = capsys.readouterr().out.splitlines()
    at = next(i for i, line in enumerate(lines) if "body line 2:  Colour: red" in line)
    assert lines[at + 1].strip() == "^^^^^^"
    assert lines[at + 1].index("^") == lines[at].index("Colour")
    assert any("--show-email" in line for line in lines)
    assert run([*options, "--show-email"]) == 65
    assert "Motif : template.unknown_field" in capsys.readouterr().out.replace("\u00a0", " ").replace(
        "\u202f", " "
    )


def _keys(value: Any) -> set[str]:
    if isinstance(value, list):
        return set().union(*map(_keys, value))
    return set(value).union(*map(_keys, value.values())) if isinstance(value, dict) else set()


def test_the_keys_of_the_document_are_promised(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Programs rely on them: each is named where the document is described, and none of those is missing."""
    file = tmp_path / "x.eml"
    text = "To: 06 39 98 12 34\nColour: red\n\nBonjour\n\n-- \nMarie"
    to = f"sms@{DOMAIN}, {NUMBER}"
    file.write_text(MAIL.format(sender="marie@acme.example", to=to, text=text), encoding="utf-8")
    runs = [(), ("--ip", "192.0.2.1"), ("--to", NUMBER)]
    found = set().union(*(_keys(explained(capsys, file, *options)[1]) for options in runs))
    promised = set(re.findall(r"\w+", (page.__doc__ or "").partition("keys:")[2]))
    assert found <= promised
    assert {"verdict", "exit", "problems", "reply", "orders", "messages", "asks", "sample"} <= found


@pytest.mark.parametrize(
    ("sender", "wanted"),
    [
        ("marie@acme.example", "to write, senders asks for mail from 127.0.0.1, ::1, 10.1.0.20"),
        ("x@else.example", "no rule of senders is about this address"),
    ],
)
def test_a_stranger_is_told_what_would_prove_them(
    sender: str, wanted: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The rules that are about the address, with their lines."""
    file = tmp_path / "x.eml"
    file.write_text(MAIL.format(sender=sender, to=NUMBER, text="x"), encoding="utf-8")
    assert run(["explain", str(file), "--config", str(CONFIG), "--ip", "192.0.2.1"]) == 65
    assert wanted in capsys.readouterr().out


def test_nothing_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No database comes to be, and no folder changes."""
    text = CONFIG.read_text(encoding="utf-8").replace("/var/lib/mail2sms", str(tmp_path))
    (tmp_path / "mail2sms.yaml").write_text(text, encoding="utf-8")
    before = sorted(tmp_path.iterdir())
    assert run(["explain", str(MAILS[0]), "--config", str(tmp_path), "--to", NUMBER]) == 0
    assert sorted(tmp_path.iterdir()) == before
    assert "SENT" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["explain"], 64, "FILE.eml"),
        (["explain", "nowhere.eml", "--config", str(CONFIG)], 64, "cannot be read"),
        (["explain", str(MAILS[0]), "--config", "nowhere.yaml"], 78, "cannot be read"),
        (["explain", str(MAILS[0]), "--config", str(CONFIG), "--ip", "x"], 64, '"x" is no IP address'),
        (
            ["explain", str(MAILS[0]), "--config", str(CONFIG), "--login", "mari@acme.example"],
            64,
            "did you mean",
        ),
    ],
)
def test_what_it_cannot_explain(
    arguments: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """No file, no configuration: said on standard error with the code of the table."""
    assert run(arguments) == code
    out, err = capsys.readouterr()
    assert (out, said in err) == ("", True)


def test_a_mail_to_others_needs_an_address(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is guessed where To names nobody of ours."""
    file = tmp_path / "x.eml"
    file.write_text(MAIL.format(sender="marie@acme.example", to="x@else.example", text="x"), encoding="utf-8")
    assert run(["explain", str(file), "--config", str(CONFIG)]) == 64
    assert "name one with --to ADDRESS" in capsys.readouterr().err


def test_the_snags_of_a_name_as_sender_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In Belgium networks replace it; that no phone answers it is told of every name."""
    file = tmp_path / "a.eml"
    file.write_text(MAIL.format(sender="it@acme.example", to="x", text="Bonjour"), encoding="utf-8")
    options = ("--to", f"32470123456@{DOMAIN}", "--from", "it@acme.example", "--ip", "10.1.0.20")
    code, document = explained(capsys, file, *options)
    assert code == 0
    message = document["orders"][0]["messages"][0]
    assert (message["sender_id"], message["can_answer"]) == ("ACME", False)
    assert message["notes"] == ["networks in BE may show another sender than ACME"]


PROOFS = """\
domain: sms.acme.example
country: FR
mode: simulate
database: sqlite:////nowhere/x.db
listen: {smtp: {address: "127.0.0.1:2525"}}
senders:
  - {from: "*@acme.example", proof: [spf, dkim]}
users: {marie@acme.example: {name: Marie Dubois, number: "+33639980101"}}
countries: [FR]
carriers: {sim: {type: simulated}}
routes: [{to: any, via: [sim]}]
"""


def test_which_proof_holds_and_why_the_others_do_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each proof that the mail could bring, with the rule that asks for it."""
    (tmp_path / "m.yaml").write_text(PROOFS)
    mail = signing.sign(_spoofs.mail("1", date=formatdate()), "acme.example", by="acme")
    (tmp_path / "signed.eml").write_bytes(mail)
    (tmp_path / "changed.eml").write_bytes(mail.replace(b"Hello", b"Hullo"))
    with NameServer(_spoofs.zone()) as server:
        asked = ["--config", str(tmp_path / "m.yaml"), "--ip", "192.0.2.1", "--dns", str(server.endpoint)]
        assert run(["explain", str(tmp_path / "signed.eml"), *asked]) == 0
        good = capsys.readouterr().out
        assert run(["explain", str(tmp_path / "changed.eml"), *asked]) == 65
        bad = capsys.readouterr().out
    assert re.search(r"From +marie@acme.example, user Marie Dubois, by dkim 192.0.2.1 +m.yaml:7", good)
    assert "spf" not in good.replace("by dkim", "")
    assert re.search(r"\n +dkim: fail, acme.example: the text was changed +m.yaml:7", bad)
    assert re.search(r"\n +spf: fail, 192.0.2.1 is not listed: none +m.yaml:7", bad)
    assert "to write, senders asks for a DKIM signature of acme.example or a client that" in bad
    assert "sender.proof_missing   SMTP 550 5.7.1" in bad


def test_what_of_a_device_is_refused_is_told_to_its_owner(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The machine gets the reply, who looks after it the email; without anybody, nobody."""
    file, rules = tmp_path / "x.eml", tmp_path / "m.yaml"
    at = formatdate(now_ms() / 1000 - 3 * 3600)
    file.write_text(f"From: nas@acme.example\nTo: nas-2@{DOMAIN}\nDate: {at}\nSubject: x\n\nx\n")
    for owner, emails in ((", replies_to: it@acme.example", 1), ("", 0)):
        rules.write_text(CONFIG.read_text().replace("expires: 2h}", f"expires: 2h{owner}}}", 1))
        asked = ["explain", str(file), "--config", str(rules), "--json", "--ip", "10.1.0.40"]
        assert run(asked) == 65
        said = json.loads(capsys.readouterr().out)
        assert (said["told"], said["reply"][:9], len(said["emails"])) == ("smtp", "550 5.4.7", emails)


LIVE = """\
domain: sms.demo.example
country: FR
mode: simulate
database: sqlite:////nowhere/x.db
listen:
  smtp: {address: "127.0.0.1:2525"}
  devices: {address: "127.0.0.1:2526"}
  web: {address: "127.0.0.1:8025", url: "https://sms.acme.example"}
senders:
  - {from: "*@acme.example", proof: login}
  - {from: "*@acme.example", network: [127.0.0.1, 10.1.0.20]}
users: {marie@acme.example: {name: Marie Dubois, number: "+33639980101", quota: 3/day, class: marketing}}
countries: [FR]
quotas: {number: 2/day, approval_above: 1, approvers: [it@acme.example]}
quiet_hours: {FR: "00:00-23:59"}
carriers: {sim: {type: simulated}}
routes: [{to: any, via: [sim]}]
"""


async def test_with_a_daemon_it_says_what_the_store_knows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is used of each limit, who opted out, what waits for whom, and every email that would be sent."""
    (tmp_path / "m.yaml").write_text(LIVE)
    settings = config.load(tmp_path / "m.yaml")
    domain, third, gone = "sms.demo.example", "+33639985678", "+33639980404"
    async with world(tmp_path) as here:
        store = here.context.store
        door = Accept(store, derived.policy(settings), settings.route_table(), settings.validity)
        marie = writer(account=domain, number=Msisdn("+33639980101"))
        for n in range(2):
            await door.accept([submission(f"m-{n}", writer=marie, created_at=now_ms())])
        blocking = Blocking(account=domain, msisdn=Msisdn(gone), now=now_ms(), source="operator")
        await store.block(blocking)
        file = tmp_path / "x.eml"

        async def explain(*to: str) -> tuple[int, dict[str, Any], str]:
            named = ", ".join(f"{phone[1:]}@{domain}" for phone in to)
            file.write_text(MAIL.format(sender="marie@acme.example", to=named, text="Bonjour"))
            asked = ["explain", str(file), "--config", str(tmp_path / "m.yaml"), "--socket", str(here.socket)]
            code = await asyncio.to_thread(run, [*asked, "--json"])
            said = json.loads(capsys.readouterr().out.splitlines()[-1])
            assert await asyncio.to_thread(run, asked) == code
            return code, said, capsys.readouterr().out

        code, said, shown = await explain(third)
        assert (code, said["is_asked"]) == (0, True)
        used = {
            (each["kind"], each["of"]): (each["used"], each["left"], each["needed"])
            for each in said["limits"]
        }
        assert used == {("user", "marie@acme.example"): ("2", "1", "1"), ("number", third): ("0", "2", "1")}
        assert "user marie@acme.example: 3/day; 2 used, 1 left, 1 needed; opens again at" in " ".join(
            shown.split()
        )
        assert "login: fail, nobody has logged in" in shown and "nobody of them opted out" in shown
        (message,) = said["orders"][0]["messages"]
        assert message["quiet_until"] == message["due_at"] and "quiet hours of FR until" in message["why"]

        code, said, shown = await explain(PHONE)  # its limit is used up
        assert (code, [p["reason"] for p in said["problems"]]) == (65, ["quota.number"])
        assert said["emails"][0]["to"] == "marie@acme.example" and "2/day; 2 used, 0 left" in shown

        code, said, _ = await explain(gone)
        assert [p["reason"] for p in said["problems"]] == ["optout"]

        code, said, shown = await explain(
            third, "+33639985679"
        )  # more than one phone needs approval, and room for two
        assert [p["reason"] for p in said["problems"]] == ["quota.user", "quota.user"]
        await store.switch(Stop(at=now_ms()))
        assert "all sending is stopped now" in (await explain(third))[2]


async def test_what_waits_for_approval_and_who_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The writer's email and the approver's are shown; no daemon is needed, and the page says what is not known."""
    (tmp_path / "m.yaml").write_text(LIVE.replace("class: marketing", "class: transactional"))
    file = tmp_path / "x.eml"
    to = "33639985678@sms.demo.example, 33639985679@sms.demo.example"
    file.write_text(MAIL.format(sender="marie@acme.example", to=to, text="Bonjour"))
    asked = ["explain", str(file), "--config", str(tmp_path / "m.yaml")]
    assert await asyncio.to_thread(run, [*asked, "--show-email"]) == 0
    shown = capsys.readouterr().out
    assert "waits until somebody approves it (held.approval): 2 messages, more than 1" in shown
    assert "no daemon answers: opt-outs and limits are not known" in " ".join(shown.split())
    assert "3/day; what is used is not known, 2 needed" in " ".join(shown.split())
    assert "quiet hours at +33 6 39 98 56 78, +33 6 39 98 56 79 until" in " ".join(shown.split())
    assert re.search(
        r'Email +to it@acme.example: "2 SMS from marie@acme.example wait for your approval"', shown
    )
    assert "https://sms.acme.example/approve/v-..." in shown
