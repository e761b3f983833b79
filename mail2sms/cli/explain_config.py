"""`mail2sms explain-config` and `mail2sms schema`: the options of mail2sms.yaml, for people and for editors."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from mail2sms.cli import Exit, Failed, typed
from mail2sms.cli.terminal import print_lines

if TYPE_CHECKING:
    from mail2sms.config.reference import Option

_WIDE, _INDENT = 96, "    "  # columns


def explain_config(
    key: Annotated[
        str | None, typer.Argument(metavar="[KEY]", show_default=False, help="Such as listen.smtp or users.")
    ] = None,
) -> None:
    """Every option of mail2sms.yaml, or one with those inside it."""
    from mail2sms.config import reference

    if key is None:
        options = reference.everything()
    else:
        found = reference.find(key)
        if found is None:
            meant = reference.nearest(key)
            hint = f"did you mean {meant}?" if meant else f"{typed('explain-config')} lists all"
            raise Failed(Exit.USAGE, f'there is no option "{key}"; {hint}')
        options = (found,)
    blocks = ["\n".join(_block(option)) for option in reference.flat(options)]
    print_lines("\n\n".join(blocks))


def schema() -> None:
    """The JSON Schema of mail2sms.yaml.

    Editors complete and check the file with it: mail2sms schema > mail2sms.schema.json, and as its first line
    # yaml-language-server: $schema=./mail2sms.schema.json
    """
    from mail2sms.config import reference

    print_lines(json.dumps(reference.schema(), indent=2, ensure_ascii=False))


def _block(option: Option) -> Iterator[str]:
    only = f" ({option.only})" if option.only else ""
    yield f"{option.name}{only}"
    required = "required" if option.is_required else ""
    default = f"default {option.default}" if option.default else ""
    yield from _wrapped("; ".join(filter(None, (option.words, required, default))))
    yield from _wrapped(option.meaning)
    if option.example:
        yield f"{_INDENT}Example: {option.steps[-1]}: {quoted(option.example)}"


def quoted(value: str) -> str:
    """Return a value as YAML needs it: in quotes where YAML would take it for something else."""
    if value[0] in "{[":
        return value
    is_special = value[0] in "*&!%@`+>|'\"#?-" or ": " in value or value.startswith("::")
    return f'"{value}"' if is_special or (":" in value and value.rpartition(":")[2].isdigit()) else value


def _wrapped(text: str) -> Iterator[str]:
    yield from textwrap.wrap(text, _WIDE, initial_indent=_INDENT, subsequent_indent=_INDENT)
