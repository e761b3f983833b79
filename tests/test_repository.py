"""What no file of the repository may hold, whatever its language."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Written so that this file does not match itself.
MACHINE_PATH = re.compile(r"(?<![\w.}/])/(?:home|root|work|tmp|Users)/")
FOREIGN = re.compile(r"[.]{2}/shared|pypi[.]org|pythonhosted[.]org|registry[.]npmjs|(?:extra-)?index[-]url")
NOT_OURS = {"requirements.lock"}  # generated; its hashes are held by pip
TEXT_BYTES = 1_000_000
CONFTEST_LINES = 60


def repository_files() -> list[Path]:
    """What git keeps or would keep; without git (a released archive) what is not hidden or made by tools."""
    if not (ROOT / ".git").exists():
        made = re.compile(r"(?:^|/)(?:[.](?!ci/)|__pycache__/|dist/)|[.]db")
        return [
            path
            for path in ROOT.rglob("*")
            if path.is_file() and not made.search(str(path.relative_to(ROOT)))
        ]
    # safe.directory: the tests may run as another user than the checkout's owner.
    command = "git -c safe.directory=* ls-files -z --cached --others --exclude-standard"
    listed = subprocess.run(command.split(), cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout.decode()
    return [ROOT / name for name in listed.split("\0") if (ROOT / name).is_file()]


def found_in(path: Path) -> Iterator[str]:
    """Each line of a text file that holds what it must not."""
    content = path.read_bytes()[:TEXT_BYTES]
    if path.name in NOT_OURS or b"\0" in content:
        return
    for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), 1):
        for found in (*MACHINE_PATH.finditer(line), *FOREIGN.finditer(line)):
            yield f"{path.relative_to(ROOT)}:{number}: {found[0]}"


def test_files_name_no_machine_and_no_index() -> None:
    """No file holds a path of somebody's machine or the address of a package index."""
    found = [offence for path in repository_files() for offence in found_in(path)]
    assert not found, "\n" + "\n".join(found)


def test_conftest_is_short() -> None:
    """Fixtures live beside what they start, not in conftest.py."""
    assert len((ROOT / "tests/conftest.py").read_text(encoding="utf-8").splitlines()) <= CONFTEST_LINES
