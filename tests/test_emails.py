"""Every kind of email in every language, as people get it: what holds of all of them, whatever their words are."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser

import pytest

from mail2sms.errors import Problem
from mail2sms.model import Msisdn, Photo, Status
from mail2sms.money import CREDITS, Money
from mail2sms.reasons import REASONS
from mail2sms.relay.carrier import CarrierFacts, carrier_email
from mail2sms.relay.compose import Addressee, Outgoing
from mail2sms.relay.digest import DigestFacts, Failure, digest_email
from mail2sms.relay.machines import DeviceFacts, device_email
from mail2sms.relay.receipt import Fate, ReceiptFacts, receipt_email
from mail2sms.render import Render
from mail2sms.store.days import DeviceView
from mail2sms.wording import LANGUAGES
from tests.fakes import ACCOUNT
from tests.test_compose import (
    AT,
    CORRECTED,
    ORIGIN,
    RENDER,
    UNKNOWN_FIELD,
    addressee,
    asked,
    held,
    limit,
    read,
    refused,
    reply,
    suspected,
    undelivered,
    words,
)

LONG = Problem(
    reason="text.too_long",
    facts={"characters": "900", "parts": "6", "limit": "4", "messages": "2", "more": "2"},
)
GUESS = Problem(reason="template.missing_field", value="To")
FIELD_LINE = Problem(reason="template.bad_line", value="Marie", line=5, column=1, width=5)
PHOTO = Photo(name="p", media_type="image/png", content=b"x")
HEIC = Problem(reason="media.heic", value="IMG_1.HEIC")
ABROAD = Problem(reason="country.not_allowed", facts={"country": "US", "to": "+1 202-555-0123"})
FAR = Problem(reason="route.none", facts={"country": "GB", "to": "+44 7700 900123"})
PRICE = Money(1_045_000, "EUR")
HEBREW = "שלום, Marie!\nÀ demain"


def receipt(language: str, *fates: tuple[Status, str], **changes: object) -> Outgoing:
    """Return the receipt of a mail whose messages have come so far."""
    phones = [Msisdn(f"+3363998{number:04}") for number in range(1234, 1234 + len(fates))]
    rows = [Fate(msisdn=m, status=s, reason=why, at=AT) for m, (s, why) in zip(phones, fates, strict=True)]
    values = {
        "id": "m-1",
        "notice": "n-1",
        "addressee": addressee(language),
        "fates": tuple(rows),
        "text": "Bonjour,\nà demain",
        "accepted_at": AT,
        "at": AT,
        "conversation": "c-1",
        "template_address": "sms@sms.acme.example",
        "origin": ORIGIN,
    }
    return receipt_email(ReceiptFacts(**{**values, **changes}), RENDER)  # type: ignore[arg-type]


def digest(language: str, **changes: object) -> Outgoing:
    """Return the digest of a day."""
    values = {
        "id": "n-1",
        "addressee": addressee(language),
        "since": AT - 86_400_000,
        "until": AT,
        "template_address": "sms@sms.acme.example",
        "is_all": True,
    }
    return digest_email(DigestFacts(**{**values, **changes}), RENDER)  # type: ignore[arg-type]


LOST = Failure(
    msisdn=Msisdn("+33639981234"), at=AT, reason="carrier.unknown_number", writer="paul@acme.example"
)
DOUBTFUL = Failure(msisdn=Msisdn("+33639981235"), at=AT, reason="carrier.unknown", is_unknown=True)
ARRIVED, UNDER_WAY = (Status.DELIVERED, ""), (Status.ENROUTE, "")
GONE = (Status.UNDELIVERABLE, "carrier.unknown_number")


def device(language: str, *, is_back: bool) -> Outgoing:
    """Return what is told of a device."""
    facts = DeviceFacts(
        id="n-1",
        addressee=Addressee(to="it@acme.example", language=language, zone="Europe/Paris", domain=ACCOUNT),
        device="ups-1",
        heard_at=AT,
        at=AT + 90_000_000,
        template_address=f"sms@{ACCOUNT}",
        is_back=is_back,
    )
    return device_email(facts, Render())


def carrier(language: str, kind: str, **changes: object) -> Outgoing:
    """Return what is told of a carrier."""
    values = {
        "id": "n-1",
        "addressee": Addressee(to="it@acme.example", language=language, zone="Europe/Paris", domain=ACCOUNT),
        "kind": kind,
        "carrier": "orange",
        "at": AT + 90_000_000,
        "since": AT,
        "why": "unbound it cannot be reached: Connection refused",
        "template_address": f"sms@{ACCOUNT}",
    }
    return carrier_email(CarrierFacts(**{**values, **changes}), Render())  # type: ignore[arg-type]


LITTLE = {"left": Money(18_200_000, "EUR"), "below": Money(20_000_000, "EUR")}
Compose = Callable[[str], Outgoing]
# One of each shape that a template can take.
SHAPES: dict[str, Compose] = {
    "reply": reply,
    "reply, with photos": lambda language: reply(language, photos=(PHOTO, PHOTO)),
    "reply, with one photo": lambda language: reply(language, photos=(PHOTO,)),
    "reply, from a name": lambda language: reply(language, reply_address="", origin=None, name="שם"),
    "reply, opted out": lambda language: reply(language, said="optout.stop"),
    "reply, perhaps an opt-out": lambda language: reply(language, said="optout.perhaps"),
    "reply, opted in": lambda language: reply(language, said="optout.start"),
    "reply, acknowledged": lambda language: reply(language, said="alarm.acknowledged"),
    "device, silent": lambda language: device(language, is_back=False),
    "device, back": lambda language: device(language, is_back=True),
    "carrier, down": lambda language: carrier(language, "down"),
    "carrier, up": lambda language: carrier(language, "up"),
    "carrier, little left": lambda language: carrier(language, "balance", **LITTLE),
    "carrier, credits": lambda language: carrier(
        language, "balance", left=Money(-1_500_000, CREDITS), below=Money(100_000_000, CREDITS)
    ),
    "refused": refused,
    "refused, many": lambda language: refused(language, problems=(UNKNOWN_FIELD, FIELD_LINE, LONG)),
    "refused, partly": lambda language: refused(
        language, problems=(ABROAD, FAR), source=(), corrected="", simple_address="", is_partly=True
    ),
    "refused, pictures alone": lambda language: refused(
        language,
        problems=(HEIC,),
        source=(),
        corrected="",
        text="",
        simple_address="",
        is_sent=True,
        device="cam",
    ),
    "refused, guessed": lambda language: refused(
        language, problems=(GUESS,), is_example=True, simple_address="", may_be_simple=True
    ),
    "refused, nothing to offer": lambda language: refused(
        language, problems=(LONG,), corrected="", text=HEBREW, simple_address="", origin=None
    ),
    "refused, too long for a link": lambda language: refused(language, corrected="x" * 2000),
    "held": held,
    "held, until": lambda language: held(language, reason="held.quiet_hours", until=AT + 9_000_000),
    "held, with one other": lambda language: held(language, others=1),
    "held, with others": lambda language: held(language, others=3),
    "held, for approval": lambda language: held(language, reason="held.approval", name="Zoé"),
    "held, in a row": lambda language: held(language, reason="held.sequential"),
    "held, unusual": lambda language: held(language, reason="held.unusual"),
    "held, for approval, with others": lambda language: held(language, reason="held.approval", others=119),
    "approval": asked,
    "approval, in a row": lambda language: suspected(language, "held.sequential"),
    "approval, new country": lambda language: suspected(language, "held.new_country"),
    "approval, unusual": lambda language: suspected(language, "held.unusual"),
    "approval, nothing served": lambda language: asked(language, link="", cost=None),
    "limit": limit,
    "limit, team": lambda language: limit(language, kind="team", of="support"),
    "limit, number": lambda language: limit(language, kind="number", of="+33639981234"),
    "limit, prefix": lambda language: limit(language, kind="prefix", of="+3363998"),
    "limit, country": lambda language: limit(language, kind="country", of="FR"),
    "limit, total": lambda language: limit(language, kind="total", of="all"),
    "limit, cost": lambda language: limit(language, kind="cost", of="all", amount=60_000_000, unit="EUR"),
    "undelivered": undelivered,
    "undelivered, with more": lambda language: undelivered(language, reason="approval.refused", more=1),
    "undelivered, no carrier": lambda language: undelivered(language, carrier="", code="", detail=""),
    "undelivered, opted out": lambda language: undelivered(
        language, status=Status.CANCELLED, reason="optout", charged="no", others=1
    ),
    "undelivered, with others": lambda language: undelivered(language, others=4),
    "undelivered, again": lambda language: undelivered(language, will_retry=True, charged="yes"),
    "undelivered, at a price": lambda language: undelivered(language, charged="maybe", cost=PRICE),
    "receipt": lambda language: receipt(language, ARRIVED),
    "receipt, of many": lambda language: receipt(language, *[ARRIVED] * 31),
    "receipt, one failed": lambda language: receipt(language, ARRIVED, GONE, UNDER_WAY),
    "receipt, two failed": lambda language: receipt(language, ARRIVED, GONE, GONE),
    "receipt, very many": lambda language: receipt(language, GONE, *[ARRIVED] * 60),
    "receipt, so far": lambda language: receipt(language, ARRIVED, UNDER_WAY, (Status.QUEUED, "")),
    "receipt, in doubt": lambda language: receipt(language, (Status.UNKNOWN, "carrier.unknown"), ARRIVED),
    "receipt, cancelled": lambda language: receipt(language, (Status.CANCELLED, "")),
    "digest": lambda language: digest(language, sent=31, delivered=31, replies=4, cost=PRICE),
    "digest, of one": lambda language: digest(language, sent=1, delivered=1, is_all=False),
    "digest, one failed": lambda language: digest(
        language, sent=31, delivered=29, failed=1, failures=(LOST,), refused=(("template.no_text", 3),)
    ),
    "digest, many failed": lambda language: digest(
        language, sent=3100, delivered=3075, failed=25, failures=(LOST,) * 25, is_all=False
    ),
    "digest, in doubt": lambda language: digest(
        language, sent=2, delivered=1, unknown=1, failures=(DOUBTFUL,), is_all=False
    ),
    "digest, so far": lambda language: digest(language, sent=31, delivered=1),
    "digest, machines": lambda language: digest(
        language,
        sent=3,
        delivered=3,
        devices=(
            DeviceView(name="nas-2", silent_since=AT - 86_400_000),
            DeviceView(name="ups-1", mails=1412, texts=2),
            DeviceView(name="ups-2", mails=1, texts=1, silent_since=AT - 3_600_000),
        ),
    ),
    "digest, refused alone": lambda language: digest(language, refused=(("quota.user", 1),)),
    "digest, replies alone": lambda language: digest(language, replies=2),
    "digest, empty": digest,
    "report, on its way": lambda language: receipt(language, UNDER_WAY),
    "report, handed over": lambda language: receipt(language, UNDER_WAY, is_silent=True),
    "report, delayed": lambda language: receipt(language, (Status.QUEUED, "")),
    "unknown": lambda language: undelivered(
        language, status=Status.UNKNOWN, reason="carrier.unknown", charged="maybe"
    ),
}
every_language = pytest.mark.parametrize("language", LANGUAGES)
every_shape = pytest.mark.parametrize("compose", SHAPES.values(), ids=SHAPES.keys())


class Page(HTMLParser):
    """What a mail program makes of the HTML: its elements in order, and the text that people see."""

    EMPTY = ("meta", "br")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        if "body" in self.open:
            self.text += data if "pre" in self.open else f" {data} "

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of all elements of this name."""
        return [attributes for name, attributes in self.elements if name == tag]


def said(text: str) -> list[str]:
    """Return the words, without the links that HTML has behind a button."""
    return re.findall(r"[\w@^]+", re.sub(r"^mailto:\S+$", "", text, flags=re.MULTILINE))


@every_language
@every_shape
def test_both_parts_say_the_same(compose: Compose, language: str) -> None:
    """Word by word, in the same order."""
    outgoing = compose(language)
    assert said(words(outgoing)) == said(Page(words(outgoing, "html")).text)


@every_language
@every_shape
def test_the_html_is_whole_and_leaves_colours_to_the_mail_program(compose: Compose, language: str) -> None:
    """Small, well-formed, in its language, nothing to load, nothing that dark mode would break."""
    html = words(compose(language), "html")
    page = Page(html)
    assert page.open == []
    assert page.attributes("html") == [{"lang": language, "dir": "auto"}]
    metas = {one.get("name"): one.get("content") for one in page.attributes("meta")}
    assert metas["color-scheme"] == metas["supported-color-schemes"] == "light dark"
    assert {tag for tag, _ in page.elements}.isdisjoint({"img", "style", "script", "link", "font", "h1"})
    styles = " ".join(one.get("style") or "" for _, one in page.elements)
    assert not re.search(r"color|background|url\(", styles)
    assert not re.search(r"https?:(?!//sms.acme.example/approve/)", html)
    assert all(one.get("role") == "presentation" for one in page.attributes("table"))
    frame = re.sub(r'(href|aria-label)="[^"]*"', "", html)
    assert len(frame.encode()) - len(page.text.encode()) < 3000


@every_language
@every_shape
def test_the_text_is_fit_to_print(compose: Compose, language: str) -> None:
    """No place left empty, no second blank line, no blank at a line's end but that of the signature line."""
    outgoing = compose(language)
    text, subject = words(outgoing), read(outgoing)["Subject"]
    assert not re.search(r"None|\{|\}|\n\n\n|\?\?", text)
    assert text == text.strip() + "\n"
    assert [line for line in text.split("\n") if line != line.rstrip()] in ([], ["-- "])
    assert subject == " ".join(subject.split())
    assert "SMS" in subject or subject.startswith("Re: ")


@pytest.mark.parametrize("language", sorted(set(LANGUAGES) - {"en"}))
@every_shape
def test_nothing_is_left_in_english(compose: Compose, language: str) -> None:
    """No line of ours is the English one, and no English word is forgotten in it."""
    theirs = words(compose(language)).split("\n")
    ours = [
        line for line in theirs if line[:1].isalpha() and not line.startswith(("Oui", "mailto:", "https:"))
    ]
    english = set(words(compose("en")).split("\n"))
    assert ours
    assert english.isdisjoint(ours)
    assert not re.search(r"\b(the|your|not|and|reply|charged|waiting|at \d)\b", "\n".join(ours))


@every_language
@pytest.mark.parametrize(
    "compose",
    [
        lambda language: reply(language, text=HEBREW),
        lambda language: undelivered(language, text=HEBREW),
        lambda language: held(language, text=HEBREW),
        lambda language: refused(language, corrected="", text=HEBREW),
    ],
    ids=["reply", "undelivered", "held", "refused"],
)
def test_text_of_people_has_its_own_direction_and_no_language_of_ours(
    compose: Compose, language: str
) -> None:
    """A screen reader must not read Hebrew with a German voice."""
    html = words(compose(language), "html")
    around = re.search(r"<div ([^>]*)>\s*שלום, Marie!<br>\nÀ demain\s*</div>", html)
    assert around is not None
    assert around[1].startswith('dir="auto" lang="" ')


@every_language
def test_the_caret_is_also_told_in_words(language: str) -> None:
    """Who hears the mail learns the line, what stands there, and what is wrong with it."""
    outgoing = refused(language, problems=(UNKNOWN_FIELD, FIELD_LINE))
    page = Page(words(outgoing, "html"))
    first, second, corrected = page.attributes("pre")
    for faults, told in ((first, (" 2", "Tel: 06 39 98 12 34")), (second, (" 5", "Marie"))):
        label = faults["aria-label"] or ""
        assert faults["role"] == "img"
        assert label.strip() == label
        assert all(one in label for one in told)
    assert page.text.count("^") == 8
    assert (corrected.get("lang"), corrected.get("dir")) == ("", "auto")
    assert "aria-label" not in corrected


@every_language
def test_an_sms_is_the_first_that_is_seen(language: str) -> None:
    """In the inbox's preview and in the mail, in both parts."""
    outgoing = reply(language, text="Oui")
    assert words(outgoing).startswith("Oui\n")
    assert Page(words(outgoing, "html")).text.split()[0] == "Oui"


@every_language
def test_the_button_is_the_link_of_the_text(language: str) -> None:
    """Both open the same mail."""
    outgoing = refused(language, corrected=CORRECTED)
    link = re.search(r"^mailto:\S+$", words(outgoing), re.MULTILINE)
    assert link is not None
    assert link[0] in [one["href"] for one in Page(words(outgoing, "html")).attributes("a")]


FACTS = {"value", "domain", "mailbox"}
TOLD = [code for code, reason in REASONS.items() if reason.tell == "sender"]


@every_language
@pytest.mark.parametrize("code", TOLD)
def test_every_reason_makes_a_mail(code: str, language: str) -> None:
    """Of its kind, with the facts that its SMTP reply has, and with what it costs."""
    charged, name = REASONS[code].charged, code.partition(".")[0]
    facts = dict.fromkeys(FACTS | set(re.findall(r"\{(\w+)\}", REASONS[code].smtp)), "7")
    problem = Problem(reason=code, value="7", facts=facts)
    compose: dict[str, Callable[[], Outgoing]] = {
        "held": lambda: held(language, reason=code),
        "carrier": lambda: undelivered(language, reason=code, charged=charged),
        "approval": lambda: undelivered(language, reason=code, charged=charged),
    }
    outgoing = compose.get(name, lambda: refused(language, problems=(problem,)))()
    text = words(outgoing)
    assert read(outgoing)["X-Mail2SMS-Reason"] == code
    assert text.rstrip().endswith(code)
    assert not re.search(r"[\[\]{}]", text.partition(code)[0])
    assert charged in {"held": ("later",), "carrier": ("no", "maybe", "yes")}.get(name, ("no",))
