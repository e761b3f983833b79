"""What waits for approval, for `mail2sms queue`: known by ids that begin with v-."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mail2sms.cli import show, typed
from mail2sms.cli.control import Control
from mail2sms.cli.terminal import print_lines, to_json

_WORDS = {"release": "release", "cancel": "refuse"}
_PREFIX = "v-"


def lines(control: Control) -> Iterator[str]:
    """Yield what must be decided, with the commands that do."""
    for one in control.approvals():
        id_ = one["id"]
        what = f"{show.count(one['waiting'], 'message')} of {show.printable(one['writer']) or 'the API'}"
        yield f"{id_}  {what} wait for approval: {show.printable(one['detail'])}"
        yield f"  {typed(f'queue release {id_}')} lets them go, queue cancel refuses them"


def decide(control: Control, word: str, ids: Sequence[str], *, as_json: bool) -> list[str]:
    """Decide about the approvals among the ids, and return the other ids."""
    for id_ in ids:
        if id_.startswith(_PREFIX):
            answer = control.decide(id_, _WORDS[word])
            print_lines(to_json(answer) if as_json else f"{id_}  {answer['status']}")
    return [id_ for id_ in ids if not id_.startswith(_PREFIX)]
