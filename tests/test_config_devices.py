"""The section of devices: what is wrong with it is told at its place, and what is meant is taken."""

from __future__ import annotations

import pytest

from mail2sms import config
from mail2sms.config import derived
from mail2sms.model import MessageClass
from tests.config_cases import PATH, found, whole

_HEAD = """\
sender_ids: {default: "+33639980100"}
teams: {oncall: {phones: ["+33639981234"]}, empty: {}}
listen: {devices: {address: "127.0.0.1:2525"}}
"""
_HASH = '"$argon2id$x"'


def of(device: str, level: str = "error") -> list[str]:
    """Return what is found of a device on line 5, without the line."""
    text = whole(f"{_HEAD}devices:\n  ups-1: {device}")
    return [each.removeprefix("5:") for each in found(text, level)]


@pytest.mark.parametrize(
    ("device", "told"),
    [
        ("{}", ["3 nothing says how it is known -> add network: 10.1.0.40, or login: and password:"]),
        ("{from: ups-1@acme.example}", [
            "3 a From address proves nothing -> add network: 10.1.0.40, or login: and password:",
            '17 "from" tells the devices of one network apart -> add network:, or leave from: out',
        ]),
        ("{login: ups-1}", ["18 a login without a password -> add password: file:/PATH (an argon2id hash)"]),
        ("{login: ups-1, password: hunter2}", [
            "35 a user's password stands here as its argon2id hash -> a text that starts with \"$argon2id$\""
        ]),
        (f"{{network: 10.1.0.1, password: {_HASH}}}", ["40 a password without a login -> add login: NAME"]),
        ("{network: 0.0.0.0/0}", ["20 0.0.0.0/0 is the whole internet: that proves nothing"]),
        ("{network: 10.1.0.1, to: oncal}", ['34 there is no team "oncal" -> did you mean "oncall"?']),
        ("{network: 10.1.0.1, to: [oncall, empty]}", [
            '43 nobody in the team "empty" has a phone -> add teams.empty.phones'
        ]),
        ("{network: 10.1.0.1, to: 01 99 00 12 34}", [
            '34 "01 99 00 12 34" is not a mobile number in FR, so it cannot get SMS'
        ]),
        ("{network: 10.1.0.1, text: '{subject|frist_line}'}", [
            '46 there is no filter "frist_line" -> did you mean "first_line"?'
        ]),
        ('{network: 10.1.0.1, text: "a{subject"}', ["38 this brace is never closed -> write {{ for a brace itself"]),
        ("{network: 10.1.0.1, text: 'it''s {'}", ["36 this brace is never closed -> write {{ for a brace itself"]),
        ("{network: 10.1.0.1, limit: 6/month}", [
            '37 expected so many SMS in a time, got "6/month" -> such as 6/hour; minute, hour or day'
        ]),
        ("{network: 10.1.0.1, limit: 60 EUR/day}", [
            '37 expected so many SMS in a time, got "60 EUR/day" -> such as 6/hour; minute, hour or day'
        ]),
        ("{network: 10.1.0.1, max_parts: 9}", ["41 max_parts of all is 4: no SMS may be longer -> at most 4"]),
        ("{network: 10.1.0.1, wait: 1m, expires: 60s}", [
            '49 "expires" is not longer than "wait": nothing would be sent in time'
        ]),
        ("{network: 10.1.0.1, silent_after: 26h}", ["44 nobody would be told -> add replies_to: it@acme.example"]),
        ("{network: 10.1.0.1, pictures: yes}", ['40 expected off, mms or link, got "yes"']),
        ("{network: 10.1.0.1, repaet: 30m}", [
            '30 unknown option "devices.ups-1.repaet" -> did you mean "repeat"?'
        ]),
    ],
)  # fmt: skip
def test_what_is_wrong(device: str, told: list[str]) -> None:
    """One row for each."""
    assert of(device) == told


def test_names_logins_and_networks_are_one_devices() -> None:
    """Nobody else's mail is taken for a device's, nor another's mailbox."""
    text = whole(
        f"""{_HEAD}users: {{nas@acme.example: {{}}}}
devices:
  oncall: {{network: 10.1.0.1}}
  sms: {{network: 10.1.0.0/24}}
  a: {{login: x, password: {_HASH}}}
  b: {{login: x, password: {_HASH}}}
  c: {{network: 10.1.0.1, from: c@acme.example}}
"""
    )
    assert found(text) == [
        '6:3 "oncall" is a team: a device needs a mailbox of its own -> rename it',
        '7:3 "sms" is the template_mailbox: a device needs a mailbox of its own -> rename it',
        '7:18 mail from there is taken for that of "oncall" -> add from: to tell them apart',
        '9:14 "a" logs in with this name -> give each its own',
    ]


@pytest.mark.parametrize(
    ("device", "told"),
    [
        ("{network: 127.0.0.0/30}", [
            "20 senders are believed there too: all their mail would be taken for the device's "
            "-> add from: to tell them apart"
        ]),
        ("{network: 127.0.0.1, from: ups-1@acme.example}", []),
    ],
)  # fmt: skip
def test_what_is_probably_not_meant(device: str, told: list[str]) -> None:
    """A mail server's network is no device's alone."""
    assert [each for each in of(device, "warning") if "believed" in each] == told


def test_a_device_needs_a_door_and_a_sender_id() -> None:
    """A login where none is taken; no number and no name that phones would show."""
    snippet = f"devices: {{a: {{login: a, password: {_HASH}}}}}\nsender_ids: {{default: number}}"
    assert found(whole(snippet)) == [
        '1:22 no listener takes logins -> add listen.devices: {address: "127.0.0.1:2525"}'
    ]
    told = "1:11 it has no sender ID for FR: what it writes would be refused -> add sender_ids:"
    assert told in found(whole(snippet), "warning")


def test_what_is_meant_is_taken() -> None:
    """As the draft of the file writes it."""
    settings = config.load(
        PATH,
        whole(
            f"""{_HEAD}timezone: Europe/Paris
devices:
  ups-1: {{login: ups-1, password: {_HASH}, to: oncall, text: "{{subject}}", repeat: 30m}}
  nas-2: {{network: 10.1.0.40, to: [oncall, 06 39 98 56 78], text: "{{subject}}: {{body}}", limit: 6/hour, expires: 2h}}
"""
        ),
    )
    ups, nas = derived.devices(settings)
    assert (ups.login, ups.phones, str(ups.text), ups.storm.repeat_ms) == (
        "ups-1",
        ("+33639981234",),
        "{subject}",
        1_800_000,
    )
    assert (nas.phones, nas.expires_ms, nas.storm.limit, nas.storm.window) == (
        ("+33639981234", "+33639985678"),
        7_200_000,
        6,
        "hour",
    )
    assert (ups.class_, ups.max_parts, ups.zone) == (MessageClass.ALARM, 4, "Europe/Paris")
