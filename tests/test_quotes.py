"""What a person wrote stays, what they answered, signed or must append goes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mail2sms.intake.quotes import strip
from tests.cpu import least_s
from tests.fuzz_mails import MAILS


@pytest.mark.parametrize(
    "path", sorted(MAILS.glob("*.expected.json")), ids=lambda path: path.name.partition(".")[0]
)
def test_real_shapes(path: Path) -> None:
    """Of each mail of tests/mails the lines under `written` remain."""
    expected = json.loads(path.read_text(encoding="utf-8"))
    stripped = strip("\n".join(expected["text"]))
    assert stripped.text.split("\n") == expected["written"]
    assert [part.kind for part in stripped.left_out] == expected["left_out"]


@pytest.mark.parametrize(
    "head",
    [
        "On Tue, 12 May 2026 at 09:41, Marie Dubois <marie@acme.example> wrote:",
        "On Tue, May 12, 2026, 9:41 AM Marie Dubois <\nmarie@acme.example> wrote:",
        "On 12 May 2026,\nat 09:41,\nMarie Dubois <marie@acme.example> wrote:",
        "On 12/05/26 09:41, Marie Dubois wrote:",
        "---- On Tue, 12 May 2026 09:41:00 +0200 marie@acme.example wrote ----",
        "Le mar. 12 mai 2026 à 09:41, Marie Dubois <marie@acme.example> a écrit :",
        "Le mar. 12 mai 2026 à 09:41, Marie Dubois <marie@acme.example>\na écrit\xa0:",
        "Le 12/05/2026 à 09:41, Marie Dubois a écrit :",
        "Am 12.05.2026 um 09:41 schrieb Marie Dubois:",
        'Am 12. Mai 2026 09:41:07 MESZ schrieb "Marie Dubois" <marie@acme.example>:',
        "Il giorno mar 12 mag 2026 alle ore 09:41 Marie Dubois\n<marie@acme.example> ha scritto:",
        "In data 12 maggio 2026 09:41:31 Marie Dubois <marie@acme.example> ha scritto:",
        "El mar, 12 may 2026 a las 9:41, Marie Dubois (<marie@acme.example>) escribió:",
        "Em ter., 12 de mai. de 2026 às 09:41, Marie Dubois <\nmarie@acme.example> escreveu:",
        "Op di 12 mei 2026 om 09:41 schreef Marie Dubois <marie@acme.example>:",
        "wt., 12 maj 2026 o 09:41 Marie Dubois <marie@acme.example> napisał(a):",
        "W dniu 12.05.2026 o 09:41, Marie Dubois pisze:",
        "Den tis 12 maj 2026 kl 09:41 skrev Marie Dubois <marie@acme.example>:",
        "tir. 12. maj 2026 kl. 09.41 skrev Marie Dubois <marie@acme.example\n>:",
        "ti 12. toukok. 2026 klo 9.41 Marie Dubois (marie@acme.example) kirjoitti:",
        "út 12. 5. 2026 v 9:41 odesílatel Marie Dubois <marie@acme.example> napsal:",
        "вт, 12 мая 2026 г. в 09:41, Marie Dubois <marie@acme.example>:",
        "2026-05-12 9:41 GMT+02:00 Marie Dubois <marie@acme.example>:",
        "Mar 12 May 2026 09:41, +33 6 39 98 12 34 (SMS) <33639981234@sms.acme.example>:",
        "-----Original Message-----",
        "----- Message d'origine -----",
        "-------- Ursprüngliche Nachricht --------",
        "-----Messaggio originale-----",
        "---------- Forwarded message ---------",
        "Begin forwarded message:",
        "From: Marie Dubois <marie@acme.example>\nSent: Tuesday, 12 May 2026 09:41\nTo: Paul\nSubject: RE: x",
        "________________________________\nFrom: Marie\nSent: Tuesday\nTo: Paul\nSubject: RE: x",
        "*From:* Marie <marie@acme.example>\n*Date:* Tuesday\n*To:* Paul",
        "De : Marie <marie@acme.example>\nEnvoyé : mardi 12 mai\nÀ : Paul\nCc : Anne\nObjet : RE: x",
        "De : Marie <marie@acme.example>\nEnvoyé le : mardi 12 mai\nÀ : Paul\nObjet : RE: x",
        "   Von: Marie\n   Gesendet: Dienstag, 12. Mai\n   An: Paul\n   Betreff: AW: x",
        "Da: Marie <marie@acme.example>\nInviato: martedì 12 maggio\nA: Paul\nOggetto: R: x",
        "From: Marie Dubois \n<marie.a.very.long.address@acme.example> \nSent: Tuesday\nTo: Paul\nSubject: x",
        "===\n\nMessage du : 12/05/2026 09:41\nDe : Marie <marie@acme.example>\nA : Paul\nSujet : x",
    ],
)
@pytest.mark.parametrize("quote", ["\n> Old words.\n>\n> More.", "\n\n> Old words.", "\nOld words.\n\nMore."])
def test_the_mail_answered_goes(head: str, quote: str) -> None:
    """In every language and form: the head, and what follows it, quoted or not."""
    stripped = strip(f"See you at 3.\n\n{head}{quote}\n")
    assert stripped.text == "See you at 3."
    assert {part.kind for part in stripped.left_out} == {"quote"}
    assert stripped.left_out[0].sample == head.split("\n", maxsplit=1)[0].strip()[:80]


@pytest.mark.parametrize(
    "text",
    [
        "Bonjour, votre rendez-vous est mardi à 14h30.",
        "Ritiro merce\nA: Milano\nDa: Giulia\nGrazie",
        "De: Paris\nÀ: Lyon\nDate: 12 mai",
        "From: our shop\nTo: you\nWith love",
        "On Monday we wrote:\nall is well.",
        "On the other hand, it is late.",
        "On se voit à 14h30 :\nau café",
        "Le code est :\n4711",
        "Le 12/05/2026 à 09:41 vous avez écrit :-)",
        "See https://acme.example/on-12-may-2026-she-wrote:",
        "Les prix :\n----\n1. dix euros\n----\n====\nMerci",
        "-- first point\n-- second point",
        "-Marie",
        "correct -- signature",
        "Sent from my desk, which is easier than the phone.",
        "Envoyé de Paris hier soir, vous l'aurez demain.\nMerci",
        "Sent from my shop today\nIt arrives tomorrow",
        "The mail is confidential.\n\nTell no recipient of this message.",
        "Attention: travaux",
        "10 > 5",
        "a\n\n\n\nb",
        "  indented\n\ttabbed",
        "",
    ],
)
def test_text_stays(text: str) -> None:
    """When in doubt a line is kept: sentences that only look like a head, labels of a parcel, rulers, lists."""
    stripped = strip(text)
    assert stripped.text == text
    assert stripped.left_out == ()


@pytest.mark.parametrize(
    ("text", "written", "kinds"),
    [
        ("Yes.\n-- \nMarie\nACME", "Yes.", ["signature"]),
        ("Yes.\n--\nMarie", "Yes.", ["signature"]),
        ("Yes.\n\n__\nlist\nhttps://acme.example", "Yes.", ["signature"]),
        ("Yes.\n_______________________________________________\nlist", "Yes.", ["signature"]),
        ("Yes.\n\nSent from my iPhone", "Yes.", ["signature"]),
        ("Yes.\n\nSent from my iPhone\n\n> Old", "Yes.", ["signature", "quote"]),
        (
            "Oui.\n\nEnvoyé de mon Galaxy\n\nLe 12/05/2026 à 09:41, M. a écrit :\nOld",
            "Oui.",
            ["signature", "quote"],
        ),
        ("Ja.\n\nVon meinem iPhone gesendet", "Ja.", ["signature"]),
        ("Sì.\n\nInviato da iPhone", "Sì.", ["signature"]),
        ("Yes.\n\nGet Outlook for iOS<https://aka.ms/o0ukef>\n\nOld words", "Yes.", ["signature"]),
        ("Yes.\n\nSent from my Fairphone 5\n\nOld words without any head", "Yes.", ["signature"]),
        ("Yes.\n-- \nMarie\n\n> Old", "Yes.", ["signature", "quote"]),
        ("> Old?\n\nYes.", "Yes.", ["quote"]),
        ("On 12/05/26 09:41, Marie wrote:\n> Old?\n\nYes.\n-- \nPaul", "Yes.", ["quote", "signature"]),
        ("> One?\n\nYes.\n\n> Two?\n\nNo.", "Yes.\n\nNo.", ["quote"]),
        ("> One?\nYes.\n> Two?\nNo.", "Yes.\nNo.", ["quote"]),
        # an answer right below a long quoted line is no wrapped end of it
        ("> " + "Could you perhaps come to the workshop tomorrow " * 2 + "?\nyes", "yes", ["quote"]),
        (
            "Yes.\n\n> "
            + "a quoted line that some mail program has cut in two " * 2
            + "\nrest of it\n> more",
            "Yes.",
            ["quote"],
        ),
        (">> deep\n>no blank\n > indented", "", ["quote"]),
        # below our own reply mail, in a program that quotes nothing
        (
            "On 12/05/26 09:41, Client (SMS) wrote:\nOK\n-- \nSMS from +33 6\nReply to it.\n\nThanks!",
            "Thanks!",
            ["quote"],
        ),
        ("Yes.\n-- \nSMS de +33 6 39 98 12 34\nRépondez", "Yes.", ["quote"]),
        (
            "Yes.\n\nThis message is confidential and meant for its intended recipient only; if you are not the one, "
            "please delete it and tell the sender.\n\nACME Ltd, London",
            "Yes.",
            ["disclaimer"],
        ),
        ("Oui.\n\nPensez à l'environnement avant d'imprimer ce message", "Oui.", ["disclaimer"]),
        ("RDV 14h30\nLe 12/05/2026 à 09:41, Marie <m@acme.example> a écrit :\n> Old", "RDV 14h30", ["quote"]),
        ("On se voit à 14h\nLe 12/05/2026 à 09:41, Marie a écrit :\n> Old", "On se voit à 14h", ["quote"]),
    ],
)
def test_what_is_left_out(text: str, written: str, kinds: list[str]) -> None:
    """Signatures, quotes above, below and between, disclaimers: each named once, in the mail's order."""
    stripped = strip(text)
    assert stripped.text == written
    assert [part.kind for part in stripped.left_out] == kinds


def test_what_was_left_out_can_be_told() -> None:
    """The lines that said something are counted, and the first is shown."""
    (signature,) = strip("Yes.\n-- \n\nMarie Dubois\n\nACME").left_out
    assert (signature.lines, signature.sample) == (3, "--")


_SIZE = 100_000
_UNITS = [
    *(
        "\n",
        "On 1 ",
        "On 12:30:\n",
        "On 12:30 a@b wrote\n",
        "On 12:30 a@b wrot e:\n",
        "Le 1/1/26 x@y a écrit\n",
        "1 @:\n",
    ),
    *(
        ">",
        ">\n",
        "> " + "x" * 70 + "\nabc\n",
        "--\nx\n",
        "--\nx\n> y\nz\n",
        "__\n-\n",
        "-----\n",
        "-----\n\n",
        "- " * 450 + "x\n",
    ),
    *(
        "From: x\n",
        "From: x@y\nTo: y\n",
        "To: y\nDate: x\n",
        "*" * 25 + "From:\n",
        "a a a a a a a a a a @ 12:30:\n",
        ":\n",
    ),
    *(
        "Sent from my x\n",
        "Sent from my x\n\n",
        "Sent from my" + " " * 60 + "\n",
        "von meinem " + "x " * 20 + "\n",
    ),
    *(
        " ",
        " " * 900 + "x\n",
        "-" * 900 + "x\n",
        "<@" * 300 + "12:30:\n",
        "<" * 500 + "@> 2026 :\n",
        "1" * 900 + "\n",
    ),
    *(
        "original message" + " " * 300 + "x\n",
        "-" * 300 + "original message" + "-" * 300 + "x\n",
        "1.1." * 200 + ":\n",
    ),
    *(
        "x\n\n" + "confidential message " * 9 + "\n\n",
        "confidential message recipien\n",
        "SMS de +3\n",
        "a\u00a0",
    ),
]


@pytest.mark.parametrize("unit", _UNITS, ids=range(len(_UNITS)))
def test_cost_is_linear(unit: str) -> None:
    """100 kB of anything: what takes other libraries seconds takes the event loop no time."""
    text = (unit * (_SIZE // len(unit) + 1))[:_SIZE]
    assert least_s(lambda: strip(text), 0.5) < 0.5
