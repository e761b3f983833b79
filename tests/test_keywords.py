"""Which whole messages are STOP, START or HELP, in every language that is known; and which sentences are not."""

from __future__ import annotations

import pytest

from mail2sms import segments
from mail2sms.config import derived
from mail2sms.keywords import Word, read
from mail2sms.render import own_folder
from mail2sms.wording import LANGUAGES

KEYWORDS = derived.words()


# fmt: off
@pytest.mark.parametrize(("text", "region"), [
    ("STOP", "FR"), ("stop", "FR"), (" Stop. ", "US"), ("STOP!!!", "GB"), ("“Stop”", "DE"), ("Stop 🙏🏽", "IT"),
    ("Ｓｔｏｐ", "JP"), ("st\u00adop", "FR"), ("StopAll", "US"), ("stop all", "US"), ("STOP  ALL", "US"),
    ("STOP\n", ""),
    ("Stop texting me", "US"), ("stop sms", "FR"), ("STOP PUB", "FR"), ("STOP 36111", "FR"),
    ("Stopp bitte", "DE"),
    ("unsubscribe", "US"), ("UNSUB", "SG"), ("Cancel", "US"), ("END", "US"), ("quit", "US"), ("revoke", "US"),
    ("opt out", "US"), ("opt-out", "US"), ("OptOut", "US"), ("remove", "US"),
    ("Arrêt", "FR"), ("ARRET", "CA"), ("arrêter", "BE"), ("Désabonner", "CH"), ("désinscription", "FR"),
    ("Stopp", "DE"), ("Abmelden", "AT"), ("abbestellen", "CH"), ("Ende", "DE"), ("keine SMS mehr", "DE"),
    ("Basta", "IT"), ("annulla", "IT"), ("cancellami", "IT"), ("Disiscrivi", "CH"),
    ("afmelden", "NL"), ("uitschrijven", "BE"), ("baja", "ES"), ("NO MÁS", "MX"), ("salir", "CO"),
    ("cancelar", "CO"),
    ("sair", "BR"), ("parar", "PT"), ("rezygnuję", "PL"), ("wypisz", "PL"), ("odhlásit", "CZ"), ("konec", "SK"),
    ("afmeld", "DK"), ("avmeld", "NO"), ("slutt", "NO"), ("avregistrera", "SE"), ("lopeta", "FI"),
    ("lõpeta", "EE"),
    ("atsisakyti", "LT"), ("beigt", "LV"), ("leiratkozás", "HU"), ("dezabonare", "RO"), ("διαγραφή", "GR"),
    ("iptal", "TR"), ("ret", "TR"), ("退订", "CN"), ("td", "CN"), ("T", "CN"), ("取消", "HK"), ("הסר", "IL"),
])
def test_these_opt_out(text: str, region: str) -> None:
    """Whatever their capitals, accents, punctuation and emoji."""
    found = KEYWORDS.find(text, region)
    assert found is not None
    assert found.word is Word.STOP


@pytest.mark.parametrize(("text", "region"), [
    ("", "FR"), ("!", "FR"), ("Cancel my booking", "US"), ("Please cancel", "US"), ("The end", "GB"),
    ("End of the day", "GB"),
    ("I quit smoking", "US"), ("Stop by tomorrow", "US"), ("Stop at 14:30?", "GB"), ("don't stop", "GB"),
    ("No, stop", "GB"),
    ("non-stop", "FR"), ("le bus s'arrête", "FR"), ("Arrêt maladie", "FR"), ("On arrête tout", "FR"),
    ("STOP ou encore ?", "FR"),
    ("Basta così", "IT"), ("Ende gut", "DE"), ("Am Ende", "DE"), ("Bin am Abmelden", "DE"), ("ret", "DK"),
    ("Ret", "FR"),
    ("Peru", "US"), ("alto", "IT"), ("baja", "FR"), ("Ende", "IT"), ("T", "FR"), ("konec", "DE"),
    ("NIE", "PL"), ("NO", "US"),
    ("no", "IT"), ("non", "FR"), ("nein", "DE"), ("wrong number", "US"), ("STOP " * 9, "US"),
    ("stop all the texts now", "US"),
    ("YES", "US"), ("yes", "GB"), ("Oui", "FR"), ("ja", "DE"), ("Ja!", "NL"), ("sì", "IT"), ("Si", "ES"),
    ("sim", "BR"),
    ("tak", "PL"), ("ano", "CZ"), ("kyllä", "FI"), ("Start at 9?", "US"), ("info please", "US"),
    ("help me", "GB"),
])
def test_these_are_words_of_a_conversation(text: str, region: str) -> None:
    """Sentences, words of other languages, and every yes and no."""
    assert KEYWORDS.find(text, region) is None


@pytest.mark.parametrize(("text", "region", "word"), [
    ("START", "FR", Word.START), ("unstop", "US", Word.START), ("Début", "FR", Word.START),
    ("anmelden", "DE", Word.START),
    ("inizia", "IT", Word.START), ("alta", "ES", Word.START), ("alta", "IT", None),
    ("aloita", "FI", Word.START),
    ("HELP", "US", Word.HELP), ("info", "CA", Word.HELP), ("Aide", "CA", Word.HELP),
    ("Hilfe!", "DE", Word.HELP),
    ("aiuto", "IT", Word.HELP), ("ayuda", "MX", Word.HELP), ("Hjælp", "DK", Word.HELP),
    ("contact", "FR", Word.HELP),
    ("contact", "US", None),
])
def test_start_and_help(text: str, region: str, word: Word | None) -> None:
    """As whole messages too."""
    found = KEYWORDS.find(text, region)
    assert (found.word if found else None) is word


@pytest.mark.parametrize(("text", "region", "language"), [
    ("STOP", "FR", "fr"), ("STOP", "AT", "de"), ("STOP", "IT", "it"), ("STOP", "CA", "en"),
    ("ARRET", "CA", "fr"),
    ("AIDE", "CA", "fr"), ("STOP", "JP", "en"), ("disiscrivi", "CH", "it"), ("nosms", "FR", "fr"),
])
def test_the_language_of_the_answer(text: str, region: str, language: str) -> None:
    """The country's, unless the word itself tells."""
    keywords = KEYWORDS.with_stop(["no-SMS", "nosms"])
    keyword = keywords.find(text, region)
    assert keyword is not None
    assert keywords.language(keyword, region) == language
# fmt: on


def test_an_operators_words_are_added() -> None:
    """They are understood from any phone, and change nothing of the others."""
    keywords = KEYWORDS.with_stop(["Laßt mich!"])
    assert [keywords.find(text, "FR") is not None for text in ("lasst mich", "stop", "oui")] == [
        True,
        True,
        False,
    ]


@pytest.mark.parametrize("language", LANGUAGES)
def test_answers_fit_one_sms(language: str) -> None:
    """In GSM-7, with a sender's name of the greatest length: an answer in Unicode would cost twice."""
    lines = (own_folder() / "sms" / f"{language}.txt").read_text(encoding="utf-8").splitlines()
    answers = {word: text.strip() for word, _, text in (line.partition(":") for line in lines)}
    assert answers.keys() == set(Word)
    for word, text in answers.items():
        filled = text.replace("{house}", "ACME Austria")
        assert (segments.not_gsm(filled), segments.count(filled)) == ((), 1)
        opposite = {"stop": "START", "start": "STOP", "help": "STOP"}[word]
        assert KEYWORDS.find(opposite, "") is not None
        assert opposite in text


def test_a_line_that_is_none_is_told() -> None:
    """The file is data: a slip in it must not pass."""
    with pytest.raises(ValueError, match="no colon"):
        read(["stop en STOP"])


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("Please stop texting me, I moved to Spain last year", True),
        ("I said don't text this number again!!", True),
        ("Hello, could you take me off your list? Thank you", True),
        ("Bonjour, arrêtez de m’envoyer des messages svp, ce n'est pas mon rendez-vous", True),
        ("Merci de ne plus recevoir vos pubs : désabonnez-moi", True),
        ("Bitte löschen Sie meine Nummer aus Ihrem System", True),
        ("Ich möchte keine SMS von Ihnen bekommen", True),
        ("Buongiorno, non scrivetemi più per favore", True),
        ("No quiero recibir más mensajes suyos, gracias", True),
        ("Can you stop by tomorrow at nine? I have no more questions", False),
        ("Don't worry, text me when you are there", False),
        ("Je ne peux plus venir mardi, désolée", False),
        ("Le bus s'arrête devant chez vous ?", False),
        ("Ich möchte keine Umstände machen", False),
        ("Basta così, grazie mille", False),
        ("xstop texting", False),
        ("", False),
    ],
)
def test_what_a_person_should_read_as_a_wish(text: str, is_one: bool) -> None:
    """Sentences: marked for whoever reads the reply, and never acted upon."""
    assert KEYWORDS.may_mean_stop(text) == is_one
    assert KEYWORDS.find(text, "US") is None
