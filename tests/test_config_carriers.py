"""What `check` says of carriers by HTTP: plain http, webhooks that prove little, and templates that fill in nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from mail2sms import config
from tests.config_cases import PATH, found, whole

_HTTPS = 'listen: {smtp: {address: "127.0.0.1:2525"}, web: {address: "127.0.0.1:80", url: "https://sms.acme.example"}}\n'
_PROVED = "webhook: {secret: env:S, networks: 192.0.2.0/24}"
_INFOBIP = "type: infobip, api: 'https://x.api.infobip.com', key: env:K"


@pytest.mark.parametrize(
    ("carrier", "level", "said"),
    [
        (f"{{{_INFOBIP}, {_PROVED}}}", "error", []),
        (f"{{{_INFOBIP}, {_PROVED}}}", "warning", []),
        (
            f"{{{_INFOBIP}}}",
            "warning",
            [
                "1:12 nothing would prove its webhook, so it is refused: no reports and no replies come -> "
                "add webhook: {secret: credential:NAME}; or query: 5m, where nothing may come in from outside"
            ],
        ),
        (
            f"{{{_INFOBIP}, query: 5m}}",
            "warning",
            [
                "1:12 nothing would prove its webhook, so it is refused: no replies come -> "
                "add webhook: {secret: credential:NAME}"
            ],
        ),
        (
            f"{{type: vonage, key: k, secret: env:K, signing_secret: env:K, query: 5m, {_PROVED}}}",
            "error",
            ["1:86 this provider does not tell what became of a message when it is asked -> leave it out"],
        ),
        (
            f"{{type: http, url: 'https://x.example/', answer: {{id: id}}, query: 5m, {_PROVED}}}",
            "error",
            ["1:83 nothing says what is asked -> add status_url: what is asked about a message"],
        ),
        (
            "{type: http, url: 'https://x.example/', answer: {id: id}, query: 5m, "
            f"status_url: 'https://{{to}}/{{text}}', {_PROVED}}}",
            "error",
            [
                "1:99 there is no {text} -> there are to, to_digits, from, from_digits, id, secret",
                "1:99 expected a URL whose host is written out -> such as https://sms.example/send",
            ],
        ),
        (
            f"{{{_INFOBIP}, webhook: {{secret: env:S}}}}",
            "warning",
            [
                "1:89 its webhook is not signed: whoever learns its URL can forge reports and replies -> "
                "add networks: where it calls from"
            ],
        ),
        (
            f"{{type: infobip, api: 'http://x.api.infobip.com', key: env:K, {_PROVED}}}",
            "error",
            ["1:39 plain http would show texts and passwords to the network -> write https"],
        ),
        ("{type: twilio, api: 'http://127.0.0.1:9', account: AC1, token: env:T}", "error", []),
        ("{type: twilio, account: AC1, token: env:T}", "warning", []),
        (
            "{type: wildix, api: 'https://10.1.0.9', user: u, password: env:P, balance_below: 20 EUR}",
            "error",
            ["1:99 this provider does not tell what is left -> leave it out"],
        ),
        (
            "{type: plivo, account: MA1, token: env:T, balance_below: 20 EUR}",
            "error",
            ["1:75 this provider counts in USD -> such as 20 USD"],
        ),
        (
            f"{{type: seven, key: env:K, balance_below: 20, {_PROVED}}}",
            "error",
            ['1:59 expected an amount such as 0.045 EUR, got "20" -> add the currency'],
        ),
        (
            "{type: twilio, account: AC1, token: env:T, balance_below: 20 EUR}",
            "warning",
            ["1:76 nobody would be told that little is left -> add quotas.approvers"],
        ),
        (
            "{type: wildix, api: 'http://10.1.0.9', user: u, password: env:P}",
            "warning",
            ["1:38 texts and the password go through your network unencrypted -> https, if the device can"],
        ),
        (
            "{type: wildix, api: 'http://9.9.9.9', user: u, password: env:P}",
            "error",
            ["1:38 plain http would show texts and passwords to the network -> write https"],
        ),
        (
            "{type: modem, device: /dev/ttyUSB2, number: '+33639980101'}",
            "warning",
            ["1:40 at the next start this may be another device -> look for it:  ls -l /dev/serial/by-id/"],
        ),
        (
            "{type: modem, device: /dev/serial/by-id/x, number: '+33639980101', connection: at19200}",
            "warning",
            [],
        ),
        (
            "{type: modem, device: /dev/x, number: '0639980101', connection: 115200}",
            "error",
            [
                '1:56 expected a number with its country code, got "0639980101" -> such as +33639980101',
                '1:82 expected how gammu speaks with it, got "115200" -> such as at115200 or at19200',
            ],
        ),
        (
            f"{{type: smpp, address: 'smpp.example:2775', system_id: a, password: {'p' * 65}, tls: on}}",
            "error",
            [
                "1:85 no bind can hold this password: at most 64 characters of Latin-1 -> "
                "ask the provider for one of at most 8 characters, as SMPP 3.4 has it"
            ],
        ),
        (
            f"{{type: smpp, address: 'smpp.example:2775', system_id: a, password: {'p' * 64}, tls: on}}",
            "error",
            [],
        ),
        (
            f"{{type: smpp, address: '10.0.0.1:2775', system_id: {'s' * 16}, system_type: {'t' * 13}, password: p}}",
            "error",
            [
                "1:68 expected a text of at most 15 ASCII characters -> "
                "SMPP has no room for more: write it as the provider has it",
                "1:99 expected a text of at most 12 ASCII characters -> "
                "SMPP has no room for more: write it as the provider has it",
            ],
        ),
        (
            f"{{type: http, url: 'https://x.example/', body: '{{too}}', answer: {{id: id}}, {_PROVED}}}",
            "error",
            [
                "1:64 there is no {too} -> there are to, to_digits, from, from_digits, text, id, secret, valid_s"
            ],
        ),
        (
            f"{{type: http, url: 'https://{{to}}.example/', {_PROVED}}}",
            "error",
            [
                "1:12 nothing would tell that a message was taken -> "
                "add answer: {id: ..}, {after: ..} or {success: ..}",
                "1:36 expected a URL whose host is written out -> such as https://sms.example/send",
            ],
        ),
    ],
)
def test_a_carrier(carrier: str, level: str, said: list[str]) -> None:
    """Each with its place and what to do."""
    text = whole(f"carriers: {{main: {carrier}, sim: {{type: simulated}}}}\n{_HTTPS}")
    assert [each for each in found(text, level) if "secret stands" not in each] == said


def test_a_device_of_this_machine(tmp_path: Path) -> None:
    """One that is not there is told of, where it would be used: it may be plugged in later."""
    device = tmp_path / "stick"
    text = whole(
        f"mode: live\ncarriers: {{stick: {{type: modem, device: {device}, number: '+33639980101'}}}}\n"
        "routes: [{to: any, via: stick}]\n"
    )

    def told(text: str) -> list[str]:
        report = config.check(PATH, environment=True, text=text)
        said = [*map(str, report.findings), *(note for stage in report.stages for note in stage.facts)]
        return [each for each in said if str(device) in each]

    assert any("is not there" in each for each in told(text))
    assert not any("is not there" in each for each in told(text.replace("mode: live", "mode: simulate")))
    device.touch()
    assert any("can be used" in each for each in told(text))


def test_providers_reach_us_by_https() -> None:
    """What they would call stands in listen.web.url."""
    text = whole(
        f"mode: live\ncarriers: {{main: {{{_INFOBIP}, {_PROVED}}}}}\nroutes: [{{to: any, via: main}}]\n"
    )
    assert any("main could not reach us" in each for each in found(text, "warning"))
