"""The operator's part of the API, over real sockets: wishes for many messages, the log of events, filters."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from mail2sms.accept import Accept
from mail2sms.alarm import Alarm, Storm
from mail2sms.cli.main import run
from mail2sms.clock import now_ms
from mail2sms.config.quotas import read_limit
from mail2sms.errors import Problem, Refusal
from mail2sms.model import Msisdn, Origin, Proof, Writer
from mail2sms.routing import Route
from mail2sms.rules._limits import Quotas
from tests.fakes import submission, writer
from tests.servers.daemon import minimal_config
from tests.web_fakes import MARIE, READER, SENDER, World, until, world

pytestmark = pytest.mark.asyncio(loop_scope="module")

MESSAGES, EVENTS = "/api/v1/messages", "/api/v1/events"
PHONE, OTHER = "+33639981234", "+33639985678"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def here(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A served bridge."""
    async with world(tmp_path_factory.mktemp("operate")) as served:
        yield served


async def ordered(here: World, **order: object) -> str:
    """Send tomorrow, as Marie; return the id."""
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    body = {"to": PHONE, "text": "Bonjour", "at": tomorrow, "as": MARIE.address, **order}
    wanted = {name: value for name, value in body.items() if value is not None}
    async with here.control.post(MESSAGES, json=wanted) as answer:
        assert answer.status == 202, await answer.text()
        return str((await answer.json())["id"])


async def wish(here: World, word: str, *ids: str, **more: bool) -> list[dict[str, Any]]:
    """Wish something of messages; return the answers."""
    async with here.control.post(f"/api/v1/queue/{word}", json={"ids": ids, **more}) as answer:
        assert answer.status == 200, await answer.text()
        return list((await answer.json())["items"])


async def get(here: World, path: str, **query: str) -> dict[str, Any]:
    """Ask the control socket."""
    async with here.control.get(path, params=query) as answer:
        assert answer.status == 200, await answer.text()
        found: dict[str, Any] = await answer.json()
        return found


async def test_each_message_is_answered_for_itself(here: World) -> None:
    """Held, released, tried, cancelled; and what can't be is said in a word and a sentence."""
    first, second = await ordered(here), await ordered(here)
    held, nobody = await wish(here, "hold", first, "m-0")
    assert (held["status"], held["reason"], held["problem"]) == ("queued", "held", None)
    assert (nobody["problem"], nobody["detail"]) == ("not_found", "there is no such message")
    assert (await wish(here, "retry", first))[0]["detail"] == "it is held; release it first"
    released = (await wish(here, "release", first))[0]
    assert (released["reason"], released["due_at"]) == (
        "schedule",
        (await get(here, f"{MESSAGES}/{first}"))["due_at"],
    )
    assert [one["status"] for one in await wish(here, "cancel", first, first)] == ["cancelled", "cancelled"]
    assert (await wish(here, "hold", first))[0]["detail"] == "it is cancelled already"
    assert (await wish(here, "retry", second))[0]["problem"] is None

    async def delivered() -> bool:
        return bool((await get(here, f"{MESSAGES}/{second}"))["status"] == "delivered")

    await until(delivered)
    assert (await wish(here, "cancel", second))[0]["problem"] == "over"


async def test_a_message_in_doubt_is_sent_again_only_when_that_is_meant(here: World) -> None:
    """The carrier lost the answer; the phone shows it twice afterwards, as was said."""
    lost = "+33639980000"
    id_ = await ordered(here, to=lost, at=None)

    async def unknown() -> bool:
        return bool((await get(here, f"{MESSAGES}/{id_}"))["status"] == "unknown")

    await until(unknown)
    (refused,) = await wish(here, "retry", id_)
    assert (refused["problem"], refused["status"]) == ("in_doubt", "unknown")
    await wish(here, "retry", id_, again=True)

    async def shown_twice() -> bool:
        return len(here.sim.phones.shown(lost)) == 2

    await until(shown_twice)


@pytest.mark.parametrize("word", ["hold", "release", "retry", "cancel"])
async def test_only_the_operator_works_on_the_queue(here: World, word: str) -> None:
    """No API key may, whatever it may else."""
    for key in (SENDER, READER):
        headers = here.keyed(key)
        async with here.http.post(f"/api/v1/queue/{word}", json={"ids": ["m-0"]}, headers=headers) as answer:
            assert answer.status == 403


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/api/v1/queue/hold", {"ids": []}, "ids"),
        ("/api/v1/queue/hold", {"ids": ["m"] * 501}, "ids"),
        ("/api/v1/queue/hold", {"ids": ["m"], "force": True}, "force"),
        ("/api/v1/queue/burn", {"ids": ["m"]}, "wish"),
    ],
)
async def test_bad_wishes_name_the_field(here: World, path: str, body: object, field: str) -> None:
    """400."""
    async with here.control.post(path, json=body) as answer:
        assert (answer.status, (await answer.json(content_type=None))["field"]) == (400, field)


async def test_what_happens_is_followed_from_a_place_in_the_log(here: World) -> None:
    """Without a place only its end is told; then nothing is missing and nothing comes twice."""
    start = await get(here, EVENTS)
    assert start["items"] == []
    first, second = await ordered(here), await ordered(here, to=OTHER)
    await wish(here, "hold", first, second)
    page = await get(here, EVENTS, after=str(start["next"]), limit="3")
    rest = await get(here, EVENTS, after=str(page["next"]))
    seen = [
        (one["about"], one["status"], one["reason"])
        for one in page["items"] + rest["items"]
        if one["kind"] == "message"
    ]
    assert seen == [
        (first, "queued", "schedule"),
        (second, "queued", "schedule"),
        (first, "queued", "held"),
        (second, "queued", "held"),
    ]
    end = {"items": [], "next": rest["next"], "is_stopped": False}
    assert await get(here, EVENTS, after=str(rest["next"])) == end
    theirs = await get(here, EVENTS, after=str(start["next"]), to=OTHER, user=MARIE.address.upper())
    assert {one["about"] for one in theirs["items"] if one["kind"] == "message"} == {second}
    told = [
        (one["told"], one["to"], one["status"], one["reason"])
        for one in rest["items"]
        if one["kind"] == "notice"
    ]
    assert told == [("held", MARIE.address, "queued", "held.operator")] * 2
    assert theirs["next"] == rest["next"]
    nobody = await get(here, EVENTS, after=str(start["next"]), user="paul@acme.example")
    assert nobody == end


async def test_a_place_that_the_log_never_reached(here: World) -> None:
    """Another database stands there now: the reader goes on from its end."""
    end = await get(here, EVENTS)
    assert await get(here, EVENTS, after=str(end["next"] + 1000)) == end


async def test_messages_are_filtered_by_all_that_is_known(here: World) -> None:
    """Writer, reason, carrier and the time before which."""
    id_ = await ordered(here, to=OTHER)
    await wish(here, "hold", id_)
    created_at = (await get(here, f"{MESSAGES}/{id_}"))["created_at"]

    async def ids(**query: str) -> list[str]:
        return [one["id"] for one in (await get(here, MESSAGES, **query))["items"]]

    assert id_ in await ids(**{"from": MARIE.address.upper(), "reason": "held", "carrier": "sim"})
    assert await ids(**{"from": "paul@acme.example"}) == []
    assert await ids(carrier="another") == []
    assert id_ not in await ids(until=created_at)
    assert id_ in await ids(since=created_at)


REFUSED = "Appel: 06 39 98 12 34\r\n\r\nSecret words"


async def refuse(here: World, subject: str = "Rendez-vous") -> str:
    """Let Marie's mail be refused as one behind a mail server is; return the id that SMTP told."""
    problem = Problem(reason="template.unknown_field", value="Appel", hint="À", line=1, column=1, width=5)
    missing = Problem(reason="template.missing_field", value="À")
    refusal = Refusal(problem, missing, corrected="À: 06 39 98 12 34", source=tuple(REFUSED.split("\r\n")))
    writer = Writer(account=here.context.account, address=MARIE.address, proof=Proof.NETWORK)
    origin = Origin(source="smtp", message_id="<1@acme.example>", subject=subject)
    return await here.context.accept.tell_refusal(writer, origin, refusal, subject)


async def test_a_refused_mail_is_found_by_the_id_that_smtp_told(here: World) -> None:
    """Which mail, why, where, whom an email tells and whether it went; nothing of what was written in it."""
    id_ = await refuse(here)
    found = await get(here, f"/api/v1/notices/{id_}")
    assert {name: found[name] for name in ("id", "kind", "channel", "to", "status", "reason")} == {
        "id": id_,
        "kind": "refused",
        "channel": "email",
        "to": MARIE.address,
        "status": "queued",
        "reason": "template.unknown_field",
    }
    assert (found["subject"], found["message_id"]) == ("Rendez-vous", "<1@acme.example>")
    assert found["problems"] == [
        {
            "type": "template.unknown_field",
            "title": 'body line 1: there is no field "Appel"',
            "line": 1,
            "column": 1,
        },
        {"type": "template.missing_field", "title": 'the field "À" is missing', "line": 0, "column": 0},
    ]
    assert [event["status"] for event in found["events"]] == ["queued"]
    assert "Secret" not in str(found)
    assert "39 98 12 34" not in str(found)
    (listed,) = (await get(here, "/api/v1/notices", kind="refused", to=MARIE.address.upper()))["items"]
    assert listed == {name: found[name] for name in listed}


@pytest.mark.parametrize("path", ["/api/v1/notices/n-0", f"{MESSAGES}/n-0", f"{MESSAGES}/m-0"])
async def test_what_there_is_not(here: World, path: str) -> None:
    """404; a message's address tells where notices are."""
    async with here.control.get(path) as answer:
        assert answer.status == 404
        detail = (await answer.json(content_type=None))["detail"]
    assert detail == ("this is a notice: /api/v1/notices has it" if path == f"{MESSAGES}/n-0" else detail)


@pytest.mark.parametrize(
    ("name", "value"), [("kind", "refusal"), ("status", "delivered"), ("since", "lately")]
)
async def test_bad_filters_of_notices_name_the_field(here: World, name: str, value: str) -> None:
    """400."""
    async with here.control.get("/api/v1/notices", params={name: value}) as answer:
        assert (answer.status, (await answer.json(content_type=None))["field"]) == (400, name)


async def test_what_is_used_of_the_limits(tmp_path: Path) -> None:
    """Of all, of a writer, of a phone: what a message took of each, and what is left."""
    limits = {"user": "5/day", "number": "3/month", "total": "9 parts/day"}
    quotas = Quotas(**{name: (read_limit(limit),) for name, limit in limits.items()})
    async with world(tmp_path) as served:
        policy = replace(served.context.accept.policy, quotas=quotas)
        door = Accept(served.context.store, policy, [Route(to=("any",), via=("sim",))], 3_600_000)
        object.__setattr__(served.context, "accept", door)
        await ordered(served, text="é" * 161, at=None)
        every = (await get(served, "/api/v1/quotas"))["items"]
        assert [(one["kind"], one["of"], one["limit"], one["used"], one["left"]) for one in every[:2]] == [
            ("total", "all", "9 parts/day", "2", "7"),
            ("user", MARIE.address, "5/day", "1", "4"),
        ]
        of_phone = (await get(served, "/api/v1/quotas", to=PHONE))["items"]
        assert [(one["kind"], one["left"]) for one in of_phone] == [("number", "2"), ("total", "7")]
        (message,) = (await get(served, MESSAGES))["items"]
        counted = (await get(served, f"{MESSAGES}/{message['id']}"))["limits"]
        assert [(one["kind"], one["used"]) for one in counted] == [
            ("user", "1"),
            ("number", "1"),
            ("total", "2"),
        ]
        of_nobody = (await get(served, "/api/v1/quotas", user="key x"))["items"]
        assert (of_nobody[0]["kind"], of_nobody[0]["of"], of_nobody[0]["used"]) == ("user", "key x", "0")


async def test_a_message_tells_the_limits_of_the_machine_that_wrote_it(tmp_path: Path) -> None:
    """Of an API key and of a device as of a user: their own, the phone's and that of all; and it is found by them."""
    async with world(tmp_path) as served:
        own = {"key booking": (read_limit("3/day"),), "device ups-1": (read_limit("4/day"),)}
        quotas = Quotas(total=(read_limit("9/day"),), user=(read_limit("5/day"),), users=own)
        policy = replace(served.context.accept.policy, quotas=quotas)
        door = Accept(served.context.store, policy, [Route(to=("any",), via=("sim",))], 3_600_000)
        now = now_ms()
        for proof, name in ((Proof.KEY, "booking"), (Proof.DEVICE, "ups-1")):
            asked = submission(
                f"m-{name}",
                writer=writer(
                    account=served.context.account, proof=proof, name=name, address="desk@acme.example"
                ),
                recipients=(Msisdn(PHONE),),
                alarm=Alarm(device=name, storm=Storm()) if proof is Proof.DEVICE else None,
                created_at=now,
            )
            await door.accept([asked])
        object.__setattr__(served.context, "accept", door)
        for by, kind in (("key booking", "3/day"), ("device ups-1", "4/day")):
            (message,) = (await get(served, MESSAGES, **{"from": by}))["items"]
            assert message["writer"] == by and message["device"] == ("ups-1" if "ups" in by else None)
            counted = (await get(served, f"{MESSAGES}/{message['id']}"))["limits"]
            assert [(one["kind"], one["of"], one["limit"], one["used"]) for one in counted] == [
                ("user", by, kind, "1"),
                ("total", "all", "9/day", "2"),
            ]
        assert (await get(served, MESSAGES, **{"from": "desk@acme.example"}))["items"] == []


async def test_check_tells_what_is_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a daemon that runs with the file; without one nothing is said of it."""
    file = tmp_path / "m.yaml"
    file.write_text(minimal_config(database=f"sqlite:///{tmp_path}/x.db", smtp_port=1, web_port=2))
    async with world(tmp_path) as served:
        quotas = Quotas(total=(read_limit("9 parts/day"),), user=(read_limit("5/day"),))
        policy = replace(served.context.accept.policy, quotas=quotas)
        door = Accept(served.context.store, policy, [Route(to=("any",), via=("sim",))], 3_600_000)
        object.__setattr__(served.context, "accept", door)
        await ordered(served, text="é" * 161, at=None)
        assert await asyncio.to_thread(run, ["check", str(file), "--json"]) == 0
        (said,) = (
            line for line in capsys.readouterr().out.splitlines() if line.startswith("{")
        )  # beside the log
        told = json.loads(said)
        assert ("total", "2", "7") in {(one["kind"], one["used"], one["left"]) for one in told["limits"]}
        assert await asyncio.to_thread(run, ["check", str(file)]) == 0
        shown = capsys.readouterr().out
        assert "Used       total: 9 parts/day; 2 used, 7 left until" in shown and "0 used" not in shown
    assert await asyncio.to_thread(run, ["check", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["limits"] == []
