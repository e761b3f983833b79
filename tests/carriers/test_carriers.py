"""Every carrier against its cases: a carrier is one module and one case file, and this runs them."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from structlog.testing import capture_logs

from mail2sms import carriers
from mail2sms.carriers._base import Call, CarrierEvent
from mail2sms.carriers._http import HttpCarrier
from mail2sms.errors import Misconfigured, OptedOut, Refused, SendFailed, Unavailable, Uncertain, Unsuited
from mail2sms.heard import Sent
from mail2sms.http import Answer, Http, NoAnswer
from mail2sms.model import Media, Msisdn, SenderId, Taken
from tests.carriers.cases import FILES, NOW_S, brief, call, carrier, http_types, part, provider

KINDS = {
    "taken": Taken,
    "unavailable": Unavailable,
    "unsuited": Unsuited,
    "misconfigured": Misconfigured,
    "refused": Refused,
    "opted_out": OptedOut,
    "uncertain": Uncertain,
}
CLASSES = {"permanent": Refused, "optout": OptedOut, "throttle": Unavailable, "retry": Unavailable}
HTTP = http_types()


def rows(kind: str) -> list[Any]:
    """Return the cases of this kind of all carriers."""
    return [
        pytest.param(name, case, id=f"{name}: {case['name']}")
        for name, file in FILES.items()
        for case in file.get(kind, [])
    ]


def test_every_carrier_has_a_case_file_and_every_case_file_a_carrier() -> None:
    """Adding a carrier is these two files and nothing else."""
    assert set(FILES) == set(carriers.types())


@pytest.mark.parametrize(("type_name", "case"), rows("sends"))
async def test_sending(tmp_path: Path, type_name: str, case: dict[str, Any]) -> None:
    """One part in, one outcome out."""
    under_test = carrier(type_name, tmp_path)

    async def record(_: object) -> None:
        """Forget."""

    await under_test.start(record)
    outcome: Taken | SendFailed
    try:
        outcome = await under_test.send(part(msisdn=case["to"], attempt=case.get("attempt", 1)))
    except SendFailed as failure:
        outcome = failure
    await under_test.stop()
    check(outcome, case)


def check(outcome: Taken | SendFailed, case: dict[str, Any]) -> None:
    """Compare with what the case says of it."""
    assert type(outcome) is KINDS[case["outcome"]], outcome
    for name in ("code", "retry_after_s", "same_carrier"):
        if name in case:
            assert getattr(outcome, name) == case[name]
    if "detail" in case:  # what the operator sees
        assert isinstance(outcome, SendFailed)
        assert outcome.detail.partition(": code ")[2] == case["detail"]


@pytest.mark.parametrize("type_name", HTTP)
def test_what_is_asked(tmp_path: Path, type_name: str) -> None:
    """One request for a message, as the provider's documents have it."""
    wanted = FILES[type_name]["request"]
    made = provider(type_name, tmp_path).request(part(), NOW_S)
    assert (made.method, made.url) == (wanted.get("method", "POST"), wanted["url"])
    assert {name: made.headers[name] for name in wanted.get("headers", {})} == wanted.get("headers", {})
    assert made.body is not None
    if "json" in wanted:
        assert json.loads(made.body) == wanted["json"]
    else:
        assert dict(parse_qsl(made.body.decode(), strict_parsing=True)) == wanted["form"]


@pytest.mark.parametrize("type_name", [name for name in HTTP if "balance" in FILES[name]])
async def test_what_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, type_name: str) -> None:
    """It is asked for without a secret in the URL; an answer that tells it not, or not so, is none."""
    case, asked = FILES[type_name]["balance"], []
    answers = [Answer(status=200, body=body) for body in (case["body"].encode(), b"{}", b"[1]", b"x")]
    answers += [Answer(status=status, body=case["body"].encode()) for status in (401, 500)]

    async def answer(_: Http, method: str, url: str, **rest: Any) -> Answer:
        asked.append((method, url))
        return answers[len(asked) - 1]

    monkeypatch.setattr(Http, "request", answer)
    under_test = provider(type_name, tmp_path)
    assert str(await under_test.balance()) == case["left"]
    for _ in answers[1:]:
        with pytest.raises(Unavailable):
            await under_test.balance()
    assert {method for method, _ in asked} == {"GET"}
    assert all("synthetic" not in url and "Secret" not in url for _, url in asked)
    assert asked[0][1] == case.get("url", asked[0][1])


def test_who_tells_what_is_left_says_so() -> None:
    """What `check` takes is what the carrier can do, and each that can has a case."""
    told = {name for name in HTTP if getattr(carriers.load(name).Options, "balance_in", None) is not None}
    assert told == {name for name in HTTP if "balance" in FILES[name]}


ASKED = [name for name in HTTP if "asked" in FILES[name]]


def test_who_can_be_asked_says_so() -> None:
    """What `check` takes is what the carrier can do, and each that can has cases."""
    able = [name for name in HTTP if getattr(carriers.load(name).Options, "is_asked", False)]
    assert able == ASKED


@pytest.mark.parametrize("type_name", ASKED)
async def test_what_became_of_a_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, type_name: str
) -> None:
    """Asked by its id: each status has its meaning; what says nothing, is nothing or is not known tells nothing."""
    case, id_ = FILES[type_name]["asked"], FILES[type_name]["taken"]["ids"][0]
    asked, heard, answers = [], [], []

    async def answer(_: Http, method: str, url: str, **rest: Any) -> Answer:
        asked.append((method, url))
        return answers[len(asked) - 1]

    async def record(event: CarrierEvent) -> None:
        heard.append(brief(event))

    monkeypatch.setattr(Http, "request", answer)
    under_test = provider(type_name, tmp_path, query="5m")
    assert under_test.asks_after_ms == 300_000
    await under_test.start(record)
    sent = Sent("under-test", id_, Msisdn("+33639981234"), SenderId("+33639980101"))
    bodies = [case["body"].replace("ID", id_).replace("STATUS", str(said)) for said in case["found"]]
    answers += [Answer(status=200, body=body.encode()) for body in bodies]
    nothing = [b"", b"{}", b"[]", b"null", b"x", b'{"data":[]}', b'{"messages":[]}', b'{"results":[]}']
    answers += [Answer(status=200, body=body) for body in nothing]
    answers += [Answer(status=status, body=bodies[0].encode()) for status in (400, 404, 410)]
    for _ in answers:
        await under_test.ask(sent)
    wanted = [became for became in case["found"].values() if became]
    assert [(told["id"], told["status"]) for told in heard] == [(id_, became) for became in wanted]
    assert set(asked) == {("GET", case["url"])}


@pytest.mark.parametrize("type_name", ASKED)
@pytest.mark.parametrize("status", [302, 401, 429, 500])
async def test_no_answer_about_a_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, type_name: str, status: int
) -> None:
    """Nobody asks on at once."""

    async def answer(_: Http, method: str, url: str, **rest: Any) -> Answer:
        if status == 500:
            raise NoAnswer("hung up")
        return Answer(status=status, body=b"{}", headers={"retry-after": "7"})

    async def record(event: CarrierEvent) -> None:
        pytest.fail("nothing was told")

    monkeypatch.setattr(Http, "request", answer)
    under_test = provider(type_name, tmp_path)
    await under_test.start(record)
    with pytest.raises(Unavailable):
        await under_test.ask(Sent("under-test", "an/odd?id", Msisdn("+33639981234"), SenderId("ACME")))


WITH_MMS = [name for name in HTTP if "mms" in FILES[name]]


def test_who_takes_mms_has_cases_of_it() -> None:
    """An ability without a case would be a promise alone."""
    able = [name for name in HTTP if FILES[name] and _class(name).abilities.mms is not None]
    assert able == WITH_MMS


def _class(type_name: str) -> type[HttpCarrier]:
    module = carriers.load(type_name)
    (found,) = (
        each
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, HttpCarrier) and each.__module__ == module.__name__
    )
    return found


PICTURES = tuple(
    Media(url=f"https://sms.acme.example/p/ID/TOKEN/{number}.jpg", media_type="image/jpeg")
    for number in (1, 2)
)


@pytest.mark.parametrize("type_name", WITH_MMS)
def test_what_an_mms_asks(tmp_path: Path, type_name: str) -> None:
    """As many pictures as it takes, at most two here; and its answer names the message as that of an SMS does."""
    wanted = FILES[type_name]["mms"]
    carrier = provider(type_name, tmp_path)
    mms = carrier.abilities.mms
    assert mms is not None
    made = carrier.request(part(media=PICTURES[: mms.most]), NOW_S)
    assert made.url == wanted["url"]
    assert made.body is not None
    if "json" in wanted:
        assert json.loads(made.body) == wanted["json"]
    else:
        assert parse_qsl(made.body.decode(), strict_parsing=True) == [tuple(pair) for pair in wanted["form"]]
    if "taken" in wanted:
        taken = judge(type_name, tmp_path, wanted["taken"])
        assert isinstance(taken, Taken)
        assert taken.carrier_message_id == wanted["taken"]["id"]


@pytest.mark.parametrize("type_name", HTTP)
def test_secrets_and_texts_are_not_shown(tmp_path: Path, type_name: str) -> None:
    """What is logged by accident holds neither."""
    shown = repr(provider(type_name, tmp_path).request(part(), NOW_S))
    assert "synthetic" not in shown
    assert "33639981234" not in shown


def judge(type_name: str, folder: Path, case: dict[str, Any]) -> Taken | SendFailed:
    """Return what an answer means."""
    answer = Answer(status=case["status"], body=case["body"].encode(), headers=case.get("headers", {}))
    try:
        return provider(type_name, folder).accepted(answer)
    except SendFailed as failure:
        return failure


@pytest.mark.parametrize("type_name", HTTP)
def test_an_answer_that_it_was_taken(tmp_path: Path, type_name: str) -> None:
    """The ids, one for each segment where the provider gives so many."""
    taken = judge(type_name, tmp_path, FILES[type_name]["taken"])
    assert isinstance(taken, Taken)
    assert [taken.carrier_message_id, *taken.others] == FILES[type_name]["taken"]["ids"]


@pytest.mark.parametrize("type_name", HTTP)
def test_half_an_answer_is_a_doubt(tmp_path: Path, type_name: str) -> None:
    """Wherever it is cut, but for what follows the JSON; and an answer without an id."""
    whole = FILES[type_name]["taken"]
    for end in range(len(whole["body"])):
        assert isinstance(judge(type_name, tmp_path, {**whole, "body": whole["body"][:end]}), Uncertain), end
    for body in (
        "",
        "null",
        "{}",
        "[]",
        '"x"',
        "<html>",
        '{"id": {}}',
        '{"sid": ["x"]}',
        "[" * 60_000,
        "1e999",
    ):
        outcome = judge(type_name, tmp_path, {**whole, "body": body})
        assert isinstance(outcome, Uncertain), body


@pytest.mark.parametrize(
    ("type_name", "body"),
    [
        ("http", {"error": {"code": "WORD"}}),
        ("twilio", {"sid": "SM1", "error_code": "WORD"}),
        ("clicksend", {"data": {"messages": [{"message_id": "B1", "status": "WORD"}]}}),
    ],
)
def test_of_an_unknown_code_a_doubt_shows_what_a_line_holds(
    tmp_path: Path, type_name: str, body: dict[str, Any]
) -> None:
    """And nothing that a terminal or a page would take for more than letters; and nothing else of the answer."""
    said = json.dumps({**body, "text": "a secret"}).replace("WORD", "E\\u001b[2J\\n\\u0000" + "9" * 5000)
    outcome = judge(type_name, tmp_path, {"status": 200, "body": said})
    assert isinstance(outcome, Uncertain)
    shown = outcome.detail.partition(": code ")[2]
    assert shown == "E[2J" + "9" * 36
    assert "secret" not in str(outcome)


@pytest.mark.parametrize("type_name", HTTP)
@pytest.mark.parametrize(
    ("status", "headers", "outcome"),
    [
        (500, {}, Uncertain),
        (502, {}, Uncertain),
        (504, {}, Uncertain),
        (503, {}, Uncertain),
        (503, {"retry-after": "5"}, Unavailable),
        (302, {"location": "https://elsewhere.example"}, Uncertain),
        (429, {"retry-after": "9"}, Unavailable),
        (408, {}, Unavailable),
        (401, {}, Misconfigured),
        (404, {}, Misconfigured),
    ],
)
def test_a_page_in_the_place_of_an_answer(
    tmp_path: Path, type_name: str, status: int, headers: dict[str, str], outcome: type[SendFailed]
) -> None:
    """A proxy's page leaves it open, unless its status says clearly that nothing was taken."""
    found = judge(type_name, tmp_path, {"status": status, "headers": headers, "body": "<html><h1>x</h1>"})
    assert type(found) is outcome
    if "retry-after" in headers and isinstance(found, Unavailable):
        assert found.retry_after_s == int(headers["retry-after"])


@pytest.mark.parametrize(("type_name", "case"), rows("answers"))
def test_answers(tmp_path: Path, type_name: str, case: dict[str, Any]) -> None:
    """What each kind of answer means."""
    check(judge(type_name, tmp_path, case), case)


def _codes() -> list[Any]:
    text = (resources.files("mail2sms") / "data" / "provider_errors.csv").read_text(encoding="utf-8")
    table = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return [pytest.param(row, id=f"{row['provider']} {row['stage']} {row['code']}") for row in table]


@pytest.mark.parametrize("row", _codes())
def test_every_code_has_its_class(tmp_path: Path, row: dict[str, str]) -> None:
    """As the table says: in answers, where the provider has codes in them; each row has a source and a meaning."""
    assert row["class"] in {"permanent", "config", "optout", "spend", "throttle", "retry"}
    assert row["scope"] in {"account", "message"}
    assert row["meaning"]
    assert row["source"]
    file = FILES[row["provider"]]
    if row["stage"] == "dlr" or "error" not in file or row["code"].startswith("HTTP-"):
        return
    error = {**file["error"], "body": file["error"]["body"].replace("CODE", row["code"])}
    found = judge(row["provider"], tmp_path, error)
    default = Misconfigured if row["scope"] == "account" else Unsuited
    assert type(found) is CLASSES.get(row["class"], default)
    assert isinstance(found, SendFailed)
    assert found.code == row["code"]
    assert found.same_carrier == (row["class"] == "throttle")


@pytest.mark.parametrize(("type_name", "case"), rows("calls"))
async def test_what_webhooks_tell(tmp_path: Path, type_name: str, case: dict[str, Any]) -> None:
    """One request in, its events out; the same one without its proof is refused."""
    found = [brief(event) for event in provider(type_name, tmp_path).events(call(type_name, case))]
    assert found == [{**{k: v for k, v in e.items() if k != "code"}, **_code(e)} for e in case["events"]]
    with pytest.raises(PermissionError):
        await provider(type_name, tmp_path).receive(call(type_name, case, is_proven=False))


@pytest.mark.parametrize(
    ("type_name", "bad"),
    [
        ("infobip", {"messageId": None, "status": {"groupId": 3}}),
        ("infobip", {"from": "447700900013", "text": "synthetic-text"}),
        ("bandwidth", {"type": "message-delivered", "message": {}}),
        ("bandwidth", {"type": "message-received", "message": {"id": 1, "text": "synthetic-text"}}),
    ],
)
def test_what_cannot_be_read_keeps_nothing_back(tmp_path: Path, type_name: str, bad: dict[str, Any]) -> None:
    """It is counted in the log, without its words; a batch of nothing else is refused, that it may come again."""
    under_test = provider(type_name, tmp_path)
    silent = {"results": 1, "type": "message-read"}  # what may be read and says nothing
    for items, count in (([bad, silent, bad], 2), ([silent, bad], 1), ([silent], 0), ([], 0)):
        with capture_logs() as logged:
            assert under_test.events(batch(type_name, items)) == ()
        assert [(line["event"], line["count"]) for line in logged] == [("webhook_unread", count)] * bool(
            count
        )
        assert "synthetic-text" not in str(logged)
    for items in ([bad], [bad, bad]):
        with pytest.raises(ValueError, match="batch"):
            under_test.events(batch(type_name, items))


def batch(type_name: str, items: list[Any]) -> Call:
    """Return these events in one request."""
    return call(type_name, {"json": {"results": items} if type_name == "infobip" else items})


def _code(event: dict[str, Any]) -> dict[str, str]:
    return {"code": str(event["code"])} if event.get("code") else {}


def _receipts() -> list[Any]:
    return [
        pytest.param(name, str(status), wanted, id=f"{name}: {status}")
        for name, file in FILES.items()
        for status, wanted in file.get("receipts", {}).get("statuses", {}).items()
    ]


@pytest.mark.parametrize(("type_name", "status", "wanted"), _receipts())
def test_every_status_of_a_receipt(tmp_path: Path, type_name: str, status: str, wanted: str | None) -> None:
    """Each has its meaning here; those that say nothing move nothing."""
    receipts = FILES[type_name]["receipts"]
    case = {k: _filled(v, status) for k, v in receipts.items() if k in ("json", "form", "query", "body")}
    found = [brief(event) for event in provider(type_name, tmp_path).events(call(type_name, case))]
    assert [(event["id"], event["status"]) for event in found] == (
        [(receipts["id"], wanted)] if wanted else []
    )
    assert all(event.get("attempt", "a-1") == "a-1" for event in found)


def _filled(value: Any, status: str) -> Any:
    if isinstance(value, dict):
        return {name: _filled(each, status) for name, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, status) for each in value]
    return (int(status) if status.isdigit() and len(status) == 1 else status) if value == "STATUS" else value


@pytest.mark.parametrize("type_name", [name for name in HTTP if name != "wildix"])
def test_what_does_not_prove_itself(tmp_path: Path, type_name: str) -> None:
    """Another secret in the path, another place, another time, another body: each is refused."""
    case = FILES[type_name]["calls"][0]
    good = call(type_name, case)
    under_test = provider(type_name, tmp_path)
    assert under_test.events(good)
    is_timed = type_name in (
        "vonage",
        "vonage_messages",
        "telnyx",
        "sinch",
        "messagebird",
        "seven",
        "aws",
        "http",
    )
    wrong: list[Call] = [replace(good, secret="wrong")]
    if is_timed:
        wrong += [replace(good, at=good.at + 3 * 3_600_000), replace(good, at=good.at - 3_600_000)]
    if under_test.has_signature() and good.body:
        wrong.append(replace(good, body=good.body.replace(b"e", b"E", 1)))
        if good.headers:
            wrong.append(replace(good, headers={}))
    for each in wrong:
        with pytest.raises(PermissionError):
            under_test.events(each)
    fenced = {**(FILES[type_name]["options"].get("webhook") or {}), "networks": "198.51.100.0/24"}
    with pytest.raises(PermissionError):
        provider(type_name, tmp_path, webhook=fenced).events(good)
    assert provider(type_name, tmp_path, webhook={**fenced, "networks": "192.0.2.0/24"}).events(good)
