"""While tests are collected nothing is garbage; afterwards what there is stays, and is looked through no more.

Eleven thousand tests are a heap through which each full collection of garbage takes half a second.
"""

from __future__ import annotations

import gc
from collections.abc import Generator

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect no garbage."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()
