"""`mail2sms unit`: the systemd units for this configuration and this installation."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

import mail2sms
from mail2sms.cli import Exit, Failed, find_config, read_settings, tell, typed, unit_access, unit_files
from mail2sms.cli.terminal import ConfigOption, print_lines


def unit(
    has_sockets: Annotated[
        bool,
        typer.Option(
            "--socket", help="systemd opens the ports: nobody is refused while the daemon restarts."
        ),
    ] = False,
    folder: Annotated[
        Path | None,
        typer.Option("--to", metavar="FOLDER", help="Write them there, such as /etc/systemd/system."),
    ] = None,
    config_file: ConfigOption = None,
) -> None:
    """The systemd unit for this configuration.

    What the service's user could not read or execute is told as well, with what to do about it.
    """
    path = find_config(config_file)
    settings = read_settings(path)
    place = unit_files.Place(
        program=_program(),
        config=path.resolve(),
        python=Path(sys.executable).resolve(),
        package=Path(mail2sms.__file__).resolve().parent,
    )
    units = {unit_files.SERVICE: unit_files.service(settings, place, has_sockets=has_sockets)}
    if has_sockets:
        units |= unit_files.sockets(settings)
    if folder is not None:
        _write(folder, units)
    else:
        for name, text in units.items():  # several are told apart as by `systemctl cat`
            print_lines(*([f"# {name}"] if has_sockets else []), text)
    service = unit_access.reader()
    for hint in (*unit_access.started(place, service), *unit_access.hints(settings, place.config, service)):
        tell(hint)


def _program() -> tuple[str, ...]:
    """Return the words that start what runs now."""
    started = Path(sys.argv[0])
    if started.name == "mail2sms" and started.is_file():
        return (str(started.absolute()),)
    return (sys.executable, "-m", "mail2sms")


def _write(folder: Path, units: dict[str, str]) -> None:
    if not folder.is_dir():
        raise Failed(Exit.USAGE, f"{folder} is no folder")
    for name, text in units.items():
        path = folder / name
        try:
            if path.exists() and not path.read_text(encoding="utf-8").startswith(unit_files.HEAD):
                raise Failed(Exit.USAGE, f"{path} was not made by {typed('unit')}; move it away first")
            path.write_text(text, encoding="utf-8")
        except OSError as e:
            raise Failed(Exit.NOT_ALLOWED, f"{path} cannot be written: {e.strerror}") from e
        tell(f"wrote {path}")
    first = sorted(units, key=unit_files.SERVICE.__eq__)  # the sockets before the service that inherits them
    tell(f"now: systemctl daemon-reload && systemctl enable --now {' '.join(first)}")
