"""The templates of the carrier `http`: text with names in braces, from a closed list. Pure.

`{to}` in a body of JSON is written as JSON wants it, in a form or URL percent-encoded, in XML escaped: no text of
anybody's ever leaves its place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import quote
from xml.sax.saxutils import escape

from mail2sms.carriers._base import OptionFinding

NAMES = ("to", "to_digits", "from", "from_digits", "text", "id", "secret", "valid_s")
ASKED = tuple(name for name in NAMES if name not in ("text", "valid_s"))  # about a message that was sent
_PLACE = re.compile(r"\{([a-z_]{1,20})\}")
_FORBIDDEN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_json(value: str) -> str:
    """Return a value as it stands between the quotes of JSON."""
    return json.dumps(value, ensure_ascii=False)[1:-1]


def as_url(value: str) -> str:
    """Return a value as it stands in a URL or a form."""
    return quote(value.encode("utf-8", "replace"), safe="")


def as_xml(value: str) -> str:
    """Return a value as it stands in XML, in an attribute or between tags."""
    return escape(_FORBIDDEN_XML.sub("\ufffd", value), {'"': "&quot;", "'": "&apos;"})


WAYS: Mapping[str, Callable[[str], str]] = {"json": as_json, "form": as_url, "xml": as_xml, "text": str}
TYPES = {
    "json": "application/json",
    "form": "application/x-www-form-urlencoded",
    "xml": "application/xml; charset=utf-8",
    "text": "text/plain; charset=utf-8",
}


def strange(template: str, option: str, names: tuple[str, ...] = NAMES) -> Iterator[OptionFinding]:
    """Give the names in a template that there are not."""
    for name in _PLACE.findall(template):
        if name not in names:
            hint = f"there are {', '.join(names)}"
            yield OptionFinding(option=option, message=f"there is no {{{name}}}", hint=hint, is_warning=False)


def fill(template: str, values: Mapping[str, str], way: Callable[[str], str]) -> str:
    """Return the template with its values, each written in a way that fits; checked before."""
    return _PLACE.sub(lambda found: way(values[found[1]]), template)
