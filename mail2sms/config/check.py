"""From a path to Settings, or to a report of all that is wrong: fields, references, environment, in this order."""

from __future__ import annotations

from pathlib import Path

from mail2sms import yamltext
from mail2sms.config import environment as machine
from mail2sms.config import fields, references
from mail2sms.config.findings import ConfigInvalid, Report, Stage, findings_of
from mail2sms.config.schema import Settings
from mail2sms.yamltext import Document, Fault, read_file

_COUNTED = ("carriers", "routes", "users", "teams", "devices")


def load(path: Path, text: str | None = None) -> Settings:
    """Return the settings of the file, or of `text` as if it stood there. Raises ConfigInvalid."""
    settings, report, _ = _judge(path, text)
    if settings is None:
        raise ConfigInvalid(report.findings)
    return settings


def check(
    path: Path,
    *,
    environment: bool,
    text: str | None = None,
    probe_database: machine.ProbeDatabase | None = None,
) -> Report:
    """Return all findings. With `environment` and no error so far, the machine is looked at as well."""
    settings, report, document = _judge(path, text)
    if settings is None or not environment:
        return report
    return _with(report, path, document, list(machine.look(settings, document, probe_database)))


def again(path: Path) -> tuple[Settings | None, Report]:
    """Return the settings and all findings for a daemon that runs: of this machine, the files that are named count."""
    settings, report, document = _judge(path, None)
    if settings is None:
        return None, report
    return settings, _with(report, path, document, list(machine.look_at_files(settings, document)))


def _with(report: Report, path: Path, document: Document, found: list[Fault | str]) -> Report:
    faults = [fault for fault in found if isinstance(fault, Fault)]
    well = tuple(fact for fact in found if isinstance(fact, str))
    return Report(
        path=report.path,
        findings=(*report.findings, *findings_of(path, document, faults)),
        stages=(*report.stages, Stage(name="Environment", facts=well)),
    )


def _judge(path: Path, text: str | None) -> tuple[Settings | None, Report, Document]:
    document = read_file(path) if text is None else yamltext.read(text)
    if not document.tree:
        return (
            None,
            Report(path=str(path), findings=findings_of(path, document, document.faults), stages=()),
            document,
        )
    reading = fields.read(document)
    faults = [*reading.faults, *references.judge(reading, document, path)]
    is_good = all(fault.is_warning for fault in faults)
    report = Report(
        path=str(path),
        findings=findings_of(path, document, faults),
        stages=_stages(reading.settings, document) if is_good else (),
    )
    return (reading.settings if is_good else None), report, document


def _stages(settings: Settings, document: Document) -> tuple[Stage, ...]:
    line_count = len(document.lines) - (document.lines[-1] == "")
    counted = {name: len(getattr(settings, name)) for name in _COUNTED}
    references_seen = tuple(f"{n} {name if n != 1 else name[:-1]}" for name, n in counted.items() if n)
    return (
        Stage(name="Fields", facts=(f"{len(document.tree)} sections", f"{line_count} lines")),
        Stage(name="References", facts=references_seen),
    )
