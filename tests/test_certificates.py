"""The certificate is renewed without a restart: new handshakes see it, what can't be used changes nothing."""

from __future__ import annotations

import asyncio
import shutil
import smtplib
import ssl
from pathlib import Path
from typing import cast

import pytest

from mail2sms import certificates, config
from mail2sms.certificates import Certificate, Renewal
from mail2sms.config import derived
from mail2sms.config.schema import TlsOptions
from mail2sms.endpoint import Endpoint
from mail2sms.intake.limits import Budget, Limits
from mail2sms.intake.listener import Listener, listen
from tests.listening import Desk
from tests.servers.certificates import certificate

DOORS = {"submission": "required", "submissions": "implicit"}
LISTENING = """\
domain: sms.acme.example
country: FR
mode: simulate
database: sqlite:////nowhere/x.db
listen:
  submission: {{address: "127.0.0.1:2587"}}
  submissions: {{address: "127.0.0.1:2465"}}
tls: {{certificate: {certificate}, key: {key}}}
senders: [{{from: "*@acme.example", proof: login}}]
countries: [FR]
carriers: {{sim: {{type: simulated}}}}
routes: [{{to: any, via: [sim]}}]
"""


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, Path]]:
    """Two certificates with their keys."""
    folder = tmp_path_factory.mktemp("pairs")
    return [certificate(folder, name) for name in ("one", "two")]


class Place:
    """Where the files of the certificate in force are."""

    def __init__(self, folder: Path, pair: tuple[Path, Path]) -> None:
        self.certificate, self.key = folder / "fullchain.pem", folder / "privkey.pem"
        self.put(*pair)
        self.options = TlsOptions.model_validate({"certificate": str(self.certificate), "key": str(self.key)})
        self.adopted: list[Certificate] = []
        self.renewal = Renewal(self.adopted.append)
        self.renewal.use(self.options, certificates.load(self.options))

    def put(self, certificate: Path | None, key: Path | None) -> None:
        """Put new files there, as a renewal does: another file under the same name."""
        for source, target in ((certificate, self.certificate), (key, self.key)):
            if source is not None:
                shutil.copy(source, target.with_suffix(".new"))
                target.with_suffix(".new").rename(target)


async def test_what_has_not_changed_is_not_read_again(tmp_path: Path, pairs: list[tuple[Path, Path]]) -> None:
    """Nor is a daemon without a certificate disturbed."""
    place = Place(tmp_path, pairs[0])
    await place.renewal.look()
    assert place.adopted == []
    place.renewal.use(None, None)
    await place.renewal.look()
    assert (place.adopted, place.renewal.days_left()) == ([], None)


async def test_a_renewed_pair_is_adopted_once(tmp_path: Path, pairs: list[tuple[Path, Path]]) -> None:
    """And its days are those that are told."""
    place = Place(tmp_path, pairs[0])
    place.put(*pairs[1])
    await place.renewal.look()
    await place.renewal.look()
    assert len(place.adopted) == 1
    assert place.renewal.days_left() in {1, 2}
    assert place.renewal.fault == ""


async def test_a_pair_that_does_not_fit_changes_nothing_and_is_told(
    tmp_path: Path, pairs: list[tuple[Path, Path]], capsys: pytest.CaptureFixture[str]
) -> None:
    """Half a renewal, once; the other half makes it whole."""
    place = Place(tmp_path, pairs[0])
    place.put(pairs[1][0], None)
    await place.renewal.look()
    await place.renewal.look()
    assert place.adopted == []
    assert place.renewal.fault == "KEY_VALUES_MISMATCH"
    assert capsys.readouterr().out.count("certificate_refused") == 1
    place.put(None, pairs[1][1])
    await place.renewal.look()
    assert len(place.adopted) == 1
    assert place.renewal.fault == ""


@pytest.mark.parametrize("content", ["", "not PEM", None])
async def test_files_that_are_broken_or_gone_change_nothing(
    tmp_path: Path, pairs: list[tuple[Path, Path]], content: str | None
) -> None:
    """The old one stays in force."""
    place = Place(tmp_path, pairs[0])
    if content is None:
        place.certificate.unlink()
    else:
        place.certificate.write_text(content, encoding="utf-8")
    await place.renewal.look()
    assert place.adopted == []
    assert place.renewal.fault
    assert place.renewal.days_left() in {1, 2}


async def test_a_reload_that_comes_between_wins(
    tmp_path: Path, pairs: list[tuple[Path, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was being loaded for the settings of before is let go."""
    place = Place(tmp_path, pairs[0])
    place.put(*pairs[1])

    def load(options: TlsOptions, _load: object = certificates.load) -> Certificate:
        loaded: Certificate = _load(options)  # type: ignore[operator]
        place.renewal.use(options.model_copy(), loaded)
        return loaded

    monkeypatch.setattr(certificates, "load", load)
    await place.renewal.look()
    assert place.adopted == []


async def test_new_handshakes_see_the_renewed_one_at_every_door(
    tmp_path: Path, pairs: list[tuple[Path, Path]]
) -> None:
    """587 and 465 at once, without a restart; a connection that was there before goes on."""
    place = Place(tmp_path, pairs[0])
    text = LISTENING.format(certificate=place.certificate, key=place.key)
    settings = config.load(tmp_path / "m.yaml", text)
    loaded = certificates.load(place.options)
    doors = {name: derived.listener(settings, name, loaded) for name in settings.listen.mail()}
    assert {name: options.tls for name, options in doors.items()} == DOORS
    opened = {
        name: await listen(Endpoint("127.0.0.1", 0), options, Budget(Limits()), Desk(), lambda _: False)
        for name, options in doors.items()
    }

    def adopt(certificate: Certificate) -> None:
        for name, listener in opened.items():
            listener.renew(derived.listener(settings, name, certificate).context)

    renewal = Renewal(adopt)
    renewal.use(place.options, loaded)
    try:
        before = {name: await asyncio.to_thread(_talk, opened[name], DOORS[name]) for name in opened}
        place.put(*pairs[1])
        assert {await asyncio.to_thread(_shown, *each) for each in _places(opened)} == {_der(pairs[0])}
        await renewal.look()
        assert {await asyncio.to_thread(_shown, *each) for each in _places(opened)} == {_der(pairs[1])}
        for client in before.values():
            assert (await asyncio.to_thread(client.noop))[0] == 250
            client.close()
    finally:
        for listener in opened.values():
            await listener.stop(1)


def _places(opened: dict[str, Listener]) -> list[tuple[Listener, str]]:
    return [(listener, DOORS[name]) for name, listener in opened.items()]


def _talk(listener: Listener, tls: str) -> smtplib.SMTP:
    """Say EHLO under TLS, as the door wants it."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    at = listener.addresses[0]
    if tls == "implicit":
        client: smtplib.SMTP = smtplib.SMTP_SSL(
            at.host, at.port, "client.example", timeout=10, context=context
        )
    else:
        client = smtplib.SMTP(at.host, at.port, "client.example", timeout=10)
        client.starttls(context=context)
    assert client.ehlo()[0] == 250 and client.has_extn("auth")
    return client


def _shown(listener: Listener, tls: str) -> bytes:
    client = _talk(listener, tls)
    found = cast(ssl.SSLSocket, client.sock).getpeercert(binary_form=True)
    client.close()
    return found or b""


def _der(pair: tuple[Path, Path]) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pair[0].read_text())


def test_old_tls_is_in_one_context_only(tmp_path: Path, pairs: list[tuple[Path, Path]]) -> None:
    """What devices need, nobody else gets."""
    loaded = certificates.load(Place(tmp_path, pairs[0]).options)
    assert loaded.modern.minimum_version == ssl.TLSVersion.TLSv1_2
    assert loaded.legacy.minimum_version == ssl.TLSVersion.MINIMUM_SUPPORTED
    weak = {cipher["name"] for cipher in loaded.legacy.get_ciphers()}
    assert weak - {cipher["name"] for cipher in loaded.modern.get_ciphers()}
    assert not [name for name in weak if name.startswith(("ADH", "AECDH", "NULL"))]
