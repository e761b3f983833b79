"""`/help`: mails that work beside what the phone then shows, and what every refusal means; a page per language.

The mails and texts are files, which a test sends through the listener: the page says what is so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Annotated

from fastapi import APIRouter, Header, Query
from fastapi.responses import HTMLResponse

from mail2sms.render import own_folder
from mail2sms.web.context import Context, Here

LANGUAGES = {"en": "English", "fr": "Français", "it": "Italiano", "de": "Deutsch"}
TITLES = {
    "en": "Mail that works",
    "fr": "Des mails qui marchent",
    "it": "Email che funzionano",
    "de": "E-Mails, die ankommen",
}
EXAMPLES = ("number", "strict", "answer")
DOMAIN = "sms.acme.example"  # of the examples; shown as the one of this bridge

_OTHER = "other"
_KINDS = {
    "address": "address number country",
    "fields": "template",
    "text": "text media recipients mail",
    "rights": "sender_id conversation route optout trial quota sending loop",
    "waiting": "held approval",
    "outcome": "carrier",
}
"""Kinds of reasons, as the page groups them, by what their codes begin with."""
_KIND = {prefix: kind for kind, prefixes in _KINDS.items() for prefix in prefixes.split()}
_FACT = re.compile(r"\{([a-z_]+)\}")

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """An email, and the text that it becomes."""

    mail: str
    text: str


@cache
def example(name: str, language: str) -> Example:
    """Return one of EXAMPLES in one of LANGUAGES."""
    folder = own_folder() / "help" / language
    mail, text = ((folder / f"{name}.{kind}").read_text(encoding="utf-8") for kind in ("eml", "sms"))
    return Example(mail=mail.rstrip("\n"), text=text.rstrip("\n"))


@router.get("/help")
async def page(
    context: Here,
    lang: Annotated[str, Query(max_length=8)] = "",
    accept_language: Annotated[str, Header(max_length=500)] = "",
) -> HTMLResponse:
    """Return the page in the language asked for, else in the browser's first that there is, else in ours."""
    return HTMLResponse(_page(context, choose(lang, accept_language, context.language)))


def choose(asked: str, accepted: str, default: str) -> str:
    """Return a language of LANGUAGES: what was asked for, what a browser prefers, or the default."""
    wishes = [asked, *(wish.partition(";")[0] for wish in accepted.split(",")), default]
    found = (wish.strip().lower()[:2] for wish in wishes)
    return next((tag for tag in found if tag in LANGUAGES), "en")


def _page(context: Context, language: str) -> str:
    examples = {name: example(name, language) for name in EXAMPLES}
    return context.render.render(
        f"help/{language}.html",
        language=language,
        languages=LANGUAGES,
        title=TITLES[language],
        domain=context.domain,
        max_parts=context.accept.policy.max_parts,
        template=context.template_example(language),
        examples={name: _of_here(each, context.domain) for name, each in examples.items()},
        reasons=_reasons(context, language),
    )


def _reasons(context: Context, language: str) -> dict[str, list[tuple[str, str]]]:
    """What people may be told, by kind and code. Of a fact that depends on the mail only its place is shown."""
    facts = {"domain": context.domain, "mailbox": context.template_mailbox}
    found: dict[str, list[tuple[str, str]]] = {}
    for row in context.render.reason_rows(language):
        if row.told != "nobody":
            sentence = _FACT.sub(lambda fact: facts.get(fact[1], "…"), row.sentence)
            found.setdefault(_KIND.get(row.code.partition(".")[0], _OTHER), []).append((row.code, sentence))
    return {kind: found[kind] for kind in (*_KINDS, _OTHER) if kind in found}


def _of_here(shown: Example, domain: str) -> Example:
    return Example(mail=shown.mail.replace(DOMAIN, domain), text=shown.text)
