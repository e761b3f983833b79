"""The one table of reasons: code -> SMTP reply, who is told, charged or not. Pure.

It drives SMTP replies, emails, API problems, CLI and documentation. The sentences for people, one per language, are in
templates/email/<lang>/reasons.txt under the same codes; `smtp` below is their first English sentence, in ASCII.
Enhanced codes: RFC 3463. Placeholders: `value`, `hint`, `line`, `column` and the facts of `errors.Problem`; what
stands in brackets is said where they are known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from mail2sms.errors import Problem

_FIELD, _OPTIONAL = re.compile(r"\{(\w+)\}"), re.compile(r"\[([^\[\]]*)\]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Reason:
    """How one kind of refusal or failure is told. `tell`: nobody or sender."""

    code: int
    enhanced: str
    smtp: str
    tell: str = "sender"
    charged: str = "no"  # no, maybe, yes, later


def _no(code: int, enhanced: str, smtp: str, tell: str = "sender", charged: str = "no") -> Reason:
    return Reason(code=code, enhanced=enhanced, smtp=smtp, tell=tell, charged=charged)


def _held(smtp: str) -> Reason:
    return Reason(code=250, enhanced="2.0.0", smtp=smtp, charged="later")


def _quota(limit: str) -> Reason:
    return _no(550, "5.7.1", f"{limit}; {{left}} left, {{count}} needed; again from {{until}}")


REASONS: dict[str, Reason] = {
    # who writes
    "sender.unknown": _no(550, "5.7.1", "this sender may not send SMS here", "nobody"),
    "sender.login_required": _no(530, "5.7.0", "log in first", "nobody"),
    "sender.proof_missing": _no(
        550, "5.7.1", "nothing proves that this mail was written by its sender ({why})", "nobody"
    ),
    "sender.proof_unknown": _no(
        451, "4.4.3", "who wrote this mail cannot be looked up right now; try again later", "nobody"
    ),
    "sender.from_missing": _no(
        550, "5.7.1", "the From line must hold exactly one address, written plainly", "nobody"
    ),
    "sender.null": _no(550, "5.7.1", "bounces and mails without a sender are not turned into SMS", "nobody"),
    "sender.automatic": _no(550, "5.7.1", "automatic mail is not turned into SMS", "nobody"),
    # where to
    "address.relay_denied": _no(550, "5.7.1", "only addresses at {domain} are taken here", "nobody"),
    "address.unknown": _no(
        550,
        "5.1.1",
        "there is no such address here; "
        "write to the phone number, such as 33639981234@{domain}, or to {mailbox}@{domain}",
    ),
    "address.bad_reply_key": _no(
        550,
        "5.1.1",
        "this reply address is not valid: part of it was changed or cut; answer the original mail again",
    ),
    "address.bad_key": _no(
        550,
        "5.1.1",
        "the key in this address (after +k) is not whole: it has 26 letters and digits; copy it again",
    ),
    "address.syntax": _no(553, "5.1.3", "this is not a mail address"),
    "number.invalid": _no(
        550,
        "5.1.3",
        '"{value}" is not a phone number in {country}'
        "[; it has {digits} digits, and a mobile number there has {expected}]",
    ),
    "number.ambiguous": _no(
        550, "5.1.3", '"{value}" may mean {home} or {abroad}; write it with + and the country code in front'
    ),
    "number.not_mobile": _no(
        550, "5.1.3", '"{value}" is not a mobile number in {country}, so it cannot get SMS'
    ),
    "number.fiction": _no(550, "5.1.3", '"{value}" is an example number that no phone has'),
    "number.not_geographic": _no(550, "5.1.3", '"{value}" belongs to no country'),
    "country.not_allowed": _no(
        550, "5.7.1", "SMS to {country} are not allowed here; ask your administrator to add this country"
    ),
    # what is asked
    "template.unknown_field": _no(550, "5.6.0", 'body line {line}: there is no field "{value}"'),
    "template.duplicate_field": _no(550, "5.6.0", 'body line {line}: the field "{value}" is there twice'),
    "template.missing_field": _no(550, "5.6.0", 'the field "{value}" is missing'),
    "template.empty_field": _no(550, "5.6.0", 'body line {line}: the field "{value}" is empty'),
    "template.no_colon": _no(550, "5.6.0", "body line {line}: a colon is missing here"),
    "template.bad_line": _no(
        550,
        "5.6.0",
        "body line {line}: this line is not a field; leave a blank line between the fields and the text",
    ),
    "template.bad_number": _no(550, "5.6.0", 'body line {line}: "{value}" is not a phone number'),
    "template.unknown_team": _no(550, "5.6.0", 'body line {line}: there is no team "{value}"'),
    "template.bad_time": _no(550, "5.6.0", 'body line {line}: "{value}" is not a time'),
    "template.past_time": _no(550, "5.6.0", 'body line {line}: "{value}" is in the past'),
    "template.far_time": _no(550, "5.6.0", 'body line {line}: "{value}" is more than a year ahead'),
    "template.bad_validity": _no(550, "5.6.0", 'body line {line}: "{value}" is not a length of time'),
    "template.unclear_validity": _no(
        550, "5.6.0", 'body line {line}: "{value}" may be a length of time or a time of day'
    ),
    "template.early_expiry": _no(
        550, "5.6.0", 'body line {line}: "{value}" is not after the time of sending, {start} ({zone})'
    ),
    "template.bad_sender_id": _no(550, "5.6.0", 'body line {line}: "{value}" cannot be a sender'),
    "template.bad_reference": _no(
        550,
        "5.6.0",
        'body line {line}: "{value}" cannot be a reference',
    ),
    "template.no_text": _no(550, "5.6.0", "there is no text to send"),
    "text.too_long": _no(
        550,
        "5.2.3",
        "the text is too long: its {characters} characters need {parts} SMS, and the limit here is {limit}",
    ),
    "text.empty": _no(550, "5.6.0", "there is no text to send"),
    "text.unsendable": _no(
        550, "5.6.0", "the text holds control characters that no phone can show: {characters}"
    ),
    "media.country": _no(550, "5.6.0", "pictures cannot be sent to phones in {country}; send the text alone"),
    "media.sender": _no(
        550, "5.7.1", 'pictures cannot be sent under the name "{value}": the sender must be a number'
    ),
    "media.carrier": _no(
        550,
        "5.6.0",
        "no carrier here takes messages with pictures ({count}) to {country}; send fewer, or the text alone",
    ),
    "media.too_many": _no(550, "5.6.0", "the mail has {count} pictures; at most {limit} can be sent"),
    "media.unreadable": _no(
        550, "5.6.0", 'the picture "{value}" cannot be read; send it as JPEG, PNG, GIF or WebP'
    ),
    "media.heic": _no(
        550,
        "5.6.0",
        'the picture "{value}" is in the iPhone\'s own format (HEIC), which many phones do not show; choose '
        "Settings > Camera > Formats > Most Compatible there, and send it as JPEG",
    ),
    "media.video": _no(
        550,
        "5.6.0",
        'videos and sounds cannot be sent to phones from here ("{value}"); send a picture, or a link in the text',
    ),
    "media.too_large": _no(
        550, "5.6.0", 'the picture "{value}" has more than 50 million pixels; send a smaller one'
    ),
    "recipients.none": _no(550, "5.1.3", "the mail names no phone"),
    "recipients.too_many": _no(550, "5.5.3", "the mail has {count} recipients; at most {limit} are allowed"),
    "sender_id.none": _no(
        550, "5.7.1", "no number or name is set as the sender of your SMS; ask your administrator"
    ),
    "sender_id.not_yours": _no(550, "5.7.1", 'you may not send as "{value}"'),
    "sender_id.numeric_only": _no(
        550,
        "5.7.1",
        'phones in {country} take no SMS from a name such as "{value}": the sender must be a number',
    ),
    "sender_id.given_name": _no(
        550, "5.7.1", '"{value}" is a given name, which may not be a sender in {country}'
    ),
    "sender_id.refused": _no(550, "5.7.1", '"{value}" was refused as a sender in {country}'),
    "conversation.not_yours": _no(
        550, "5.7.1", "answers in this conversation go out as {value}, which is not yours to use"
    ),
    "route.none": _no(550, "5.7.1", "no carrier is set up for {country}"),
    "route.refused": _no(550, "5.7.1", "SMS to this number are not allowed here: {why}"),
    "optout": _no(
        550, "5.7.1", "this person has opted out of SMS from here, so nothing may be sent to this phone"
    ),
    "trial.not_ours": _no(
        550,
        "5.7.1",
        "the service is in trial: it writes only to the phones of its own users and teams",
    ),
    "quota.user": _quota("you may send {rate}"),
    "quota.team": _quota("your team {value} may send {rate}"),
    "quota.number": _quota("one phone gets at most {rate} from here"),
    "quota.prefix": _quota("phones whose numbers begin with {value} get at most {rate} together"),
    "quota.country": _quota("at most {rate} go to this country ({value})"),
    "quota.total": _quota("all users together may send {rate}"),
    "quota.cost": _quota("all SMS together may cost {rate}"),
    "sending.stopped": _no(550, "5.7.1", "your administrator has stopped all sending for now"),
    "loop.answers": _no(
        550,
        "5.4.6",
        "this looks like two machines that answer each other: the same answer came before in this conversation, "
        "or many came quickly",
    ),
    # the mail itself
    "mail.too_large": _no(552, "5.3.4", "the mail is larger than {limit} bytes"),
    "mail.bare_newline": _no(
        554, "5.5.2", "the mail holds a bare CR, LF or NUL; every line must end with CR LF"
    ),
    "mail.unreadable": _no(550, "5.6.0", "the mail cannot be read: {why}"),
    "mail.too_complex": _no(554, "5.6.0", "the mail is too complex to be read safely: {why}"),
    "mail.no_text": _no(550, "5.6.0", "the mail has no readable text"),
    "device.too_old": _no(
        550,
        "5.4.7",
        "this was written {age} ago, and what is older than {limit} is not sent any more",
        "nobody",
    ),
    # it waits
    "held.operator": _held("your SMS is waiting: an operator has put it on hold"),
    "held.quiet_hours": _held("your SMS is waiting: no SMS are sent at this hour"),
    "held.approval": _held("your SMS is waiting: somebody must approve it first"),
    "held.sequential": _held(
        "your SMS is waiting: many numbers that follow one another have been sent SMS lately, "
        "so somebody must look at it first"
    ),
    "held.new_country": _held(
        "your SMS is waiting: many SMS are going to a country that was not written to before, "
        "so somebody must look at it first"
    ),
    "held.unusual": _held(
        "your SMS is waiting: you have sent far more today than usual, so somebody must look at it first"
    ),
    "approval.refused": _no(550, "5.7.1", "the SMS was not sent: its approval was refused"),
    "approval.expired": _no(550, "5.4.7", "the SMS was not sent: nobody approved it in time"),
    # what became of it
    "carrier.unknown_number": _no(
        550, "5.1.1", "the number does not exist or is no longer in service", "sender", "maybe"
    ),
    "carrier.undeliverable": _no(
        550,
        "5.2.0",
        "the phone cannot be reached: it may be off, without signal, or full",
        "sender",
        "maybe",
    ),
    "carrier.rejected": _no(550, "5.7.1", "the phone network refused the SMS", "sender", "no"),
    "carrier.expired": _no(550, "5.4.7", "the SMS could not be delivered in time", "sender", "maybe"),
    "carrier.unknown": _no(
        450,
        "4.4.2",
        "the network's answer was lost, so we do not know whether the SMS arrived",
        "sender",
        "maybe",
    ),
    # ours
    "system.database": _no(451, "4.3.0", "try again later", "nobody"),
    "system.error": _no(451, "4.3.0", "try again later", "nobody"),
    "system.busy": _no(452, "4.3.1", "too much mail at once; try again later", "nobody"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ReasonRow:
    """One reason as documentation: `smtp` is the whole reply, `told` is nobody or sender."""

    code: str
    smtp: str
    told: str
    charged: str
    sentence: str


def reason_rows(sentences: Mapping[str, str]) -> tuple[ReasonRow, ...]:
    """Return the whole table, in its order, with the sentence for people of each code."""
    return tuple(
        ReasonRow(
            code=code,
            smtp=f"{reason.code} {reason.enhanced} {_OPTIONAL.sub(_inside, reason.smtp)}",
            told=reason.tell,
            charged=reason.charged,
            sentence=sentences[code],
        )
        for code, reason in REASONS.items()
    )


def sentence(problem: Problem) -> str:
    """Return one problem in short, in English, with its line where it has one."""
    facts = _Facts(problem.facts, value=problem.value, hint=problem.hint, line=str(problem.line))

    def if_known(group: re.Match[str]) -> str:
        return group[1] if all(facts.get(name) for name in _FIELD.findall(group[1])) else ""

    text = _OPTIONAL.sub(if_known, REASONS[problem.reason].smtp)
    return (text if problem.line else text.removeprefix("body line {line}: ")).format_map(facts)


def smtp_reply(problem: Problem) -> str:
    """Return the whole SMTP reply for one problem: code, enhanced code, one short ASCII-safe sentence."""
    reason = REASONS[problem.reason]
    return f"{reason.code} {reason.enhanced} {_one_line(sentence(problem))}"


def _inside(group: re.Match[str]) -> str:
    return group[1]


class _Facts(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "?"


def _one_line(text: str) -> str:
    """RFC 5321 section 4.5.3.1.5: a reply line is at most 512 octets; ours are ASCII without controls."""
    return "".join(c if " " <= c <= "~" else "?" for c in text)[:400]
