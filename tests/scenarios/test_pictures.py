"""A camera's mail, from a mail program to the provider that is to send it as MMS, which fetches the picture."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from email.message import EmailMessage
from email.policy import SMTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import pytest

from mail2sms.carriers._picture import sunset
from mail2sms.media import file_type
from tests.servers import Daemon, wait_until
from tests.servers._server import free_port
from tests.servers.clients import swaks

US, FR = "+12012000123", "+33612345678"


class Provider:
    """Speaks as Twilio does, and remembers the orders, as forms."""

    def __init__(self) -> None:
        orders: list[dict[str, list[str]]] = []

        class Answers(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                said = self.rfile.read(int(self.headers["Content-Length"])).decode()
                orders.append(parse_qs(said))
                body = json.dumps({"sid": f"MM{len(orders):032}", "status": "queued"}).encode()
                self.send_response(201)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: object) -> None:
                """Say nothing."""

        self.orders = orders
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = Thread(target=self._server.serve_forever)
        self._thread.start()

    def stop(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def provider() -> Iterator[Provider]:
    """One that is empty."""
    made = Provider()
    yield made
    made.stop()


def _config(provider: Provider, door: int, smtp: int, web: int) -> str:
    return f"""\
listen:
  smtp: {{address: "127.0.0.1:{smtp}"}}
  devices: {{address: "127.0.0.1:{door}"}}
  web: {{address: "127.0.0.1:{web}", url: "https://sms.acme.example"}}
senders: [{{from: "*@acme.example", network: 192.0.2.0/24}}]
countries: [US, FR]
sender_ids: {{default: "+12012000199"}}
teams: {{oncall: {{phones: ["{US}", "{FR}"]}}}}
carriers:
  main: {{type: twilio, account: AC00000000000000000000000000000001, token: "env:TOKEN", api: "{provider.url}"}}
routes: [{{to: any, via: main}}]
devices: {{cam: {{network: 127.0.0.1, to: oncall, text: "{{subject}}", pictures: link, wait: 4s}}}}
"""


def _snapshot(subject: str) -> bytes:
    made = EmailMessage(policy=SMTP)
    made["From"], made["Subject"] = "cam@factory.example", subject
    made.set_content("Camera 3, gate")
    made.add_attachment(sunset(), maintype="image", subtype="png", filename="snapshot.png")
    return made.as_bytes()


def test_a_cameras_snapshots_arrive_at_the_provider(provider: Provider) -> None:
    """Two within the wait are one MMS, with the picture of the first, and one text with a link."""
    door, smtp, web = free_port(), free_port(), free_port()
    extra = _config(provider, door, smtp, web)
    env = {"TOKEN": "synthetic-auth-token-0001"}
    daemon = Daemon(mode="live", extra=extra, env=env, smtp_port=smtp, web_port=web)
    daemon.config.chmod(0o600)
    with daemon:
        for subject in ("Motion at the gate", "Motion in the yard"):
            code, said = swaks(
                _snapshot(subject), "127.0.0.1", door, "cam@factory.example", "cam@sms.acme.example"
            )
            assert (code, "250 2.0.0 m-" in said) == (0, True), said
        assert wait_until(lambda: len(provider.orders) == 2, 30)
        orders = {order["To"][0]: order for order in provider.orders}
        (told,) = orders[US]["Body"]
        assert told.startswith("cam: 2 alarms in ")
        assert told.endswith("\nFirst: Motion at the gate\nLast: Motion in the yard")
        (url,) = orders[US]["MediaUrl"]
        text, link = orders[FR]["Body"][0].rsplit("\n", 1)
        assert (text, "MediaUrl" in orders[FR]) == (told, False)
        for asked in (url, link):
            path = urlsplit(asked).path
            with urllib.request.urlopen(f"http://127.0.0.1:{web}{path}", timeout=10) as answer:
                assert file_type(answer.read()) == "image/png"
