"""Mails that nobody would write, read by the shipped templates: only Refusal may come out, soon, and it must teach."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mail2sms.errors import Problem, Refusal
from mail2sms.intake.template import Context, Order, Template, compile_template
from mail2sms.model import LeftOut, Msisdn
from tests.cpu import least_s

NOW_MS = 1_778_580_000_000  # Tuesday 2026-05-12 12:00 in Paris
LARGEST = 65_536  # characters; intake gives no more
MOST_S = 0.05  # of the event loop's CPU for one mail


def keep(text: str) -> tuple[str, tuple[LeftOut, ...]]:
    """Strip nothing."""
    return text, ()


CONTEXT = Context(
    country="FR",
    zone="Europe/Paris",
    now_ms=NOW_MS,
    teams={"oncall": (Msisdn("+33639980001"), Msisdn("+33639980002")), "empty": ()},
    strip=keep,
    sender_ids=("ACME", "36666"),
)


def shipped(name: str) -> Template:
    """Return a template of templates/intake."""
    path = Path(__file__).parent.parent / "templates" / "intake" / f"{name}.txt"
    return compile_template(path.read_text(encoding="utf-8"), name)


def reread(template: Template, corrected: str, context: Context = CONTEXT) -> Order:
    """Read a corrected mail; by a subject template its first line is the header."""
    if template.kind != "subject":
        return template.read(corrected, context)
    header, _, body = corrected.partition("\n")
    return template.read(body, context, header.removeprefix("Subject: "))


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """What a fuzzing run did."""

    runs: int
    refusals: int
    problems: int
    max_cpu_s: float


_LABELS = [
    *["To", "À", "An", "A", "TO ", "a\u0300", "From", "De", "At", "Le", "Expires", "Gültig", "Ref", "Réf"],
    *[
        "Tel",
        "Form",
        "Expire ",
        "Heure",
        "Too",
        "Subject",
        "Priority",
        "Gueltig",
        "\u202aTo",
        "",
        " ",
        "x y z",
    ],
]
_COLONS = [":", ": ", " : ", "\u00a0:\u00a0", "：", "=", " ", "", "::"]
_VALUES = [
    *[
        "06 39 98 12 34",
        "+33639981235",
        "0033 6 39 98 12 36",
        "06 39 98 1",
        "@oncall",
        "@oncal",
        "@empty",
        "@",
    ],
    *[
        "Marie <06 39 98 12 34>",
        "06 39 98 12 34, 06 39",
        "98 12 35",
        ",;,",
        "ACME",
        "Müller & Söhne",
        "36666",
    ],
    *[
        "14:30",
        "14h30",
        "25:61",
        "2:30 pm",
        "2026-05-13",
        "13/05/2026 14:30",
        "05/23/26 9:00",
        "9999-12-31 23:59",
    ],
    *["2027-05-12T14:30+02:00", "2026-10-25 02:30", "0000-00-00 00:00", "2026-05-12T10:00-23:59", "14:30Z"],
    *["2h", "1 Tag", "30", "1h30", "999999w", "0m", "2 heures 30 minuti", "A-1042", "x" * 65, "\x00\x1b[2J"],
    *["{text}", "{{7*7}}", "%s%n", "\u202e\u2066", "١٢٣٤٥٦٧٨٩", "６１２", "🙂" * 20, "ﷺ" * 30, "\u0301" * 40],
]
_LINES = [
    "",
    " ",
    "\u200b",
    "##",
    " ## ",
    "-- ",
    "--",
    "> To: x",
    "Hello",
    "Bonjour: 14:30",
    "  06 39 98 12 35,",
]
_ENDS = ["\n", "\n", "\n", "\r\n", "\r", "\n\n", "\u2028", "\x0b", "\x85"]


def _hostile(chance: random.Random) -> str:
    """Return a mail of the largest size that has one shape throughout."""
    unit = chance.choice(
        [
            *[
                "To: 06 39 98 12 34\n",
                "Tel: 06 39 98 1\n",
                "a:\n",
                "a\n",
                "\n",
                " ",
                ":",
                "To",
                "@oncal,",
                ",",
                "##",
            ],
            *[
                "06 39 98 12 34,",
                "To 06 39 98 12 34\n",
                "Le 1\n",
                "At: 1\n",
                "\u0301",
                "(",
                "0 ",
                "06 39\n",
                "ﷺ",
            ],
            *[
                "x: 12/05/2026 14\n",
                "é: @o\n",
                "-- \n",
                "> ",
                "To =",
                "1h",
                "9",
                "İ",
                "\u202a\n",
                "Exp: 2h 3m 4\n",
            ],
        ]
    )
    before = chance.choice(["", "To: ", "At: ", "Expires: ", "From: ", "Ref: ", "To: 06 39 98 12 34\n", "To"])
    return (before + unit * (LARGEST // len(unit)))[:LARGEST] + chance.choice(["", "\n\nHello", "\n##"])


def _numbered(chance: random.Random) -> str:
    """Return a mail to very many phones, or to what is none."""
    count = chance.choice([149, 150, 151, 5000])
    step = chance.choice([1, 7])
    between = chance.choice([", ", ",", "\n", ";\n "])
    digits = chance.choice(["063998{:04}", "0{:09}", "@t{}", "+{}"])
    return f"To: {between.join(digits.format(at * step) for at in range(count))}\n\nHello"[:LARGEST]


def _line(chance: random.Random) -> str:
    if chance.random() < 0.2:
        return chance.choice(_LINES)
    return chance.choice(_LABELS) + chance.choice(_COLONS) + chance.choice(_VALUES)


def _mutated(chance: random.Random, mail: str) -> str:
    characters = list(mail)
    for _ in range(chance.randrange(6)):
        at = chance.randrange(len(characters) + 1)
        characters[at : at + chance.randrange(3)] = chr(
            chance.choice(
                [chance.randrange(128), chance.randrange(0x3000), chance.randrange(0xE000, 0x1F700)]
            )
        )
    return "".join(characters)


def mail(chance: random.Random) -> str:
    """Return one mail: mostly lines that nearly are fields."""
    shape = chance.random()
    if shape < 0.02:
        return _hostile(chance)
    if shape < 0.025:
        return _numbered(chance)
    head = "".join(_line(chance) + chance.choice(_ENDS) for _ in range(chance.randrange(9)))
    text = chance.choice(["", "\n", "\nHello\n\nyou\n", "\nHello\n##\nbye", "Hello"])
    return _mutated(chance, head + text) if chance.random() < 0.5 else head + text


def check_place(problem: Problem, source: tuple[str, ...]) -> None:
    """The value at fault stands where the problem says, if the refusal carries that line."""
    if not 0 < problem.line <= len(source) or problem.reason == "template.empty_field":
        return
    found = source[problem.line - 1][problem.column - 1 : problem.column - 1 + problem.width]
    assert found.startswith(problem.value.removesuffix("…")), problem


def check_refusal(template: Template, refusal: Refusal) -> None:
    """What it says is where it says, and the corrected mail is taken."""
    assert 0 < len(refusal.problems) <= 100
    for problem in refusal.problems:
        check_place(problem, refusal.source)
    if refusal.corrected:
        reread(template, refusal.corrected)


def _refusal_of(template: Template, text: str, subject: str) -> Refusal | None:
    try:
        template.read(text, CONTEXT, subject)
    except Refusal as e:
        return e
    return None


def fuzz(count: int, seed: int) -> Figures:
    """Read `count` mails. Fails on anything but Refusal, a wrong place, or a corrected mail that is refused."""
    chance = random.Random(seed)
    templates = [shipped("strict")] * 8 + [shipped("subject"), shipped("simple")]
    refusals, problems, max_cpu_s = 0, 0, 0.0
    for _ in range(count):
        template, text, subject = chance.choice(templates), mail(chance)[:LARGEST], chance.choice(_VALUES)
        read = partial(_refusal_of, template, text, subject)
        max_cpu_s = max(max_cpu_s, least_s(read, MOST_S))
        refusal = read()
        if refusal:
            check_refusal(template, refusal)
            refusals += 1
            problems += len(refusal.problems)
    return Figures(runs=count, refusals=refusals, problems=problems, max_cpu_s=max_cpu_s)
