"""`mail2sms recipe`: how others hand us mail or texts, filled with the configuration's values.

A recipe is a file in templates/recipe; its first line says what it is for. A secret that stands in the configuration
itself is never printed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mail2sms.addresses import canonical
from mail2sms.cli import Exit, Failed, find_config, read_settings, typed
from mail2sms.cli.terminal import ConfigOption, print_lines
from mail2sms.endpoint import Endpoint

if TYPE_CHECKING:
    from mail2sms.config import Settings
    from mail2sms.options import Network, Secret

NUMBER = "33639981234"  # of the range that is nobody's
_FIRST = "postfix"  # by LMTP: each recipient gets an answer of its own
_DOORS = {_FIRST: ("lmtp", "smtp")}
_ANY_DOOR = frozenset({"script", "ups"})  # these say themselves what is missing
_ANYWHERE = ("0.0.0.0", "::", "")  # noqa: S104  # where a listener listens, not where others find it


def recipe(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", show_default=False)] = None,
    config_file: ConfigOption = None,
) -> None:
    """How Postfix, Exim, Microsoft 365, Google, a script or a UPS use mail2sms.

    Without a name, all recipes. With one, what to type where, and what to check afterwards.
    """
    known = dict(summaries())
    if name is None:
        print_lines(*(f"{each:10} {summary}" for each, summary in known.items()))
        return
    if name not in known:
        from mail2sms.config.fields import did_you_mean

        hint = did_you_mean(name, known) or f"there are {', '.join(known)}"
        raise Failed(Exit.USAGE, f'there is no recipe "{name}"; {hint}')
    path = find_config(config_file)
    settings = read_settings(path)
    if name not in _ANY_DOOR and not any(
        getattr(settings.listen, door) for door in _DOORS.get(name, ("smtp",))
    ):
        raise Failed(Exit.BAD_CONFIG, f"{path} has no listen.smtp, where a mail server would hand over mail")
    from mail2sms.render import Render

    values = {**_values(settings), "typed": partial(typed, config=config_file)}
    print_lines(Render().render(f"recipe/{name}.txt", **values).rstrip("\n"))


def summaries() -> Iterator[tuple[str, str]]:
    """Give each recipe's name and what it is for."""
    from mail2sms.render import own_folder

    files = (own_folder() / "recipe").glob("*.txt")
    for file in sorted(files, key=lambda file: (file.stem != _FIRST, file.stem)):
        first = file.read_text(encoding="utf-8").partition("\n")[0]
        yield file.stem, first.lstrip("# ").partition(".")[0]


def _values(settings: Settings) -> dict[str, Any]:
    smtp, web = settings.listen.smtp, settings.listen.web
    networks = [plain_network(network) for rule in settings.senders for network in rule.network]
    key = next((key for key in settings.api.keys if "send" in key.may), None)
    return {
        "domain": settings.domain,
        "domain_pattern": re.escape(settings.domain),
        "number": NUMBER,
        "writer": example_writer(settings),
        "writer_domain": example_writer(settings).rpartition("@")[2],
        "networks": ", ".join(dict.fromkeys(networks)) or "no server",
        "smtp": _reached(smtp.address) if smtp else None,
        "transport": _transport(settings),
        "lmtp": settings.listen.lmtp is not None,
        "smtp_tls": smtp.tls if smtp else "off",
        "recipients": settings.limits.recipients,
        "url": web.url if web else "",
        "api_key": key.name if key and web else "",
        "api_secret": _shell(key.key) if key else "",
        **_machines(settings),
    }


def _machines(settings: Settings) -> dict[str, Any]:
    """Return what machines that send mail are told."""
    old, listener = settings.listen.devices, settings.listen.devices or settings.listen.smtp
    return {
        "devices": ", ".join(settings.devices),
        "device": next(iter(settings.devices), "ups-1"),
        "door": _reached(listener.address) if listener else None,
        "legacy": old is not None and old.tls != "off",
    }


def _transport(settings: Settings) -> str:
    """Return how Postfix names the way to us."""
    smtp, lmtp = settings.listen.smtp, settings.listen.lmtp
    if lmtp is None:
        return "smtp:[{host}]:{port}".format(**_reached(smtp.address)) if smtp else ""
    if lmtp.address.is_unix:
        return f"lmtp:{lmtp.address}"
    host = "127.0.0.1" if lmtp.address.host in _ANYWHERE else lmtp.address.host
    return f"lmtp:inet:{Endpoint(host, lmtp.address.port)}"


def plain_network(network: Network) -> str:
    """Return a network as people write it: one host is its address."""
    return str(network.network_address if network.prefixlen == network.max_prefixlen else network)


def example_writer(settings: Settings) -> str:
    """Return somebody whom the rule of a mail server lets write: a user, else anybody."""
    rules = [rule for rule in settings.sender_rules() if rule.networks] or settings.sender_rules()
    users = [address for address in settings.users if any(rule.matches(canonical(address)) for rule in rules)]
    pattern = rules[0].pattern if rules else "*"
    anybody = f"someone@{settings.domain}" if pattern == "*" else pattern.replace("*", "someone")
    return users[0] if users else anybody


def _reached(address: Endpoint) -> dict[str, str | int]:
    """Return how a mail server on this machine reaches a listener."""
    host = "127.0.0.1" if address.host in _ANYWHERE else address.host
    return {"host": f"IPv6:{host}" if ":" in host else host, "port": address.port}


def _shell(secret: Secret) -> str:
    """Return how a shell gets the secret; a word in capitals where only a person knows it."""
    kind, _, where = secret.reference.partition(":")
    if secret.is_literal or kind == "credential":
        return "KEY"
    return f"$(cat {where})" if kind == "file" else f"${where}"
