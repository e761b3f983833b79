"""Texts taken apart: what of a mail became no SMS, and which lines of an email must not be wrapped."""

from __future__ import annotations

import pytest

from mail2sms.model import LeftOut
from mail2sms.web.demo_text import blocks, left_out, pieces

SIGNATURE, QUOTE = LeftOut(kind="signature", lines=3), LeftOut(kind="quote", lines=2)


@pytest.mark.parametrize(
    ("written", "text", "gone"),
    [
        ("Bonjour", "Bonjour", []),
        ("Bonjour\r\n\r\n-- \r\nMarie\r\n", "Bonjour", ["--", "Marie"]),
        ("Bonjour\n\n-- \nMarie\n\n> Oui", "Bonjour", ["--", "Marie", "", "> Oui"]),
        ("To: 1\n\nBonjour\n##\nMarie", "Bonjour", ["##", "Marie"]),
        ("It’s " + "x" * 80 + "…\n-- \nMarie’s", "It's " + "x" * 80 + "...", ["--", "Marie’s"]),
        ("A", "B", []),
        ("A", "", []),
    ],
)
def test_what_was_left_out(written: str, text: str, gone: list[str]) -> None:
    """The lines after the text, as they were written, though the text's typography became plain."""
    assert left_out(written, text) == gone


@pytest.mark.parametrize(
    ("written", "parts", "gone"),
    [
        ("Hello\n\n-- \nMarie\nACME", (SIGNATURE,), ["Marie\nACME"]),
        ("Hello\n\n-- \nMarie\nACME\n\nThey wrote:\n> Yes", (SIGNATURE, QUOTE), ["Marie\nACME", "They wrote:\n> Yes"]),
        ("They wrote:\n> Yes\n\nHello\n-- \nMarie\nACME", (QUOTE, SIGNATURE), ["They wrote:\n> Yes", "Marie\nACME"]),
        ("Hello\n-- \nMarie\nACME", (SIGNATURE, LeftOut(kind="attachment", lines=0)), ["Marie\nACME", ""]),
        ("Another text\n-- \nMarie", (SIGNATURE,), [""]),
    ],
)  # fmt: skip
def test_lines_of_each_part(written: str, parts: tuple[LeftOut, ...], gone: list[str]) -> None:
    """Above the text and below it, without the lines that only separate."""
    found = pieces(written, "Hello", parts, has_fields=False)
    assert [(part, "\n".join(lines)) for part, lines in found] == list(zip(parts, gone, strict=True))


def test_fields_of_the_template_are_not_left_out() -> None:
    """What stands above a templated text was read; what stands below its end marker was not."""
    marked = LeftOut(kind="after_marker", lines=1)
    (found,) = pieces("To: 1\nRef: 2\n\nHello\n##\nMarie", "Hello", (marked,), has_fields=True)
    assert found == (marked, ["Marie"])


REFUSED = """\
Line 2 of your message needs a change:

 1 | To: 1
 2 | Expirs: 2h
   | ^^^^^^
   | There is no field
   | “Expirs”.
 … |

  To        +33 6 39 98 12 34
  Last try  today

Your text:

   Hello | there"""


def test_lines_that_belong_below_one_another() -> None:
    """A caret stays below its place and a table keeps its columns; what is said below a caret is wrapped anew."""
    assert blocks(REFUSED) == [
        ("", "Line 2 of your message needs a change:\n"),
        ("aligned", " 1 | To: 1\n 2 | Expirs: 2h\n   | ^^^^^^"),
        ("says", "There is no field “Expirs”."),
        ("aligned", " … |"),
        ("", ""),
        ("aligned", "  To        +33 6 39 98 12 34\n  Last try  today"),
        ("", "\nYour text:\n\n   Hello | there"),
    ]
