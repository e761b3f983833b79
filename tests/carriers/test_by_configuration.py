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
from mail2sms.carriers._base import Call, CarrierEvent
from mail2sms.errors import SendFailed, Uncertain
from mail2sms.http import Answer
from mail2sms.model import Taken
from tests.carriers import signing
from tests.carriers.cases import NOW_S, brief, part

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


FIELDS = b"id=i-1&from=33639981234&to=33639980101&text=Oui"
TEXT = {"id": "i-1", "from": "+33639981234", "to": "+33639980101", "text": "Oui"}


def told(call: Call, **options: Any) -> list[dict[str, Any]]:
    """Return what a signed request tells a carrier of these options."""
    signature = {
        "key": "synthetic-key",
        "header": "X-Hub-Signature-256",
        "prefix": "sha256=",
        "timestamp": "X-Time",
    }
    signed = signing.http(call, {"signature": signature}, "")
    events: tuple[CarrierEvent, ...] = carrier(signature=signature, **options).events(signed)
    return [brief(event) for event in events]


def test_where_the_body_is_signed_the_query_says_nothing() -> None:
    """Whoever has seen one signed request could write what they like behind it."""
    at = NOW_S * 1000
    assert told(Call(body=FIELDS, at=at)) == [TEXT]
    assert told(Call(body=FIELDS, query="text=Non&status=x&id=i-2", at=at)) == [TEXT]
    assert told(Call(body=b"id=i-1", query="ping=1", at=at)) == []
    secret = "a-path-of-its-own-0001"
    both = Call(body=FIELDS, query="text=Non", at=at, secret=secret)
    assert told(both, webhook={"secret": secret}) == [TEXT]


@pytest.mark.parametrize(
    ("method", "body"), [("GET", b""), ("POST", b""), ("POST", b"id=i-1"), ("POST", b"{}")]
)
def test_what_only_the_query_says_is_refused_where_the_body_is_signed(method: str, body: bytes) -> None:
    """Answered 200, it would be lost without a word."""
    with pytest.raises(ValueError, match="signature covers the body"):
        told(Call(method=method, query=FIELDS.decode(), body=body, at=NOW_S * 1000))


def test_a_secret_in_the_path_proves_the_query_too() -> None:
    """As those providers need it that call with GET."""
    secret = "a-path-of-its-own-0001"
    call = Call(method="GET", query=FIELDS.decode(), secret=secret, at=NOW_S * 1000)
    events = carrier(webhook={"secret": secret}).events(call)
    assert [brief(event) for event in events] == [TEXT]
