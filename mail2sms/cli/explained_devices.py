"""What `explain` says of a device's mail: by which text, clock and rules it becomes SMS.

In the document, `device` of an order: name, text (as configured), line, clock, was_cut, wait, repeat, limit, expires.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mail2sms.cli.show import count, printable
from mail2sms.config.devices import DeviceOption
from mail2sms.intake.clocks import RULES
from mail2sms.model import Submission
from mail2sms.options import write_duration


@dataclass(frozen=True, kw_only=True, slots=True)
class FromDevice:
    """How a device's mail is read. Durations and `limit` as they are written in the configuration, or empty."""

    name: str
    text: str
    line: int | None
    clock: str
    was_cut: bool
    wait: str
    repeat: str
    limit: str
    expires: str


def from_device(submission: Submission, option: DeviceOption, line: int | None) -> FromDevice | None:
    """Return it for the submission of a device; None for people's."""
    alarm = submission.alarm
    if alarm is None:
        return None
    return FromDevice(
        name=alarm.device,
        text=str(option.text),
        line=line,
        clock=RULES[alarm.clock],
        was_cut=alarm.was_cut,
        wait=_written(option.wait),
        repeat=_written(option.repeat),
        limit=str(option.limit) if option.limit else "",
        expires=_written(option.expires),
    )


def _written(duration: int | None) -> str:
    return write_duration(duration) if duration else ""


def rows(device: FromDevice, most_parts: int) -> Iterator[str]:
    """Yield what is worth to be known, beside the text itself."""
    if device.was_cut:
        yield f"cut to {count(most_parts, 'part')}: max_parts"
    if device.expires:
        yield f"not sent when older than {device.expires}; its age is counted {device.clock}"
    storms = [
        f"what comes within {device.wait} is one SMS" if device.wait else "",
        f"the same text goes once in {device.repeat}" if device.repeat else "",
        f"at most {device.limit}, then the number of the others" if device.limit else "",
    ]
    if any(storms):
        yield f"storms: {'; '.join(filter(None, storms))}"


def written(device: FromDevice) -> str:
    """Return the text of the configuration."""
    return printable(device.text)
