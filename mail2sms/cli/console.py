"""Every verb of the command line, by what it is for: the table, the help made of it, and how a verb is run."""

from __future__ import annotations

import inspect
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from mail2sms import __version__
from mail2sms.cli import EXPLAINED, PROGRAM, Exit, Failed, typed
from mail2sms.cli.terminal import print_lines

_TRY, _RUN, _LOOK, _FIX, _LIMIT, _READ = _GROUPS = ("Try", "Run", "Look", "Fix", "Limit", "Read")
_BRIEF = (_LIMIT, _READ)  # one line for all: what tells itself, and what is looked up now and then


class _Verbs(TyperGroup):
    """All verbs on one screen, by what they are for, and the exit codes."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the screen."""
        lines = [f"Usage: {typed('VERB [OPTIONS]')}          {typed('VERB --help')} explains one"]
        lines += ["An email becomes a text message; the answer comes back as an email.", ""]
        verbs = list(_flat(self.commands))
        for group in _GROUPS:
            members = [(name, text) for name, text, panel in verbs if panel == group]
            if group in _BRIEF:
                lines.append(f"  {group:5} {', '.join(name for name, _ in members)}")
                continue
            for i, (name, text) in enumerate(members):
                lines.append(f"  {group if i == 0 else '':5} {name:14} {text}")
        codes = [f"{code:d} {text}" for code, text in EXPLAINED.items()]
        lines += ["", f"Exit codes: {', '.join(codes[:4])},", f"  {', '.join(codes[4:])}."]
        lines += ["Looking verbs take --json. NO_COLOR is respected. --version tells the version."]
        formatter.write("\n".join(lines) + "\n")


def _flat(commands: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    for name, command in commands.items():
        if isinstance(command, TyperGroup):  # one line for a noun and all its verbs
            verbs: Mapping[str, Any] = command.commands
            panel = next(iter(verbs.values())).rich_help_panel
            yield f"{name} ...", f"{(command.help or '').rstrip('.')}: {', '.join(verbs)}", panel
        else:
            summary = (command.help or "").partition("\n")[0].rstrip(".")
            yield name, summary, command.rich_help_panel


_PLAIN: dict[str, Any] = {"add_completion": False, "rich_markup_mode": None, "no_args_is_help": True}


def run(arguments: Sequence[str]) -> int:
    """Run one verb; return the exit code. Raises Failed."""
    try:
        done = verbs(arguments)(list(arguments), prog_name=PROGRAM, standalone_mode=False)
        sys.stdout.flush()
    except typer.Abort:
        return 130
    except typer.TyperException as e:
        raise _misused(e) from e
    except (BrokenPipeError, SystemExit):  # `| head` has seen enough; typer makes an exit of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK
    return done if isinstance(done, int) else Exit.OK


def _misused(error: typer.TyperException) -> Failed:
    context = getattr(error, "ctx", None)
    verb = context.command_path if context else PROGRAM
    text = error.format_message().replace("Value error, ", "")  # pydantic's, of which typer makes use
    if type(error).__name__ == "NoArgsIsHelpError":
        return Failed(Exit.USAGE, f"a verb is missing\n\n{text}")
    end = "" if text.endswith("?") else ";"
    return Failed(Exit.USAGE, f"{text.rstrip('.')}{end} {verb} --help explains it")


def _tell_version(is_asked: bool) -> None:
    if is_asked:
        print_lines(f"mail2sms {__version__}")
        raise typer.Exit(Exit.OK)


def _all(
    version: Annotated[bool, typer.Option("--version", callback=_tell_version, is_eager=True)] = False,
) -> None:
    pass


def demo() -> None:  # `main` runs it; here is its line in the help
    """Everything on this computer, with simulated phones."""


def serve() -> None:
    """The daemon, as systemd starts it."""


_NOUNS = {"queue": "What waits.", "optout": "No SMS.", "template": "The form that mails follow."}
_TABLE: tuple[tuple[str, str, str], ...] = (
    (_TRY, "demo", "console"),
    (_TRY, "init", "init"),
    (_RUN, "serve", "console"),
    (_RUN, "check", "check"),
    (_RUN, "reload", "service"),
    (_RUN, "health", "service"),
    (_RUN, "send", "send"),
    (_LOOK, "explain", "explain"),
    (_RUN, "doctor", "doctor"),
    (_LOOK, "messages", "messages"),
    (_LOOK, "message", "messages"),
    (_LOOK, "notices", "messages"),
    (_LOOK, "tail", "tail"),
    (_READ, "template show", "templates"),
    (_FIX, "queue list", "queue"),
    (_FIX, "queue show", "queue"),
    (_FIX, "queue retry", "queue"),
    (_FIX, "queue hold", "queue"),
    (_FIX, "queue release", "queue"),
    (_FIX, "queue cancel", "queue"),
    (_FIX, "optout list", "opt_outs"),
    (_FIX, "optout lookup", "opt_outs"),
    (_FIX, "optout add", "opt_outs"),
    (_FIX, "optout remove", "opt_outs"),
    (_FIX, "optout import", "opt_outs"),
    (_FIX, "optout export", "opt_outs"),
    (_FIX, "optout forget", "opt_outs"),
    (_LIMIT, "quota", "quota"),
    (_LIMIT, "stop-sending", "sending"),
    (_LIMIT, "resume-sending", "sending"),
    (_READ, "key", "sender_keys"),
    (_READ, "explain-config", "explain_config"),
    (_READ, "schema", "explain_config"),
    (_READ, "unit", "unit"),
    (_READ, "recipe", "recipes"),
    (_READ, "completion", "completion"),
    (_READ, "man", "manual"),
)
"""Group, words, and the module of cli/ where the verb is, a function of its words."""


def verbs(arguments: Sequence[str] = ()) -> typer.Typer:
    """Return the verb that is typed; all when there is none like it. What one needs is not loaded for another."""
    table = [row for row in _TABLE if arguments and row[1].split()[0] == arguments[0]] or _TABLE
    built = typer.Typer(name="mail2sms", cls=_Verbs, **_PLAIN)
    built.callback()(_all)
    nouns: dict[str, typer.Typer] = {}
    for group, words, module in table:
        noun, _, name = words.rpartition(" ")
        verb = getattr(import_module(f"mail2sms.cli.{module}"), re.sub("[ -]", "_", words))
        text = re.sub(r"\bmail2sms (?=[a-z])", typed(""), inspect.getdoc(verb) or "")
        if noun not in nouns:
            nouns[noun] = typer.Typer(name=noun, help=_NOUNS[noun], **_PLAIN) if noun else built
        nouns[noun].command(name, help=text, rich_help_panel=group)(verb)
    for noun, theirs in nouns.items():
        if noun:
            built.add_typer(theirs)
    return built
