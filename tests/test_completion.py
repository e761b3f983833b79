"""Completion and man pages: every verb and option is in them, a real bash completes, groff has no complaint."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import subprocess
from functools import cache
from pathlib import Path

import pytest

from mail2sms.cli.completion import SHELLS
from mail2sms.cli.main import run
from mail2sms.cli.verbs import verbs
from mail2sms.config import reference
from tests.servers import program

VERBS = verbs()


@cache
def said(*arguments: str) -> str:
    """What a verb prints."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert run(arguments) == 0
    return out.getvalue()


def test_every_verb_is_known() -> None:
    """Those of both parsers, with what the help says of them."""
    help_ = said("--help")
    names = {verb.name for verb in VERBS}
    assert {"demo", "demo send", "serve", "check", "explain", "queue list", "template show", "man"} <= names
    assert all(verb.name.partition(" ")[0] in help_ for verb in VERBS)
    for verb in VERBS:
        assert 0 < len(verb.summary) < 90, verb.name
        assert any("--help" in option.flags for option in verb.options)
    serve = next(verb for verb in VERBS if verb.name == "serve")
    assert any("--config" in option.flags and option.value == "FILE" for option in serve.options)


@pytest.mark.parametrize("shell", SHELLS)
def test_every_verb_and_option_is_in_the_script(shell: str) -> None:
    """However a shell writes them."""
    script = said("completion", shell)
    for verb in VERBS:
        assert all(word in script for word in verb.name.split())
        for flag in (flag for option in verb.options for flag in option.flags if flag.startswith("--")):
            assert (f"-l {flag[2:]}" if shell == "fish" else flag) in script, (verb.name, flag)


def test_no_script_for_another_shell(capsys: pytest.CaptureFixture[str]) -> None:
    """Those that there are get named."""
    assert run(["completion", "tcsh"]) == 64
    assert "there is bash, zsh and fish" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("expl", ["explain", "explain-config"]),
        ("ser", ["serve"]),
        ("queue re", ["retry", "release"]),
        ("queue list --js", ["--json"]),
        ("template sh", ["show"]),
        ("template show s", ["strict", "simple", "subject"]),
        ("demo s", ["send"]),
        ("demo --ke", ["--keep"]),
        ("demo send --t", ["--to"]),
        ("serve --c", ["--config"]),
        ("messages --status unk", ["unknown"]),
        ("recipe p", ["postfix"]),
        ("completion z", ["zsh"]),
        ("explain-config listen.w", ["listen.web", "listen.web.address", "listen.web.url"]),
        ("explain a", ["a mail.eml"]),
        ("explain --config a", ["a mail.eml"]),
        ("check a", ["a mail.eml"]),
        ("nonsense ", []),
    ],
)
def test_a_real_bash_completes(line: str, expected: list[str], tmp_path: Path) -> None:
    """The script is sourced, and asked as bash asks it; files come with their blanks."""
    (tmp_path / "a mail.eml").touch()
    (tmp_path / "mail2sms.bash").write_text(said("completion", "bash"), encoding="utf-8")
    words = ["mail2sms", *line.split(" ")]
    ask = (
        "set -u; source ./mail2sms.bash; complete -p mail2sms >/dev/null; "
        f"COMP_WORDS=({shlex.join(words)}); COMP_CWORD={len(words) - 1}; "
        'COMPREPLY=(); _mail2sms; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        [program("bash", "bash"), "--norc", "-c", ask],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    assert done.stderr == ""
    assert [found for found in done.stdout.split("\n") if found] == expected


# Man pages

PAGES = [(), ("mail2sms.yaml",), ("queue",), *(tuple(verb.name.split()) for verb in VERBS)]


def shown(page: str) -> str:
    """A page as `man` shows it, without its emphasis. Fails on whatever groff warns of."""
    groff = program("groff", "groff-base")
    done = subprocess.run(
        [groff, "-man", "-Tutf8", "-ww", "-P-cbou"],
        input=page,
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("words", PAGES, ids=lambda words: " ".join(words) or "mail2sms")
def test_a_page_is_sound(words: tuple[str, ...]) -> None:
    """It begins as whatis(1) wants it, and nothing that was written for people is taken for a request."""
    lines = said("man", *words).splitlines()
    assert lines[0].startswith(".TH ")
    assert lines[1] == ".SH NAME"
    assert " \\- " in lines[2]
    requests = {line.partition(" ")[0] for line in lines if line.startswith((".", "'"))}
    assert requests <= {".TH", ".SH", ".SS", ".PP", ".TP", ".B", ".I", ".BR", ".RI", ".br"}


def test_the_page_of_all_verbs() -> None:
    """Each verb with its options, and every exit code."""
    text = re.sub(r"\s+", " ", shown(said("man")))
    for verb in VERBS:
        assert f"mail2sms {verb.name}" in text
        assert all(flag in text for option in verb.options for flag in option.flags)
    for code in (64, 65, 69, 75, 77, 78):
        assert f" {code} " in text


def test_the_page_of_the_configuration() -> None:
    """Every option with its meaning."""
    text = re.sub(r"\s+", " ", shown(said("man", "mail2sms.yaml")).replace("‐\n", "‐"))
    for option in reference.flat(reference.everything()):
        assert option.name in text
    assert 'Example: from: "*@acme.example"' in text


def test_the_page_of_one_verb(capsys: pytest.CaptureFixture[str]) -> None:
    """A noun has those of its verbs; another word is no page."""
    assert "mail2sms queue list" in shown(said("man", "queue"))
    assert "--show-email" in shown(said("man", "explain"))
    assert run(["man", "sned"]) == 64
    assert 'there is no verb "sned"' in capsys.readouterr().err
