"""The strict template: what a mail asks for, and what a refusal teaches."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from mail2sms import numbers
from mail2sms.errors import Refusal
from mail2sms.intake import quotes
from mail2sms.intake.template import Template, compile_template
from mail2sms.model import LeftOut
from mail2sms.reasons import REASONS, smtp_reply
from tests.cpu import least_s
from tests.fuzz_templates import CONTEXT, LARGEST, MOST_S, check_place, fuzz, reread, shipped

STRICT, SUBJECT, SIMPLE = shipped("strict"), shipped("subject"), shipped("simple")
NUMBER = "06 39 98 12 34"
PARIS = "Europe/Paris"
HOUR_MS = 3_600_000


def at(text: str, zone: str = PARIS) -> int:
    """Return epoch milliseconds of a wall time; fold=0."""
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()) * 1000


def refused(text: str, template: Template = STRICT, subject: str = "") -> Refusal:
    with pytest.raises(Refusal) as caught:
        template.read(text, CONTEXT, subject)
    for problem in caught.value.problems:
        assert problem.reason in REASONS
        assert smtp_reply(problem).startswith("550 ")
        check_place(problem, caught.value.source)
    return caught.value


# --- what is understood


def test_all_fields_are_read() -> None:
    """Fields in any order, then the text with its blank lines, then the marker."""
    order = STRICT.read(
        f"\n\nRef: A-1042\nFrom: ACME\nExpires: 2h\nAt: 2026-05-13 14:30\nTo: {NUMBER}, @oncall\n"
        "\n\n\nHello\n\n  you\n\n##\nMarie\nACME Ltd\n",
        CONTEXT,
    )
    assert order.to == ("+33639981234", "+33639980001", "+33639980002")
    assert (order.sender_id, order.reference) == ("ACME", "A-1042")
    assert (order.send_at, order.validity_ms) == (at("2026-05-13 14:30"), 2 * HOUR_MS)
    assert order.text == "Hello\n\n  you"
    assert order.left_out == (LeftOut(kind="after_marker", lines=2, sample="Marie"),)


def test_what_is_not_asked_is_none() -> None:
    """The smallest mail."""
    order = STRICT.read(f"To: {NUMBER}\n\nHello", CONTEXT)
    assert (order.sender_id, order.send_at, order.validity_ms, order.reference) == (None, None, None, None)
    assert (order.text, order.left_out) == ("Hello", ())


@pytest.mark.parametrize(
    "line",
    [
        "To:{}",
        "TO : {}",
        "to\t:\t{}",
        "À : {}",
        "à\u00a0: {}",
        "A\u0300: {}",  # decomposed, as macOS writes it
        "a: {}",
        "An: {}",
        "ＴＯ：{}",
        "  To: {}",
        "\ufeffTo: {}",
        "To: \u202a{}\u202c",  # address books on Windows
        "To:\n{}",
        "To: {},\r",
    ],
)
def test_labels_are_matched_without_case_and_accents(line: str) -> None:
    """And with the blanks and colons that keyboards and mail programs make."""
    assert STRICT.read(line.format(NUMBER) + "\n\nHello", CONTEXT).to == ("+33639981234",)


@pytest.mark.parametrize(
    ("value", "ends"),
    [
        ("06 39 98 12 34, 06.39.98.12.35;+33639981236", "456"),
        ("0033 6 39 98 12 34，06-39-98-12-35", "45"),
        ("06 39 98 12 34, +33 6 39 98 12 34", "4"),  # the same phone
        ("06 39 98 12 34,\n06 39 98 12 35\n06 39 98 12 36", "456"),
        ("06 39 98 12 34\n  06 39 98 12 35", "45"),
        ("06 39 98 12 34, 06 39\n98 12 35, 06 39 98 12 36", "456"),  # broken by a mail program
        ("06 39 98 12 34\n@OnCall", "412"),
    ],
)
def test_recipients_are_separated_by_commas_and_lines(value: str, ends: str) -> None:
    """Each phone once, in the order of the mail."""
    order = STRICT.read(f"To: {value}\nRef: 1\n\nHello", CONTEXT)
    assert [number[-1] for number in order.to] == list(ends)


def test_an_optional_field_without_value_is_not_given() -> None:
    """As in a form that is partly filled in."""
    order = STRICT.read(f"To: {NUMBER}\nFrom:\nAt: \nRef:\n\nHello", CONTEXT)
    assert (order.sender_id, order.send_at, order.reference) == (None, None, None)


def test_validity_counts_from_the_time_of_sending() -> None:
    """A moment given in Expires must come after At."""
    head = f"To: {NUMBER}\nAt: 14:00\n"
    assert STRICT.read(f"{head}Expires: 16:00\n\nHello", CONTEXT).validity_ms == 2 * HOUR_MS
    assert STRICT.read(f"{head}Expires: 1h\n\nHello", CONTEXT).validity_ms == HOUR_MS
    assert refused(f"{head}Expires: 13:00\n\nHello").problems[0].reason == "template.early_expiry"


@pytest.mark.parametrize(
    ("body", "text", "left_out"),
    [
        ("Hello\n##", "Hello", []),
        ("Hello\n \u00a0## \nx", "Hello", [("after_marker", 1)]),
        ("Hello ## you\n###\n##", "Hello ## you\n###", []),
        ("Hello\n-- \nyou\n##\n\nx\n\ny\n", "Hello\n-- \nyou", [("after_marker", 3)]),
        ("Hello\n##\nx\n##\n", "Hello", [("after_marker", 2)]),
        ("Hello\n\nyou\n\n-- \nMarie\nACME", "Hello\n\nyou", [("signature", 2)]),
        ("Hello\n--\nyou", "Hello\n--\nyou", []),
        ("\u200b\n\nHello\n\u00a0\n", "Hello", []),
        ("To: somebody\nFoo: bar", "To: somebody\nFoo: bar", []),
    ],
)
def test_the_text_ends_at_the_marker_else_at_the_signature(
    body: str, text: str, left_out: list[tuple[str, int]]
) -> None:
    """Blank lines inside are the writer's, those around are not."""
    order = STRICT.read(f"To: {NUMBER}\n\n{body}", CONTEXT)
    assert order.text == text
    assert [(each.kind, each.lines) for each in order.left_out] == left_out


def test_without_a_marker_quotes_are_left_out() -> None:
    """With one the text is taken as it is."""
    quote = LeftOut(kind="quote", lines=1)

    def strip(text: str) -> tuple[str, tuple[LeftOut, ...]]:
        return text.partition("\n>")[0], (quote,)

    context = replace(CONTEXT, strip=strip)
    mail = f"To: {NUMBER}\n\nHello\n> you"
    order = STRICT.read(mail, context)
    assert (order.text, order.left_out) == ("Hello", (quote,))
    assert STRICT.read(f"{mail}\n##", context).text == "Hello\n> you"
    assert SIMPLE.read("Hello\n> you\n##", context).text == "Hello"


# --- what a refusal teaches


@pytest.mark.parametrize(
    ("mail", "problems"),
    [
        ("From: ACME\nTel: 06 39 98 12 34\n\nx", [("unknown_field", 2, 1, 3, "To")]),
        ("De: ACME\nTel: 06 39 98 12 34\n\nx", [("unknown_field", 2, 1, 3, "À")]),
        ("Ton: 0639981234\nForm: ACME\n\nx", [("unknown_field", 1, 1, 3, "To"), ("unknown_field", 2, 1, 4, "From")]),
        ("À: 06 39 98 12 34\nHeure: 14h30\n\nx", [("unknown_field", 2, 1, 5, "Le")]),
        ("An: 06 39 98 12 34\nDauer: 2h\n\nx", [("unknown_field", 2, 1, 5, "Gültig")]),
        ("An: 06 39 98 12 34\n Referenz: 2\n\nx", [("unknown_field", 2, 2, 8, "Zeichen")]),
        ("To: 06 39 98 12 34\nPriority: high\n\nx", [("unknown_field", 2, 1, 8, "")]),
        ("To: 06 39 98 12 34\nRef: 1\nRéf : 2\n\nx", [("duplicate_field", 3, 1, 3, "")]),
        ("From: ACME\n\nx", [("missing_field", 0, 0, 1, "")]),
        ("Hello you\nat 14:30\nsee you\n\nx", [("missing_field", 0, 0, 1, "")]),
        ("From: ACME\n To: \n\nx", [("empty_field", 2, 2, 2, "")]),
        ("To: ,;,\n\nx", [("empty_field", 1, 1, 2, "")]),
        ("To: 06 39 98 12 34\nHello\nyou\n\nx", [("bad_line", 2, 1, 5, "")]),
        ("To: 06 39 98 12 34\nRDV: mardi", [("bad_line", 2, 1, 10, "")]),
        ("Hi\nTo: 06 39 98 12 34\n\nx", [("bad_line", 1, 1, 2, "")]),
        ("To 06 39 98 12 34\n\nx", [("no_colon", 1, 1, 17, "To: 06 39 98 12 34")]),
        ("To: 06 39 98 12 34\nFrom=ACME\n\nx", [("no_colon", 2, 1, 9, "From: ACME")]),
        ("To: 06 39 98 12 35, 06 39 98 1\n\nx", [("bad_number", 1, 21, 10, "")]),
        ("To: 06 39 98 12 35,\n  06 39 98 1\n\nx", [("bad_number", 2, 3, 10, "")]),
        ("To: Marie <06 39 98 12 34>\n\nx", [("bad_number", 1, 5, 22, "06 39 98 12 34")]),
        ("To: 12345678\n\nx", [("bad_number", 1, 5, 8, "")]),
        ("To: 01 42 68 53 00\n\nx", [("number.not_mobile", 1, 5, 14, "")]),
        ("To: oncall\n\nx", [("bad_number", 1, 5, 6, "@oncall")]),
        ("To: @oncal\n\nx", [("unknown_team", 1, 5, 6, "@oncall")]),
        ("To: @empty\n\nx", [("unknown_team", 1, 5, 6, "")]),
        ("To: 06 39 98 12 34\nFrom: Dépôt\n\nx", [("bad_sender_id", 2, 7, 5, "")]),
        ("To: 06 39 98 12 34\nFrom: Acme Front Desk\n\nx", [("bad_sender_id", 2, 7, 15, "ACME")]),
        ("To: 06 39 98 12 34\nFrom: BANK\n\nx", [("sender_id.not_yours", 2, 7, 4, "")]),
        ("To: 06 39 98 12 34\nFrom: 36665\n\nx", [("sender_id.not_yours", 2, 7, 5, "36666")]),
        ("To: 0639981234\nAt: 25:30\nAt: 15:30\n\nx", [("bad_time", 2, 5, 5, ""), ("duplicate_field", 3, 1, 2, "")]),
        ("To: 0639981234\nAt: 15:30\nAt: 15:75\n\nx", [("duplicate_field", 3, 1, 2, ""), ("bad_time", 3, 5, 5, "")]),
        ("To: 06 39 98 12 34\nAt: 16:00\nExpires: 15:00\n\nx", [("early_expiry", 3, 10, 5, "")]),
        ("To: 06 39 98 12 34\nAt: 2027-03-28 02:10\nExpires: 2027-03-28 02:50\n\nx", [("early_expiry", 3, 10, 16, "")]),
        ("To: 06 39 98 12 34\nExpires: 1h30\n\nx", [("unclear_validity", 2, 10, 4, "90m")]),
        ("To: 06 39 98 12 34\nRef: " + "x" * 65 + "\n\nx", [("bad_reference", 2, 6, 65, "x" * 64)]),
        ("To: 06 39 98 12 34\nRef: a\x07b\n\nx", [("bad_reference", 2, 6, 3, "ab")]),
        ("To: 06 39 98 12 34\n\n \n##\nx", [("no_text", 0, 0, 1, "")]),
        ("To: 06 39 98 12 34\n##\nx", [("no_text", 0, 0, 1, "")]),
        ("", [("missing_field", 0, 0, 1, ""), ("no_text", 0, 0, 1, "")]),
    ],
)  # fmt: skip
def test_each_problem_has_its_place_and_hint(
    mail: str, problems: list[tuple[str, int, int, int, str]]
) -> None:
    """Line, column and width as in the mail; the hint in the language of the labels."""
    found = [
        (each.reason.removeprefix("template."), each.line, each.column, each.width, each.hint)
        for each in refused(mail).problems
    ]
    assert found == problems


def test_all_problems_are_told_together() -> None:
    """In the order of the mail, those without a place last."""
    refusal = refused("Ref: " + "x" * 65 + "\nTo: 1, 06 39 98 12 34\nFoo: x\nAt: soon\nAt: later\n\n##")
    assert [(each.reason.removeprefix("template."), each.line) for each in refusal.problems] == [
        ("bad_reference", 1),
        ("bad_number", 2),
        ("unknown_field", 3),
        ("bad_time", 4),
        ("duplicate_field", 5),
        ("bad_time", 5),
        ("no_text", 0),
    ]
    assert refusal.source[1] == "To: 1, 06 39 98 12 34"


def test_facts_for_the_sentences() -> None:
    """How many digits there are and should be; which teams, fields and senders there are; what was left out."""
    assert refused("To: 06 39 98 1\n\nx").problems[0].facts == {
        "country": "FR",
        "digits": "7",
        "expected": "10",
        "example": NUMBER,  # what the corrected mail has there, and nobody wrote
    }
    assert refused("To: @x\n\nx").problems[0].facts == {"teams": "@empty, @oncall", "example": NUMBER}
    assert "example" not in refused("To: @oncal, Al <06 39 98 12 35>\n\nx").problems[1].facts
    assert refused(f"To: {NUMBER}\n\n-- \nMarie").problems[0].facts == {"left_out": "Marie"}
    assert refused(f"To: {NUMBER}\nFoo: x\n\nx").problems[0].facts == {"fields": "To, From, At, Expires, Ref"}
    assert refused(f"To: {NUMBER}\nFrom: BANK\n\nx").problems[0].facts == {"yours": "ACME, 36666"}
    assert (
        refused(f"To: {NUMBER}\nAt: 16:00\nExpires: 15:00\n\nx").problems[0].facts["start"]
        == "2026-05-12 16:00"
    )
    assert refused(f"To: {NUMBER}\nAt: 11/05/2026 9:00\n\nx").problems[0].facts["now"] == "2026-05-12 12:00"


@pytest.mark.parametrize(
    ("mail", "corrected"),
    [
        ("From: ACME\nTel: 06 39 98 12 35\n\nHi\n\nyou", "To: 06 39 98 12 35\nFrom: ACME\n\nHi\n\nyou\n##"),
        ("De: ACME\nTel: 06 39 98 12 35\n\nHi", "À: 06 39 98 12 35\nDe: ACME\n\nHi\n##"),
        ("To: 06 39 98 12 35\nTo: 06 39 98 12 36\n\nHi", "To: 06 39 98 12 35, 06 39 98 12 36\n\nHi\n##"),
        ("To: 06 39 98 12 35\nRef: 1\nRef: 2\n\nHi", "To: 06 39 98 12 35\nRef: 1\n\nHi\n##"),
        ("To: 06 39 98 12 35\nHello\nyou\n\nHi", "To: 06 39 98 12 35\n\nHello\nyou\n\nHi\n##"),
        ("To: 06 39 98 12 35\nRDV: mardi\nVenez", "To: 06 39 98 12 35\n\nRDV: mardi\n\nVenez\n##"),
        ("To: 06 39 98 12 35\nFoo: bar\n\nHi\n##\nx", "To: 06 39 98 12 35\n\nHi\n##"),
        ("Hello you", "To: 06 39 98 12 34\n\nHello you\n##"),
        ("Foo: bar\n\nHello", "To: 06 39 98 12 34\n\nFoo: bar\n\nHello\n##"),
        ("To: 06, Al <06 39 98 12 35>\n\nHi", "To: 06 39 98 12 34, 06 39 98 12 35\n\nHi\n##"),
        ("An: 06 39 98 12 35\nAm: morgen\n\nHi", "An: 06 39 98 12 35\nAm: 2026-05-13 14:30\n\nHi\n##"),
        ("An: 06 39 98 12 35", "An: 06 39 98 12 35\n\nIhr Termin ist am Dienstag um 14:30 Uhr.\n##"),
        ("To: 06 39 98 12 35\nFrom: BANK\n\nHi", "To: 06 39 98 12 35\n\nHi\n##"),
        ("To: 06 39 98 12 35\nFrom: Acme Desk 2\n\nHi", "To: 06 39 98 12 35\nFrom: ACME\n\nHi\n##"),
        ("To: 06 39 98 12 35\nAt: 25:30\nAt: 15:30\n\nHi", "To: 06 39 98 12 35\nAt: 15:30\n\nHi\n##"),
        (
            "To: 06 39 98 12 35\nAt: 16:00\nExpires: 15:00\n\nHi",
            "To: 06 39 98 12 35\nAt: 16:00\nExpires: 2h\n\nHi\n##",
        ),
    ],
)
def test_the_corrected_mail(mail: str, corrected: str) -> None:
    """What can be put right is; what can't is the example's; the text is kept; and it would be taken."""
    refusal = refused(mail)
    assert refusal.corrected == corrected
    assert STRICT.read(corrected, CONTEXT)


@pytest.mark.parametrize(
    ("head", "is_example"),
    [
        ("Tel: 06 39 98 12 35", False),
        ("To: Al <06 39 98 12 35>", False),
        ("To: 06 39 98 12 35\nAt: 12/05/26 15:30", False),
        ("To: 06 39 98 12 35\nAt: 25:30\nAt: 15:30", False),
        ("To: 06 39 98 12 35\nFrom: BANK", False),
        ("To: 06 39 98 1", True),
        ("To:", True),
        ("To: 06 39 98 12 35\nAt: soon", True),
        ("To: 06 39 98 12 35\nAt: 12/05/2026", True),  # which hour?
        ("To: 06 39 98 12 35\nAt: 11/05/2026 9:00", True),
        ("To: 06 39 98 12 35\nExpires: 30", True),
        ("To: 06 39 98 12 35\nExpires: 1h30", True),
        ("To: 06 39 98 12 35\nRef: " + "x" * 65, True),
    ],
)
def test_a_corrected_mail_with_something_that_nobody_wrote_is_an_example(head: str, is_example: bool) -> None:
    """One click must not send it."""
    assert refused(f"{head}\n\nHi").is_example is is_example
    assert refused(f"{head}\n\n").is_example


def test_who_has_no_sender_gets_no_corrected_mail() -> None:
    """Without a sender it would be refused again; but the text is not lost."""
    with pytest.raises(Refusal) as caught:
        STRICT.read(f"To: {NUMBER}\nFrom: BANK\n\nHi\n##", replace(CONTEXT, sender_ids=()))
    assert [each.facts for each in caught.value.problems] == [{}]
    assert (caught.value.corrected, caught.value.text) == ("", "Hi")


def test_who_the_address_names_is_a_recipient_too() -> None:
    """Whatever the To field says, if there is one; the corrected mail forgets nobody."""
    context = replace(CONTEXT, also_to=("+33 6 39 98 12 35", "@oncall"))
    everybody = ("+33639981234", "+33639981235", "+33639980001", "+33639980002")
    assert STRICT.read(f"To: {NUMBER}\n\nHi", context).to == everybody
    assert STRICT.read("Ref: 1\n\nHi", context).to == everybody[1:]
    with pytest.raises(Refusal) as caught:
        STRICT.read(f"Tel: {NUMBER}\n\nHi", context)
    assert caught.value.corrected == f"To: {NUMBER}, +33 6 39 98 12 35, @oncall\n\nHi\n##"
    assert STRICT.read(caught.value.corrected, CONTEXT).to == everybody


@pytest.mark.parametrize(
    ("mail", "language", "corrected"),
    [
        ("Bonjour", "fr", "À: 06 39 98 12 34\n\nBonjour\n##"),
        ("Hallo", "de-CH", "An: 06 39 98 12 34\n\nHallo\n##"),
        (
            "Tel: 06 39 98 12 35\n\n",
            "it",
            "A: 06 39 98 12 35\n\nIl Suo appuntamento è martedì alle 14:30.\n##",
        ),
        ("Tel: 06 39 98 12 35\nFrom: ACME\n\nCiao", "it", "To: 06 39 98 12 35\nFrom: ACME\n\nCiao\n##"),
        ("Hola", "es", "To: 06 39 98 12 34\n\nHola\n##"),
    ],
)
def test_labels_are_proposed_in_the_language_of_the_mail_else_of_its_writer(
    mail: str, language: str, corrected: str
) -> None:
    """Who has used none of them gets those of their own language."""
    with pytest.raises(Refusal) as caught:
        STRICT.read(mail, replace(CONTEXT, language=language))
    assert caught.value.corrected == corrected
    own = compile_template("Handy|Mobil: {to}\n\n{text}\n", "own")
    with pytest.raises(Refusal) as caught:
        own.read("Bonjour", replace(CONTEXT, language=language))
    assert caught.value.corrected == "Handy: 06 39 98 12 34\n\nBonjour"


def test_too_many_recipients_are_not_read() -> None:
    """Reading them would cost too much; 150 are. How many there are is told."""
    several = [f"+336399{at:05}" for at in range(80_000, 80_151)]
    assert len(STRICT.read(f"To: {','.join(several[:150])}\n\nHello", CONTEXT).to) == 150
    for count, to in ((151, ",".join(several)), (400, "+33639980001; \n" * 400), (32_000, "1, " * 32_000)):
        refusal = refused(f"To: {to}\n\nHello")
        assert refusal.problems[0].reason == "recipients.too_many"
        assert refusal.problems[0].facts == {"count": str(count), "limit": "150"}
        assert refusal.corrected == ""
        assert refusal.text == "Hello"
    with pytest.raises(Refusal) as caught:
        STRICT.read(f"To: {','.join(several)}\n\nHello", replace(CONTEXT, recipients=50))
    assert caught.value.problems[0].facts["limit"] == "50"  # not a number that would be refused next


def test_after_thirty_wrong_numbers_no_more_is_read() -> None:
    """Something else is wrong, and a corrected mail would forget the others."""
    refusal = refused("To: " + ",".join(f"012345{at:04}" for at in range(100)) + f",{NUMBER}\n\nHello")
    assert len(refusal.problems) == 30
    assert refusal.corrected == ""


@pytest.mark.parametrize(
    ("before", "lines"),
    [
        ("\n" * 199, 200),
        ("\n" * 200, 200),
        ("x: " + "y" * 16_000 + "\n", 5),
        ("x: " + "y" * 17_000 + "\n", 0),  # a cut line would have its faults elsewhere
    ],
)
def test_a_refusal_carries_whole_lines(before: str, lines: int) -> None:
    """At most the first 200 and 16 Ki characters: places in them are right."""
    refusal = refused(f"{before}To: 06\n\nHello\n")
    assert len(refusal.source) == lines
    assert refusal.problems[-1].line == before.count("\n") + 1


def test_a_corrected_mail_is_whole_or_not_there() -> None:
    """One of more than 16 Ki characters is never cut: then only the text is told."""
    assert refused("To: 06\n\n" + "x" * 16_000).corrected.endswith("x\n##")
    refusal = refused("To: 06\n\n" + "x" * 17_000)
    assert (refusal.corrected, refusal.text) == ("", "x" * 17_000)


_TO = "To: 06 39 98 12 34\n\n"
_LARGEST = [
    *["\n", " \n", "\u200b\n", "\xad\n", "a\n", "a: b\n", "a: 1\n", "x", "##", "x##\n", "😀", "\u0301"],
    *[
        "To: 1,",
        "To: " + "1," * 33_000,
        "To: " + "@x," * 22_000,
        "To: " + "," * 66_000,
        "To:\n" + "06 39\n" * 11_000,
    ],
    *["To: " + "".join(f"0{at * 37 + 612_345_678:09}, " for at in range(150)) + "\n\n" + "Le 1:\n" * 11_000],
    *[
        "".join(f"Q{at}: 12/05/2026 14\n" for at in range(4000)),
        "".join(f"Exp{at}: 2h 3m 4\n" for at in range(5000)),
    ],
    *[
        "".join(f"Gueltik{at} abc def: 2\n" for at in range(4000)),
        "To 06 39 98 12 34\n",
        "ﷺ: x\n",
        "ﷺ" * 35 + ": x\n",
    ],
    *[
        f"{_TO}{unit * 66_000}"[:66_000]
        for unit in ("a\n", "\n", "\u200b\n", ">\n", "-- \n", "---\n\n\n", "Le 1:\n")
    ],
    *[_TO + "x\n" + "\u200b\n" * 33_000, _TO + "From: a@b\nTo: c\n" * 5000, _TO + "Sent from my x\n" * 5000],
    *[_TO + ("x 12:30 @ " * 14 + ":\n") * 500, _TO + "On 12:30 a@b wrote\nLe 1:\n" * 3000],
    *[
        _TO + ("x\n\n" + ("confidential message " * 40 + "\n") * 3) * 30,
        _TO + "From: x\nSent: 12:30 wrote:\n---\n" * 2000,
    ],
]


@pytest.mark.parametrize("unit", _LARGEST, ids=lambda unit: repr(unit[:12]))
@pytest.mark.parametrize("template", [STRICT, SIMPLE], ids=["strict", "simple"])
def test_the_largest_text_of_any_shape_costs_little(unit: str, template: Template) -> None:
    """64 Ki characters, quotes and all, and numbers never seen before."""
    text = (unit * (1 + LARGEST // len(unit)))[:LARGEST]
    context = replace(CONTEXT, strip=_without_quotes)

    def read() -> None:
        numbers._parsed.cache_clear()
        try:
            template.read(text, context)
        except Refusal as refusal:
            assert sum(map(len, refusal.source)) <= 16_384
            assert len(refusal.corrected) <= 16_384

    assert least_s(read, MOST_S) < MOST_S


def _without_quotes(text: str) -> tuple[str, tuple[LeftOut, ...]]:
    stripped = quotes.strip(text)
    return stripped.text, stripped.left_out


def test_at_most_a_hundred_problems_are_told() -> None:
    """The last one says how many more there are."""
    refusal = refused(f"To: {NUMBER}\n" + "".join(f"Foo{n}: x\n" for n in range(300)) + "\nHello")
    assert len(refusal.problems) == 100
    assert refusal.problems[-1].facts["more"] == "200"
    assert refusal.corrected == f"To: {NUMBER}\n\nHello\n##"


# --- the other kinds of templates


def test_simple_takes_the_whole_mail() -> None:
    """Nothing in it is a field or a marker."""
    order = SIMPLE.read("\nTo: you\n\nHello\n##\nx\n", CONTEXT)
    assert (order.text, order.to) == ("To: you\n\nHello\n##\nx", ())
    assert [each.reason for each in refused(" \n", SIMPLE).problems] == ["text.empty"]


def test_subject_takes_the_number_from_the_header() -> None:
    """The body is the text, whatever it looks like."""
    order = SUBJECT.read("From: me\nHello\n##\nx", CONTEXT, f" {NUMBER} ")
    assert (order.to, order.text, order.sender_id) == (("+33639981234",), "From: me\nHello", None)
    refusal = refused("Hello", SUBJECT, f"Re: {NUMBER}")
    assert [(each.reason, each.line, each.column) for each in refusal.problems] == [
        ("template.bad_number", 0, 0)
    ]
    assert refusal.corrected == f"Subject: {NUMBER}\n\nHello\n##"
    assert reread(SUBJECT, refusal.corrected).text == "Hello"
    assert [each.value for each in refused("Hello", SUBJECT).problems] == ["Subject"]


def test_header_and_fields_mix() -> None:
    """Where all fields of the body are optional, a mail may begin with the text."""
    mixed = compile_template("Subject: {to}\nWhen: {send_at}?\n\n{text}\n##\n", "mixed")
    assert mixed.kind == "subject"
    assert mixed.read("When: 14:30\n\nHello", CONTEXT, NUMBER).send_at == at("2026-05-12 14:30")
    assert mixed.read("Hello\nyou: x", CONTEXT, NUMBER).text == "Hello\nyou: x"
    assert [each.hint for each in refused("Whem: 14:30\n\nHello", mixed, NUMBER).problems] == ["When"]


def test_an_operators_own_file_needs_no_code() -> None:
    """Other labels, another marker, a reference that must be given."""
    own = compile_template(
        "Handynummer|Mobilnummer: {to}\r\nVorgangsnummer : {reference}\n\n{text}\nENDE\n", "own"
    )
    order = own.read(f"vorgangsnummer: 42\nMOBILNUMMER: {NUMBER}\n\nHallo\n##\nENDE\nGruß", CONTEXT)
    assert (order.to, order.reference, order.text) == (("+33639981234",), "42", "Hallo\n##")
    refusal = refused(f"Mobilnummer: {NUMBER}\nTo: {NUMBER}\n\nHallo\nENDE", own)
    assert [(each.reason, each.value, each.hint) for each in refusal.problems] == [
        ("template.unknown_field", "To", ""),
        ("template.missing_field", "Vorgangsnummer", ""),
    ]
    assert refusal.corrected == f"Mobilnummer: {NUMBER}\nVorgangsnummer: A-1042\n\nHallo\nENDE"
    assert own.example("FR", "fr") == (
        f"Handynummer: {NUMBER}\nVorgangsnummer: A-1042\n\nVotre rendez-vous est mardi à 14 h 30.\nENDE"
    )


def test_strangers_mails_are_refused_soon_and_teach() -> None:
    """Small version of the proof: only Refusal, places that are right, corrected mails that are taken."""
    figures = fuzz(2000, seed=20)
    assert figures.refusals > 1000
    assert figures.max_cpu_s < MOST_S
