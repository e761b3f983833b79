"""The SMTP commands: what each one answers, as RFC 5321 and its extensions ask, within the limits.

A command returns its whole reply, or nothing when the session answers. Enhanced codes: RFC 3463.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from mail2sms.intake.smtp_syntax import (
    BUSY,
    NO_ADDRESS,
    read_mail_parameters,
    read_path,
    read_rcpt_parameters,
    too_large,
)

if TYPE_CHECKING:
    from mail2sms.intake.smtp import Session

_HELO_CHARACTERS = 255
_MECHANISMS = frozenset({"PLAIN", "LOGIN"})
_TLS_FIRST = "530 5.7.0 STARTTLS first"
_NOT_ASCII = "553 5.6.7 non-ASCII address without SMTPUTF8"


def _greet(session: Session, name: str) -> bool:
    if not name:
        return False
    session.client = replace(session.client, helo=name[:_HELO_CHARACTERS])
    session.restart_mail()
    return True


def _helo(session: Session, argument: str) -> str:
    return (
        f"250 {session.listener.options.hostname}"
        if _greet(session, argument)
        else "501 5.5.4 syntax: HELO name"
    )


def _ehlo(session: Session, argument: str) -> str:
    if not _greet(session, argument):
        return f"501 5.5.4 syntax: {'L' if session.listener.options.is_lmtp else 'E'}HLO name"
    session.send(session.listener.ehlo[session.is_tls])
    return ""


def _starttls(session: Session, argument: str) -> str:
    if argument:
        return "501 5.5.4 syntax: STARTTLS"
    if not session.listener.options.offers_tls:
        return "502 5.5.1 TLS is not available"
    if session.is_tls:
        return "503 5.5.1 TLS is on already"
    session.upgrade()
    return ""


def _auth(session: Session, argument: str) -> str:
    options, client = session.listener.options, session.client
    if not options.offers_login:
        return "502 5.5.1 there is no login here"
    if not options.takes_login(is_tls=session.is_tls):
        return _TLS_FIRST if options.tls == "required" else "538 5.7.11 a login needs TLS; STARTTLS first"
    if not client.helo or client.login is not None or session.envelope.mail_from is not None:
        return "503 5.5.1 once, after EHLO and before MAIL"
    words = argument.split()
    if not 1 <= len(words) <= 2:
        return "501 5.5.4 syntax: AUTH mechanism [initial-response]"
    mechanism = words[0].upper()
    if mechanism not in _MECHANISMS:
        return "504 5.5.4 PLAIN or LOGIN"
    session.begin_login(mechanism, words)
    return ""


def _why_no_mail(session: Session) -> str:
    options, client = session.listener.options, session.client
    if not client.helo:
        return "503 5.5.1 LHLO first" if options.is_lmtp else "503 5.5.1 EHLO first"
    if options.tls == "required" and not session.is_tls:
        return _TLS_FIRST
    if options.login == "required" and client.login is None:
        return "530 5.7.0 log in first"
    if session.envelope.mail_from is not None:
        return "503 5.5.1 one mail at a time"
    if session.mails >= session.listener.budget.limits.mails_per_connection and not session.is_exempt:
        return "421 4.7.0 too many mails on one connection; connect again"
    session.handler = session.listener.handler  # for the whole of this mail, whatever is reloaded meanwhile
    refusal = session.handler.begin(client, offers_login=options.offers_login) or ""
    if refusal:
        session.listener.report("stranger", client.ip, "mail_refused")
    return refusal


def _mail(session: Session, argument: str) -> str:
    refusal = _why_no_mail(session)
    if refusal:
        return refusal
    address, rest = read_path(argument, "FROM:")
    parameters = read_mail_parameters(rest, has_dsn=session.listener.options.has_dsn)
    budget = session.listener.budget
    if not address.isascii() and not parameters.is_smtputf8:
        return _NOT_ASCII
    if parameters.size_bytes > budget.limits.size_bytes:
        return too_large(budget.limits.size_bytes)
    if parameters.size_bytes > budget.room(is_trusted=session.is_trusted):
        return BUSY
    session.envelope.mail_from = address
    session.envelope.smtp_utf8 = parameters.is_smtputf8
    session.dsn = parameters.dsn
    return "250 2.1.0 OK"


def _rcpt(session: Session, argument: str) -> str:
    mail = session.envelope
    if mail.mail_from is None:
        return "503 5.5.1 MAIL first"
    if len(mail.rcpt_tos) >= session.listener.budget.limits.recipients:
        return "452 4.5.3 too many recipients"
    address, rest = read_path(argument, "TO:")
    dsn = read_rcpt_parameters(rest, session.dsn, has_dsn=session.listener.options.has_dsn)
    if not address:
        return NO_ADDRESS
    if not address.isascii() and not mail.smtp_utf8:
        return _NOT_ASCII
    verdict = session.handler.rcpt(session.client, address)
    if verdict is None or isinstance(verdict, str):
        return session.add_recipient(address, dsn, verdict)
    session.await_verdict(address, dsn, verdict)
    return ""


def _data(session: Session, argument: str) -> str:
    if session.unread:
        # Whatever follows was written for a 354 that we have not given: never read it as commands.
        session.expel("554 5.5.0 nothing may follow DATA before 354")
        return ""
    if argument:
        return "501 5.5.4 syntax: DATA"
    if session.envelope.mail_from is None:
        return "503 5.5.1 MAIL first"
    if not session.envelope.rcpt_tos:
        # RFC 2033 section 4.2
        return f"{503 if session.listener.options.is_lmtp else 554} 5.5.1 no valid recipients"
    session.collect()
    return "354 end with <CRLF>.<CRLF>"


def _rset(session: Session, argument: str) -> str:
    session.restart_mail()
    return "250 2.0.0 OK"


def _noop(session: Session, argument: str) -> str:
    return "250 2.0.0 OK"


def _quit(session: Session, argument: str) -> str:
    return "221 2.0.0 bye"


def _vrfy(session: Session, argument: str) -> str:
    return "252 2.5.0 send a mail and you will see"


def _expn(session: Session, argument: str) -> str:
    return "502 5.5.1 there are no lists here"


def _help(session: Session, argument: str) -> str:
    return "214 2.0.0 see RFC 5321"


def _web(session: Session, argument: str) -> str:
    # A browser was made to speak to us: what follows may be a mail hidden in a form.
    session.expel("554 5.5.0 this is no web server")
    return ""


COMMANDS: Mapping[bytes, Callable[[Session, str], str]] = {
    b"HELO": _helo, b"EHLO": _ehlo, b"STARTTLS": _starttls, b"AUTH": _auth, b"MAIL": _mail, b"RCPT": _rcpt,
    b"DATA": _data, b"RSET": _rset, b"NOOP": _noop, b"QUIT": _quit, b"VRFY": _vrfy, b"EXPN": _expn,
    b"HELP": _help, b"GET": _web, b"POST": _web, b"HEAD": _web, b"PUT": _web, b"CONNECT": _web, b"OPTIONS": _web,
}  # fmt: skip
LMTP_COMMANDS = {name: command for name, command in COMMANDS.items() if name not in {b"HELO", b"EHLO"}}
LMTP_COMMANDS[b"LHLO"] = _ehlo  # RFC 2033 section 4.1
IDLE = frozenset({b"NOOP", b"RSET", b"VRFY", b"HELP", b"EHLO", b"HELO", b"LHLO"})
"""What brings no mail nearer."""
