"""Carriers: one module per carrier type; `type: NAME` of the configuration is the module's name.

Adding one is a module here and a case file in tests/carriers/cases; nothing else is edited. A module declares
`Options` and `build(name, options, folder) -> Carrier` (`folder`: where it may keep state); the contract is
`_base.Carrier`.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from types import ModuleType

from mail2sms.carriers._base import CarrierOptions

_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}\Z")


def types() -> tuple[str, ...]:
    """Return the carrier types there are, in order of name."""
    return tuple(sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")))


def has_webhook(options: CarrierOptions) -> bool:
    """Whether a carrier with these options is told things over the web."""
    return getattr(options, "signed_by", None) is not None


def load(type_name: str) -> ModuleType:
    """Return the module of a carrier type. Raises KeyError when there is none."""
    if not _NAME.match(type_name) or type_name not in types():
        raise KeyError(type_name)
    return importlib.import_module(f"{__name__}.{type_name}")
