"""What SMTP clients write: paths, parameters of MAIL, and the mail after DATA. Pure: bytes and text in, values out.

Stricter than RFC 5321 where leniency was abused: no source routes, angle brackets required, lines end with CRLF
only. Knows no socket and no limit but the ones it is given.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mail2sms.errors import Problem
from mail2sms.intake import smtp_dsn
from mail2sms.intake.limits import Budget
from mail2sms.model import NO_DSN, Dsn
from mail2sms.reasons import smtp_reply

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\U0010ffff-]+"
_QUOTED = r'"(?:[^"\\\x00-\x1f\x7f]|\\[\x20-\x7e])*"'
_LABEL = r"[A-Za-z0-9_\x80-\U0010ffff-]+"
_LITERAL = r"\[[0-9A-Za-z.:-]{1,60}\]"
_ADDRESS = rf"({_ATOM}(?:\.{_ATOM})*|{_QUOTED})@({_LABEL}(?:\.{_LABEL})*|{_LITERAL})"
_PATH = re.compile(rf" *<(?:{_ADDRESS})?>(?: +(.*))?\Z")
_LOCAL_OCTETS, _DOMAIN_OCTETS = 64, 255  # RFC 5321 sections 4.5.3.1.1 and 4.5.3.1.2
_SIZE_DIGITS = 20  # RFC 1870 section 4

NO_ADDRESS = smtp_reply(Problem(reason="address.syntax"))
BUSY = smtp_reply(Problem(reason="system.busy"))
_BARE = smtp_reply(Problem(reason="mail.bare_newline"))


class CommandRefused(ValueError):
    """A command that can't be read. The text is the whole SMTP reply."""


def too_large(limit_bytes: int) -> str:
    """Return the reply to a mail of more bytes."""
    return smtp_reply(Problem(reason="mail.too_large", facts={"limit": str(limit_bytes)}))


@dataclass(frozen=True, kw_only=True, slots=True)
class MailParameters:
    """What a client says about the mail that follows. `size_bytes` is 0 when it doesn't say."""

    size_bytes: int = 0
    is_smtputf8: bool = False
    dsn: Dsn = NO_DSN


def read_path(argument: str, keyword: str) -> tuple[str, str]:
    """Return address and parameters of `FROM:<address> parameters`; the address is empty for `<>`.

    Raises CommandRefused. Quoted local parts keep their quotes.
    """
    if argument[: len(keyword)].upper() != keyword:
        raise CommandRefused(f"501 5.5.4 syntax: {keyword}<address>")
    path = argument[len(keyword) :]
    found = _PATH.match(path)
    if found is None:
        is_path = path.lstrip(" ").startswith("<") and ">" in path
        reply = NO_ADDRESS if is_path else f"501 5.5.4 syntax: {keyword}<address>"
        raise CommandRefused(reply)
    local, domain, parameters = found.groups()
    if local is None:
        return "", parameters or ""
    address = f"{local}@{domain}"
    # Non-ASCII: neither separators nor bidi controls nor lone surrogates.
    if (
        not address.isprintable()  # asked first: a surrogate can't be encoded
        or len(local.encode()) > _LOCAL_OCTETS
        or len(domain.encode()) > _DOMAIN_OCTETS
    ):
        raise CommandRefused(NO_ADDRESS)
    return address, parameters or ""


def read_mail_parameters(text: str, *, has_dsn: bool = False) -> MailParameters:
    """Read what follows the path in MAIL. Raises CommandRefused."""
    if not text:
        return _NO_PARAMETERS
    size_bytes, is_smtputf8, asked = 0, False, list[tuple[str, str]]()
    for parameter in text.split():
        word, _, value = parameter.partition("=")
        name, whole = word.upper(), parameter.upper()
        if name == "SIZE" and value.isascii() and value.isdigit() and len(value) <= _SIZE_DIGITS:
            size_bytes = int(value)
        elif whole == "SMTPUTF8":
            is_smtputf8 = True
        elif has_dsn and name in smtp_dsn.OF_MAIL:
            asked.append((name, value))
        elif whole not in _IGNORED and not (name == "AUTH" and value):  # RFC 4954 section 5: may be ignored
            known = name in {"SIZE", "BODY", "SMTPUTF8", "AUTH"}
            raise CommandRefused(f"{501 if known else 555} 5.5.4 MAIL parameter not understood")
    try:
        dsn = smtp_dsn.of_mail(asked)
    except ValueError as e:
        raise CommandRefused("501 5.5.4 MAIL parameter not understood") from e
    return MailParameters(size_bytes=size_bytes, is_smtputf8=is_smtputf8, dsn=dsn)


def read_rcpt_parameters(text: str, mail: Dsn, *, has_dsn: bool) -> Dsn:
    """Read what follows the path in RCPT; `mail` is what was said at MAIL. Raises CommandRefused."""
    if not text:
        return mail
    asked = [(name.upper(), value) for name, _, value in (word.partition("=") for word in text.split())]
    if not has_dsn or any(name not in smtp_dsn.OF_RCPT for name, _ in asked):
        raise CommandRefused("555 5.5.4 RCPT parameter not understood")
    try:
        return smtp_dsn.of_rcpt(asked, mail)
    except ValueError as e:
        raise CommandRefused("501 5.5.4 RCPT parameter not understood") from e


_NO_PARAMETERS = MailParameters()
_IGNORED = frozenset({"BODY=7BIT", "BODY=8BITMIME"})


class Lines:
    """What a client has sent and nobody has read yet, given out line by line."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._data, self._at = b"", 0
        self._is_skipping = False

    def __len__(self) -> int:
        return len(self._data) - self._at

    def feed(self, data: bytes) -> None:
        """Add what has come."""
        self._data = self._data[self._at :] + data if self._at < len(self._data) else data
        self._at = 0

    def take_line(self) -> bytes:
        """Return the next line with its end, empty when it has not come yet; a lone LF for one that was too long."""
        start, end = self._at, self._data.find(b"\n", self._at) + 1
        if end:
            self._at = end
            was_skipping, self._is_skipping = self._is_skipping, False
            return b"\n" if was_skipping or end - start > self._limit_bytes else self._data[start:end]
        if self._is_skipping or len(self) > self._limit_bytes:
            self._is_skipping, self._at = True, len(self._data)
        return b""

    def take_all(self) -> bytes:
        """Return everything that is there."""
        data = self._data[self._at :]
        self._data, self._at = b"", 0
        return data


_END = b"\r\n.\r\n"
_DISCARDED_SIZES = 32  # so many times the size limit is read and thrown away, so that a client hears why


class Collector:
    """Gathers one mail after DATA, chunk by chunk; the end is CRLF.CRLF and nothing else (smuggling).

    What it keeps is taken from the budget: call `release` when the mail is done with. A mail that is too large or
    finds no room is read to its end and thrown away.
    """

    def __init__(self, budget: Budget, *, is_trusted: bool, is_lenient: bool = False) -> None:
        self._budget = budget
        self._is_trusted = is_trusted
        self._is_lenient = is_lenient
        self._limit_bytes = budget.limits.size_bytes
        self._data = bytearray(b"\r\n")  # the line break of the DATA command: a lone dot may come first
        self._reserved_bytes = 0
        self._refusal = ""
        self.received_bytes = 0
        self.rest = b""

    @property
    def is_hopeless(self) -> bool:
        """Whether more was thrown away than we are willing to read."""
        return bool(self._refusal) and self.received_bytes > self._limit_bytes * _DISCARDED_SIZES

    def feed(self, chunk: bytes) -> bool:
        """Take what has come; return whether the mail is complete. Then `rest` is what came after it."""
        self.received_bytes += len(chunk)
        start = max(0, len(self._data) - len(_END) + 1)
        self._data += chunk
        end = self._data.find(_END, start)
        if end >= 0:
            self.rest = bytes(self._data[end + len(_END) :])
            del self._data[end + 2 :]
        self._make_room(slack=0 if end >= 0 else len(b".\r"))
        return end >= 0

    def content(self) -> bytes:
        """Return the complete mail without the transparency dots (RFC 5321 section 4.5.2).

        Raises CommandRefused: bare CR, bare LF and NUL are read differently by different programs. A lenient one
        mends them here, where the end of the mail has been found already.
        """
        if self._refusal:
            raise CommandRefused(self._refusal)
        data = bytes(self._data)
        lines = data.count(b"\r\n")
        if data.count(b"\r") != lines or data.count(b"\n") != lines or b"\0" in data:
            if not self._is_lenient:
                raise CommandRefused(_BARE)
            data = _mended(data)
        return data.replace(b"\r\n.", b"\r\n")[2:]

    def release(self) -> None:
        """Give back what was taken of the budget; more than once does no harm."""
        self._budget.release(self._reserved_bytes, is_trusted=self._is_trusted)
        self._reserved_bytes = 0

    def _make_room(self, slack: int) -> None:
        wanted = len(self._data) - self._reserved_bytes
        if not self._refusal and len(self._data) - len(b"\r\n") > self._limit_bytes + slack:
            self._refusal = too_large(self._limit_bytes)
        elif not self._refusal and not self._budget.reserve(wanted, is_trusted=self._is_trusted):
            self._refusal = BUSY
        elif not self._refusal:
            self._reserved_bytes += wanted
        if self._refusal:
            self.release()
            self._data = self._data[-len(_END) + 1 :]


def _mended(data: bytes) -> bytes:
    r"""Return the mail with CRLF at the end of each line, be it written `\r\r\n`, `\n` or `\r`, and without NUL."""
    lines = data.replace(b"\0", b"").replace(b"\r\r\n", b"\n").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return lines.replace(b"\n", b"\r\n")
