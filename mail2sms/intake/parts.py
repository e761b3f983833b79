"""The parts of a mail, found by searching its bytes for boundaries. Pure; raises nothing but Refusal.

It knows multiparts (RFC 2046) and what is an attachment; not what a part says. Each level is searched once; a part is a
pair of offsets, nothing is copied or parsed line by line, so a big attachment costs what `bytes.find` costs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from mail2sms.errors import Problem, Refusal
from mail2sms.intake import headers
from mail2sms.intake.headers import Fields, Head, too_complex

_DEPTH = 20
_PARTS = 100
_SEPARATORS = 2000  # of parameters, in all parts together
_MISSES = 1000  # lines that begin as a boundary and go on
_BOUNDARY = 70  # RFC 2046 section 5.1.1
_BRIEF_DEPTH = 5
_BRIEF_BYTES = 2_000_000  # searched for boundaries, level by level: 3 ms a megabyte at worst
_MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]{1,64}/[\w!#$&^.+-]{1,64}")
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """raw[start:end] is the body; `children` are those of a multipart, `file_name` is as it was written."""

    fields: Fields
    media_type: str
    parameters: dict[str, str]
    start: int
    end: int
    is_attachment: bool = False
    file_name: str = ""
    children: tuple[Part, ...] = ()

    def leaves(self) -> Iterator[Part]:
        """Yield the parts that are no multiparts, in order."""
        if not self.media_type.startswith("multipart/"):
            yield self
        for child in self.children:
            yield from child.leaves()


class Reader:
    """Finds the parts of one mail, and counts what that costs. A brief one opens no part that costs much."""

    def __init__(self, raw: bytes, head: Head | None = None, *, is_brief: bool = False) -> None:
        self._raw = raw
        self._head = head
        self._is_brief = is_brief
        self.has_stopped = False
        self._parts = self._lines = self._separators = self._searched = self._misses = 0

    def whole(self) -> Part:
        """Return the tree of parts. Raises Refusal beyond the limits."""
        return self._part(0, len(self._raw), 0)

    def _part(self, first: int, end: int, depth: int) -> Part:
        """Return the part that begins, with its header, at `first`."""
        self._parts += 1
        if self._parts > _PARTS:
            raise too_complex(f"more than {_PARTS} parts")
        most_lines = max(headers.LINES - self._lines, 0)
        fields, start = (depth == 0 and self._head) or headers.split(self._raw, first, end, most_lines)
        self._lines += self._raw.count(b"\n", first, start)
        declared, parameters = self._parameters(fields.first("content-type"))
        found = _MEDIA_TYPE.match(declared)
        media_type = found[0] if found else "text/plain"  # RFC 2045 section 5.2: no type, or one that is none
        if not media_type.startswith("multipart/"):
            disposition, more = self._parameters(fields.first("content-disposition"))
            is_text = media_type in {"text/plain", "text/html"}
            is_named = "filename" in more or ("name" in parameters and depth > 0)
            return Part(
                fields=fields,
                media_type=media_type,
                parameters=parameters,
                start=start,
                end=end,
                is_attachment=not is_text or is_named or disposition == "attachment",
                file_name=more.get("filename") or parameters.get("name") or "",
            )
        return Part(
            fields=fields,
            media_type=media_type,
            parameters=parameters,
            start=start,
            end=end,
            children=self._children(parameters, start, end, depth),
        )

    def _parameters(self, value: str) -> tuple[str, dict[str, str]]:
        self._separators += value.count(";") + value.count('"')
        if self._separators > _SEPARATORS:
            raise too_complex(f"more than {_SEPARATORS} parameters")
        return headers.parameters(value)

    def _children(self, parameters: dict[str, str], start: int, end: int, depth: int) -> tuple[Part, ...]:
        if depth >= _DEPTH:
            raise too_complex(f"parts nested more than {_DEPTH} deep")
        self._searched += end - start
        if self._is_brief and (depth >= _BRIEF_DEPTH or self._searched > _BRIEF_BYTES):
            self.has_stopped = True
            return ()
        boundary = parameters.get("boundary", "").rstrip().encode("latin-1")
        if not boundary or _CONTROL.search(boundary):
            raise Refusal(Problem(reason="mail.unreadable", facts={"why": "a multipart without a boundary"}))
        if len(boundary) > _BOUNDARY:
            raise too_complex(f"a boundary of more than {_BOUNDARY} characters")
        return tuple(self._part(begin, stop, depth + 1) for begin, stop in self._spans(boundary, start, end))

    def _spans(self, boundary: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield where each part between two boundary lines begins and ends, without the line end that belongs to
        the boundary (RFC 2046 section 5.1.1). A missing last boundary is the end.
        """
        raw, delimiter = self._raw, b"--" + boundary
        at = start if raw.startswith(delimiter, start, end) else _next_line(raw, delimiter, start, end)
        begin = -1
        while at >= 0:
            line_end = raw.find(b"\n", at, end)
            line_end = end if line_end < 0 else line_end
            after = at + len(delimiter)
            tail = raw[after : min(line_end, after + 80)].strip()
            if tail in {b"", b"--"}:
                if begin >= 0:
                    stop = at - 2 if raw.startswith(b"\r\n", at - 2) else at - 1
                    yield begin, max(begin, stop)
                if tail:
                    return
                begin = min(line_end + 1, end)
            else:
                self._misses += 1
                if self._misses > _MISSES:
                    raise too_complex("too many lines that look like boundaries")
            at = _next_line(raw, delimiter, line_end, end)
        if begin >= 0:
            yield begin, end


def _next_line(raw: bytes, delimiter: bytes, start: int, end: int) -> int:
    """Return where the next line that begins with `delimiter` begins, -1 if there is none."""
    found = raw.find(b"\n" + delimiter, start, end)
    return found + 1 if found >= 0 else -1
