"""Chat hooks: each module's case file says what is posted for which event, and what an answer means."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from standardwebhooks import Webhook as Oracle

from mail2sms import hooks
from mail2sms.errors import BadOption, DeliveryFailed
from mail2sms.hooks._base import Hook, HookEvent
from mail2sms.hooks.mattermost import harmless
from mail2sms.http import Answer
from mail2sms.model import Msisdn

CASES = Path(__file__).parent / "hooks" / "cases"
NOW_S = 1_780_000_001
FILES = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(CASES.glob("*.yaml"))}


def hook(format_name: str, **changes: str) -> Hook:
    """Return the hook with the options of its case file."""
    module = hooks.load(format_name)
    options = module.Options.model_validate({**FILES[format_name]["options"], **changes})
    built = module.build(options)
    assert isinstance(built, Hook)
    return built


def event(**changes: Any) -> HookEvent:
    """Return an event."""
    values = {
        "id": "ev-1",
        "kind": "reply",
        "at": 1_780_000_000_123,
        "msisdn": Msisdn("+33639981234"),
        "our_address": "+33639980101",
        "text": "Oui",
        "conversation": "c-1",
        "message": "mo-1",
    }
    return HookEvent(**{**values, **changes})


def rows(what: str) -> list[Any]:
    """Return the rows of all case files, one parameter each."""
    return [
        pytest.param(name, row, id=f"{name}-{row.get('name') or row['status']}")
        for name, cases in FILES.items()
        for row in cases[what]
    ]


def test_every_format_has_a_case_file() -> None:
    """Adding a hook is one module and one case file."""
    assert set(hooks.formats()) == set(FILES)


@pytest.mark.parametrize(("format_name", "row"), rows("requests"))
def test_what_is_posted(format_name: str, row: dict[str, Any]) -> None:
    """To the configured URL, exactly this."""
    request = hook(format_name).request(event(**row["event"]), NOW_S)
    assert request.url == FILES[format_name]["options"]["url"]
    assert json.loads(request.body) == row["json"]
    assert request.headers["Content-Type"] == "application/json"
    if "headers" in row:
        assert request.headers == row["headers"]


@pytest.mark.parametrize(("format_name", "row"), rows("answers"))
def test_what_an_answer_means(format_name: str, row: dict[str, Any]) -> None:
    """Taken, tried again later, or never."""
    answer = Answer(status=row["status"], body=row["body"].encode(), headers=row.get("headers", {}))
    if row["outcome"] == "taken":
        hook(format_name).judge(answer)
        return
    with pytest.raises(DeliveryFailed) as e:
        hook(format_name).judge(answer)
    assert e.value.is_final is (row["outcome"] == "final")
    assert e.value.retry_after_s == row.get("retry_after_s")


@pytest.mark.parametrize("name", ["", "_base", "slack9", "../mailer", "os"])
def test_an_unknown_format_is_no_module(name: str) -> None:
    """The name comes from the configuration."""
    with pytest.raises(KeyError):
        hooks.load(name)


def test_secrets_never_show() -> None:
    """Neither in the options' nor in the request's representation."""
    module = hooks.load("webhook")
    options = module.Options.model_validate(FILES["webhook"]["options"])
    request = module.build(options).request(event(text="Bonjour"), NOW_S)
    shown = f"{options!r} {request!r} {event(text='Bonjour')!r}"
    assert not any(secret in shown for secret in ("key=k", "whsec_", "Bonjour"))


@pytest.mark.parametrize(
    ("on", "kinds"),
    [("reply", ("reply",)), (["failed"], ("failed",)), (["reply", "failed"], ("reply", "failed"))],
)
def test_on_takes_one_kind_or_a_list(on: object, kinds: tuple[str, ...]) -> None:
    """As in the configuration's draft."""
    options = hooks.load("mattermost").Options
    assert options.model_validate({"format": "mattermost", "url": "https://x.example", "on": on}).on == kinds


def test_on_takes_no_other_kind() -> None:
    """A typing mistake must not silence a hook."""
    with pytest.raises(ValidationError):
        hooks.load("mattermost").Options.model_validate(
            {"format": "x", "url": "https://x.example", "on": "replies"}
        )


def test_the_signature_is_what_the_reference_library_expects() -> None:
    """Oracle: the standardwebhooks package, which also wants a current time."""
    request = hook("webhook").request(event(text="Oui 👍"), int(time.time()))
    oracle = Oracle(FILES["webhook"]["options"]["secret"])
    assert oracle.verify(request.body, dict(request.headers))["data"]["text"] == "Oui 👍"


def test_without_a_secret_nothing_is_signed() -> None:
    """The receiver then has only the URL."""
    module = hooks.load("webhook")
    options = module.Options.model_validate({"format": "webhook", "url": "https://x.example"})
    assert "webhook-signature" not in module.build(options).request(event(), NOW_S).headers


@pytest.mark.parametrize(
    "secret", ["whsec_", "whsec_YWJj", "YS1rZXktZm9yLXRlc3RzLW9ubHktMjRi", "whsec_****", "whsec_é"]
)
def test_a_secret_that_is_none_is_told_at_start(secret: str) -> None:
    """Too short, not base64, or without its prefix."""
    with pytest.raises(BadOption):
        hook("webhook", secret=secret)


@settings(derandomize=True, max_examples=300, deadline=None)
@given(st.text(max_size=60))
def test_no_text_pings_links_or_formats_in_mattermost(text: str) -> None:
    """Every mark has its backslash, every @ its zero-width space, and no tag or Slack escape is left."""
    shown = harmless(text)
    assert shown.count("@") == shown.count("@\u200b")
    assert "://" not in shown
    assert not {"<", ">", "\n"} & set(shown)
    plain = shown.replace("\\\\", "")
    for mark in "`*_[]()#!|~$":
        assert plain.count(mark) == plain.count(f"\\{mark}")
    shown.encode()  # no half surrogate pairs


@settings(derandomize=True, max_examples=200, deadline=None)
@given(st.text(max_size=200), st.sampled_from(sorted(FILES)))
def test_every_text_can_be_posted(text: str, format_name: str) -> None:
    """The body is JSON whatever the phone sent."""
    json.loads(hook(format_name).request(event(text=text), NOW_S).body)
