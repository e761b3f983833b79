"""`mail2sms key`: makes the key that somebody writes into addresses, or says who has one. Nothing is stored."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mail2sms.cli import Exit, Failed, find_config, read_settings, show, tell
from mail2sms.cli.terminal import ConfigOption, JsonOption, print_lines, print_table, to_json

if TYPE_CHECKING:
    from mail2sms.config import Settings

_HEADS = ("USER", "KEY", "RULE")
_SHOWN = 15  # characters of a hash: enough to find it in the file


def key(
    address: Annotated[str | None, typer.Argument(metavar="[ADDRESS]", show_default=False)] = None,
    config_file: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """A new key for the addresses that a user writes to; without a user, who has one.

    The key is shown once; its hash belongs into mail2sms.yaml. To revoke a key, remove its hash and reload.
    """
    settings = read_settings(find_config(config_file))
    if address is None:
        _list(settings, as_json=as_json)
        return
    made = _make(settings, address)
    if as_json:
        print_lines(to_json(made))
        return
    print_lines(
        show.row("Write to", f"{made['example']}"),
        show.row("", "the same +k... behind the name of a team, or of the template's mailbox"),
        show.row("File", f'users: {{{made["user"]}: {{keys: "{made["hash"]}"}}}}, then reload'),
        show.row("", "the key itself is not shown again, and stands nowhere"),
    )
    if not made["rule"]:
        tell("no rule of senders takes keys of this user: add one with proof: key")


def _make(settings: Settings, address: str) -> dict[str, Any]:
    from mail2sms.addresses import canonical
    from mail2sms.config.fields import did_you_mean
    from mail2sms.intake import address_keys

    known = settings.all_users()
    if canonical(address) not in known:
        hint = did_you_mean(address, list(known)) or "a key belongs to an address under users"
        raise Failed(Exit.USAGE, f'there is no user "{address}"; {hint}')
    made = address_keys.make(secrets.token_bytes(address_keys.CHANCE_BYTES))
    return {
        "user": canonical(address),
        "key": made,
        "hash": address_keys.fingerprint(made),
        "example": f"33639981234+k{made}@{settings.domain}",
        "rule": _rule(settings, canonical(address)),
    }


def _rule(settings: Settings, address: str) -> str:
    """Return the pattern of the rule by which a key of this user counts; "" where there is none."""
    from mail2sms.model import Proof

    rules = (
        rule for rule in settings.sender_rules() if Proof.ADDRESS_KEY in rule.proofs and rule.matches(address)
    )
    return next((rule.pattern for rule in rules), "")


def _list(settings: Settings, *, as_json: bool) -> None:
    rows = [
        {"user": user, "hash": hashed, "rule": _rule(settings, user)}
        for user, option in settings.all_users().items()
        for hashed in option.keys
    ]
    if as_json:
        print_lines(*map(to_json, rows))
    elif rows:
        shown = [(row["user"], f"{row['hash'][:_SHOWN]}...", row["rule"] or "none takes it") for row in rows]
        print_table(_HEADS, shown)
    else:
        tell("nobody has a key")
