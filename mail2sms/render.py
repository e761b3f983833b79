"""Templates to text: the only importer of jinja2. Knows languages and reasons, no headers.

Templates come from the checkout's `templates/` (in a wheel: `mail2sms/_templates`), each replaceable by a file of
the same name in the operator's folder. Only those files are compiled, never a user's text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import jinja2

from mail2sms.money import read
from mail2sms.reasons import ReasonRow, reason_rows
from mail2sms.wording import FALLBACK, amount, moment, money, nearest, rate

_AMOUNTS: Final = frozenset(
    {"parts", "limit", "count", "digits", "length", "characters", "room", "messages", "left"}
)
"""Facts that are whole numbers."""

_FIELD = re.compile(r"\{([a-z_]+)\}")
_OPTIONAL = re.compile(r"\[([^\[\]]*)\]")


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
        self._sentences: dict[str, dict[str, str]] = {}

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
            sentences = self._sentences_in(tag)
            sentence = sentences.get(code)
            if sentence is None:
                continue
            guess = sentences.get("hint", "") if facts.get("hint") and "{hint}" not in sentence else ""
            return _fill(
                f"{sentence} {guess}".strip(), {**facts, **_amounts(facts, tag), **_quota(facts, tag)}
            )
        return code

    def reason_rows(self, language: str = FALLBACK) -> tuple[ReasonRow, ...]:
        """Return every reason as a row of documentation; facts stand as `{value}`, what depends on them is shown."""
        sentences: dict[str, str] = {}
        for tag in reversed(nearest(language)):
            sentences |= self._sentences_in(tag)
        return reason_rows({code: _OPTIONAL.sub(r"\1", sentence) for code, sentence in sentences.items()})

    def _sentences_in(self, tag: str) -> dict[str, str]:
        if tag not in self._sentences:
            found: dict[str, str] = {}
            for folder in reversed(self._folders):  # the operator's file may hold only some codes
                found |= _read_sentences(folder / "email" / tag / "reasons.txt")
            self._sentences[tag] = found
        return self._sentences[tag]


def _amounts(facts: Mapping[str, str], language: str) -> dict[str, str]:
    return {
        name: amount(int(fact), language)
        for name, fact in facts.items()
        if name in _AMOUNTS and fact.isdecimal()
    }


def _quota(facts: Mapping[str, str], language: str) -> dict[str, str]:
    """Return what a limit is, what is left of it and when it opens, in words; nothing for facts of something else."""
    if not ("window" in facts and "until" in facts):
        return {}
    limit, is_money = facts["limit"], not facts["limit"].isdecimal()
    amount_ = read(limit).millionths if is_money else int(limit)
    amounts = {name: money(read(facts[name]), language) for name in ("left", "count") if is_money}
    return {
        **amounts,
        "rate": rate(amount_, facts["unit"], facts["window"], language),
        "until": moment(datetime.fromisoformat(facts["until"]), language),
    }


def _fill(sentence: str, facts: Mapping[str, str]) -> str:
    """Put the facts in. No str.format: a fact is text of a stranger, and formats reach into objects."""

    def if_known(group: re.Match[str]) -> str:
        return group[1] if all(facts.get(name) for name in _FIELD.findall(group[1])) else ""

    return _FIELD.sub(lambda field: facts.get(field[1]) or "?", _OPTIONAL.sub(if_known, sentence))


def own_folder() -> Path:
    """Return where the shipped templates are: inside the installed package, else in the checkout."""
    package = Path(__file__).parent
    shipped = package / "_templates"
    return shipped if shipped.is_dir() else package.parent / "templates"


def _read_sentences(path: Path) -> dict[str, str]:
    """Read `code: sentences` lines; `#` begins a comment line."""
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    pairs = (line.partition(":") for line in lines if line.strip() and not line.startswith("#"))
    return {code.strip(): sentences.strip() for code, _, sentences in pairs}
