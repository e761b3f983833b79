"""The file is read as it was written; what YAML makes hard to see is refused where it stands."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mail2sms import config, yamltext
from tests.config_cases import MINIMAL, PATH, found, whole


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("NO", "NO"),  # YAML: false
        ("+33639981234", "+33639981234"),  # a number without its plus
        ("0639981234", "0639981234"),
        ("06123456", "06123456"),  # 1615662: octal
        ("22:00", "22:00"),  # 1320: base 60
        ("1e3", "1e3"),
        ("1.5e+3", "1.5e+3"),  # 1500.0
        ("0x10", "0x10"),  # 16
        ("0b11", "0b11"),  # 3
        ("1_000", "1_000"),  # 1000
        ("2026-05-12", "2026-05-12"),  # a date
        ("~", "~"),  # nothing
        ("null", "null"),  # nothing
        ("yes", "yes"),  # true
        ("off", "off"),  # false
        (".inf", ".inf"),
        ("=", "="),  # a tag of its own
        ("<<", "<<"),  # a tag of its own
        ('"on"', "on"),
        ("''", ""),
        ("é 😀", "é 😀"),
    ],
)
def test_a_value_stays_the_text_that_was_written(written: str, read: str) -> None:
    """YAML's own types never decide."""
    assert yamltext.read(f"a: {written}\n").tree == {"a": read}
    assert yamltext.read(f"a: [{written}]\n").tree == {"a": [read]}
    assert not yamltext.read(f"a: {written}\n").faults


def test_norway_and_numbers_survive_in_the_settings() -> None:
    """The traps, at the options they would hurt."""
    text = whole(
        "countries: [FR, NO]\n"
        "users:\n"
        "  a@acme.example: {number: +33639980101}\n"
        "  b@acme.example: {number: 06 39 98 01 02}\n"
        "  c@acme.example: {number: 0639980103}\n"
        "  d@acme.example: {number: 06.39.98.01.04}\n"
    )
    loaded = config.load(PATH, text)
    assert loaded.countries == ("FR", "NO")
    assert [user.number for user in loaded.all_users().values()] == [f"+3363998010{n}" for n in (1, 2, 3, 4)]


# fmt: off
SYNTAX: list[tuple[str, list[str]]] = [
    ("", ["1:1 the file is empty -> see the example mail2sms.yaml"]),
    ("# nothing\n", ["1:1 the file is empty -> see the example mail2sms.yaml"]),
    ("domain\n", ['1:1 expected options ("name: value")']),
    ("- a\n- b\n", ['1:1 expected options ("name: value")']),
    ("a:\n\tb: 1\n", ["2:1 a tab cannot be used here -> use blanks"]),
    ("a:\t1\n", ["1:3 a tab cannot be used here -> use blanks"]),
    ("a: 1\n---\nb: 2\n", ["2:1 only one document is read: nothing may follow it"]),
    ("a: 1\n...\nb: 2\n", ["3:1 nothing may follow here"]),
    ("a: {b: 1\nc: 2\n", ['2:2 expected "," or "}": the "{" of line 1 is not closed']),
    ("a: [1, 2\nb: 3\n", ['2:2 expected "," or "]": the "[" of line 1 is not closed']),
    ("a: *@acme\n", ['1:4 text that starts with "*" must stand in quotes -> write "*..."']),
    ("a: @acme\n", ['1:4 text that starts with "@" must stand in quotes -> write "@..."']),
    ("a: %b\n", ['1:4 text that starts with "%" must stand in quotes -> write "%..."']),
    ("a: `b\n", ['1:4 text that starts with "`" must stand in quotes -> write "`..."']),
    ("a: 'b\nc: d\n", ["1:4 this quote is never closed"]),
    ('a: "\\q"\n', ["1:6 a backslash in double quotes starts an escape -> use single quotes"]),
    ('a: "\\UFFFFFFFF"\n', ["1:1 an escape in double quotes is no character"]),
    ("a: 'it's'\n", ["1:8 text follows a closing quote -> double a ' inside single quotes"]),
    ("a: b: c\n",
     ['1:5 a second ":" here makes no sense -> put text that holds ": " in quotes; options of one '
     "section start in the same column"]),
    ("a:\n  b: 1\n c: 2\n",
     ["3:2 this line does not start in the column of its section -> options of one section start "
     "in the same column"]),
    ("a: }\n", ["1:4 a value is missing here"]),
    ("é: b\x1b\n", ["1:5 the character U+001B cannot stand in this file"]),
    ("a: | x\n", ["1:6 cannot be read as YAML: expected a comment or a line break, but found 'x'"]),
    ("{[a]: b}\n", ['1:2 the name of an option must be plain text -> text such as "*" needs quotes']),
    ("a: [[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]\n", ["1:15 this is nested too deep"]),
    (f"a: {'b' * 1_000_000}", ["1:1 the file is larger than 1 MB"]),
]
NOT_HERE: list[tuple[str, list[str]]] = [
    ("mode: live\nmode: trial", ['2:1 duplicate key "mode" (first used on line 1)']),
    ("users:\n  a@acme.example: {name: A, name: B}", ['2:29 duplicate key "name" (first used on line 2)']),
    ("limits:", ['1:1 "limits" has no value']),
    ("limits: {size:}", ['1:10 "size" has no value']),
    ("users: {a@acme.example: {password: $argon2id$v=19$m=65536,t=3}}",
     ['1:59 what follows this comma has no value -> text that holds "," must stand in quotes']),
    ("limits: {per_ip: 1, size:1MB}", ['1:21 what follows this comma has no value -> put a blank after the ":"']),
    ("limits: {size:1MB}", ['1:10 "size" has no value -> put a blank after the ":"']),
    ("countries: [FR, ]\nroutes:\n- to: any\n  via:\n  -", ["5:4 an item of this list has no value"]),
    ("users: &people {}",
     ["1:8 anchors (text that starts with &) are not supported -> such text must stand in quotes"]),
    ("teams: *people",
     ["1:8 aliases (text that starts with *) are not supported -> such text must stand in quotes"]),
    ("language: !env LANGUAGE",
     ["1:11 tags (text that starts with !) are not supported -> a secret is named by "
     "credential:NAME, file:PATH or env:NAME"]),
    ("limits: {<<: {size: 1MB}}", ["1:10 merge keys (<<) are not supported -> write the options out"]),
    ('default_mailbox: "a@acme.example\\r\\nBcc: b@acme.example"',
     ["1:18 a value is one line without control characters"]),
]
# fmt: on


@pytest.mark.parametrize(("text", "told"), SYNTAX)
def test_what_is_no_yaml_is_said_in_plain_words(text: str, told: list[str]) -> None:
    """A syntax error needs no knowledge of YAML's grammar to be understood."""
    assert found(text) == told


@pytest.mark.parametrize(("snippet", "told"), NOT_HERE)
def test_what_yaml_allows_and_we_do_not(snippet: str, told: list[str]) -> None:
    """What would be read otherwise than it looks is refused where it stands, and nothing else is said of it."""
    assert found(whole(snippet)) == told


def test_places_count_characters_and_every_kind_of_line_end() -> None:
    """An editor finds the place: columns are characters, lines end as YAML says."""
    document = yamltext.read('\ufeffa: é\r\nb: 😀, x\rc:\n  - "1"\n  - [2, 33]\n')
    assert document.keys[("a",)] == yamltext.Place(1, 1, 1)
    assert document.values[("b",)] == yamltext.Place(2, 4, 4)
    assert document.values[("c", 0)] == yamltext.Place(4, 5, 3)
    assert document.values[("c", 1)] == yamltext.Place(5, 5, 1)  # a list begins with its bracket
    assert document.values[("c", 1, 1)] == yamltext.Place(5, 9, 2)


PIECES = [
    *"abc:{}[],-&*!|>%@`\\\"'# \t\n\x00\u2028é",
    "- ",
    ": ",
    "<<",
    "---\n",
    *MINIMAL.splitlines(keepends=True),
]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
def test_no_text_breaks_the_check(text: str) -> None:
    """Whatever is in the file, the answer is a report whose places are in the file."""
    report = config.check(PATH, environment=False, text=text)
    lines = yamltext.read(text).lines
    for finding in report.findings:
        assert finding.line <= len(lines)
        assert not finding.line or finding.column <= len(lines[finding.line - 1]) + 1
    assert config.render(report, colour=False)
