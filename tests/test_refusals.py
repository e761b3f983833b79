"""Every refusal teaches: wrong mails, and the email that each one's writer gets, in every language.

refusals/mails/NAME.eml is the mail, refusals/LANGUAGE/NAME.txt the email: its subject and its text part, whole. The
mails take the way of all mail, from the listener's receiver through the store to the relay's letters, at one moment.

Whoever changes the words writes the files anew with MAIL2SMS_REWRITE=1 (which fails, so that it can't stay), and reads
what git then says has changed.
"""

from __future__ import annotations

import asyncio
import email
import email.policy
import json
import os
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from mail2sms import config
from mail2sms.assembly import Base, Parts, assemble
from mail2sms.carriers.wildix import Options as WildixOptions
from mail2sms.config.sending import DestinationOption, RegistrationOption
from mail2sms.errors import Problem
from mail2sms.ids import conversation_of, reply_key
from mail2sms.intake.envelope import Client, Envelope
from mail2sms.intake.mailauth import Mailauth
from mail2sms.intake.sandbox import Sandbox
from mail2sms.model import Msisdn
from mail2sms.reasons import REASONS
from mail2sms.render import own_folder
from mail2sms.store import Blocking, Notice, NoticeClaim, Store
from mail2sms.wording import LANGUAGES
from tests.test_emails import Page, said

HERE = Path(__file__).parent / "refusals"
MAILS = sorted(path.stem for path in (HERE / "mails").glob("*.eml"))
IS_REWRITING = os.environ.get("MAIL2SMS_REWRITE") == "1"
NOW_MS = 1_778_571_660_000  # Tuesday 12 May 2026, 9:41 in Paris
RELAY = Client(ip="127.0.0.1")
DOMAIN, PHONE, OURS = "sms.acme.example", Msisdn("+33639981234"), "+33639980101"
SILENT = Msisdn("+33639985555")  # wants no SMS
TEMPLATES = own_folder() / "email"

REFUSED = RegistrationOption(sender_id="ACME", country="FR", state="refused")

# What the house does otherwise for some of the mails.
OTHERWISE: dict[str, dict[str, Any]] = {
    "example-number": {"mode": "live"},
    "in-trial": {"mode": "trial"},
    "no-recipients": {"template": "simple"},
    "picture-heic": {"mms": "link"},
    "picture-too-large": {"mms": "refuse"},
    "picture-unreadable": {"mms": "link"},
    "pictures-by-a-name": {"mms": "refuse", "destinations": {"FR": DestinationOption(mms="yes")}},
    "pictures-to-a-country": {"mms": "refuse"},
    "pictures-too-many": {"mms": "refuse"},
    "pictures-without-a-carrier": {
        "mms": "refuse",
        "destinations": {"FR": DestinationOption(mms="yes")},
        "carriers": {
            "sim": WildixOptions(type="wildix", api="https://pbx.acme.example", user="sms", password="x")
        },
    },
    "own-template": {"template": str(HERE / "own-template.txt")},
    "sender-a-given-name": {"sender_ids": {"IT": "Marco"}},
    "sender-a-name": {"destinations": {"FR": DestinationOption(names="no")}},
    "sender-none": {"sender_ids": {}},
    "sender-refused": {"registrations": (REFUSED,)},
    "sender-of-another-country": {"sender_ids": {"IT": "ACME", "FR": "number"}},
    "subject-template": {"template": "subject"},
    "subject-template-certain": {"template": "subject"},
    "video": {"mms": "refuse"},
}

# Told in the SMTP reply alone: they are found before anybody has proven to be the writer.
BEFORE_THE_PROOF = {
    *("address.unknown", "address.bad_reply_key", "address.bad_key", "address.syntax"),
    *("number.invalid", "number.ambiguous"),  # in an address; in a To field it is template.bad_number
    *("mail.too_large", "mail.bare_newline"),
}

# By what stands in the store, not by the mail: limits that are reached, what an approver decides, the switch.
BY_THE_STORE = ("quota.", "approval.", "sending.", "loop.")

each_mail = pytest.mark.parametrize("name", MAILS)
each_language = pytest.mark.parametrize("language", LANGUAGES)


@dataclass(frozen=True, kw_only=True)
class Told:
    """The email about one mail, what is known of it, and the reply to the corrected mail; "" when there is none."""

    subject: str
    text: str
    html: str
    problems: tuple[Problem, ...]
    source: tuple[str, ...]
    resent: str

    @property
    def page(self) -> str:
        """What its file holds."""
        return f"Subject: {self.subject}\n\n{self.text}"


Refused = dict[tuple[str, str], Told]


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Refused]:
    """Hand in all mails, once for each language."""
    clock = SimpleNamespace(time_ns=lambda: NOW_MS * 1_000_000)
    found: Refused = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mail2sms.clock.time", clock)
        for language in LANGUAGES:
            found |= asyncio.run(_hand_in_all(language, tmp_path_factory.mktemp(language)))
    yield found


async def _hand_in_all(language: str, folder: Path) -> Refused:
    store, sandbox, mailauth = await Store.open(f"sqlite:///{folder}/x.db"), Sandbox(), Mailauth(None)
    base = Base(store=store, sandbox=sandbox, mailauth=mailauth, simulated_number=None)
    house = House(language, base)
    try:
        await house.take(
            house.usual, Mail(sender="marie@acme.example", to=(f"{PHONE[1:]}@{DOMAIN}",), text="Hello")
        )
        await store.block(
            Blocking(
                account=DOMAIN, msisdn=SILENT, now=NOW_MS - 90 * 86_400_000, source="keyword", keyword="STOP"
            )
        )
        return {(name, language): await house.refuse(name) for name in MAILS}
    finally:
        await sandbox.close()
        mailauth.close()
        await store.close()


@dataclass(frozen=True, kw_only=True)
class Mail:
    """One mail as a program hands it over."""

    sender: str
    to: tuple[str, ...]
    text: str = ""
    subject: str = ""
    content: bytes = b""

    @classmethod
    def read(cls, name: str) -> Mail:
        """Read one of MAILS."""
        content = re.sub(rb"\r?\n", b"\r\n", (HERE / "mails" / f"{name}.eml").read_bytes())
        head = email.message_from_string(content.decode("utf-8", "replace"), policy=email.policy.default)
        sender, to = head["From"].addresses[0].addr_spec, [each.addr_spec for each in head["To"].addresses]
        return cls(sender=sender, to=tuple(to), content=content)

    @property
    def raw(self) -> bytes:
        """The mail's bytes."""
        head = f"From: {self.sender}\nSubject: {self.subject}\nContent-Type: text/plain; charset=utf-8\n\n"
        return self.content or f"{head}{self.text}\n".replace("\n", "\r\n").encode()


class House:
    """The bridge of house.yaml in one language, as the daemon assembles it."""

    def __init__(self, language: str, base: Base) -> None:
        self.settings = config.load(HERE / "house.yaml").model_copy(update={"language": language})
        self.store, self.base = base.store, base
        self.usual = assemble(self.settings, base)

    async def take(self, parts: Parts, mail: Mail) -> str:
        """Return the one reply to a mail."""
        key = reply_key(self.store.reply_secret, conversation_of(DOMAIN, OURS, PHONE))
        rcpts = tuple(re.sub(r"\+r\w{10}@", f"+r{key}@", to) for to in mail.to)
        envelope = Envelope(client=RELAY, mail_from=mail.sender, rcpts=rcpts, content=mail.raw)
        (reply,) = await parts.receiver.mail(envelope)
        return reply

    async def refuse(self, name: str) -> Told:
        """Return the email about a mail, and what became of the corrected one."""
        changes = OTHERWISE.get(name)
        parts = assemble(self.settings.model_copy(update=changes), self.base) if changes else self.usual
        mail = Mail.read(name)
        reply = await self.take(parts, mail)
        (notice,) = await self._notices()
        assert reply in {f"250 2.0.0 {notice.id} not sent, an email says why"} or reply.startswith(
            "250 2.0.0 m-"
        )
        outgoing = await parts.letters.email(notice)
        assert outgoing is not None
        told = email.message_from_bytes(outgoing.content, policy=email.policy.default)
        text, html = (str(told.get_body((kind,)).get_content()) for kind in ("plain", "html"))  # type: ignore[union-attr]
        payload = json.loads(notice.payload or b"")
        text, html = text.replace("\r\n", "\n"), html.replace("\r\n", "\n")
        corrected = _corrected(html, mail.sender)
        resent = await self.take(parts, corrected) if corrected else ""
        assert await self._notices() == []
        return Told(
            subject=str(told["Subject"]),
            text=text,
            html=html,
            problems=tuple(Problem(**problem) for problem in payload["problems"]),
            source=tuple(payload["source"]),
            resent=resent,
        )

    async def _notices(self) -> list[Notice]:
        wanted = NoticeClaim(channel="email", owner="n", now=NOW_MS + 1, lease_ms=3_600_000, limit=50)
        return await self.store.claim_notices(wanted)


def _corrected(html: str, sender: str) -> Mail | None:
    """Return the mail that the link opens; where there is none, the one that is shown to be copied."""
    links = [unescape(link) for link in re.findall(r'href="(mailto:[^"]+)"', html)]
    for parts in map(urlsplit, links):
        if parts.query:
            asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
            return Mail(
                sender=sender,
                to=(parts.path,),
                subject=asked["subject"],
                text=asked["body"].replace("\r\n", "\n"),
            )
    shown = re.search(r'<pre dir="auto" lang=""[^>]*>\n(.*?)</pre>', html, re.DOTALL)
    if shown is None:
        return None
    text = unescape(shown[1])
    header = re.match(r"Subject: (.*)\n\n", text)
    body = text[header.end() :] if header else text
    return Mail(sender=sender, to=(f"sms@{DOMAIN}",), subject=header[1] if header else "", text=body)


# --- the table


@each_language
@each_mail
def test_the_email(name: str, language: str, refused: Refused) -> None:
    """As its file has it, to the letter."""
    file, page = HERE / language / f"{name}.txt", refused[name, language].page
    if IS_REWRITING:
        file.parent.mkdir(exist_ok=True)
        file.write_text(page, encoding="utf-8")
        pytest.fail("written anew: read what has changed, and run without MAIL2SMS_REWRITE")
    assert file.is_file(), "MAIL2SMS_REWRITE=1 writes it"
    assert page == file.read_text(encoding="utf-8")


def test_every_reason_that_an_email_can_give_is_there() -> None:
    """In forty mails and more; each file belongs to one of them."""
    given = {code for code, reason in REASONS.items() if reason.tell == "sender" and reason.code >= 500}
    by_email = {code for code in given if not code.startswith(("carrier.", *BY_THE_STORE))} - BEFORE_THE_PROOF
    for language in LANGUAGES:
        pages = {path.stem: path.read_text(encoding="utf-8") for path in (HERE / language).glob("*")}
        assert sorted(pages) == MAILS
        told = {
            code for page in pages.values() for code in page.splitlines()[-1].partition(": ")[2].split(", ")
        }
        assert told == by_email
    assert len(MAILS) >= 40
    assert set(OTHERWISE) <= set(MAILS)


# --- what holds of each of them


@each_language
@each_mail
def test_the_corrected_mail_is_taken(name: str, language: str, refused: Refused) -> None:
    """By whoever clicks the link, or copies what is shown."""
    told = refused[name, language]
    assert told.resent.startswith("250 2.0.0 m-") or '<pre dir="auto"' not in told.html
    assert ("mailto:" in told.text) <= bool(told.resent)


@each_language
@each_mail
def test_the_html_says_the_same(name: str, language: str, refused: Refused) -> None:
    """The same words, the same rows with their carets, the same link."""
    told = refused[name, language]
    page = Page(told.html)
    assert said(re.sub(r"(?m)^https:.*$", "", told.text)) == said(page.text)
    framed = re.findall(r"<pre dir=\"ltr\"[^>]*>\n(.*?)</pre>", told.html, re.DOTALL)
    assert _rows(told.text) == [unescape(row) for rows in framed for row in rows.split("\n")]
    links = [one["href"] for one in page.attributes("a")]
    assert all(link in links for link in re.findall(r"^(?:mailto|https):\S+$", told.text, re.MULTILINE))


@each_mail
def test_places_are_those_of_the_mail(name: str, refused: Refused) -> None:
    """The line is there, what stands above the carets stands in it, and it is what was wrong."""
    told = refused[name, "en"]
    body = email.message_from_bytes(Mail.read(name).raw, policy=email.policy.default)
    if told.source and body["Content-Type"] == "text/plain; charset=utf-8":
        lines = str(body.get_content()).rstrip().split("\n")
        assert list(told.source) == lines[: len(told.source)]
    placed = [problem for problem in told.problems if problem.line]
    marked = _marked(told.text)
    assert len(marked) == len(placed)
    for problem, (number, above) in zip(placed, marked, strict=True):
        line = told.source[problem.line - 1]
        assert number == problem.line
        at_fault = line[problem.column - 1 : problem.column - 1 + problem.width]
        assert at_fault.startswith(problem.value.removesuffix("…"))
        assert above
        assert "".join(c if c.isprintable() else "\ufffd" for c in at_fault).startswith(above)


@each_language
@each_mail
def test_nothing_is_left_open(name: str, language: str, refused: Refused) -> None:
    """No place that is none, no fact that nobody knew; each sentence asks only for facts that are there."""
    told = refused[name, language]
    sentences = (TEMPLATES / language / "reasons.txt").read_text(encoding="utf-8").splitlines()
    by_code = {code: text for code, _, text in (line.partition(": ") for line in sentences)}
    for problem in told.problems:
        asked = set(re.findall(r"\{(\w+)\}", re.sub(r"\[[^\]]*\]", "", by_code[problem.reason])))
        assert asked <= {"domain", "mailbox", *(["value"] if problem.value else []), *problem.facts}
    assert not re.search(r"[{}\[\]]|None|\b0 \|", re.sub(r"(?m)^   .*$|^mailto:.*$", "", told.text))


@each_language
@each_mail
def test_it_fits_into_a_narrow_inbox(name: str, language: str, refused: Refused) -> None:
    """Rows with carets must not be broken: 42 columns; sentences under them may, in the other part."""
    rows = _rows(refused[name, language].text)
    assert max(map(_columns, rows), default=0) <= 42
    beside = [row for row in refused[name, language].text.splitlines() if re.match(r" *\d* \| ", row)]
    assert max(map(_columns, beside), default=0) <= 60 or "://" in "".join(beside)


_ROW = re.compile(r" *(?:\d+|…) \|(?: .*)?| +\| +\^+| +\| \^+")


def _rows(text: str) -> list[str]:
    """The numbered lines, and the carets."""
    return [line for line in text.splitlines() if _ROW.fullmatch(line)]


def _marked(text: str) -> list[tuple[int, str]]:
    """The number of the line and the characters above each row of carets."""
    found: list[tuple[int, str]] = []
    number, shown = 0, ""
    for row in _rows(text):
        if row.strip("^ |"):
            number, shown = int(row.partition("|")[0]), row
            continue
        first = row.index("^")
        end, at = first + row.count("^"), 0
        above = ""
        for character in shown:
            above += character if first <= at < end else ""
            at += _columns(character)
        found.append((number, above.strip("…")))
    return found


def _columns(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
