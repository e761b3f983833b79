"""Templates, languages, reasons and dates."""

from __future__ import annotations

import re
from pathlib import Path

import jinja2
import pytest

from mail2sms.reasons import REASONS
from mail2sms.render import Render, nearest, when

TEMPLATES = Path(__file__).parent.parent / "templates" / "email"
LANGUAGES = ["en", "fr"]
RENDER = Render()

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
    assert bare[0].isupper() or bare[0] in "“«?"
    known = ALWAYS | set(re.findall(r"\{(\w+)\}", REASONS[code].smtp))
    facts = dict.fromkeys(known, "X")
    assert "?" not in RENDER.reason_text(code, language, facts)


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
    """`hint` says what was probably meant; for a missing field that is the line to add."""
    text = RENDER.reason_text("template.missing_field", "en", {"value": "To", "hint": "To: 06 39 98 12 34"})
    assert text == "The field “To” is missing. Add it at the top: To: 06 39 98 12 34"


def test_an_unknown_reason_is_shown_by_its_code() -> None:
    """Better than nothing: support can search for it."""
    assert RENDER.reason_text("carrier.new", "fr", {}) == "carrier.new"


@pytest.mark.parametrize(
    ("language", "tags"),
    [
        ("fr-CH", ("fr-ch", "fr", "en")),
        ("fr_CH", ("fr-ch", "fr", "en")),
        ("FR", ("fr", "en")),
        ("en-GB", ("en-gb", "en")),
        ("de", ("de", "en")),
        ("", ("en",)),
        ("../../etc", ("en",)),
        ("fr/../en", ("en",)),
        ("é", ("en",)),
    ],
)
def test_the_nearest_language(language: str, tags: tuple[str, ...]) -> None:
    """The most particular first, English last; nothing that could be a path."""
    assert nearest(language) == tags


@pytest.mark.parametrize(
    ("language", "subject"),
    [("fr-CH", "SMS non envoyé"), ("fr", "SMS non envoyé"), ("en", "SMS not sent"), ("de", "SMS not sent")],
)
def test_an_email_is_in_the_nearest_language(language: str, subject: str) -> None:
    """fr-CH, fr, en."""
    assert RENDER.in_language("refused.subject", language, subject="") == subject


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("mail", ["reply", "refused", "undelivered"])
def test_every_mail_has_its_three_parts(mail: str, language: str) -> None:
    """Subject, text, HTML."""
    for part in ("subject", "txt", "html"):
        assert (TEMPLATES / language / f"{mail}.{part}").is_file()


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


@pytest.mark.parametrize(
    ("at", "zone", "fr", "en"),
    [
        (1_778_571_660_000, "Europe/Paris", "mardi 12 mai à 9 h 41", "Tuesday 12 May at 9:41 am"),
        (1_778_571_660_000, "America/New_York", "mardi 12 mai à 3 h 41", "Tuesday 12 May at 3:41 am"),
        (1_785_535_500_000, "Europe/Paris", "samedi 1er août à 0 h 05", "Saturday 1 August at 12:05 am"),
        (1_785_578_400_000, "Europe/Paris", "samedi 1er août à 12 h 00", "Saturday 1 August at 12:00 pm"),
        (1_774_745_999_000, "Europe/Paris", "dimanche 29 mars à 1 h 59", "Sunday 29 March at 1:59 am"),
        (1_774_746_000_000, "Europe/Paris", "dimanche 29 mars à 3 h 00", "Sunday 29 March at 3:00 am"),
        (0, "UTC", "jeudi 1er janvier à 0 h 00", "Thursday 1 January at 12:00 am"),
    ],
)  # fmt: skip
def test_a_moment_as_people_write_it(at: int, zone: str, fr: str, en: str) -> None:
    """In the reader's zone, with its summer time."""
    assert when(at, zone, "fr-CH") == fr
    assert when(at, zone, "en") == en
    assert when(at, zone, "de") == en
