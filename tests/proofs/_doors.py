"""What is said to the doors by who means harm: forms that ask for a relay, ends that are none, early commands."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

DOMAIN, ELSEWHERE = "sms.acme.example", "else.example"
WRITER, HIDDEN = "marie@acme.example", "33639985678"
PHONE = "33639981234"
_PATIENCE_S = 20

RELAYS = (
    f"<x@{ELSEWHERE}>", f"<{PHONE}@{ELSEWHERE}>", f"<x%{ELSEWHERE}@{DOMAIN}>", f"<{PHONE}%{ELSEWHERE}@{DOMAIN}>",
    f"<x@{ELSEWHERE}@{DOMAIN}>", f"<x@{DOMAIN}@{ELSEWHERE}>", f"<{PHONE}@{DOMAIN}@{ELSEWHERE}>",
    f"<@{DOMAIN}:x@{ELSEWHERE}>", f"<@{DOMAIN},@{ELSEWHERE}:x@{ELSEWHERE}>", f"<@{ELSEWHERE}:{PHONE}@{DOMAIN}>",
    f'<"x@{ELSEWHERE}"@{DOMAIN}>', f'<"{PHONE}@{ELSEWHERE}"@{DOMAIN}>', f'<"x%{ELSEWHERE}"@{DOMAIN}>',
    f'<"{PHONE}"@{ELSEWHERE}>', f"<{ELSEWHERE}!x@{DOMAIN}>", f"<{DOMAIN}!x@{ELSEWHERE}>", f"<{ELSEWHERE}!x>",
    "<x@[127.0.0.1]>", "<x@[IPv6:::1]>", "<x@127.0.0.1>", "<x@localhost>", f"<{PHONE}@localhost>", "<x>", f"<{PHONE}>",
    "<postmaster>", "<>", f"<@{DOMAIN}>", f"<x@{DOMAIN}.>", f"<{PHONE}@{DOMAIN}.>", f"<{PHONE}@{DOMAIN}.{ELSEWHERE}>",
    f"<{PHONE}@x.{DOMAIN}>", f"<{PHONE}@{DOMAIN[1:]}>", f"<{PHONE}@x{DOMAIN}>", f"x@{ELSEWHERE}", f"{PHONE}@{DOMAIN}",
    f"<{PHONE}@{DOMAIN}", f"<{PHONE}@{DOMAIN}>,<x@{ELSEWHERE}>", f"<{PHONE}@{DOMAIN},x@{ELSEWHERE}>",
    f"<{PHONE}@{DOMAIN}> <x@{ELSEWHERE}>", f"<{PHONE}@{DOMAIN}\0>", f"<{PHONE}\0@{DOMAIN}>",
    f"<{PHONE}@{DOMAIN}\rRCPT TO:<x@{ELSEWHERE}>", f"<x@{ELSEWHERE} >", f"< {PHONE}@{DOMAIN}>", f"<<{PHONE}@{DOMAIN}>>",
    f"<{PHONE}+raaaaaaaaaa@{DOMAIN}>", f"<marie@acme.example@{DOMAIN}>", "<marie@acme.example>", f"<{WRITER}>",
    f"<{PHONE}@{DOMAIN.replace('.', '。')}>", f"<x@{'a' * 250}.example>", f"<{'1' * 65}@{DOMAIN}>",
)  # fmt: skip
"""What RCPT must never take: other domains, however they are written, and no address at all."""

ENDS = (
    b"\n.\n", b"\n.\r\n", b"\n.\r", b"\n\n.\r\n", b"\r.\r", b"\r.\r\n", b"\r.\n", b"\r\n.\n", b"\r\n.\r",
    b"\r\n.\r\r\n", b"\r\r\n.\r\r\n", b"\r\n\n.\n\r\n", b"\r\n\0.\r\n", b"\r\n.\0\r\n", b"\r\n.\r\0\n",
    b"\n.\r\r\n", b"\r\n\r.\r\n", b"\0\n.\n",
)  # fmt: skip
"""What some server takes for the end of a mail, and others do not (SEC Consult, December 2023)."""

INJECTIONS = (
    b"NOOP\r\n",
    b"EHLO x\r\n" + f"MAIL FROM:<{WRITER}>\r\nRCPT TO:<{HIDDEN}@{DOMAIN}>\r\nDATA\r\n".encode(),
    f"MAIL FROM:<{WRITER}>\r\nRCPT TO:<{HIDDEN}@{DOMAIN}>\r\nDATA\r\n".encode(),
    b"x",
)
"""What follows STARTTLS in the same packet."""


class Door:
    """One connection to a door, spoken to in bytes."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._heard = b""

    def reply(self) -> bytes:
        """Return the next whole reply; empty at the end of the connection."""
        lines = b""
        while True:
            end = self._heard.find(b"\n") + 1
            if not end:
                try:
                    more = self.connection.recv(65_536)
                except ConnectionResetError:
                    more = b""
                if not more:
                    return b""
                self._heard += more
                continue
            line, self._heard = self._heard[:end], self._heard[end:]
            lines += line
            if line[3:4] != b"-":
                return lines

    def say(self, words: bytes) -> bytes:
        """Send bytes as they are, and return the reply."""
        try:
            self.connection.sendall(words)
        except (BrokenPipeError, ConnectionResetError):
            return b""
        return self.reply()

    def begin(self, hello: bytes = b"EHLO") -> None:
        """Go as far as the 354."""
        self.say(hello + b" x\r\n")
        self.say(f"MAIL FROM:<{WRITER}>\r\n".encode())
        self.say(f"RCPT TO:<{PHONE}@{DOMAIN}>\r\n".encode())
        assert self.say(b"DATA\r\n")[:3] == b"354"

    def start_tls(self, context: ssl.SSLContext) -> None:
        """Shake hands."""
        self.connection = context.wrap_socket(self.connection)


@contextmanager
def door(port: int, ip: str = "127.0.0.1") -> Iterator[Door]:
    """Connect and hear the greeting."""
    with socket.create_connection(("127.0.0.1", port), _PATIENCE_S, (ip, 0)) as connection:
        opened = Door(connection)
        assert opened.reply()[:3] == b"220"
        yield opened
        opened.connection.close()


def relayed(port: int, hello: bytes) -> list[str]:
    """Return which of RELAYS a door takes, with SMTPUTF8 and without, from a writer, a bounce and a stranger's name."""
    taken = []
    with door(port) as opened:
        opened.say(hello + b" x\r\n")
        for sender in (f"<{WRITER}>", "<>", f"<x@{ELSEWHERE}>", f"<x@{DOMAIN}> SMTPUTF8"):
            for form in RELAYS:
                opened.say(b"RSET\r\n")
                opened.say(f"MAIL FROM:{sender}\r\n".encode())
                said = opened.say(f"RCPT TO:{form}\r\n".encode())
                if said[:1] != b"5":
                    taken.append(f"{sender} {form!r}: {said!r}")
    return taken


def smuggled(port: int, hello: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Try each of ENDS with a mail behind it; yield the end and the reply to the one mail that there is."""
    hidden = f"MAIL FROM:<{WRITER}>\r\nRCPT TO:<{HIDDEN}@{DOMAIN}>\r\nDATA\r\n".encode()
    for end in ENDS:
        with door(port) as opened:
            opened.begin(hello)
            first = f"From: {WRITER}\r\nSubject: x\r\n\r\nfirst".encode()
            second = f"From: {WRITER}\r\nSubject: x\r\n\r\nsmuggled".encode()
            yield end, opened.say(first + end + hidden + second + b"\r\n.\r\n")


def injected(port: int, context: ssl.SSLContext) -> list[str]:
    """Return what a command in clear, sent with STARTTLS, brought about over TLS."""
    effects = []
    for words in INJECTIONS:
        with door(port) as opened:
            opened.say(b"EHLO x\r\n")
            said = opened.say(b"STARTTLS\r\n" + words)
            if (
                said[:3] == b"220"
            ):  # the words came later than the command: they are for the handshake, and break it
                try:
                    opened.start_tls(context)
                    heard = opened.say(b"NOOP\r\n")
                except (OSError, ssl.SSLError):
                    continue
                if heard[:3] != b"250":
                    effects.append(f"{words!r}: {heard!r}")
            elif said[:3] != b"554":
                effects.append(f"{words!r}: {said!r}")
    return effects
