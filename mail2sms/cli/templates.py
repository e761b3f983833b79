"""`mail2sms template`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mail2sms.cli import Exit, Failed
from mail2sms.cli.terminal import print_lines
from mail2sms.errors import BadOption


def template_show(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="strict, subject or a file.")] = "strict",
    country: Annotated[str, typer.Option(metavar="XX", help="Whose numbers are shown.")] = "FR",
    language: Annotated[str, typer.Option(metavar="XX")] = "en",
) -> None:
    """The form that mails to sms@ follow, filled in."""
    from mail2sms.intake.template import compile_template
    from mail2sms.render import own_folder

    shipped = own_folder() / "intake" / f"{name}.txt"
    path = shipped if name in ("strict", "simple", "subject") else Path(name)
    try:
        template = compile_template(path.read_text(encoding="utf-8"), name)
    except (OSError, UnicodeDecodeError, BadOption) as e:
        raise Failed(Exit.BAD_CONFIG, f"{path} is no template: {e}") from e
    print_lines(template.example(country, language))
