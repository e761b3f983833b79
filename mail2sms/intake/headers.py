"""What stands in mail headers, read without repairing. Pure; raises nothing but Refusal; every regex is linear.

Of the standard library nothing is used here: reading an address or a Content-Type with `email` is quadratic or raises
on hostile input (gh-136063, gh-87075; both policies). Bytes are carried as Latin-1 text (one character a byte) until
somebody needs words. Syntax: RFC 5322, encoded words RFC 2047, parameters RFC 2045 and RFC 2231.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from mail2sms import addresses
from mail2sms.errors import Problem, Refusal
from mail2sms.intake import charsets

BLOCK_BYTES = 32 * 1024
FIELD_BYTES = 4 * 1024  # of a field we read, unfolded
LONG_FIELD_BYTES = 16 * 1024  # of a field we never parse, or only search (References)
FIELDS = 200
LINES = 2000  # of the headers of a mail and all its parts
RECEIVED = 50  # RFC 5321 section 6.3: more is a loop

_READ = frozenset(
    {
        "auto-submitted",
        "content-disposition",
        "content-transfer-encoding",
        "content-type",
        "from",
        "in-reply-to",
        "message-id",
        "precedence",
        "return-path",
        "subject",
        "thread-index",
    }
)
_FIELD = re.compile(r"([!-9;-~]++)([ \t]*+):([^\n]*+(?:\n[ \t][^\n]*+)*+)\n?")
_MBOX_LINE = re.compile(r">?From [^\n]*\n?")
_QUOTED = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)"', re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_SHORT = 200  # characters of a value whose reading is remembered
_BLANK = " \t"  # what may be stripped: the last byte of a UTF-8 "à" or "Å" is blank to str.strip


def too_complex(why: str) -> Refusal:
    """Return the refusal of a mail that costs too much to read."""
    return Refusal(Problem(reason="mail.too_complex", facts={"why": why}))


class Fields:
    """The fields of one header block by lower-case name, unfolded, in their order."""

    __slots__ = ("_values",)

    def __init__(self, values: dict[str, list[str]]) -> None:
        self._values = values

    def first(self, name: str) -> str:
        """Return the first value of `name`, empty when there is none."""
        values = self._values.get(name)
        return values[0] if values else ""

    def all(self, name: str) -> list[str]:
        """Return every value of `name`."""
        return self._values.get(name, [])

    def has(self, beginning: str) -> bool:
        """Return whether there is a field whose name begins so."""
        return any(name.startswith(beginning) for name in self._values)

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)


Head = tuple[Fields, int]
"""The fields of a header, and where its body begins."""


def split(raw: bytes, start: int, end: int, most_lines: int = LINES) -> Head:
    """Return the header fields of raw[start:end] and where its body begins.

    A line that is no field ends the header, as it does for other readers. `most_lines` are left to the mail.
    """
    stop, body = _block(raw, start, end)
    text = raw[start:stop].decode("latin-1")
    values: dict[str, list[str]] = {}
    count, at = 0, _first(text)
    while found := _FIELD.match(text, at):
        at = found.end()
        count += 1
        name, value = found[1].lower(), found[3]
        if "\n" in value:
            value = value.replace("\r\n", "").replace("\n", "")
        value = value.removesuffix("\r")
        if len(value) > FIELD_BYTES and (len(value) > LONG_FIELD_BYTES or name in _READ):
            raise too_complex(f"a header field is longer than {len(value) - 1} bytes")
        if found[2] and name == "from":
            value = "\x00" + value  # "From : x" is a field to some readers only: `authors` refuses it
        values.setdefault(name, []).append(value.strip(_BLANK))
    _check(values, count, text.count("\n", 0, at) + (at == len(text) > 0), most_lines)
    return Fields(values), (body if at == len(text) else start + at)


def _first(text: str) -> int:
    """Return where the first field begins: some put the line of a mailbox file before it."""
    mbox = None if _FIELD.match(text) else _MBOX_LINE.match(text)
    return mbox.end() if mbox else 0


def raw_fields(raw: bytes) -> tuple[tuple[str, bytes], ...]:
    """Return lower-case name and bytes, with the line end, of each field of a mail, as `split` found them."""
    text = raw[: _block(raw, 0, len(raw))[0]].decode("latin-1")
    fields: list[tuple[str, bytes]] = []
    at = _first(text)
    while found := _FIELD.match(text, at):
        at = found.end()
        fields.append((found[1].lower(), found[0].rstrip("\r\n").encode("latin-1") + b"\r\n"))
    return tuple(fields)


def _check(values: dict[str, list[str]], count: int, lines: int, most_lines: int) -> None:
    if lines > most_lines:
        raise too_complex(f"more than {LINES} header lines")
    if count > FIELDS:
        raise too_complex(f"more than {FIELDS} header fields")
    if len(values.get("received", ())) > RECEIVED:
        raise too_complex(f"more than {RECEIVED} Received fields: a loop")


def _block(raw: bytes, start: int, end: int) -> tuple[int, int]:
    """Return where the header block stops and where the body begins."""
    if raw.startswith((b"\n", b"\r\n"), start, end):
        return start, start + (1 if raw.startswith(b"\n", start) else 2)
    reach = min(end, start + BLOCK_BYTES + 4)
    ends = [(at, at + len(gap)) for gap in (b"\n\n", b"\n\r\n") if (at := raw.find(gap, start, reach)) >= 0]
    if ends:
        return min(ends)
    if end - start > BLOCK_BYTES:
        raise too_complex(f"the header is longer than {BLOCK_BYTES} bytes")
    return end, end


# Words


_ENCODED_WORD = re.compile(r"=\?([^?\s]{1,60})\?([bBqQ])\?([^?]*)\?=")
_NOT_BASE64 = bytes(
    set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=")
)


def base64_bytes(data: bytes) -> bytes:
    """Decode base64 up to its first padding, skipping what doesn't belong to it."""
    head = data.translate(None, _NOT_BASE64).partition(b"=")[0]
    if len(head) % 4 == 1:
        head = head[:-1]
    return binascii.a2b_base64(head + b"=" * (-len(head) % 4))


def words(value: str, limit: int = 200) -> str:
    """Return a field as one line of people's text: encoded words decoded, controls gone, cut at `limit`."""
    if "=?" in value:
        text = _decode_words(value)
    elif value.isascii():
        text = value
    else:
        text = charsets.decode(value.encode("latin-1"), None)
    if not text.isprintable():
        text = _CONTROL.sub(" ", text)
    return text.strip()[:limit].rstrip()


def _decode_words(value: str) -> str:
    """Neighbours of one charset are joined as bytes first: many mailers cut inside a character."""
    done: list[str] = []
    data, charset, at = b"", "", 0
    for found in _ENCODED_WORD.finditer(value):
        between = value[at : found.start()]
        name = found[1].partition("*")[0].lower()  # RFC 2231 section 5: a language may follow
        if data and (between.strip() or name != charset):
            done.append(charsets.decode_word(data, charset))
            data = b""
        if between.strip() or not at:
            done.append(charsets.decode_word(between.encode("latin-1"), None))
        code = found[3].encode("latin-1")
        data += base64_bytes(code) if found[2] in "bB" else binascii.a2b_qp(code, header=True)
        charset, at = name, found.end()
    if data:
        done.append(charsets.decode_word(data, charset))
    done.append(charsets.decode_word(value[at:].encode("latin-1"), None))
    return "".join(done)


# Parameters

_PIECE = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|;|[^";]+', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_SECTION = re.compile(r"([^*]+)\*(\d{1,2})?(\*)?\Z")


@lru_cache(maxsize=256)
def _short_parameters(value: str) -> tuple[str, dict[str, str]]:
    return _read_parameters(value)


def parameters(value: str) -> tuple[str, dict[str, str]]:
    """Return the lower-case main value and the parameters of a field such as Content-Type; the first of each wins."""
    return _short_parameters(value) if len(value) < _SHORT else _read_parameters(value)


def _read_parameters(value: str) -> tuple[str, dict[str, str]]:
    items: list[list[str]] = [[]]
    for piece in _PIECE.findall(value):
        if piece == ";":
            items.append([])
        else:
            items[-1].append(piece)
    found: dict[str, str] = {}
    for item in items[1:]:
        name, equals, rest = "".join(item).partition("=")
        if equals:
            found.setdefault(name.strip(_BLANK).lower(), _unquote(rest.strip(_BLANK)))
    if any("*" in name for name in found):
        found = _join_sections(found)
    return "".join(items[0]).strip(_BLANK).lower(), found


def _unquote(value: str) -> str:
    if not value.startswith('"'):
        return value
    closed = _QUOTED.match(value)
    inside = closed[1] if closed else value[1:]
    return _ESCAPE.sub(r"\1", inside) if "\\" in inside else inside


def _join_sections(found: dict[str, str]) -> dict[str, str]:
    """RFC 2231: `name*0*=utf-8''a%20; name*1=b` is one parameter."""
    whole = {name: value for name, value in found.items() if "*" not in name}
    sections: dict[str, list[tuple[int, bool, str]]] = {}
    for name, value in found.items():
        match = _SECTION.match(name)
        if match:
            sections.setdefault(match[1], []).append(
                (int(match[2] or 0), bool(match[3]) or not match[2], value)
            )
    for name, parts in sections.items():
        charset, data = "", b""
        for number, is_encoded, value in sorted(parts):
            text = value
            if is_encoded and number == 0 and value.count("'") >= 2:
                charset, _, text = value.split("'", 2)
            piece = text.encode("latin-1")
            data += unquote_to_bytes(piece) if is_encoded else piece
        whole[name] = charsets.decode_word(data, charset).encode("utf-8").decode("latin-1")
    return whole


# Addresses

_ATOM = r"[\w!#$%&'*+/=?^`{|}~-]+"
_LABEL = r"\w(?:[\w-]*\w)?"
_ADDRESS = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})*\Z", re.ASCII)
_MAILBOX_PIECE = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|<[^<>"(),:;\\]*>|[^"<>(),:;\\\[\]]+|.', re.DOTALL)
_PLAIN_MAILBOX = re.compile(r'(?:"([^"\\]*)" *|([^"<>(),:;@\\\[\]]*))<([^<>"(),:;\\\s]+)>\Z')


def authors(values: list[str]) -> tuple[tuple[str, ...], str]:
    """Return the addresses of all From fields, domains in lower case, and the first display name.

    Whatever two readers could take differently (a group, a route, a quoted or encoded address, a control character, a
    second address in the name, ...) adds an empty address, so that who wants exactly one address refuses it:
    "Composition Kills", USENIX Security 2020. So does one beyond ASCII that is not UTF-8, or not as `addresses` has it.
    """
    found = [
        author
        for value in values
        for author in (_short_authors(value) if len(value) < _SHORT else _authors(value))
    ]
    return tuple(address for address, _ in found), found[0][1] if found else ""


def _authors(value: str) -> tuple[tuple[str, str], ...]:
    """Return address and display name of each author of one field."""
    raw = value.encode("latin-1")
    text = charsets.decode_word(raw, None)
    is_utf8 = text.encode("utf-8", "surrogatepass") == raw
    text = text.replace("\t", " ")
    plain = _PLAIN_MAILBOX.match(text)
    if _CONTROL.search(text):
        return (("", ""),)
    found = [(plain[3], plain[1] or plain[2] or "")] if plain else _mailboxes(text)
    return tuple(
        (
            _address(address) if is_utf8 or address.isascii() else "",
            words(name.encode("utf-8").decode("latin-1"), 100),
        )
        for address, name in found
    )


@lru_cache(maxsize=1024)
def _short_authors(value: str) -> tuple[tuple[str, str], ...]:
    return _authors(value)


def _address(text: str) -> str:
    """Return an addr-spec in its one form, but for capitals before the @; empty if it is anything but plain."""
    local, at, domain = text.partition("@")
    if not at or len(local.encode()) > 64 or len(domain) > 253 or "=?" in text:
        return ""
    if not _ADDRESS.match(addresses.shape(text)):
        return ""
    if text.isascii():
        return f"{local}@{domain.lower()}"
    found = addresses.canonical(text)
    return found if addresses.is_address(found) else ""  # longer in ASCII, it could not be answered


def _mailboxes(text: str) -> list[tuple[str, str]]:
    """Read a list of mailboxes piece by piece; an odd one has an empty address."""
    found: list[tuple[str, str]] = []
    phrase: list[str] = []
    comment: list[str] = []
    angles: list[str] = []
    depth, is_odd, is_cut = 0, False, False
    for piece in [*_MAILBOX_PIECE.findall(text), ","]:
        if piece == "(":
            depth += 1
        elif depth:
            depth -= piece == ")"
            comment.append(piece if depth else "")
        elif piece == ",":
            is_odd = is_odd or (is_cut and not angles)  # marie(x)@acme.example
            found.append(_mailbox("".join(phrase).strip(" "), "".join(comment), angles, is_odd=is_odd))
            phrase, comment, angles, is_odd, is_cut = [], [], [], False, False
        elif piece[0] == "<" and len(piece) > 1:
            angles.append(piece[1:-1])
        elif _QUOTED.fullmatch(piece):
            phrase.append(piece)
        elif piece[0] in '"<>):;\\[]':
            is_odd = True
        else:
            is_odd = is_odd or (bool(angles) and bool(piece.strip(" ")))  # words after the address
            is_cut = is_cut or (bool(comment) and bool(phrase) and bool(piece.strip(" ")))
            phrase.append(piece)
    if depth:
        found.append(("", ""))
    return found


def _mailbox(phrase: str, comment: str, angles: list[str], *, is_odd: bool) -> tuple[str, str]:
    if is_odd or len(angles) > 1:
        return "", ""
    if not angles:
        return phrase, comment.strip()
    name = _unquote(phrase) if phrase.startswith('"') and phrase.endswith('"') else phrase
    outside = _QUOTED.sub("", phrase)
    if "@" in outside and outside.strip(" ") != angles[0]:
        return "", ""
    return angles[0], name.strip()


# Identifiers

_ID = re.compile(r"<[!-;=?-~]{1,248}>")
_THREAD_INDEX = re.compile(r"[A-Za-z0-9+/]{1,1000}={0,2}\Z")
_KEPT_REFERENCES = 20


def message_ids(value: str) -> tuple[str, ...]:
    """Return the last 20 message ids of a field, with their angle brackets."""
    return tuple(_ID.findall(value)[-_KEPT_REFERENCES:])


def message_id(value: str) -> str | None:
    """Return the id if the field is one and nothing else."""
    return value if _ID.fullmatch(value) else None


def thread_index(value: str) -> str | None:
    """Return Outlook's Thread-Index if it is base64, without the blanks that folding left."""
    compact = "".join(value.split())
    return compact if _THREAD_INDEX.match(compact) else None
