"""`mail2sms man`: man pages out of the verbs' help and of the options that `explain-config` shows. roff: man(7)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Annotated

import typer

from mail2sms import __version__
from mail2sms.cli import CONFIG, EXPLAINED, SYSTEM_FOLDER, Exit, Failed, typed
from mail2sms.cli.explain_config import quoted
from mail2sms.cli.terminal import print_lines
from mail2sms.cli.verbs import Option, Verb, verbs

_A_HASH = re.compile(r"(?<=:)(?=[0-9a-f]{64}\b)")
_ABOUT = "an email becomes a text message, the answer comes back as an email"


def man(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[VERB]", show_default=False, help="Or mail2sms.yaml.")
    ] = None,
) -> None:
    """A manual page, as roff: of mail2sms, of one verb, or of mail2sms.yaml.

    To read one: mail2sms man | man -l -   To install: mail2sms man > /usr/local/share/man/man1/mail2sms.1
    and mail2sms man mail2sms.yaml > /usr/local/share/man/man5/mail2sms.yaml.5
    """
    name, known = " ".join(words or ()), verbs()
    if name == CONFIG:
        print_lines(*_config_page())
        return
    chosen = [verb for verb in known if verb.name == name or verb.name.startswith(f"{name} ")]
    if name and not chosen:
        raise Failed(Exit.USAGE, f'there is no verb "{name}"; {typed("--help")} names them')
    print_lines(*(_page(name, chosen) if name else _page("", known)))


def _page(name: str, shown: Sequence[Verb]) -> Iterator[str]:
    """Give the page of one verb, or of all."""
    title = f"mail2sms-{name.replace(' ', '-')}" if name else "mail2sms"
    about = shown[0].summary if name else _ABOUT
    yield from _head(title, 1, about[:1].lower() + about[1:])
    yield ".SH SYNOPSIS"
    for at, verb in enumerate(shown):
        if at:
            yield ".br"
        yield f".B mail2sms {_roff(verb.name)}"
        yield from (f".RI {_roff_argument(a.value)}" for a in verb.arguments)
        yield ".RI [ options ]"
    yield ".SH VERBS" if len(shown) > 1 else ".SH DESCRIPTION"
    for verb in shown:
        if len(shown) > 1:
            yield f".SS mail2sms {_roff(verb.name)}"
        yield from _verb(verb)
    yield from _foot()


def _verb(verb: Verb) -> Iterator[str]:
    for paragraph in verb.text.split("\n\n"):
        yield ".PP"
        yield _roff(" ".join(paragraph.split()))
    for argument in verb.arguments:
        if argument.text:
            yield from (".TP", f".I {_roff(argument.value.strip('[]'))}", _roff(argument.text))
    for option in verb.options:
        yield from _option(option)


def _option(option: Option) -> Iterator[str]:
    yield ".TP"
    flags = ", ".join(f"\\fB{_roff(flag)}\\fR" for flag in option.flags)
    yield flags + (f" \\fI{_roff(option.value)}\\fR" if option.value else "")
    yield _roff(option.text) or "\\&"


def _foot() -> Iterator[str]:
    yield ".SH EXIT STATUS"
    for code, text in EXPLAINED.items():
        yield from (".TP", f".B {code:d}", _roff(text))
    yield ".SH ENVIRONMENT"
    yield from (
        ".TP",
        ".B MAIL2SMS_CONFIG",
        f"The configuration, where \\-\\-config does not name it: {_roff(CONFIG)}",
    )
    yield "or its folder."
    yield from (".TP", ".B NO_COLOR", "If set, nothing is coloured.")
    yield ".SH FILES"
    yield from (f".I {_roff(str(SYSTEM_FOLDER / CONFIG))}", ".SH SEE ALSO", ".BR mail2sms.yaml (5)")


def _config_page() -> Iterator[str]:
    from mail2sms.config.reference import everything, flat

    yield from _head(CONFIG, 5, "the configuration of mail2sms")
    yield ".SH DESCRIPTION"
    yield "One YAML file tells mail2sms everything. Every value is read as the text that was written, so NO is Norway;"
    yield "quantities have a unit; text that begins with a special character or holds a comma stands in quotes."
    yield from (
        ".B mail2sms check",
        "reads it and names what is wrong. In the names below, words in capitals stand for",
    )
    yield from ("names of your own.", ".SH OPTIONS")
    for option in flat(everything()):
        only = f" ({option.only})" if option.only else ""
        yield from (".TP", f"\\fB{_roff(option.name)}\\fR{_roff(only)}", f"\\fI{_roff(option.words)}\\fR.")
        if option.is_required:
            yield "Required."
        if option.default:
            yield f"Default: {_roff(option.default)}."
        yield _roff(option.meaning)
        if option.example:
            yield from (".br", f"Example: {_roff(f'{option.steps[-1]}: {quoted(option.example)}')}")
    yield from (".SH FILES", f".I {_roff(str(SYSTEM_FOLDER / CONFIG))}", ".SH SEE ALSO", ".BR mail2sms (1)")


def _head(title: str, section: int, about: str) -> Iterator[str]:
    yield f'.TH "{_roff(title.upper())}" {section} "" "mail2sms {__version__}" "mail2sms"'
    yield from (".SH NAME", f"{_roff(title)} \\- {_roff(about)}")


def _roff_argument(value: str) -> str:
    """Return an argument for .RI, which alternates roman and italic: brackets stay upright."""
    bare = _roff(value.strip("[]")).replace(" ", "\\ ")
    return f"[ {bare} ]" if value.startswith("[") else f'"" {bare}'


def _roff(text: str) -> str:
    r"""Return a text that roff shows as it is; `-` is a minus, to be copied and searched for.

    A hash after its prefix is longer than a line, and may go on in the next.
    """
    plain = text.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq").replace("~", "\\(ti")
    plain = plain.replace("'", "\\(aq").replace("^", "\\(ha").replace("`", "\\(ga")
    plain = _A_HASH.sub("\\\\:", plain)
    return f"\\&{plain}" if plain.startswith(".") else plain
