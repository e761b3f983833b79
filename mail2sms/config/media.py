"""The options of pictures and of what phones send: what becomes of them, how long links are good, what is fetched.

What they mean for the rules, and what `check` has to say of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from mail2sms import carriers
from mail2sms.carriers._base import Carrier, CarrierOptions
from mail2sms.config import sending
from mail2sms.media import LINK, Links, Mms
from mail2sms.options import DurationMs, Options, SizeBytes
from mail2sms.rules._base import Pictures
from mail2sms.yamltext import Document, Fault, Steps

if TYPE_CHECKING:
    from mail2sms.config.schema import Settings

_DAY_MS = 86_400_000
_A_PHOTO = 5_000_000  # bytes, of a phone's camera, as mail programs send it
_OTHERWISE = {"mms": "ignore", LINK: LINK}
"""What a device's `pictures` say, in the words of `mms`."""


class MediaOptions(Options):
    """Pictures of mails, and files of phones."""

    links: DurationMs = 14 * _DAY_MS
    """How long people can open a link to pictures. Example: 14d"""
    received: SizeBytes = 5_000_000
    """The largest file of a phone that is fetched from its carrier for the email. Example: 5MB"""


def pictures(settings: Settings) -> Pictures:
    """Return what becomes of pictures, by what the carriers' types can do."""
    found = {name: mms for name, each in settings.carriers.items() if (mms := _mms(each)) is not None}
    return Pictures(
        otherwise=settings.mms,
        devices={
            name: _OTHERWISE[device.pictures]
            for name, device in settings.devices.items()
            if device.pictures in _OTHERWISE
        },
        carriers=found,
        has_links=_has_links(settings),
        limit_bytes=min((mms.limit_bytes for mms in found.values()), default=Mms().limit_bytes),
        prices={name: carrier.mms_price for name, carrier in settings.carriers.items()},
    )


def links(settings: Settings, secret: bytes) -> Links | None:
    """Return how URLs of pictures are made; None where the web is not served."""
    web = settings.listen.web
    return Links(base=web.url.rstrip("/"), secret=secret, valid_ms=settings.media.links) if web else None


def _mms(options: CarrierOptions) -> Mms | None:
    module = carriers.load(options.type)
    (own,) = (
        each
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, Carrier) and each.__module__ == module.__name__
    )
    return own.abilities.mms


def _has_links(settings: Settings) -> bool:
    web = settings.listen.web
    return web is not None and (web.url.startswith("https://") or settings.mode == "simulate")


def check(settings: Settings, document: Document) -> Iterator[Fault]:
    """Links must lead somewhere, and photos fit into a mail."""
    wants: Mapping[str, str] = {
        "link": "phones could not open the links",
        "refuse": "carriers could not fetch them",
    }
    if settings.mms in wants and not _has_links(settings):
        yield Fault(
            message=f"pictures are served by listen.web, at a url with https: {wants[settings.mms]}",
            place=document.place(("mms",)),
            hint="listen: {web: {address: .., url: https://..}}",
            steps=("mms",),
            is_warning=settings.mms == "refuse",
        )
    if settings.mms in wants and settings.limits.size < _A_PHOTO:
        yield Fault(
            message="most photos are larger than the largest mail that is taken",
            place=document.place(("mms",)),
            hint="limits: {size: 10MB}",
            steps=("mms",),
            is_warning=True,
        )


def devices(settings: Settings, document: Document) -> Iterator[Fault]:
    """Whether the pictures of devices can go as they are meant to."""
    for name, device in settings.devices.items():
        steps: Steps = ("devices", name, "pictures")
        for message, hint, is_warning in _of_device(device.pictures, settings):
            place = document.place(steps)
            yield Fault(message=message, place=place, hint=hint, steps=steps, is_warning=is_warning)


def _of_device(wish: str, settings: Settings) -> Iterator[tuple[str, str, bool]]:
    """Yield what is wrong, what to do, and whether it is a warning."""
    if wish == "off":
        return
    if settings.mms == "off":
        yield "mms: off lets no picture go", "mms: ignore, or leave pictures: out", False
    elif not _has_links(settings):
        message = "pictures are served by listen.web, at a url with https: nobody could fetch them"
        yield message, "listen: {web: {address: .., url: https://..}}", False
    elif wish == "mms" and not pictures(settings).carriers:
        yield "no carrier sends MMS: its pictures would never go", "pictures: link", True
    elif wish == "mms" and not any(_takes_mms(country, settings) for country in settings.countries):
        yield "no country of `countries` takes MMS: its pictures would never go", "pictures: link", True
    if settings.limits.size < _A_PHOTO:
        yield "a mail larger than limits.size is refused, and its alarm with it", "limits: {size: 10MB}", True


def _takes_mms(country: str, settings: Settings) -> bool:
    known = sending.known(settings.destinations).get(country)
    return known is not None and known.mms == "yes"
