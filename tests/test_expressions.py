"""The texts of devices: what they make of a mail, and what is said of those that can't be read."""

from __future__ import annotations

import pytest

from mail2sms.intake import expressions
from mail2sms.intake.expressions import ExpressionInvalid
from tests.cpu import least_s

FACTS = {
    "subject": "Alarm: UPS on battery",
    "body": "Status: on battery (since 09:41)\n\n  Load: 40 %\nhttp://ups-1/status\nTemperature: 41 C",
    "from": "ups-1@acme.example",
    "device": "ups-1",
    "time": "09:41",
}


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("{subject}", "Alarm: UPS on battery"),
        ("{device} {time}: {subject}", "ups-1 09:41: Alarm: UPS on battery"),
        ("{body|first_line}", "Status: on battery (since 09:41)"),
        ("{body|last_line}", "Temperature: 41 C"),
        ("{body|line:2}", "Load: 40 %"),
        ("{body|line:9}", ""),
        ("{body|lines:2}", "Status: on battery (since 09:41)\nLoad: 40 %"),
        ("{body|one_line|20}", "Status: on batter..."),
        ("{body|with:'load'}", "Load: 40 %"),
        ('{body|without:"http"|one_line}', "Status: on battery (since 09:41) Load: 40 % Temperature: 41 C"),
        ('{subject|after:"Alarm:"}', "UPS on battery"),
        ('{subject|after:"nothing"|or:"?"}', "?"),
        ('{body|first_line|before:"("}', "Status: on battery"),
        ('{subject|replace:"battery","BATT"|replace:"Alarm: ",""}', "UPS on BATT"),
        ("{ subject | 8 }", "Alarm..."),
        ("{subject|2}", ".."),
        ("{{{subject}}}", "{Alarm: UPS on battery}"),
        ("{host|or:'no host'}", "no host"),
        (r"{subject}\n\n\n{body|line:2}\n", "Alarm: UPS on battery\nLoad: 40 %"),
        ("{host}: {subject} - {name}", "Alarm: UPS on battery"),
        ("{host}, {name}", ""),
        ("fire -", "fire -"),
    ],
)
def test_what_a_text_says(text: str, filled: str) -> None:
    """One row for each field and filter."""
    assert expressions.read(text).fill(FACTS) == filled


@pytest.mark.parametrize(
    ("text", "message", "column", "width", "hint"),
    [
        ("", "there is no text", 1, 1, 'such as "{subject}"'),
        ("{subject", "this brace is never closed", 1, 1, "write {{ for a brace itself"),
        ("a {subjct}", 'there is no field "subjct"', 4, 6, 'did you mean "subject"?'),
        ("{}", 'there is no field "}"', 2, 1, "one of: subject, body, from, name, host, device, time"),
        ("a}", "this brace closes nothing", 2, 1, "write }} for a brace"),
        ("{body|frist_line}", 'there is no filter "frist_line"', 7, 10, 'did you mean "first_line"?'),
        ("{body|0}", '"0" is out of range', 7, 1, "1 to 99999"),
        ("{body|line}", '"line" is not written so', 7, 4, "line:2"),
        ("{body|line:'x'}", '"line" is not written so', 7, 8, "line:2"),
        ("{body|first_line:2}", '"first_line" is not written so', 7, 12, "first_line"),
        ("{body|with:x}", '"x" was not expected here', 12, 1, 'with:"Status"'),
        (
            "{body first_line}",
            '"first_line" was not expected here',
            7,
            10,
            "a | before a filter, or } at the end",
        ),
        ("{body|with:'x}", '"\'" was not expected here', 12, 1, 'with:"Status"'),
        ("{body.__class__}", '"." was not expected here', 6, 1, "a | before a filter, or } at the end"),
    ],
)
def test_what_is_wrong_is_shown_where_it_is(
    text: str, message: str, column: int, width: int, hint: str
) -> None:
    """With its place and what to write."""
    with pytest.raises(ExpressionInvalid) as caught:
        expressions.read(text)
    assert (str(caught.value), caught.value.column, caught.value.width, caught.value.hint) == (
        message,
        column,
        width,
        hint,
    )


def test_a_mail_is_never_read_as_a_text() -> None:
    """Braces of a mail are braces."""
    assert (
        expressions.read("{subject}").fill({"subject": "{body} {{x}} {subject|9}"})
        == "{body} {{x}} {subject|9}"
    )


@pytest.mark.parametrize("body", ["a" * 65536, "\n" * 65536, "ab\n" * 21845, " " * 65536])
def test_no_body_costs_much(body: str) -> None:
    """Every filter in time that grows with its text alone; what would grow is cut."""
    text = "".join(
        f"{{body|{each}}}"
        for each in (*("line:9", "with:'a'", "without:'a'", "after:'b'", "one_line", "last_line"), "5000")
    )
    expression = expressions.read(text + "{body|replace:'a','aaaaaaaaaa'}")
    assert len(expression.fill({"body": body})) <= expressions.MOST
    assert least_s(lambda: expression.fill({"body": body}), 0.5) < 0.5
