"""Templates, reasons and their sentences, in every language."""

from __future__ import annotations

import re
from pathlib import Path

import jinja2
import pytest

from mail2sms.reasons import REASONS
from mail2sms.render import Render
from mail2sms.wording import LANGUAGES

TEMPLATES = Path(__file__).parent.parent / "templates" / "email"
RENDER = Render()
MAILS = (
    "reply",
    "refused",
    "held",
    "approval",
    "undelivered",
    "receipt",
    "digest",
    "device",
    "limit",
    "carrier",
)

# Facts that every caller can give; others must be in the reason's own SMTP text, or stand in brackets.
ALWAYS = {"value", "domain", "mailbox"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_reason_has_its_sentences(language: str) -> None:
    """And no sentence is left over from a reason that is gone."""
    lines = (TEMPLATES / language / "reasons.txt").read_text(encoding="utf-8").splitlines()
    codes = [line.partition(":")[0] for line in lines if line and not line.startswith("#")]
    assert sorted(codes) == sorted([*REASONS, "hint"])


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("code", sorted(REASONS))
def test_a_sentence_asks_for_no_fact_that_nobody_has(code: str, language: str) -> None:
    """What only some callers know stands in brackets; without any fact no bracket or blank is left behind."""
    bare = RENDER.reason_text(code, language, {})
    assert "[" not in bare
    assert "{" not in bare
    assert bare == bare.strip()
    assert bare[0].isupper() or bare[0] in "“«„?"
    known = ALWAYS | set(re.findall(r"\{(\w+)\}", REASONS[code].smtp))
    facts = dict.fromkeys(known, "X")
    assert "?" not in RENDER.reason_text(code, language, facts)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_sentence_tells_the_same_facts_in_every_language(language: str) -> None:
    """Nobody learns less for reading German."""

    def facts(tag: str) -> dict[str, set[str]]:
        return {row.code: set(re.findall(r"\{(\w+)\}", row.sentence)) for row in RENDER.reason_rows(tag)}

    assert facts(language) == facts("en")


@pytest.mark.parametrize("language", sorted(set(LANGUAGES) - {"en"}))
def test_no_sentence_is_left_in_english(language: str) -> None:
    """Nor a word of one."""
    english = {row.sentence for row in RENDER.reason_rows("en")}
    for row in RENDER.reason_rows(language):
        assert row.sentence not in english
        assert not re.search(r"\b(the|your|is|not|this|there|it|and)\b", row.sentence), row.code


def first_sentence(text: str) -> str:
    """Return the first sentence as the ASCII of SMTP has it."""
    first = re.split(r"[.;](?:\s|$)", text.translate(str.maketrans("“”’", '""\'')))[0]
    return first[0].lower() + first[1:]


@pytest.mark.parametrize("code", sorted(code for code in REASONS if not code.startswith("system.")))
def test_smtp_and_email_begin_with_the_same_sentence(code: str) -> None:
    """Who is told in their mail program reads what others read in an email. Only a mail server reads `system`."""
    lines = (TEMPLATES / "en" / "reasons.txt").read_text(encoding="utf-8").splitlines()
    email = next(line.partition(": ")[2] for line in lines if line.startswith(f"{code}:"))
    with_all, with_least = re.sub(r"[\[\]]", "", email), re.sub(r"\[[^\]]*\]", "", email)
    smtp = re.sub(r"\[[^\]]*\]", "", REASONS[code].smtp.removeprefix("body line {line}: "))
    assert first_sentence(smtp) in {first_sentence(with_all), first_sentence(with_least)}


def test_every_reason_is_given_by_somebody() -> None:
    """A row that nothing points to would be documentation of what never happens; `held.*` comes with the notice."""
    package = TEMPLATES.parent.parent / "mail2sms"
    source = "".join(
        path.read_text(encoding="utf-8") for path in package.rglob("*.py") if path.name != "reasons.py"
    )
    given = set(re.findall(r'"([a-z_]+(?:\.[a-z_]+)?)"', source))
    assert {code for code in REASONS if not code.startswith("held.")} <= given


def test_the_documentation_has_every_reason() -> None:
    """In the table's order: the whole reply, who is told, whether it costs, and the sentence for people."""
    rows = RENDER.reason_rows()
    assert [row.code for row in rows] == list(REASONS)
    assert all(row.sentence and row.smtp[:3].isdigit() for row in rows)
    assert {row.told for row in rows} == {"nobody", "sender"}
    assert {row.charged for row in rows} == {"no", "maybe", "later"}
    row = next(row for row in rows if row.code == "number.not_mobile")
    assert row.smtp == '550 5.1.3 "{value}" is not a mobile number in {country}, so it cannot get SMS'
    assert row.sentence == "“{value}” is not a mobile number in {country}, so it cannot get SMS."
    german = next(row for row in RENDER.reason_rows("de-AT") if row.code == "text.empty")
    assert german.sentence.startswith("Es gibt keinen Text")


@pytest.mark.parametrize(
    ("language", "text"),
    [("en", "10,485,760 bytes"), ("fr", "10\u202f485\u202f760 octets"), ("de", "10.485.760 Bytes")],
)
def test_amounts_are_written_as_people_write_them(language: str, text: str) -> None:
    """But a value that somebody wrote stays as it is."""
    assert text in RENDER.reason_text("mail.too_large", language, {"limit": "10485760"})
    assert "33639981234" in RENDER.reason_text("number.invalid", language, {"value": "33639981234"})


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        (
            {"value": "06 1", "country": "FR", "digits": "3", "expected": "10"},
            "“06 1” is not a phone number in FR. It has 3 digits; a mobile number there has 10.",
        ),
        ({"value": "06 1", "country": "FR"}, "“06 1” is not a phone number in FR."),
        ({"value": "06 1", "country": "", "digits": "3"}, "“06 1” is not a phone number."),
        ({"value": "O6", "hint": "06"}, "“O6” is not a phone number. Did you mean “06”?"),
        (
            {"value": "{domain} {value.__class__} [x]"},
            "“{domain} {value.__class__} [x]” is not a phone number.",
        ),
    ],
)
def test_facts_are_put_in_and_never_read_as_a_format(facts: dict[str, str], text: str) -> None:
    """A fact may be any text of a stranger."""
    assert RENDER.reason_text("number.invalid", "en", facts) == text


def test_a_sentence_with_its_own_place_for_the_hint_gets_no_second_one() -> None:
    """`hint` says what was probably meant; of two meanings it is one."""
    facts = {"value": "1h30", "hint": "90m", "clock": "01:30"}
    text = RENDER.reason_text("template.unclear_validity", "en", facts)
    assert text == "“1h30” may be a length of time or a time of day. Write 90m or 01:30."


def test_an_unknown_reason_is_shown_by_its_code() -> None:
    """Better than nothing: support can search for it."""
    assert RENDER.reason_text("carrier.new", "fr", {}) == "carrier.new"


@pytest.mark.parametrize(
    ("language", "subject"),
    [
        ("fr-CH", "SMS non envoyé"),
        ("fr", "SMS non envoyé"),
        ("it-CH", "SMS non inviato"),
        ("de_AT", "SMS nicht gesendet"),
        ("en", "SMS not sent"),
        ("es", "SMS not sent"),
    ],
)
def test_an_email_is_in_the_nearest_language(language: str, subject: str) -> None:
    """fr-CH, fr, en."""
    assert (
        RENDER.in_language("refused.subject", language, subject="", is_partly=False, is_sent=False) == subject
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_every_mail(language: str) -> None:
    """Subject, text and HTML of each kind, and the reasons; nothing else."""
    parts = {f"{mail}.{part}" for mail in MAILS for part in ("subject", "txt", "html")}
    assert {path.name for path in (TEMPLATES / language).iterdir()} == parts | {"reasons.txt", "_why.txt"}


def test_every_folder_is_a_language() -> None:
    """One that the configuration does not take would never be read."""
    assert {path.name for path in TEMPLATES.iterdir() if path.is_dir()} == set(LANGUAGES)


def test_the_base_is_small_and_sets_no_colours() -> None:
    """Mail programs turn mails dark by themselves; a colour of ours would come out unreadable."""
    sources = [(TEMPLATES / name).read_text(encoding="utf-8") for name in ("base.html", "_parts.html")]
    assert sum(len(source.encode()) for source in sources) < 3000
    for path in TEMPLATES.rglob("*.html"):
        assert not re.search(
            r"background|[^-]color\s*:|<img|<style|https?:", path.read_text(encoding="utf-8")
        )


def folder_with(tmp_path: Path, **files: str) -> Path:
    """Return an operator's folder."""
    (tmp_path / "email" / "en").mkdir(parents=True)
    for name, text in files.items():
        (tmp_path / "email" / "en" / name.replace("_", ".")).write_text(text, encoding="utf-8")
    return tmp_path


def test_the_operators_file_comes_first(tmp_path: Path) -> None:
    """One file replaced, the others ours."""
    render = Render(folder_with(tmp_path, refused_subject="No SMS: {{ subject }}"))
    assert render.in_language("refused.subject", "en", subject="x") == "No SMS: x"
    assert render.in_language("reply.subject", "en", who="x") == "SMS from x"


def test_the_operators_reasons_may_be_a_few(tmp_path: Path) -> None:
    """Others keep our sentences."""
    render = Render(folder_with(tmp_path, reasons_txt="# ours\n\ntext.empty: Ask Paul: 1234.\n"))
    assert render.reason_text("text.empty", "en", {}) == "Ask Paul: 1234."
    assert render.reason_text("sender.null", "en", {}) == RENDER.reason_text("sender.null", "en", {})


def test_a_missing_value_is_an_error(tmp_path: Path) -> None:
    """Never an empty place in a mail."""
    with pytest.raises(jinja2.UndefinedError):
        RENDER.render("email/en/reply.subject")


def test_values_are_escaped_in_html_and_never_compiled(tmp_path: Path) -> None:
    """In HTML no markup, in text as it is; braces stay braces."""
    hostile = "<b>&{{ 7 * 7 }}{% raise %}"
    render = Render(folder_with(tmp_path, one_html="{{ text }}", one_txt="{{ text }}"))
    assert render.render("email/en/one.txt", text=hostile) == hostile
    assert render.render("email/en/one.html", text=hostile) == "&lt;b&gt;&amp;{{ 7 * 7 }}{% raise %}"
