"""The carrier that a configuration describes: values stay in their places, and answers are read as it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree as Tree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mail2sms import carriers
from mail2sms.carriers import _wording
from mail2sms.errors import SendFailed, Uncertain
from mail2sms.http import Answer
from mail2sms.model import Taken
from tests.carriers.cases import NOW_S, part

TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=60)


def carrier(**options: Any) -> Any:
    """Return a carrier of these options."""
    module = carriers.load("http")
    given_ = {"type": "http", "url": "https://sms.example/send", "answer": {"id": "id"}, **options}
    return module.build("c", module.Options.model_validate(given_), Path())


@settings(max_examples=150, deadline=None)
@given(TEXTS)
def test_a_text_stays_in_its_place(text: str) -> None:
    """Whatever stands in it: in JSON, a form, a URL and XML."""
    said = part(text=text)
    body = carrier(body='{"a": "x", "text": "{text}", "b": 1}').request(said, NOW_S).body
    assert json.loads(body) == {"a": "x", "text": text, "b": 1}
    body = carrier(body="a=x&text={text}&b=1", format="form").request(said, NOW_S).body
    assert parse_qs(body.decode(), keep_blank_values=True) == {"a": ["x"], "text": [text], "b": ["1"]}
    url = carrier(url="https://sms.example/send?text={text}&b=1", method="GET").request(said, NOW_S).url
    assert parse_qs(urlsplit(url).query, keep_blank_values=True) == {"text": [text], "b": ["1"]}
    assert urlsplit(url).netloc == "sms.example"
    tree = Tree.fromstring(
        carrier(body="<m><t a='{text}'>{text}</t></m>", format="xml").request(said, NOW_S).body
    )
    clean = _wording._FORBIDDEN_XML.sub("\ufffd", text).replace("\r\n", "\n").replace("\r", "\n")
    assert (tree[0].text or "") == clean


@pytest.mark.parametrize(
    ("told", "status", "body", "known"),
    [
        ({"after": "OK:"}, 200, "OK: 4711 sent", "4711"),
        ({"after": "OK:"}, 200, "OK:", None),
        ({"after": "OK:"}, 200, "ERROR 4711", None),
        ({"success": "queued"}, 200, "message queued", ""),
        ({"success": "queued"}, 200, "<html>welcome</html>", None),
        ({"success": "queued", "id": "id"}, 200, '{"id": 7, "state": "queued"}', "7"),
        ({"success": "queued", "id": "id"}, 200, '{"state": "queued"}', None),
        ({"success": "0", "id": "id", "code": "err"}, 200, '{"id": 7, "err": "0"}', "7"),
        ({"id": "messages.1.id"}, 200, '{"messages": [{"id": 1}, {"id": 2}]}', "2"),
        ({"id": "messages.9.id"}, 200, '{"messages": [{"id": 1}]}', None),
        ({"success": "queued"}, 500, "queued", None),
    ],
)
def test_answers_are_read_as_told(told: dict[str, str], status: int, body: str, known: str | None) -> None:
    """An id, or a word that says it; else it is a doubt."""
    found: Taken | SendFailed
    try:
        found = carrier(answer=told).accepted(Answer(status=status, body=body.encode()))
    except SendFailed as failure:
        found = failure
    if known is None:
        assert isinstance(found, Uncertain)
    else:
        assert found == Taken(carrier_message_id=known)


def test_nothing_but_the_names_is_filled_in() -> None:
    """Braces of JSON stay, and a text that looks like a name is a text."""
    body = carrier(body='{"o": {"to": "{to}"}, "t": "{text}"}').request(part(text="{secret}{to}"), NOW_S).body
    assert json.loads(body) == {"o": {"to": "+33639981234"}, "t": "{secret}{to}"}
