"""`./run prove [NAME [arguments]]`: run one proof at full size and print its figures; without a name, list them.

A proof is a module of `tests/proofs/`: its docstring says what it shows, its `main(argv)` returns the exit code.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Sequence
from typing import Any

from tests import proofs


def names() -> list[str]:
    """The names of all proofs, as the command line takes them."""
    found = pkgutil.iter_modules(proofs.__path__)
    return sorted(module.name.replace("_", "-") for module in found if not module.name.startswith("_"))


def main(argv: Sequence[str]) -> int:
    """Return the proof's exit code, or 64 for a name that is none."""
    if not argv or argv[0] in ("-h", "--help"):
        for name in names():
            print(f"{name:<20} {_module(name).__doc__.strip().splitlines()[0]}")
        return 0
    name = argv[0].replace("_", "-")
    if name not in names():
        print(f"there is no proof {argv[0]}; there are: {', '.join(names())}", file=sys.stderr)
        return 64
    if argv[1:] and argv[1] in ("-h", "--help"):
        print(_module(name).__doc__.strip())
        return 0
    return int(_module(name).main(list(argv[1:])))


def _module(name: str) -> Any:
    return importlib.import_module(f"tests.proofs.{name.replace('-', '_')}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
