"""`mail2sms template`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mail2sms.cli import Exit, Failed, find_config, read_settings
from mail2sms.cli.recipes import NUMBER, example_writer
from mail2sms.cli.terminal import ConfigOption, print_lines
from mail2sms.errors import BadOption

if TYPE_CHECKING:
    from mail2sms.config import Settings


def template_show(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", show_default=False, help="strict, simple, subject or a FILE."),
    ] = None,
    country: Annotated[
        str | None, typer.Option(metavar="XX", help="Whose numbers are shown.", show_default=False)
    ] = None,
    language: Annotated[
        str | None, typer.Option(metavar="XX", help="Of the labels: en, fr, de, it.", show_default=False)
    ] = None,
    config_file: ConfigOption = None,
) -> None:
    """A whole mail to sms@, filled in as its template wants.

    What is not given is the configuration's, if there is one. A file is a template of your own: see also explain.
    """
    from mail2sms.config import derived

    settings = _settings(config_file)
    chosen = name or (settings.template if settings else "strict")
    try:
        template = derived.template(chosen)
    except (OSError, UnicodeDecodeError, BadOption) as e:
        raise Failed(Exit.BAD_CONFIG, f"{chosen} is no template: {e}") from e
    example = template.example(
        country or (settings.country if settings else "FR"),
        language or (settings.language if settings else "en"),
    )
    head, is_split, text = example.partition("\n\n") if template.fields else ("", "", example)
    fields = head.split("\n") if head else []
    subject = [line for line in fields if template.kind == "subject" and line.startswith("Subject: ")]
    body = [line for line in fields if line not in subject]
    mailbox = NUMBER if template.kind == "simple" else settings.template_mailbox if settings else "sms"
    print_lines(
        f"To: {mailbox}@{settings.domain if settings else 'sms.acme.example'}",
        f"From: {example_writer(settings) if settings else 'marie@acme.example'}",
        *(subject or ["Subject: anything"]),
        "",
        *(["\n".join(body), ""] if body else []),
        text if is_split or not head else head,
    )


def _settings(given: Path | None) -> Settings | None:
    """Return the configuration; one that nobody named need not be there, nor good."""
    from mail2sms import config

    if given is not None:
        return read_settings(find_config(given))
    try:
        return config.load(find_config(None))
    except (Failed, config.ConfigInvalid):
        return None
