"""What a check of the configuration found, and how it is printed. A secret's value is never shown."""

from __future__ import annotations

import difflib
import json
import re
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from mail2sms.yamltext import Document, Fault, Steps

Level = Literal["error", "warning"]
_SECRET_KEYS = ("password", "key", "token", "secret", "passphrase")
_PATH = re.compile(r"/[^\n]+\Z")
_SECRET_ON_A_LINE = re.compile(r"(?i)((?:pass\w*|key|token|secret)[\"']?\s*:\s*).*")
_LONGEST_SHOWN = 400  # characters
_REFERENCE = re.compile(r"(credential|file|env):")
_RED, _YELLOW, _GREEN, _BOLD, _PLAIN = "\x1b[31m", "\x1b[33m", "\x1b[32m", "\x1b[1m", "\x1b[0m"


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing to put right, with its place in the file (line 0: none) and the line as it may be shown."""

    path: str
    line: int
    column: int
    width: int
    level: Level
    message: str
    hint: str = ""
    source_line: str = ""

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}:{self.column}" if self.line else self.path
        return f"{place}: {self.level}: {self.message}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """One of the three stages of a check. `facts` say what was looked at."""

    name: str
    facts: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """The outcome of a check. A stage that errors kept from being reached is not among `stages`."""

    path: str
    findings: tuple[Finding, ...]
    stages: tuple[Stage, ...]

    @property
    def errors(self) -> tuple[Finding, ...]:
        """What keeps the daemon from starting."""
        return tuple(f for f in self.findings if f.level == "error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """What is allowed and probably not meant."""
        return tuple(f for f in self.findings if f.level == "warning")

    def as_json(self) -> str:
        """Return the report for machines."""
        stages = {stage.name.lower(): list(stage.facts) for stage in self.stages}
        findings = [asdict(finding) for finding in self.findings]
        report = {"path": self.path, "ok": not self.errors, "findings": findings, "stages": stages}
        return json.dumps(report, ensure_ascii=False, indent=2)


class ConfigInvalid(Exception):
    """The configuration holds errors; `findings` are all of them, and the warnings."""

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        super().__init__("\n".join(str(finding) for finding in findings if finding.level == "error"))
        self.findings = findings


def findings_of(path: Path, document: Document, faults: list[Fault]) -> tuple[Finding, ...]:
    """Return the faults as findings in order of the file, once each, with their lines masked."""
    masks = _masks(document)
    unique = {(fault.place, fault.message): fault for fault in faults}
    ordered = sorted(unique.values(), key=lambda f: (f.place.line or len(document.lines) + 1, f.place.column))
    return tuple(_finding(path, document, fault, masks) for fault in ordered)


def _finding(path: Path, document: Document, fault: Fault, masks: _Masks) -> Finding:
    place = fault.place
    message = fault.message
    secret = document.text(fault.steps)
    if secret and _is_hidden(fault.steps, secret):
        message = message.replace(secret, "***")
    return Finding(
        path=str(path),
        line=place.line,
        column=place.column,
        width=place.width,
        level="warning" if fault.is_warning else "error",
        message=_printable(message),
        hint=_printable(fault.hint),
        source_line=_shown_line(document, place.line, masks),
    )


_Masks = dict[
    int, list[tuple[int, int]]
]  # line -> where on it secrets begin, and their widths (0: to its end)


def is_secret(steps: Steps) -> bool:
    """Whether the value may be a secret: by its name, or by a name that was probably meant to be such."""
    names = [step.lower() for step in steps if isinstance(step, str)]
    if not names or names[-1] == "keys":
        return False
    if "hooks" in names and names[-1] == "url":  # whoever has a chat hook's URL may post
        return True
    words = (names[-1], names[-1].rpartition("_")[2])  # signing_secret
    return names[-1] == "database" or any(
        difflib.get_close_matches(each, _SECRET_KEYS, 1, 0.75) for each in words
    )


def _is_hidden(steps: Steps, text: str | None) -> bool:
    """Whether a value must not be shown: it is a secret itself, not the place where one is kept."""
    if text is not None and (_REFERENCE.match(text) or (steps == ("tls", "key") and _PATH.match(text))):
        return False
    return is_secret(steps)


def _masks(document: Document) -> _Masks:
    masks: _Masks = defaultdict(list)
    for steps, place in document.values.items():
        text = document.text(steps)
        if not _is_hidden(steps, text) or (steps == ("database",) and "@" not in (text or "")):
            continue
        last = document.ends[steps]
        masks[place.line].append((place.column, place.width if last == place.line else 0))
        for line in range(place.line + 1, last + 1):
            masks[line].append((1, 0))
    for steps, place in document.torn_off:
        if is_secret(steps):
            masks[place.line].append((place.column, place.width))
    for steps, place in document.keys.items():
        name, colon, _ = str(steps[-1]).partition(":")
        if colon and is_secret((*steps[:-1], name)):  # {password:hunter2} is one key without a value
            masks[place.line].append((place.column + len(name) + 1, place.width - len(name) - 1))
    return masks


def _shown_line(document: Document, line: int, masks: _Masks) -> str:
    """Return the line as it may be shown; nothing if there is none, or if it is too long for a caret to be of use."""
    if not 0 < line <= len(document.lines) or len(document.lines[line - 1]) > _LONGEST_SHOWN:
        return ""
    shown = document.lines[line - 1]
    if not document.tree:  # a syntax error: nobody knows where a secret ends
        shown = _SECRET_ON_A_LINE.sub(lambda found: found[1] + "***", shown)
    for column, width in masks.get(line, ()):
        end = column - 1 + width if width else len(shown)
        shown = shown[: column - 1] + "*" * (end - column + 1) + shown[end:]
    return _printable(shown)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)


def render(report: Report, colour: bool) -> str:
    """Return the report for people: each finding with its line and a caret, or what was looked at and is well."""
    if report.errors:
        lines = [line for finding in report.findings for line in _block(finding, colour)]
        return "\n".join([*lines, _count(report)]) + "\n"
    width = max((len(stage.name) for stage in report.stages), default=0) + 1
    width = max(width, len("Environment") + 1)
    ok, warning = _paint("ok", _GREEN, colour), _paint("Warning".ljust(width), _YELLOW, colour)
    lines = [f"{stage.name:{width}} {ok}   {', '.join(stage.facts)}" for stage in report.stages]
    lines += [f"{warning} {_one_line(finding)}" for finding in report.warnings]
    return "\n".join([*lines, f"{report.path}: {_count(report)}"]) + "\n"


def _block(finding: Finding, colour: bool) -> list[str]:
    place, _, message = str(finding).partition(f" {finding.level}: ")
    level = _paint(f"{finding.level}:", _RED if finding.level == "error" else _YELLOW, colour)
    lines = [f"{_paint(place, _BOLD, colour)} {level} {message}"]
    if not finding.source_line:
        return [*lines, f"      {finding.hint}"] if finding.hint else lines
    caret = "^" * max(1, min(finding.width, len(finding.source_line) - finding.column + 1))
    pointer = f"      | {' ' * (finding.column - 1)}{_paint(caret, _GREEN, colour)} {finding.hint}"
    return [*lines, f"{finding.line:5} | {finding.source_line}", pointer.rstrip()]


def _one_line(finding: Finding) -> str:
    place = f"{finding.path}:{finding.line}" if finding.line else finding.path
    return f"{place}: {finding.message}" + (f"   ({finding.hint})" if finding.hint else "")


def _count(report: Report) -> str:
    errors, warnings = len(report.errors), len(report.warnings)
    counted = [f"{n} {word}{'s' * (n != 1)}" for n, word in ((errors, "error"), (warnings, "warning")) if n]
    return ", ".join(counted if errors else ["ok", *counted])


def _paint(text: str, colour_code: str, colour: bool) -> str:
    return f"{colour_code}{text}{_PLAIN}" if colour else text
