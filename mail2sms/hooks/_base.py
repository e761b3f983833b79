"""What every hook is: an event in, one request out, and a verdict on its answer. Pure; the relay loop sends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator

from mail2sms import options
from mail2sms.errors import DeliveryFailed
from mail2sms.http import Answer
from mail2sms.model import Msisdn

Kind = Literal["reply", "failed"]

_TRY_AGAIN: Final = frozenset({408, 425, 429})  # RFC 9110, RFC 8470, RFC 6585: of the 4xx, those that pass


class HookOptions(options.Options):
    """Options that every hook has. The URL is a secret: who knows it may post."""

    format: str
    """The chat service. Example: mattermost"""
    url: options.SecretOption
    """Where events are posted; who knows it may post, so it is a secret. Example: env:HOOK_URL"""
    on: Annotated[tuple[Kind, ...], BeforeValidator(options.read_list)] = ("reply", "failed")
    """Which events: a phone replied, or a message failed. Example: failed"""


@dataclass(frozen=True, kw_only=True, slots=True)
class HookEvent:
    """A text from a phone (`reply`, `text` is the phone's) or a message that did not arrive (`failed`, ours).

    `id` never changes, however often the event is posted. `message` names the MO or MT. `writer` is the person
    whose mail it is about, empty when none; `photos` is how many came with it.
    """

    id: str
    kind: Kind
    at: int
    msisdn: Msisdn
    our_address: str
    text: str = field(repr=False)
    conversation: str
    message: str
    writer: str = ""
    reason: str = ""
    photos: int = 0
    reply_address: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class HookRequest:
    """One POST. The URL may hold a secret."""

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class Hook(ABC):
    """One room of a chat service, or one web service of the operator's."""

    @abstractmethod
    def request(self, event: HookEvent, now_s: int) -> HookRequest:
        """Return the POST that tells `event`; `now_s` is Unix time."""

    def judge(self, answer: Answer) -> None:
        """Return if the event was taken. Raises DeliveryFailed, final where the hook itself is wrong or gone."""
        if 200 <= answer.status < 300:
            return
        is_final = 300 <= answer.status < 500 and answer.status not in _TRY_AGAIN
        raise DeliveryFailed(
            f"the hook answered {answer.status}", is_final=is_final, retry_after_s=answer.retry_after_s
        )
