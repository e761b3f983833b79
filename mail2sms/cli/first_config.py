"""From the answers to a first mail2sms.yaml: short, commented, and good for `check`. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from mail2sms import numbers
from mail2sms.endpoint import Endpoint
from mail2sms.model import Msisdn

_NAME_LENGTH = 11  # of a sender name: 3GPP TS 23.040 section 9.1.2.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Answers:
    """What was answered, read and valid. `options` are the carrier's own, `secrets` the names of those that are."""

    domain: str
    senders: tuple[str, ...]
    networks: tuple[str, ...]
    carrier: str
    options: Mapping[str, str]
    country: str
    mode: str
    phones: tuple[Msisdn, ...]
    smtp: Endpoint
    web: Endpoint
    smarthost: Endpoint | None
    database: str
    zone: str


def render(answers: Answers) -> str:
    """Return the file."""
    a = answers
    networks = ", ".join(map(_quoted, a.networks))
    lines = [
        "# mail2sms check reads this file and names what is wrong with it; mail2sms doctor looks at the rest.",
        "# Quantities have a unit (30s, 15m, 2d). Secrets: credential:NAME (systemd), file:/PATH or env:NAME.",
        "",
        _line(f"domain: {a.domain}", _example(a)),
        _line(f"country: {a.country}", "numbers without a country code are read as numbers of this country"),
        f"timezone: {a.zone}",
        _line(f"mode: {a.mode}", "simulate (no SMS is sent), trial (only phones of users and teams) or live"),
        f"database: {_quoted(a.database)}",
        "",
        "listen:",
        _line(f"  smtp: {{address: {_quoted(str(a.smtp))}}}", "from your mail server"),
        _line(
            f"  web:  {{address: {_quoted(str(a.web))}, url: {_quoted(f'http://{a.web}')}}}",
            "API, and what carriers report",
        ),
        "",
        _line("senders:", "who may send, and from where; anyone else gets a 550"),
        *(f"  - {{from: {_quoted(pattern)}, network: [{networks}]}}" for pattern in a.senders),
        *_people(a),
        "",
        _line(
            f"sender_ids: {{default: {_sender_name(a.domain)}}}", "what phones show; number: the user's own"
        ),
        _line(f"countries: [{a.country}]", "no other country is written to"),
        "max_parts: 4                        # a longer text is refused, never cut",
        "",
        "carriers:",
        f"  {_carrier_name(a)}: {{{_carrier(a)}}}",
        _line("routes:", "the first match counts; the next carrier is tried when one fails"),
        f"  - {{to: any, via: [{_carrier_name(a)}]}}",
        "",
        *_relay(a),
    ]
    return "\n".join(lines) + "\n"


def _line(text: str, comment: str) -> str:
    return f"{text:35} # {comment}"


def _quoted(text: str) -> str:
    """A JSON string is a YAML one."""
    return json.dumps(text, ensure_ascii=False)


def _example(answers: Answers) -> str:
    example = answers.phones[0] if answers.phones else Msisdn("+33639981234")
    return f"{example.removeprefix('+')}@{answers.domain} is the phone {numbers.display(example)}"


def _people(answers: Answers) -> list[str]:
    """Users are an example; phones are a team, which may be written to by its name."""
    address = answers.senders[0].replace("*", "marie") if "@" in answers.senders[0] else "marie@acme.example"
    lines = [
        "",
        f'#users: {{{address}: {{name: Marie Dubois, number: "+33639980101"}}}}   # replies to her number reach her',
    ]
    if answers.phones:
        phones = ", ".join(map(_quoted, answers.phones))
        lines.append(
            _line(f"teams: {{ours: {{phones: [{phones}]}}}}", f"written to as ours@{answers.domain}")
        )
    return lines


def _sender_name(domain: str) -> str:
    """Return what phones show: the company as its domain has it."""
    labels = [label for label in domain.split(".")[:-1] if label not in ("sms", "text", "mail", "com", "co")]
    name = "".join(c for c in (labels[-1] if labels else "") if c.isalnum()).upper()[:_NAME_LENGTH]
    return name if any(c.isalpha() for c in name) else "mail2sms"


def _carrier_name(answers: Answers) -> str:
    return "sim" if answers.carrier == "simulated" else answers.carrier


def _carrier(answers: Answers) -> str:
    options = "".join(f", {name}: {_quoted(value)}" for name, value in answers.options.items())
    return f"type: {answers.carrier}{options}"


def _relay(answers: Answers) -> list[str]:
    comment = "where replies and refusals leave as emails"
    if answers.smarthost is None:
        return [
            f'#relay: {{smarthost: {{address: "smtp.acme.example:587", login: .., password: ..}}}}   # {comment}'
        ]
    return ["relay:", _line(f"  smarthost: {{address: {_quoted(str(answers.smarthost))}}}", comment)]
