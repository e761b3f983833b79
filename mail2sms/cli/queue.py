"""`mail2sms queue`: what waits, and what the operator makes of it. Many are counted and asked about first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Literal

import typer

from mail2sms.cli import Exit, Failed, approvals, show, tell, typed
from mail2sms.cli.control import Answered, Control
from mail2sms.cli.moments import now
from mail2sms.cli.sending import stopped_line
from mail2sms.cli.terminal import (
    ConfigOption,
    IdArgument,
    JsonOption,
    SocketOption,
    YesOption,
    ask_first,
    print_lines,
    print_table,
    progress,
    reach,
    to_json,
)

_TOGETHER = 100  # ids a request
_SHOWN = 20  # messages that get a line each; of more, only what did not work

IdsArgument = Annotated[list[str] | None, typer.Argument(metavar="ID...", show_default=False)]
CarrierOption = Annotated[
    str | None, typer.Option("--carrier", metavar="NAME", help="All that wait for this carrier now.")
]


def queue_list(
    as_json: JsonOption = False,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 1000,
    config_file: ConfigOption = None,
    socket_path: SocketOption = None,
) -> None:
    """Messages whose work is not over, the oldest first."""
    control = reach(config_file, socket_path)
    found, at = control.queue(limit), now()
    if line := stopped_line(control):
        tell(line)
    if as_json:
        print_lines(*(to_json(message.answer) for message in found))
    elif found:
        print_table(show.QUEUE_HEADS, [show.queue_row(message, at) for message in found])
        print_lines(show.queue_end(found, at), *approvals.lines(control))
    else:
        tell("the queue is empty")


def queue_show(
    id_: IdArgument,
    as_json: JsonOption = False,
    config_file: ConfigOption = None,
    socket_path: SocketOption = None,
) -> None:
    """One message: what happened to it, why it waits, when it goes."""
    found = reach(config_file, socket_path).message(id_)
    print_lines(
        *(
            [to_json(found.answer)]
            if as_json
            else show.timeline(found) + show.waits(found, now(), config_file)
        )
    )


def queue_retry(  # noqa: PLR0913, PLR0917  # a parameter is an option: typer's way
    ids: IdsArgument = None,
    retry_all: Annotated[
        bool, typer.Option("--all", help="All that failed and wait to be tried again.")
    ] = False,
    carrier: CarrierOption = None,
    status: Annotated[
        Literal["queued", "unknown"], typer.Option(metavar="STATUS", help="queued, or unknown with --again.")
    ] = "queued",
    again: Annotated[
        bool, typer.Option("--again", help="Even if it may have been sent: it may arrive twice.")
    ] = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
    config_file: ConfigOption = None,
    socket_path: SocketOption = None,
) -> None:
    """Try waiting messages now.

    Those that failed before are found by --all or --carrier; a scheduled one goes at once when it is named.
    """
    is_unknown = status == "unknown"
    is_wide = retry_all or is_unknown or carrier is not None
    _one_way(
        ids, is_wide, "name messages, or choose them with --all, --carrier NAME or --status unknown --again"
    )
    if is_unknown and not again:
        raise Failed(Exit.USAGE, "an unknown message may have been sent; with --again it may arrive twice")
    control = reach(config_file, socket_path)
    if is_wide:
        reason = None if is_unknown else "retry"
        ids = _ids(control, carrier, status=status, reason=reason)
        what = "may have been sent; again they may arrive twice. Send" if is_unknown else "wait. Try"
        _ask(ids, f"{what} them now?", yes)
    elif again:
        ask_first("What may have been sent may arrive twice. Send it again?", yes)
    _change(control, "retry", ids or (), as_json=as_json, again=again)


def queue_cancel(
    ids: IdsArgument = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
    config_file: ConfigOption = None,
    socket_path: SocketOption = None,
) -> None:
    """Stop messages that no carrier has yet, for good; v-... refuses what awaits approval."""
    if not ids:
        raise Failed(Exit.USAGE, f"name messages: {typed('queue list', config_file)} shows their ids")
    control = reach(config_file, socket_path)
    ask_first(f"Cancel {show.count(len(ids), 'message')} for good?", yes)
    if left := approvals.decide(control, "cancel", ids, as_json=as_json):
        _change(control, "cancel", left, as_json=as_json)


def queue_hold(
    ids: IdsArgument = None,
    carrier: CarrierOption = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Do not tell the writers by email.")] = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
    config_file: ConfigOption = None,
    socket_path: SocketOption = None,
) -> None:
    """Keep waiting messages back until they are released.

    They still expire. Messages that come later are not held. The writers get an email unless --quiet.
    """
    _one_way(ids, carrier is not None, "name messages, or choose them with --carrier NAME")
    control = reach(config_file, socket_path)
    if carrier is not None:
        ids = _ids(control, carrier, status="queued", but="held")
        _ask(ids, f"wait for {show.printable(carrier)}. Hold them?", yes)
    _change(control, "hold", ids or (), as_json=as_json, quiet=quiet)


def queue_release(
    ids: IdsArgument = None,
    carrier: CarrierOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
    config_file: ConfigOption = None,
    socket_path: SocketOption = None,
) -> None:
    """Let held messages go, or (v-...) approve all that one submission has waiting."""
    _one_way(ids, carrier is not None, "name messages, or choose them with --carrier NAME")
    control = reach(config_file, socket_path)
    if carrier is not None:
        ids = _ids(control, carrier, status="queued", reason="held")
        _ask(ids, f"are held for {show.printable(carrier)}. Release them?", yes)
    if left := approvals.decide(control, "release", ids or (), as_json=as_json):
        _change(control, "release", left, as_json=as_json)


def _one_way(ids: Sequence[str] | None, is_wide: bool, hint: str) -> None:
    if bool(ids) == is_wide:
        raise Failed(Exit.USAGE, hint if not ids else f"ids or a choice, not both: {hint}")


def _ids(control: Control, carrier: str | None, *, but: str = "", **search: str | None) -> list[str]:
    with progress("looking"):
        found = control.every(None, carrier=carrier, **search)
        ids = [message.id for message in found if not but or message.reason != but]
    ids.reverse()  # the oldest first, as they came
    if not ids:
        raise Failed(Exit.OK, "there are no such messages")
    return ids


def _ask(ids: Sequence[str], question: str, is_agreed: bool) -> None:
    ask_first(f"{show.count(len(ids), 'message')} {question}", is_agreed)


def _change(control: Control, word: str, ids: Sequence[str], *, as_json: bool, **more: bool) -> None:
    """Ask for it in pieces and tell what became of each; exit 65 when something stayed as it was."""
    ids = list(dict.fromkeys(ids))
    answers: list[Answered] = []
    with progress(word, len(ids)) as advance:
        for start in range(0, len(ids), _TOGETHER):
            answers += control.wish(word, ids[start : start + _TOGETHER], **more)
            advance(len(answers) - start)
    if as_json:
        print_lines(*(to_json(one.answer) for one in answers))
    else:
        _tell(word, answers)
    if any(one.problem for one in answers):
        raise typer.Exit(Exit.REFUSED)


def _tell(word: str, answers: Sequence[Answered]) -> None:
    at = now()
    well = [one for one in answers if not one.problem]
    if len(answers) <= _SHOWN:
        print_lines(*(show.answered_line(one, word, at) for one in well))
    else:
        print_lines(f"{show.count(len(well), 'message')}: {show.WISHED[word]}")
    _tell_problems(one for one in answers if one.problem)


def _tell_problems(answers: Iterable[Answered]) -> None:
    for one in answers:
        way_out = "; --again sends it a second time" if one.problem == "in_doubt" else ""
        tell(show.printable(f"{one.id}: {one.detail}{way_out}"))
