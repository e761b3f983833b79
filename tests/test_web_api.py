"""The REST API over a real socket: what it takes, what it answers, and how it says no."""

from __future__ import annotations

import asyncio
import io
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from mail2sms import accept, destinations
from mail2sms.rules._base import Policy
from mail2sms.web import api, bodies
from tests import fakes
from tests.web_fakes import BOTH, MARIE, READER, SENDER, World, until, world

MESSAGES = "/api/v1/messages"
PHONE = "+33639981234"
TEXT = {"to": PHONE, "text": "Bonjour"}
IN_AN_HOUR = (datetime.now(UTC) + timedelta(hours=1)).isoformat(timespec="seconds")


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module")
async def here(tmp_path: Path) -> AsyncIterator[World]:
    """A served bridge."""
    async with world(tmp_path) as served:
        yield served


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def quiet(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A served bridge that nothing is sent through, for many tests."""
    async with world(tmp_path_factory.mktemp("quiet")) as served:
        yield served


async def post(here: World, body: object, key: str = BOTH, **headers: str) -> tuple[int, dict[str, Any]]:
    """POST a message; return the status and the JSON."""
    async with here.http.post(MESSAGES, json=body, headers={**here.keyed(key), **headers}) as answer:
        return answer.status, await answer.json(content_type=None)


async def get(here: World, path: str, key: str = BOTH, **query: str) -> tuple[int, dict[str, Any]]:
    """GET a path; return the status and the JSON."""
    async with here.http.get(path, params=query, headers=here.keyed(key)) as answer:
        return answer.status, await answer.json(content_type=None)


async def test_a_message_is_accepted_sent_and_told(here: World) -> None:
    """202 with ids; then the message and its events, until it is delivered."""
    status, accepted = await post(here, {**TEXT, "reference": "appt-881"})
    assert status == 202
    assert accepted["items"][0]["id"] == accepted["id"]
    assert {key: accepted[key] for key in ("to", "status", "parts", "cost", "sender_id", "reference")} == {
        "to": PHONE,
        "status": "queued",
        "parts": 1,
        "cost": "0.045 EUR",
        "sender_id": "+33639980000",
        "reference": "appt-881",
    }

    async def delivered() -> dict[str, Any] | None:
        _, message = await get(here, f"{MESSAGES}/{accepted['id']}")
        return message if message["status"] == "delivered" else None

    message = await until(delivered)
    statuses = [event["status"] for event in message["events"]]
    assert (statuses[0], statuses[-1]) == ("queued", "delivered")
    assert message["text"] == "Bonjour"
    assert message["cost"] == (await get(here, MESSAGES))[1]["items"][0]["cost"] == "0.045 EUR"
    assert message["submission"] == accepted["submission"]
    assert message["writer"] == "key both"
    assert datetime.fromisoformat(message["created_at"]).tzinfo == UTC


@pytest.mark.parametrize(
    ("body", "status", "reason", "field"),
    [
        ({"text": "x"}, 400, "request.invalid", "to"),
        ({"to": [], "text": "x"}, 400, "request.invalid", "to"),
        ({"to": PHONE}, 400, "request.invalid", "text"),
        ({"to": 33639981234, "text": "x"}, 400, "request.invalid", "to[0]"),
        ({**TEXT, "sender": "ACME"}, 400, "request.invalid", "sender"),
        ({**TEXT, "text": "x" * 10_001}, 400, "request.invalid", "text"),
        ({**TEXT, "at": "2026-05-12T08:30"}, 400, "request.invalid", "at"),
        ({**TEXT, "at": "tomorrow"}, 400, "request.invalid", "at"),
        ({**TEXT, "at": "9999-12-31T23:59-23:59"}, 422, "template.far_time", None),
        ({**TEXT, "at": "0001-01-01T00:00+23:59"}, 422, "template.past_time", None),
        ({**TEXT, "at": "2020-01-01T00:00Z"}, 422, "template.past_time", None),
        ({**TEXT, "at": "2200-01-01T00:00Z"}, 422, "template.far_time", None),
        ({**TEXT, "validity": "2"}, 400, "request.invalid", "validity"),
        ({**TEXT, "validity": "0s"}, 400, "request.invalid", "validity"),
        ({**TEXT, "reference": "a" * 65}, 400, "request.invalid", "reference"),
        ({**TEXT, "reference": "a\nb"}, 400, "request.invalid", "reference"),
        ({**TEXT, "reply_to": "desk"}, 400, "request.invalid", "reply_to"),
        ({**TEXT, "as": MARIE.address}, 403, "request.forbidden", "as"),
        ({"to": "0123", "text": "x"}, 422, "number.invalid", None),
        ({"to": "+33142685300", "text": "x"}, 422, "number.not_mobile", None),
        ({"to": "+447700900123", "text": "x"}, 422, "country.not_allowed", None),
        ({"to": [PHONE] * 6, "text": "x"}, 422, "recipients.too_many", None),
        ({**TEXT, "text": " \n"}, 422, "text.empty", None),
        ({**TEXT, "text": "a\0b"}, 422, "text.unsendable", None),
        ({**TEXT, "text": "a" * 700}, 422, "text.too_long", None),
        ({**TEXT, "from": "+33639980199"}, 422, "sender_id.not_yours", None),
        ({**TEXT, "sender_id": "Way too long a name"}, 422, "template.bad_sender_id", None),
        ([], 400, "request.invalid", None),
        ("x", 400, "request.invalid", None),
    ],
)
async def test_what_is_wrong_is_told_and_nothing_is_stored(
    quiet: World, body: object, status: int, reason: str, field: str | None
) -> None:
    """Each answer has the reason's code, a sentence and, where there is one, the field."""
    found, problem = await post(quiet, body)
    assert (found, problem["type"], problem.get("field")) == (status, reason, field)
    assert problem["status"] == status
    assert problem["title"]
    assert problem.get("detail")
    assert problem["title"].strip(".") != problem["detail"].strip(".")
    assert "line 0" not in json.dumps(problem)
    assert (await get(quiet, MESSAGES))[1]["items"] == []


async def test_all_problems_come_together(quiet: World) -> None:
    """Two wrong fields are two problems, and a misspelt one has its right name as a hint."""
    _, problem = await post(quiet, {"to": PHONE, "tekst": "x", "sender": "y"})
    assert [one["field"] for one in problem["problems"]] == ["text", "tekst", "sender"]
    assert [one.get("hint") for one in problem["problems"]] == [None, "text", "sender_id"]


async def test_one_bad_recipient_stops_nobody_else(here: World) -> None:
    """Those that can be written to are; the others are named with their reasons."""
    status, accepted = await post(here, {"to": [PHONE, "0123", "+447700900123", PHONE], "text": "x"})
    assert status == 202
    assert [item["to"] for item in accepted["items"]] == [PHONE]
    assert [(one["to"], one["type"]) for one in accepted["refused"]] == [
        ("0123", "number.invalid"),
        ("+447700900123", "country.not_allowed"),
    ]


async def test_the_same_key_again_gets_the_first_answer(here: World) -> None:
    """Even at the same time, and after it was delivered; another key, or client, is another message."""
    body = {"to": [PHONE, "+33639985678", "0123"], "text": "Une fois"}
    answers = await asyncio.gather(*(post(here, body, **{"Idempotency-Key": "k-1"}) for _ in range(5)))
    assert len(set(map(str, answers))) == 1
    status, first = answers[0]
    assert (status, len(first["items"]), len(first["refused"])) == (202, 2, 1)

    async def delivered() -> bool:
        return bool((await get(here, f"{MESSAGES}/{first['id']}"))[1]["status"] == "delivered")

    await until(delivered)
    same = {"text": "Une fois", "to": body["to"]}  # written in another order
    assert await post(here, same, **{"Idempotency-Key": "k-1"}) == (202, first)
    for other in ({"Idempotency-Key": "k-2"}, {"key": SENDER, "Idempotency-Key": "k-1"}):
        assert (await post(here, body, **other))[1]["id"] != first["id"]
    assert len((await get(here, MESSAGES))[1]["items"]) == 6
    assert (await post(here, body, **{"Idempotency-Key": "k" * 256}))[0] == 400


@pytest.mark.parametrize(
    "change", [{"text": "Deux fois"}, {"to": PHONE}, {"reference": "r-1"}, {"at": IN_AN_HOUR}]
)
async def test_the_same_key_with_another_body_is_refused(here: World, change: dict[str, str]) -> None:
    """draft-ietf-httpapi-idempotency-key-header-06 section 2.7; the first use is named, and nothing is sent."""
    body = {"to": [PHONE, "+33639985678"], "text": "Une fois"}
    _, first = await post(here, body, **{"Idempotency-Key": "k-1"})
    status, told = await post(here, {**body, **change}, **{"Idempotency-Key": "k-1"})
    assert (status, told["type"], told["field"], told["value"]) == (
        422,
        "request.key_reused",
        "Idempotency-Key",
        first["id"],
    )
    assert f"for {first['id']}; a new request needs a new key" in told["detail"]
    assert len((await get(here, MESSAGES))[1]["items"]) == 2
    assert await post(here, body, **{"Idempotency-Key": "k-1"}) == (202, first)


async def test_of_two_bodies_at_once_under_one_key_one_is_carried_out(here: World) -> None:
    """The others hear which."""
    bodies = [{"to": PHONE, "text": f"{number}"} for number in range(6)]
    answers = await asyncio.gather(*(post(here, body, **{"Idempotency-Key": "k-1"}) for body in bodies))
    (accepted,) = [told for status, told in answers if status == 202]
    assert {told["value"] for status, told in answers if status == 422} == {accepted["id"]}
    assert [item["id"] for item in (await get(here, MESSAGES))[1]["items"]] == [accepted["id"]]


async def test_a_key_whose_body_was_refused_is_still_free(here: World) -> None:
    """Nothing was done under it; so is one of a dry run."""
    key = {"Idempotency-Key": "k-1"}
    assert (await post(here, {"to": "0123", "text": "x"}, **key))[0] == 422
    async with here.http.post(
        MESSAGES, params={"dry_run": "1"}, json={**TEXT, "text": "y"}, headers={**here.keyed(), **key}
    ) as answer:
        assert answer.status == 200
    assert (await post(here, TEXT, **key))[0] == 202


async def test_the_same_key_again_after_its_time(here: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was accepted, and is not refused since; a new one is."""
    body = {"to": [PHONE, "+33639985678"], "text": "Plus tard", "at": IN_AN_HOUR}
    _, first = await post(here, body, **{"Idempotency-Key": "k-1"})
    later = int(time.time() * 1000) + 2 * 3_600_000
    monkeypatch.setattr(api, "now_ms", lambda: later)
    monkeypatch.setattr(accept, "now_ms", lambda: later)
    assert await post(here, body, **{"Idempotency-Key": "k-1"}) == (202, first)
    status, told = await post(here, {**body, "text": "x"}, **{"Idempotency-Key": "k-1"})
    assert (status, told["type"]) == (422, "request.key_reused")
    for other in ({"Idempotency-Key": "k-2"}, {}):
        status, told = await post(here, body, **other)
        assert (status, told["type"]) == (422, "template.past_time")


async def test_a_dry_run_stores_nothing(quiet: World) -> None:
    """It says what would be billed, without an id; a refusal is the same refusal."""
    async with quiet.http.post(
        MESSAGES, params={"dry_run": "1"}, json={**TEXT, "text": "é" * 161}, headers=quiet.keyed()
    ) as answer:
        would = await answer.json()
    assert (answer.status, would["parts"], would["id"], would["encoding"]) == (200, 2, None, "gsm7")
    assert would["cost"] == would["items"][0]["cost"] == "0.09 EUR"
    assert (would["status"], would["is_dry_run"]) == (None, True)
    assert (await get(quiet, MESSAGES))[1]["items"] == []
    async with quiet.http.post(
        MESSAGES, params={"dry_run": "1"}, json={**TEXT, "to": "0123"}, headers=quiet.keyed()
    ) as answer:
        assert answer.status == 422


async def test_later_and_cancelled(here: World) -> None:
    """`at` and `validity` set the times; what waits is in the queue and can be cancelled, once sent it can't."""
    _, accepted = await post(here, {**TEXT, "at": IN_AN_HOUR, "validity": "30m"})
    due = datetime.fromisoformat(accepted["due_at"])
    assert due == datetime.fromisoformat(IN_AN_HOUR)
    assert datetime.fromisoformat(accepted["expires_at"]) - due == timedelta(minutes=30)
    assert [item["id"] for item in (await get(here, "/api/v1/queue"))[1]["items"]] == [accepted["id"]]
    cancel = f"{MESSAGES}/{accepted['id']}/cancel"
    for _ in range(2):
        async with here.http.post(cancel, headers=here.keyed()) as answer:
            assert (answer.status, (await answer.json())["status"]) == (200, "cancelled")
    assert (await get(here, f"{MESSAGES}/{accepted['id']}"))[1]["cost"] == "0 EUR"
    async with here.http.post(f"{MESSAGES}/m-1/cancel", headers=here.keyed()) as answer:
        assert answer.status == 404
    _, sent = await post(here, TEXT)

    async def gone() -> bool:
        return bool((await get(here, f"{MESSAGES}/{sent['id']}"))[1]["status"] == "delivered")

    await until(gone)
    async with here.http.post(f"{MESSAGES}/{sent['id']}/cancel", headers=here.keyed()) as answer:
        assert answer.status == 409


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, 3),
        ({"to": "06 39 98 12 34"}, 2),
        ({"to": "33639981234"}, 2),
        ({"to": " 33639981234"}, 2),  # a + that was not encoded
        ({"to": PHONE, "limit": "1"}, 1),
        ({"status": "queued"}, 3),
        ({"status": "delivered"}, 0),
        ({"since": "2020-01-01"}, 3),
        ({"since": "2020-01-01T00:00:00+02:00"}, 3),
        ({"since": str(int(time.time()) - 60)}, 3),
        ({"since": str(int(time.time()) + 86_400)}, 0),
        ({"since": str(int(time.time() * 1000) + 86_400_000)}, 0),
        ({"submission": "m-nothing"}, 0),
    ],
)
async def test_searching(here: World, query: dict[str, str], found: int) -> None:
    """All that is given must hold."""
    for to in (PHONE, PHONE, "+33639985678"):
        await post(here, {"to": to, "text": "x", "at": IN_AN_HOUR})
    status, answer = await get(here, MESSAGES, **query)
    assert (status, len(answer["items"])) == (200, found)


async def test_pages_meet(here: World) -> None:
    """`next` of one page is `before` of the following."""
    for _ in range(3):
        await post(here, TEXT)
    _, first = await get(here, MESSAGES, limit="2")
    _, second = await get(here, MESSAGES, limit="2", before=first["next"])
    assert len({item["id"] for item in first["items"] + second["items"]}) == 3
    assert second["next"] is None


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"to": "x"}, "to"),
        ({"status": "sent"}, "status"),
        ({"since": "yesterday"}, "since"),
        ({"since": "9" * 15}, None),
        ({"until": "tomorrow"}, "until"),
        ({"from": "a" * 321}, "from"),
        ({"limit": "0"}, "limit"),
        ({"limit": "1001"}, "limit"),
        ({"limit": "x"}, "limit"),
    ],
)
async def test_bad_queries_name_the_field(quiet: World, query: dict[str, str], field: str | None) -> None:
    """400, never a database's complaint."""
    status, problem = await get(quiet, MESSAGES, **query)
    assert status == (400 if field else 200)
    assert problem.get("field") == field


async def test_rights(here: World) -> None:
    """A key that may only read can't send, and the other way round; no key is 401."""
    assert (await post(here, TEXT, READER))[0] == 403
    assert (await get(here, MESSAGES, SENDER))[0] == 403
    assert (await get(here, MESSAGES, READER))[0] == 200
    status, accepted = await post(here, TEXT, SENDER)
    assert (status, accepted["sender_id"]) == (202, "ACME Shop")  # the configuration says so for this key
    for headers in ({}, {"Authorization": "Bearer nothing"}, {"Authorization": f"Basic {BOTH}"}):
        async with here.http.get(MESSAGES, headers=headers) as answer:
            assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
            assert answer.content_type == "application/problem+json"


async def test_the_operator_writes_as_a_user(here: World) -> None:
    """Over the control socket no key is needed, and `as` names whose message it is."""
    assert here.socket.stat().st_mode & 0o777 == 0o600
    async with here.control.post(MESSAGES, json={**TEXT, "as": MARIE.address.upper()}) as answer:
        accepted = await answer.json()
        assert (answer.status, accepted["sender_id"]) == (202, MARIE.number)
    async with here.control.get(f"{MESSAGES}/{accepted['id']}") as answer:
        assert (await answer.json())["writer"] == MARIE.address
    async with here.control.post(MESSAGES, json={**TEXT, "as": "nobody@acme.example"}) as answer:
        assert (answer.status, (await answer.json())["field"]) == (400, "as")


async def test_when_the_database_is_gone(here: World) -> None:
    """503 and when to come again; nothing about why."""
    await here.context.store._write.close()
    async with here.http.post(MESSAGES, json=TEXT, headers=here.keyed()) as answer:
        problem = await answer.json(content_type=None)
        assert (answer.status, problem["type"]) == (503, "system.database")
        assert answer.headers["Retry-After"] == "5"


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{", "application/json", 400),
        (b"[" * 200_000, "application/json", 400),
        (b'{"to": ' + b"9" * 5000 + b"}", "application/json", 400),
        (b'{"to": "\\ud800", "text": "\\ud800"}', "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (json.dumps(TEXT).encode(), "text/plain", 400),
        (b" " * 300_000, "application/json", 413),
        (b'{"to": [' + b'"x",' * 60_000 + b'"x"], "text": "x"}', "application/json", 400),
        (b'{"to": [' + b'"x",' * 1_900_000 + b'"x"], "text": "x"}', "application/json", 413),
        (b"[" * 7_900_000, "application/json", 413),
        (b'{"to": "x", "text": "' + b"x" * 7_900_000 + b'"}', "application/json", 400),
        (b"1" * 7_900_000, "application/json", 400),
    ],
)
async def test_hostile_bodies(quiet: World, body: bytes, content_type: str, status: int) -> None:
    """They are refused as problems, at little cost."""
    before_s = time.process_time()
    headers = {**quiet.keyed(), "Content-Type": content_type}
    async with quiet.http.post(MESSAGES, data=io.BytesIO(body), headers=headers) as answer:
        assert answer.status == status
        assert answer.content_type == "application/problem+json"
    assert time.process_time() - before_s < 1


async def test_what_is_not_there(quiet: World) -> None:
    """Unknown paths, ids and methods are problems too."""
    for path, status in (("/nothing", 404), (f"{MESSAGES}/m-0", 404), ("/docs", 404), ("/demo", 404)):
        found, problem = await get(quiet, path)
        assert (found, problem["type"]) == (status, "request.not_found")
    async with quiet.http.delete(MESSAGES, headers=quiet.keyed()) as answer:
        assert answer.status == 405


async def test_openapi_describes_the_routes(quiet: World) -> None:
    """Version 3.1, without a key, with the key's scheme and our problems."""
    async with quiet.http.get("/api/v1/openapi.json") as answer:
        described = await answer.json()
    assert described["openapi"].startswith("3.1")
    assert set(described["paths"]) == {
        MESSAGES,
        f"{MESSAGES}/{{id}}",
        f"{MESSAGES}/{{id}}/cancel",
        "/api/v1/queue",
        "/api/v1/queue/{wish}",
        "/api/v1/notices",
        "/api/v1/notices/{id}",
        "/api/v1/events",
        "/api/v1/optouts",
        "/api/v1/optouts/forget",
        "/api/v1/optouts/lookup",
        "/api/v1/optouts/remove",
        "/api/v1/health",
        "/api/v1/reload",
        "/api/v1/approvals",
        "/api/v1/quotas",
        "/api/v1/known",
        "/api/v1/approvals/{id}/{word}",
        "/api/v1/sending",
        "/api/v1/sending/stop",
        "/api/v1/sending/resume",
    }
    cost = described["components"]["schemas"]["Message"]["properties"]["cost"]
    assert (cost["anyOf"], cost["examples"]) == ([{"type": "string"}, {"type": "null"}], ["0.045 EUR"])
    for status in ("4XX", "422"):
        refused = described["paths"][MESSAGES]["post"]["responses"][status]["content"]
        assert list(refused) == ["application/problem+json"]
    assert "422" not in described["paths"][MESSAGES]["get"]["responses"]
    (key,) = [p for p in described["paths"][MESSAGES]["post"]["parameters"] if p["in"] == "header"]
    assert "first answer again" in key["description"]
    assert described["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"


async def test_snags_of_sender_ids_are_told_once_for_each_country() -> None:
    """Though the message goes out: what a program may want to show its people."""
    policy = Policy(destinations=destinations.shipped())
    belgian = fakes.mt(sender_id="ACME", region="BE")
    told = bodies.warned([belgian, belgian, fakes.mt()], policy)
    assert [(one.code, one.country) for one in told] == [("no_answer", "BE"), ("replaced", "BE")]
