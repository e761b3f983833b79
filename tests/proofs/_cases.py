"""What can happen to a request between a carrier and its provider, as tables: for the proof `boundary`. Pure.

The rule of all: `unknown` exactly when a byte of the request went out and no full answer came back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from tests.proofs._lanes import ENROUTE, REJECTED, UNKNOWN, Case
from tests.servers.cutting import AtOnce, Cut, Fault, Floods, How, Leads, Says, Side, Silence, Slows

HOWS: tuple[How, ...] = ("reset", "close")
_JSON = b'{"id": "p-1"}'


def cuts(lengths: tuple[int, int], *, on_unknown: str = "hold", every: int = 1) -> list[Case]:
    """A cut after each byte of the request and of the answer, both ways; `every`: a sample that has the edges."""
    request, answer = lengths
    return [
        case
        for how in HOWS
        for side, length in _sides(request, answer)
        for after in _places(length, every)
        for case in _cut(side, after, how, lengths, on_unknown)
    ]


def _sides(request: int, answer: int) -> list[tuple[Side, int]]:
    return [("client", request), ("server", answer)]


def _places(length: int, every: int) -> Sequence[int]:
    edges = {0, 1, length - 1, length}
    return sorted(edges.union(range(0, length + 1, every)))


def _cut(side: Side, after: int, how: How, lengths: tuple[int, int], on_unknown: str) -> Iterator[Case]:
    """`resend`: cut once, and the second try gets through; cut twice, and there is no third."""
    fault = Cut(side, after, how)
    name = f"{how} after {after} bytes of the {'request' if side == 'client' else 'answer'}"
    is_taken = side == "server" or after == lengths[0]
    if side == "server" and after == lengths[1]:
        yield Case(name=name, faults=(fault,))
    elif on_unknown == "hold":
        yield Case(name=name, faults=(fault,), status=UNKNOWN, taken=int(is_taken))
    else:
        yield Case(name=name, faults=(fault,), attempts=2, taken=1 + is_taken)
        yield Case(
            name=f"{name}, twice", faults=(fault, fault), status=UNKNOWN, attempts=2, taken=2 * is_taken
        )


def _answer(status: int, body: bytes = _JSON, *headers: bytes) -> bytes:
    length = b"Content-Length: %d" % len(body)
    return b"\r\n".join([b"HTTP/1.1 %d Said" % status, *(headers or (length,)), b"", body])


_NO_FULL_ANSWER = {
    "is no HTTP": b"\x16\x03\x01 not HTTP at all\r\n\r\n",
    "has no status": b"HTTP/1.1 abc\r\n\r\n",
    "is of a newer HTTP": b"HTTP/9.9 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "is shorter than it says": _answer(200, _JSON, b"Content-Length: 99"),
    "has a length that is none": _answer(200, _JSON, b"Content-Length: -1"),
    "has two lengths": _answer(200, _JSON, b"Content-Length: 13", b"Content-Length: 14"),
    "ends inside a chunk": _answer(200, b"20\r\n" + _JSON, b"Transfer-Encoding: chunked"),
    "ends before the last chunk": _answer(200, b"d\r\n" + _JSON + b"\r\n", b"Transfer-Encoding: chunked"),
    "ends inside the last chunk": _answer(
        200, b"d\r\n" + _JSON + b"\r\n0\r\n", b"Transfer-Encoding: chunked"
    ),
    "has a chunk without size": _answer(200, b"zz\r\n" + _JSON, b"Transfer-Encoding: chunked"),
    "is compressed and broken": _answer(200, b"abc", b"Content-Encoding: gzip", b"Content-Length: 3"),
    "has a huge header": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
    "says continue and ends": b"HTTP/1.1 100 Continue\r\n\r\n",
    "is empty": b"",
}
_NO_VERDICT = {
    **{f"is {status}": _answer(status) for status in (301, 302, 307, 500, 501, 502, 503, 504)},
    "is a page": _answer(200, b"<html>ok</html>"),
    "is 200 without an id": _answer(200, b'{"status": "ok"}'),
    "is 200 with an empty id": _answer(200, b'{"id": ""}'),
    "is 200 with an id of another type": _answer(200, b'{"id": {"a": 1}}'),
    "is 200 and a list": _answer(200, b"[1]"),
    "is 200 and no text": _answer(200, b"\xff\xfe\x00"),
    "is 200 and nothing": _answer(200, b""),
    "is 204": b"HTTP/1.1 204 No Content\r\n\r\n",
}
_LATER = {
    "is 429": _answer(429),
    "is 429 with a wait": _answer(429, b"{}", b"Retry-After: 0", b"Content-Length: 2", b"Connection: close"),
    "is 503 with a wait": _answer(503, b"{}", b"Retry-After: 0", b"Content-Length: 2", b"Connection: close"),
    "is 408": _answer(408),
}


def other_ways(on_unknown: str = "hold") -> list[Case]:
    """What else servers do. Under `resend`, doubt is followed by one more try, which gets through."""
    doubts = [Case(name=f"the answer {what}", faults=(Says(said),)) for what, said in _NO_FULL_ANSWER.items()]
    doubts += [Case(name=f"the answer {what}", faults=(Says(said),)) for what, said in _NO_VERDICT.items()]
    doubts += [
        Case(name="no answer", faults=(Silence(),)),
        Case(name="an answer without end", faults=(Floods(b"HTTP/1.1 200 OK\r\n\r\n"),)),
        Case(name="a header without end", faults=(Floods(b"HTTP/1.1 200 OK\r\nX: "),)),
    ]
    is_hold = on_unknown == "hold"
    in_doubt = [
        Case(
            name=each.name,
            faults=each.faults,
            status=UNKNOWN if is_hold else ENROUTE,
            attempts=1 if is_hold else 2,
            taken=0 if is_hold else 1,
        )
        for each in doubts
    ]
    known = [
        Case(name=f"the answer {what}", faults=(Says(said),), attempts=2) for what, said in _LATER.items()
    ]
    known += [
        Case(name=f"the answer is {status}", faults=(Says(_answer(status)),), status=REJECTED, taken=0)
        for status in (400, 401, 404, 422)
    ]
    return [
        *in_doubt,
        *known,
        Case(name="the answer comes byte by byte", faults=(Slows(0.001),)),
    ]


def outages() -> list[Case]:
    """Nobody is there. How often it is tried depends on how long that lasts."""
    return [
        Case(name="connections are refused", outage="refuse", attempts=0),
        Case(name="connections get no answer", outage="ignore", attempts=0),
    ]


_UNASKED = {
    "an answer that nobody asked for": _answer(202),
    "408 without a request": _answer(408, b"", b"Connection: close", b"Content-Length: 0"),
    "400 without a request": _answer(400, b"", b"Connection: close", b"Content-Length: 0"),
    "half an answer without a request": b"HTTP/1.1 202 Said\r\nContent-Le",
    "something that is no HTTP": b"\x15\x03\x03\x00\x02\x01\x00",
}


def while_idle() -> list[Case]:
    """What happens to a connection that is kept, well before the next request: nothing of that has gone out."""
    ends: list[How] = ["close", "reset"]
    return [
        *(Case(name=f"while idle: {how}", idle=how) for how in ends),
        *(Case(name=f"while idle: {what}", idle=said, attempts=0) for what, said in _UNASKED.items()),
    ]


def at_once(how: How) -> Case:
    """The connection ends before it was used: who was first, the end or the request, only the kernel knows."""
    return Case(name=f"{how} at once", faults=(AtOnce(how),), status="")


def over_tls(said: bytes, heard: bytes, impostor: int, every: int, *, is_13: bool) -> list[Case]:
    """Cuts after each byte of a connection with TLS, and what else goes wrong before it is up.

    Until TLS is up nothing of the request has gone out, so it is tried again. `said` and `heard` are one connection
    without a fault. In TLS 1.3 the client ends its handshake unseen and asks at once: there either may come first.
    """
    hello, request, end = _flights(said, is_13)
    theirs, answer, over = _flights(heard, is_13)
    cuts: list[tuple[Cut, Case]] = []
    for how in HOWS:
        for after in _places(end, every):
            cut = Cut("client", after, how)
            doubt = Case(name="", status=UNKNOWN, taken=int(after == end))
            retry = Case(name="", attempts=2)
            cuts.append((cut, retry if after <= hello else doubt if after > request else _EITHER))
        for after in _places(over, every):
            cut = Cut("server", after, how)
            retry, doubt = Case(name="", attempts=2), Case(name="", status=UNKNOWN)
            known = Case(name="") if after == over else doubt if after > answer else _EITHER
            cuts.append((cut, retry if after < theirs else known))
    cases = [replace(case, name=f"TLS: {fault}", faults=(fault,)) for fault, case in cuts]
    broken: list[Fault] = [
        Says(_answer(400)),
        Says(b"\x15\x03\x03\x00\x02\x02\x28"),
        Silence(),
        Leads(impostor),
    ]
    return cases + [Case(name=f"before TLS: {fault}"[:60], faults=(fault,), attempts=2) for fault in broken]


_EITHER = Case(name="", status="")
_HANDSHAKE, _DATA = 22, 23  # RFC 8446 section 5.1
_GOODBYE = 24  # bytes of an encrypted close_notify


def _flights(stream: bytes, is_13: bool) -> tuple[int, int, int]:
    """Return how many bytes certainly are handshake, how many are at most, and where the application's data ends."""
    records, at = list[tuple[int, int, int]](), 0
    while at < len(stream):
        kind, size = stream[at], int.from_bytes(stream[at + 3 : at + 5], "big")
        records.append((kind, at, at + 5 + size))
        at += 5 + size
    data = [(begin, end) for kind, begin, end in records if kind == _DATA and end - begin > _GOODBYE]
    if not is_13:
        return data[0][0], data[0][0], data[-1][1]
    # Here what follows the first words is encrypted and looks like data; the last record is the request, or the answer.
    first = next(end for kind, _, end in records if kind == _HANDSHAKE)
    return first, data[-1][0], data[-1][1]
