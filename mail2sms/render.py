"""Templates to text: the only importer of jinja2. Knows languages, reasons and dates, no headers.

Templates come from the checkout's `templates/` (in a wheel: `mail2sms/_templates`), each replaceable by a file of
the same name in the operator's folder. Only those files are compiled, never a user's text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

import jinja2

Language = Literal["fr", "en"]
FALLBACK: Final = "en"

_FIELD = re.compile(r"\{([a-z_]+)\}")
_OPTIONAL = re.compile(r"\[([^\[\]]*)\]")

_DAYS: Final = {
    "en": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "fr": ("lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche"),
}
_MONTHS: Final = {
    "en": (
        *("January", "February", "March", "April", "May", "June"),
        *("July", "August", "September", "October", "November", "December"),
    ),
    "fr": (
        *("janvier", "février", "mars", "avril", "mai", "juin"),
        *("juillet", "août", "septembre", "octobre", "novembre", "décembre"),
    ),
}


class Render:
    """Renders templates by name; files in `folder` come before our own."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folders = ([folder] if folder else []) + [own_folder()]
        self._jinja = jinja2.Environment(
            loader=jinja2.FileSystemLoader(self._folders),
            autoescape=jinja2.select_autoescape(["html"], default=False),
            undefined=jinja2.StrictUndefined,
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._reasons: dict[str, dict[str, str]] = {}

    def render(self, name: str, **values: Any) -> str:
        """Return the template `name`, such as `portal/login.html`, filled in. Every value must be given."""
        return self._jinja.get_template(name).render(values)

    def in_language(self, name: str, language: str, **values: Any) -> str:
        """Return the email template `name`, such as `reply.txt`, in the nearest language: fr-CH, fr, en."""
        template = self._jinja.select_template([f"email/{tag}/{name}" for tag in nearest(language)])
        return template.render(values)

    def reason_text(self, code: str, language: str, facts: Mapping[str, str]) -> str:
        """Return what `code` means and what to do, for people; with the fact `hint`, what was probably meant.

        `[...]` in a sentence goes away when one of its facts is unknown; elsewhere an unknown fact shows as `?`.
        """
        for tag in nearest(language):
            reasons = self._reasons_in(tag)
            sentence = reasons.get(code)
            if sentence is None:
                continue
            guess = reasons.get("hint", "") if facts.get("hint") and "{hint}" not in sentence else ""
            return _fill(f"{sentence} {guess}".strip(), facts)
        return code

    def reason_outline(self, code: str, language: str, facts: Mapping[str, str]) -> str:
        """Return what `code` means without any one mail: `…` stands where such a fact would, optional parts go."""
        found = (self._reasons_in(tag).get(code) for tag in nearest(language))
        sentence = _OPTIONAL.sub("", next(filter(None, found), code))
        return _FIELD.sub(lambda field: facts.get(field[1], "…"), sentence)

    def _reasons_in(self, tag: str) -> dict[str, str]:
        if tag not in self._reasons:
            found: dict[str, str] = {}
            for folder in reversed(self._folders):  # the operator's file may hold only some codes
                found |= _read_reasons(folder / "email" / tag / "reasons.txt")
            self._reasons[tag] = found
        return self._reasons[tag]


def _fill(sentence: str, facts: Mapping[str, str]) -> str:
    """Put the facts in. No str.format: a fact is text of a stranger, and formats reach into objects."""

    def if_known(group: re.Match[str]) -> str:
        return group[1] if all(facts.get(name) for name in _FIELD.findall(group[1])) else ""

    return _FIELD.sub(lambda field: facts.get(field[1]) or "?", _OPTIONAL.sub(if_known, sentence))


def nearest(language: str) -> tuple[str, ...]:
    """Return the folders to look in, the best first: `fr-CH` gives fr-ch, fr, en."""
    tag = language.lower().replace("_", "-")
    tags = [tag, tag.partition("-")[0], FALLBACK]
    return tuple(dict.fromkeys(one for one in tags if one.replace("-", "").isalpha() and one.isascii()))


def when(at: int, zone: str, language: str) -> str:
    """Return the moment `at` as people write it: `mardi 12 mai à 9 h 41`, `Tuesday 12 May at 9:41 am`."""
    local = datetime.fromtimestamp(at / 1000, _zone(zone))
    known = next((tag for tag in nearest(language) if tag in _DAYS), FALLBACK)
    day, month = _DAYS[known][local.weekday()], _MONTHS[known][local.month - 1]
    if known == "fr":
        ordinal = "1er" if local.day == 1 else str(local.day)
        return f"{day} {ordinal} {month} à {local.hour} h {local.minute:02}"
    half = "am" if local.hour < 12 else "pm"
    return f"{day} {local.day} {month} at {local.hour % 12 or 12}:{local.minute:02} {half}"


@cache
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def own_folder() -> Path:
    """Return where the shipped templates are: inside the installed package, else in the checkout."""
    package = Path(__file__).parent
    shipped = package / "_templates"
    return shipped if shipped.is_dir() else package.parent / "templates"


def _read_reasons(path: Path) -> dict[str, str]:
    """Read `code: sentences` lines; `#` begins a comment line."""
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    pairs = (line.partition(":") for line in lines if line.strip() and not line.startswith("#"))
    return {code.strip(): sentences.strip() for code, _, sentences in pairs}
