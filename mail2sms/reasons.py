"""The one table of reasons: code -> SMTP reply, who is told, charged or not. Pure.

It drives SMTP replies, emails, API problems, CLI and metrics. The sentences for people, one per language, are in
templates/email/<lang>/reasons.txt under the same codes; `smtp` below is the short English form for machines.
Enhanced codes: RFC 3463. Placeholders: `value`, `hint`, `line`, `column` and the facts of `errors.Problem`.
"""

from __future__ import annotations

from dataclasses import dataclass

from mail2sms.errors import Problem


@dataclass(frozen=True, kw_only=True, slots=True)
class Reason:
    """How one kind of refusal or failure is told. `tell`: nobody, sender, both (sender and admin)."""

    code: int
    enhanced: str
    smtp: str
    tell: str = "sender"
    charged: str = "no"  # no, maybe, yes


def _no(code: int, enhanced: str, smtp: str, tell: str = "sender", charged: str = "no") -> Reason:
    return Reason(code=code, enhanced=enhanced, smtp=smtp, tell=tell, charged=charged)


REASONS: dict[str, Reason] = {
    # who writes
    "sender.unknown": _no(550, "5.7.1", "this sender may not send SMS here", "nobody"),
    "sender.login_required": _no(530, "5.7.0", "log in first", "nobody"),
    "sender.from_missing": _no(550, "5.7.1", "exactly one From address is needed", "nobody"),
    "sender.null": _no(550, "5.7.1", "bounces and empty senders are not turned into SMS", "nobody"),
    "sender.automatic": _no(550, "5.7.1", "automatic mail is not turned into SMS", "nobody"),
    # where to
    "address.relay_denied": _no(550, "5.7.1", "only addresses of {domain} are taken here", "nobody"),
    "address.unknown": _no(550, "5.1.1", "no such address; write to number@{domain} or {mailbox}@{domain}"),
    "address.bad_reply_key": _no(550, "5.1.1", "this reply address is not valid"),
    "address.syntax": _no(553, "5.1.3", "this is not a mail address"),
    "number.invalid": _no(550, "5.1.3", '"{value}" is no phone number in {country}'),
    "number.ambiguous": _no(550, "5.1.3", '"{value}" may be {home} or {abroad}; write it with + in front'),
    "number.not_mobile": _no(550, "5.1.3", '"{value}" is no mobile number in {country}'),
    "number.fiction": _no(550, "5.1.3", '"{value}" is an example number; no phone has it'),
    "number.not_geographic": _no(550, "5.1.3", '"{value}" belongs to no country'),
    "country.not_allowed": _no(550, "5.7.1", "this bridge does not write to {country}"),
    # what is asked
    "template.unknown_field": _no(550, "5.6.0", 'body line {line}: there is no field "{value}"'),
    "template.duplicate_field": _no(550, "5.6.0", 'body line {line}: field "{value}" stands twice'),
    "template.missing_field": _no(550, "5.6.0", 'the field "{value}" is missing'),
    "template.bad_line": _no(
        550, "5.6.0", "body line {line}: not a field; fields are followed by a blank line"
    ),
    "template.bad_number": _no(550, "5.6.0", 'body line {line}: "{value}" is no phone number'),
    "template.unknown_team": _no(550, "5.6.0", 'body line {line}: there is no team "{value}"'),
    "template.bad_time": _no(550, "5.6.0", 'body line {line}: "{value}" is no time'),
    "template.past_time": _no(550, "5.6.0", 'body line {line}: "{value}" is in the past'),
    "template.far_time": _no(550, "5.6.0", 'body line {line}: "{value}" is more than a year ahead'),
    "template.bad_validity": _no(550, "5.6.0", 'body line {line}: "{value}" is no length of time'),
    "template.bad_sender_id": _no(550, "5.6.0", 'body line {line}: "{value}" cannot be a sender'),
    "template.bad_reference": _no(550, "5.6.0", 'body line {line}: "{value}" is too long for a reference'),
    "template.no_text": _no(550, "5.6.0", "there is no text to send"),
    "text.too_long": _no(550, "5.2.3", "the text needs {parts} parts; at most {limit} are allowed"),
    "text.empty": _no(550, "5.6.0", "there is no text to send"),
    "text.unsendable": _no(550, "5.6.0", "the text holds control characters that no phone can show"),
    "recipients.too_many": _no(550, "5.5.3", "{count} recipients; at most {limit} are allowed"),
    "sender_id.none": _no(550, "5.7.1", "no sender number or name is set for you; ask your administrator"),
    "sender_id.not_yours": _no(550, "5.7.1", 'you may not send as "{value}"'),
    "route.none": _no(550, "5.7.1", "no carrier is set for {country}"),
    "route.refused": _no(550, "5.7.1", "refused: {why}"),
    "trial.not_ours": _no(550, "5.7.1", "trial mode writes only to the phones of users and teams"),
    # the mail itself
    "mail.too_large": _no(552, "5.3.4", "the mail is larger than {limit} bytes"),
    "mail.bare_newline": _no(554, "5.5.2", "bare CR or LF or NUL in the mail; lines end with CRLF"),
    "mail.unreadable": _no(550, "5.6.0", "the mail cannot be read: {why}"),
    "mail.too_complex": _no(554, "5.6.0", "the mail is too complex: {why}"),
    "mail.no_text": _no(550, "5.6.0", "the mail has no readable text"),
    # what became of it
    "carrier.unknown_number": _no(550, "5.1.1", "the number does not exist", "sender", "maybe"),
    "carrier.undeliverable": _no(550, "5.2.0", "the phone cannot be reached", "sender", "maybe"),
    "carrier.rejected": _no(550, "5.7.1", "the carrier rejected the message", "both", "no"),
    "carrier.expired": _no(550, "5.4.7", "not delivered in time", "sender", "maybe"),
    "carrier.unknown": _no(
        450, "4.4.2", "the carrier's answer was lost; it may have been sent", "both", "maybe"
    ),
    # ours
    "system.database": _no(451, "4.3.0", "try again later", "nobody"),
    "system.error": _no(451, "4.3.0", "try again later", "nobody"),
    "system.busy": _no(452, "4.3.1", "too much mail at once; try again later", "nobody"),
}


def smtp_reply(problem: Problem) -> str:
    """Return the whole SMTP reply for one problem: code, enhanced code, one short ASCII-safe sentence."""
    reason = REASONS[problem.reason]
    facts = _Facts(problem.facts, value=problem.value, hint=problem.hint, line=str(problem.line))
    sentence = reason.smtp if problem.line else reason.smtp.removeprefix("body line {line}: ")
    text = sentence.format_map(facts)
    return f"{reason.code} {reason.enhanced} {_one_line(text)}"


class _Facts(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "?"


def _one_line(text: str) -> str:
    """RFC 5321 section 4.5.3.1.5: a reply line is at most 512 octets; ours are ASCII without controls."""
    return "".join(c if " " <= c <= "~" else "?" for c in text)[:400]
