"""Events as posts in a Mattermost channel, by an incoming webhook.

https://developers.mattermost.com/integrate/webhooks/incoming/ (read 2026-08). The SMS is a stranger's text in our
people's room: it pings nobody, formats nothing and links nowhere.
"""

from __future__ import annotations

import json
import re
from typing import Final

from mail2sms import numbers
from mail2sms.errors import DeliveryFailed
from mail2sms.hooks._base import Hook, HookEvent, HookOptions, HookRequest
from mail2sms.http import Answer

_TEXT_LIMIT: Final = 3000  # characters; a post takes 16,383, on old servers 4,000
_BREAK: Final = "\u200b"  # zero-width space

_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+!|~$])")
_LINK = re.compile(r":(?=//)|www(?=\.)|(?:mailto|tel)(?=:)", re.IGNORECASE)
_ENTITIES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


class Options(HookOptions):
    """The channel is the one that the webhook was made for."""


class Mattermost(Hook):
    """Posts to one channel."""

    def __init__(self, url: str) -> None:
        self._url = url

    def request(self, event: HookEvent, now_s: int) -> HookRequest:
        """Return the POST."""
        post = {"username": "mail2sms", "icon_emoji": ":iphone:", "text": _post(event)}
        body = json.dumps(post, ensure_ascii=False, separators=(",", ":")).encode()
        return HookRequest(url=self._url, headers={"Content-Type": "application/json"}, body=body)

    def judge(self, answer: Answer) -> None:
        """Besides the status, want the word `ok`: a sign-in page in front of the server answers 200 as well."""
        super().judge(answer)
        if answer.body.strip() != b"ok":
            raise DeliveryFailed("the hook's answer is not Mattermost's")


def build(options: Options) -> Mattermost:
    """Return the hook. Raises BadOption when the URL can't be had."""
    return Mattermost(options.url.reveal())


def _post(event: HookEvent) -> str:
    number = numbers.display(event.msisdn) if event.msisdn.startswith("+") else harmless(event.msisdn)
    title = f"SMS from {number}" if event.kind == "reply" else f"SMS to {number} was not delivered"
    about = [
        f"{event.photos} {'photo' if event.photos == 1 else 'photos'}" if event.photos else "",
        f"reason: {harmless(event.reason)}" if event.reason else "",
        f"written to by {harmless(event.writer)}" if event.writer else "",
        f"answer: {event.reply_address}" if event.reply_address else "",
    ]
    text = event.text if len(event.text) <= _TEXT_LIMIT else event.text[:_TEXT_LIMIT] + "…"
    quoted = "\n".join(f"> {_BREAK}{harmless(line)}" for line in text.splitlines() or [""])
    return "\n\n".join(filter(None, [f"#### {title}", quoted, " · ".join(filter(None, about))]))


def harmless(line: str) -> str:
    """Return one line that shows as it is: no mention, no markup, no link, no Slack escape such as `<!channel>`.

    Whoever puts it at the beginning of a line puts a zero-width space before it: then no list or heading begins.
    """
    shown = _LINK.sub(lambda found: found[0] + _BREAK, _CONTROLS.sub(" ", line)).replace("@", f"@{_BREAK}")
    escaped = _MARKDOWN.sub(r"\\\1", shown)
    return "".join(_ENTITIES.get(c, c) for c in escaped)
