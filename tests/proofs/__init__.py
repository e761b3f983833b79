"""The proofs: each module shows one promise at full size and prints the figures; `./run prove` lists them."""

from __future__ import annotations

import sys
from collections.abc import Collection


def is_unknown(asked: Collection[str], parts: Collection[str]) -> bool:
    """Whether a part is asked for that a proof does not have; then it is said which there are."""
    unknown = set(asked) - set(parts)
    if unknown:
        print(
            f"there is no part {', '.join(sorted(unknown))}; there are: {', '.join(parts)}", file=sys.stderr
        )
    return bool(unknown)
