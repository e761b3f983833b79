"""The client of the daemon's control socket: the API's answers as values, its problems as Failed.

HTTP over a unix socket with the standard library alone. Who may open the socket is the operator.
"""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from mail2sms.cli import Exit, Failed, typed

_TIMEOUT_S = 30.0
_PAGE = 1000  # messages a request
_EXITS = {401: Exit.NOT_ALLOWED, 403: Exit.NOT_ALLOWED, 503: Exit.TRY_AGAIN}


class Declined(Failed):
    """The daemon said no. `reason` is the code of the first problem, `title` its short form, `value` what is wrong."""

    def __init__(self, status: int, told: Mapping[str, Any]) -> None:
        super().__init__(_exit_of(status), _sentences(told))
        self.reason = str(told.get("type", ""))
        self.title = str(told.get("title", ""))
        self.detail = str(told.get("detail", ""))
        self.value = str(told.get("value", ""))


def _exit_of(status: int) -> Exit:
    return _EXITS.get(status, Exit.REFUSED if status < 500 else Exit.UNAVAILABLE)


def _sentences(told: Mapping[str, Any]) -> str:
    return "\n".join(map(sentence, told.get("problems") or [told]))


def sentence(told: Mapping[str, Any]) -> str:
    """Return one problem of an answer in words, with its code."""
    text = str(told.get("detail") or told.get("title") or "the daemon refused it")
    hint = f" Did you mean {told['hint']}?" if told.get("hint") else ""
    return f"{text}{hint} ({told.get('type', 'unknown')})"


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One step of a message's life."""

    at: datetime
    status: str
    reason: str
    carrier: str
    detail: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """A message as the API shows it. `answer` is all of it, as it came.

    What an order's answer leaves out is empty; a message that only would be sent has no id.
    """

    id: str
    to: str
    sender_id: str
    status: str
    parts: int
    cost: str
    encoding: str
    carrier: str
    due_at: datetime
    created_at: datetime | None
    reason: str
    detail: str
    writer: str
    subject: str
    attempts: int
    text: str = field(repr=False)
    events: tuple[Event, ...]
    answer: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """What became of an order: messages, and in words why other recipients got none."""

    messages: tuple[Message, ...]
    refused: tuple[str, ...]
    answer: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answered:
    """What a wish made of one message. `problem` is empty when it holds, else says in a word why not."""

    id: str
    status: str
    reason: str
    due_at: datetime | None
    problem: str
    detail: str
    answer: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """What somebody is told, as the API shows it. `problems` are what was refused, in words, each with its code.

    A list leaves out which mail it was, the problems and the events.
    """

    id: str
    kind: str
    channel: str
    to: str
    status: str
    reason: str
    detail: str
    message: str
    mo: str
    created_at: datetime
    due_at: datetime
    subject: str
    message_id: str
    is_partly: bool
    problems: tuple[tuple[str, str], ...]
    events: tuple[Event, ...]
    answer: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Happened:
    """One event of the log and what it is about: `kind` is message, mo, notice, carrier; `told` what a notice tells."""

    id: int
    about: str
    kind: str
    to: str
    writer: str
    told: str
    channel: str
    event: Event
    answer: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Followed:
    """A piece of the log, and the place where the next begins. `is_stopped`: nothing leaves now."""

    items: tuple[Happened, ...]
    next: int
    is_stopped: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Reload:
    """What is new in the configuration, and what waits for a restart."""

    applied: tuple[str, ...]
    restart: tuple[str, ...]
    answer: dict[str, Any] = field(repr=False)


class Control:
    """The daemon behind one socket."""

    def __init__(self, path: Path, timeout_s: float = _TIMEOUT_S) -> None:
        self.path = path
        self._timeout_s = timeout_s

    def send(self, order: Mapping[str, Any], *, is_dry_run: bool) -> Receipt:
        """Send a text, or ask what would happen."""
        answer = self._ask("POST", "/api/v1/messages?dry_run=1" if is_dry_run else "/api/v1/messages", order)
        refused = tuple(f"{told.get('to', '')}: {sentence(told)}" for told in answer.get("refused") or ())
        return Receipt(messages=_messages(answer), refused=refused, answer=answer)

    def message(self, id_: str) -> Message:
        """Return one message with its events."""
        return _message(self._ask("GET", f"/api/v1/messages/{quote(id_, safe='')}"))

    def notice(self, id_: str) -> Notice:
        """Return one notice with its events."""
        return _notice(self._ask("GET", f"/api/v1/notices/{quote(id_, safe='')}"))

    def notices(self, **search: str | int | None) -> tuple[Notice, ...]:
        """Return notices, the newest first."""
        wanted = {name: value for name, value in search.items() if value is not None}
        return tuple(map(_notice, self._ask("GET", f"/api/v1/notices?{urlencode(wanted)}")["items"]))

    def messages(self, **search: str | int | None) -> tuple[Message, ...]:
        """Return messages, the newest first."""
        wanted = {name: value for name, value in search.items() if value is not None}
        return _messages(self._ask("GET", f"/api/v1/messages?{urlencode(wanted)}"))

    def every(self, limit: int | None, **search: str | None) -> Iterator[Message]:
        """Yield messages, the newest first, at most `limit`: page by page, so that none must hold them all."""
        before, left = None, limit
        while left is None or left > 0:
            page = self.messages(**search, before=before, limit=min(_PAGE, left or _PAGE))
            yield from page
            if len(page) < _PAGE:
                return
            before, left = page[-1].id, left - len(page) if left is not None else None

    def wish(self, word: str, ids: Sequence[str], **more: bool) -> tuple[Answered, ...]:
        """Cancel, hold, release or retry messages (500 at most)."""
        answer = self._ask("POST", f"/api/v1/queue/{word}", {"ids": list(ids), **more})
        return tuple(_answered(one) for one in answer["items"])

    def follow(self, after: int | None, **search: str | None) -> Followed:
        """Return what happened after a place in the log; without one only where it ends."""
        wanted = {name: value for name, value in {"after": after, **search}.items() if value is not None}
        answer = self._ask("GET", f"/api/v1/events?{urlencode(wanted)}")
        items = tuple(_happened(one) for one in answer["items"])
        return Followed(items=items, next=answer["next"], is_stopped=answer["is_stopped"])

    def decide(self, id_: str, word: str) -> dict[str, Any]:
        """Release or refuse what waits for approval."""
        return self._ask("POST", f"/api/v1/approvals/{quote(id_, safe='')}/{word}", {})

    def quotas(self, **search: str | None) -> list[dict[str, Any]]:
        """Return what is used of the limits."""
        wanted = {name: value for name, value in search.items() if value is not None}
        found: list[dict[str, Any]] = self._ask("GET", f"/api/v1/quotas?{urlencode(wanted)}")["items"]
        return found

    def known(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the store knows of phones and counters."""
        return self._ask("POST", "/api/v1/known", asked)

    def approvals(self) -> list[dict[str, Any]]:
        """Return what waits for approval, the oldest first."""
        found: list[dict[str, Any]] = self._ask("GET", "/api/v1/approvals")["items"]
        return found

    def switch(self, word: str, **more: bool) -> dict[str, Any]:
        """Stop or resume all sending."""
        return self._ask("POST", f"/api/v1/sending/{word}", more)

    def sending(self) -> dict[str, Any]:
        """Return whether messages leave."""
        return self._ask("GET", "/api/v1/sending")

    def queue(self, limit: int) -> tuple[Message, ...]:
        """Return the messages whose work is not over, the oldest first."""
        return _messages(self._ask("GET", f"/api/v1/queue?limit={limit}"))

    def opt_outs(self, after: str | None) -> dict[str, Any]:
        """Return a page of the list of opt-outs."""
        return self._ask(
            "GET", f"/api/v1/optouts?{urlencode({'after': after})}" if after else "/api/v1/optouts"
        )

    def opt_outs_of(self, number: str) -> dict[str, Any]:
        """Return what is known of one phone."""
        return self._ask("GET", f"/api/v1/optouts/lookup?{urlencode({'to': number})}")

    def change_opt_outs(self, word: str, chosen: Mapping[str, Any]) -> dict[str, Any]:
        """Add phones to the list (no word), or remove or forget them (500 at most)."""
        return self._ask("POST", f"/api/v1/optouts/{word}".rstrip("/"), chosen)

    def reload(self) -> Reload:
        """Let the daemon read its configuration again. Raises Declined with the findings as its detail."""
        answer = self._ask("POST", "/api/v1/reload")
        return Reload(applied=tuple(answer["applied"]), restart=tuple(answer["restart"]), answer=answer)

    def health(self) -> dict[str, Any]:
        """Return how each part is."""
        return self._ask("GET", "/api/v1/health")

    def _ask(self, method: str, target: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        connection = _UnixConnection(self.path, self._timeout_s)
        headers = {"accept": "application/json"} | ({"content-type": "application/json"} if body else {})
        try:
            connection.request(method, target, json.dumps(body) if body else None, headers)
            response = connection.getresponse()
            status, content = response.status, response.read()
        except (OSError, http.client.HTTPException) as e:
            is_order = method == "POST" and connection.is_connected
            raise _unreachable(e, self.path, is_order=is_order) from e
        finally:
            connection.close()
        try:
            answer = json.loads(content)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise Failed(Exit.UNAVAILABLE, f"{self.path} answers, but not as mail2sms does (HTTP {status})")
        if status >= 400:
            raise Declined(status, answer)
        return answer


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path
        self.is_connected = False

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
        self.is_connected = True


def _unreachable(error: Exception, path: Path, *, is_order: bool) -> Failed:
    if isinstance(error, PermissionError):
        text = f"{path} may not be opened by this user; try as root or as the daemon's user"
        return Failed(Exit.NOT_ALLOWED, text)
    if isinstance(error, FileNotFoundError | ConnectionRefusedError):
        text = f"no daemon listens at {path}; is {typed('serve')} running with this configuration?"
        return Failed(Exit.UNAVAILABLE, text)
    doubt = "; it may have been done all the same: look before you repeat it" if is_order else ""
    if isinstance(error, TimeoutError):
        return Failed(Exit.TRY_AGAIN, f"the daemon at {path} does not answer in time{doubt}")
    return Failed(Exit.UNAVAILABLE, f"the daemon at {path} did not answer{doubt}")


def _answered(answer: dict[str, Any]) -> Answered:
    due_at = answer["due_at"]
    return Answered(
        id=answer["id"],
        status=answer["status"],
        reason=answer["reason"],
        due_at=datetime.fromisoformat(due_at) if due_at else None,
        problem=answer["problem"] or "",
        detail=answer["detail"],
        answer=answer,
    )


def _happened(answer: dict[str, Any]) -> Happened:
    plain = {name: answer[name] for name in ("id", "about", "kind", "to", "writer", "told", "channel")}
    return Happened(**plain, event=_event(answer), answer=answer)


def _event(answer: Mapping[str, Any]) -> Event:
    said = {name: answer[name] for name in ("status", "reason", "carrier", "detail")}
    return Event(at=datetime.fromisoformat(answer["at"]), **said)


def _notice(answer: dict[str, Any]) -> Notice:
    names = (
        "id",
        "kind",
        "channel",
        "to",
        "status",
        "reason",
        "detail",
        "message",
        "mo",
        "subject",
        "message_id",
    )
    return Notice(
        **{name: answer.get(name) or "" for name in names},
        created_at=datetime.fromisoformat(answer["created_at"]),
        due_at=datetime.fromisoformat(answer["due_at"]),
        is_partly=answer.get("is_partly", False),
        problems=tuple((problem["type"], problem["title"]) for problem in answer.get("problems", ())),
        events=tuple(map(_event, answer.get("events", ()))),
        answer=answer,
    )


def _messages(answer: Mapping[str, Any]) -> tuple[Message, ...]:
    return tuple(map(_message, answer["items"]))


def _message(answer: dict[str, Any]) -> Message:
    names = ("cost", "reason", "detail", "writer", "subject", "text")
    plain = {name: answer.get(name) or "" for name in names}
    created_at = answer.get("created_at")
    return Message(
        id=answer["id"] or "",
        to=answer["to"],
        sender_id=answer["sender_id"],
        status=answer["status"] or "",
        parts=answer["parts"],
        encoding=answer["encoding"],
        carrier=answer["carrier"],
        due_at=datetime.fromisoformat(answer["due_at"]),
        created_at=datetime.fromisoformat(created_at) if created_at else None,
        attempts=answer.get("attempts", 0),
        events=tuple(map(_event, answer.get("events", ()))),
        answer=answer,
        **plain,
    )
