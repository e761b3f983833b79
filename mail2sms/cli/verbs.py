"""Every verb with its options as plain values, whichever parser has it: what completion and man pages are made of."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Option:
    """One option. `value` is what stands for its value, empty for a flag."""

    flags: tuple[str, ...]
    value: str
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Verb:
    """One verb, such as `queue list`. `arguments` are as in its usage, `summary` is the first line of `text`."""

    name: str
    group: str
    text: str
    arguments: tuple[Option, ...]
    options: tuple[Option, ...]

    @property
    def summary(self) -> str:
        """One line, without its full stop."""
        return self.text.partition("\n")[0].rstrip(".")


HELP = Option(flags=("--help",), value="", text="Explain the verb.")


def verbs() -> tuple[Verb, ...]:
    """Return all verbs in the order of the help."""
    import typer

    from mail2sms.cli import console, demo, main

    by_argparse = {"serve": main.serve_parser, "demo": demo.demo_parser}
    command: Any = typer.main.get_command(console.verbs())
    found: list[Verb] = []
    for verb in _flat(command.commands):
        parser = by_argparse.get(verb.name)
        found.append(_parsed(verb.name, verb.group, parser()) if parser else verb)
        if verb.name == "demo":
            found.append(_parsed("demo send", verb.group, demo.send_parser()))
    return tuple(found)


def _flat(commands: Mapping[str, Any], prefix: str = "") -> Iterator[Verb]:
    for name, command in commands.items():
        inner = getattr(command, "commands", None)
        if inner is not None:
            yield from _flat(inner, f"{name} ")
            continue
        params = command.params
        yield Verb(
            name=f"{prefix}{name}",
            group=command.rich_help_panel or "",
            text=inspect.getdoc(command.callback) or "",
            arguments=tuple(_argument(p) for p in params if p.param_type_name == "argument"),
            options=(*(_option(p) for p in params if p.param_type_name == "option"), HELP),
        )


def _argument(param: Any) -> Option:
    return Option(flags=(), value=param.metavar or param.name.upper(), text=param.help or "")


def _option(param: Any) -> Option:
    value = "" if param.is_flag else param.metavar or param.name.upper()
    return Option(flags=tuple(param.opts), value=value, text=param.help or "")


def _parsed(name: str, group: str, parser: argparse.ArgumentParser) -> Verb:
    actions = [action for action in parser._actions if "--help" not in action.option_strings]
    text = "\n\n".join(filter(None, (parser.description, parser.epilog)))
    return Verb(
        name=name,
        group=group,
        text=text,
        arguments=tuple(_acted(action) for action in actions if not action.option_strings),
        options=(*(_acted(action) for action in actions if action.option_strings), HELP),
    )


def _acted(action: argparse.Action) -> Option:
    value = "" if action.nargs == 0 else str(action.metavar or action.dest.upper())
    text = (action.help or "").strip()
    return Option(flags=tuple(action.option_strings), value=value, text=text[:1].upper() + text[1:])
