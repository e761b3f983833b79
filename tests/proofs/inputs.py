"""Generated mails, templates, numbers and texts: nothing uncaught, nothing slow.

Usage: inputs [COUNT] [SEED]. COUNT of each kind.
"""

from __future__ import annotations

import sys

from tests import fuzz_mails, fuzz_templates, fuzz_texts

KINDS = {"templates": fuzz_templates.fuzz, "numbers and texts": fuzz_texts.fuzz}


def main(argv: list[str]) -> int:
    """Print the figures; an exception that is no refusal ends it."""
    count = int(argv[0]) if argv else 20_000
    seed = int(argv[1]) if len(argv) > 1 else 1
    for kind, fuzz in KINDS.items():
        print(f"{kind}: {fuzz(count, seed)}", flush=True)
    mails = fuzz_mails.fuzz(count, seed)
    refused = ", ".join(f"{reason} {number}" for reason, number in mails.refusals)
    print(
        f"mails: {mails.mails} runs, {mails.letters} read, refused: {refused}; slowest {mails.slowest_s:.3f} s of CPU"
    )
    for failure in mails.failures:
        print(failure)
    return 1 if mails.failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
