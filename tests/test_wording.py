"""Languages, moments and amounts."""

from __future__ import annotations

import pytest

from mail2sms.money import CREDITS, Money, read
from mail2sms.wording import LANGUAGES, amount, money, nearest, when


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


MOMENTS = [
    (1_778_571_660_000, "Europe/Paris",
     "mardi 12 mai à 9 h 41", "Tuesday 12 May at 9:41 am",
     "martedì 12 maggio alle 9.41", "Dienstag, 12. Mai, 9:41 Uhr"),
    (1_778_589_000_000, "Europe/Paris",
     "mardi 12 mai à 14 h 30", "Tuesday 12 May at 2:30 pm",
     "martedì 12 maggio alle 14.30", "Dienstag, 12. Mai, 14:30 Uhr"),
    (1_778_571_660_000, "America/New_York",
     "mardi 12 mai à 3 h 41", "Tuesday 12 May at 3:41 am",
     "martedì 12 maggio alle 3.41", "Dienstag, 12. Mai, 3:41 Uhr"),
    (1_785_535_500_000, "Europe/Paris",
     "samedi 1er août à 0 h 05", "Saturday 1 August at 12:05 am",
     "sabato 1º agosto alle 0.05", "Samstag, 1. August, 0:05 Uhr"),
    (1_785_578_400_000, "Europe/Paris",
     "samedi 1er août à 12 h 00", "Saturday 1 August at 12:00 pm",
     "sabato 1º agosto alle 12.00", "Samstag, 1. August, 12:00 Uhr"),
    (1_774_745_999_000, "Europe/Paris",
     "dimanche 29 mars à 1 h 59", "Sunday 29 March at 1:59 am",
     "domenica 29 marzo alle 1.59", "Sonntag, 29. März, 1:59 Uhr"),
    (1_774_746_000_000, "Europe/Paris",
     "dimanche 29 mars à 3 h 00", "Sunday 29 March at 3:00 am",
     "domenica 29 marzo alle 3.00", "Sonntag, 29. März, 3:00 Uhr"),
    (0, "UTC",
     "jeudi 1er janvier à 0 h 00 (UTC)", "Thursday 1 January at 12:00 am (UTC)",
     "giovedì 1º gennaio alle 0.00 (UTC)", "Donnerstag, 1. Januar, 0:00 Uhr (UTC)"),
    (0, "Etc/GMT-2",
     "jeudi 1er janvier à 2 h 00 (+02)", "Thursday 1 January at 2:00 am (+02)",
     "giovedì 1º gennaio alle 2.00 (+02)", "Donnerstag, 1. Januar, 2:00 Uhr (+02)"),
]  # fmt: skip


@pytest.mark.parametrize(("at", "zone", "fr", "en", "it", "de"), MOMENTS)
def test_a_moment_as_people_write_it(at: int, zone: str, fr: str, en: str, it: str, de: str) -> None:
    """In the reader's zone, with its summer time, or in one that is named; English where we have no other."""
    assert [when(at, zone, language) for language in ("fr-CH", "en-GB", "it", "de-AT", "es")] == [
        *(fr, en, it, de, en)
    ]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_day_and_month_has_its_own_name(language: str) -> None:
    """Seven and twelve of them."""
    day_ms = 86_400_000
    texts = [when(day * day_ms, "UTC", language) for day in range(365)]
    assert len({text.replace(",", "").split()[0] for text in texts}) == 7
    assert len({text.replace(",", "").split()[2] for text in texts}) == 12


YEAR_ENDS = 1_798_758_000_000  # 2027 begins in Paris


@pytest.mark.parametrize(
    ("at", "language", "text"),
    [
        (YEAR_ENDS - 60_000, "en", "Thursday 31 December at 11:59 pm"),
        (YEAR_ENDS, "en", "Friday 1 January 2027 at 12:00 am"),
        (YEAR_ENDS, "fr", "vendredi 1er janvier 2027 à 0 h 00"),
        (YEAR_ENDS, "it", "venerdì 1º gennaio 2027 alle 0.00"),
        (YEAR_ENDS, "de", "Freitag, 1. Januar 2027, 0:00 Uhr"),
    ],
)
def test_another_year_is_named(at: int, language: str, text: str) -> None:
    """In the reader's zone, too."""
    assert when(at, "Europe/Paris", language, since=YEAR_ENDS - 3_600_000) == text


@pytest.mark.parametrize(
    ("count", "fr", "en", "it"),
    [
        (0, "0", "0", "0"),
        (999, "999", "999", "999"),
        (1000, "1\u202f000", "1,000", "1.000"),
        (10_485_760, "10\u202f485\u202f760", "10,485,760", "10.485.760"),
    ],
)
def test_an_amount_as_people_write_it(count: int, fr: str, en: str, it: str) -> None:
    """Thousands are set apart."""
    assert [amount(count, language) for language in ("fr", "en", "it", "de", "es")] == [fr, en, it, it, en]


@pytest.mark.parametrize(
    ("written", "fr", "en", "it"),
    [
        ("0.045 EUR", "0,045\u00a0EUR", "0.045\u00a0EUR", "0,045\u00a0EUR"),
        ("0 EUR", "0\u00a0EUR", "0\u00a0EUR", "0\u00a0EUR"),
        ("13860.1 CHF", "13\u202f860,10\u00a0CHF", "13,860.10\u00a0CHF", "13.860,10\u00a0CHF"),
    ],
)
def test_money_as_people_write_it(written: str, fr: str, en: str, it: str) -> None:
    """Thousands are set apart, decimals have the language's sign, and the currency stays on the line."""
    assert [money(read(written), language) for language in ("fr-CH", "en", "it", "de", "es")] == [
        *(fr, en, it, it, en)
    ]


def test_credits_and_debts_as_people_write_them() -> None:
    """A provider's own unit has a word of each language; what is owed has a minus."""
    shown = [money(Money(-1_500_000, CREDITS), language) for language in ("en", "fr", "it", "de")]
    assert shown == [
        "\u22121.50\u00a0credits",
        "\u22121,50\u00a0crédits",
        "\u22121,50\u00a0crediti",
        "\u22121,50\u00a0Guthabenpunkte",
    ]
