"""Chat hooks: one module per format; `format: NAME` of the configuration is the module's name.

Adding one is a module here and a case file in tests/hooks/cases; nothing else is edited. A module declares `Options`
and `build(options) -> Hook`; the contract is `_base.Hook`.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType


def formats() -> tuple[str, ...]:
    """Return the formats there are, in order of name."""
    return tuple(sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")))


def load(format_name: str) -> ModuleType:
    """Return the module of a format. Raises KeyError when there is none."""
    if format_name not in formats():
        raise KeyError(format_name)
    return importlib.import_module(f"{__name__}.{format_name}")
