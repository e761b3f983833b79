"""From the settings in force and those of the file to what can hold at once, and to words. Pure.

What is not in _WORDS needs a restart, so that a new option is never said to be in force when it is not. Nothing here
names a person or a number: the words are logged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from mail2sms.config.schema import Settings

_TOLD = frozenset({"mode", "domain"})
_NAMED = 3  # so many places are named, more are counted


@dataclass(frozen=True, kw_only=True, slots=True)
class Changes:
    """`settings` are to be in force now: `applied` says what is new, `restart` names what must wait."""

    settings: Settings
    applied: tuple[str, ...]
    restart: tuple[str, ...]


def compare(old: Settings, new: Settings) -> Changes:
    """Return what becomes of `old` when the file says `new` and the daemon goes on."""
    settings = _without_restart(old, new)
    applied = [word for name, words in _WORDS.items() for word in words(name, *_both(name, old, settings))]
    restart = [word for name in Settings.model_fields for word in _waiting(name, *_both(name, settings, new))]
    return Changes(settings=settings, applied=tuple(applied), restart=tuple(restart))


def _both(name: str, old: Any, new: Any) -> tuple[Any, Any]:
    return getattr(old, name), getattr(new, name)


def _without_restart(old: Settings, new: Settings) -> Settings:
    changed: dict[str, Any] = {name: getattr(new, name) for name in _WORDS}
    if not {name for route in new.route_table() for name in route.via} <= old.carriers.keys():
        changed["routes"] = old.routes  # a route to a carrier that does not run yet would hold messages up
    if (old.tls is None) != (new.tls is None):
        changed["tls"] = old.tls  # with it the listeners speak differently
    is_mailed = old.relay.smarthost is not None and new.relay.smarthost is not None
    smarthost = (new if is_mailed else old).relay.smarthost
    changed["relay"] = old.relay.model_copy(update={"smarthost": smarthost})
    changed["carriers"] = {
        name: option.model_copy(update={"price": new.price_table().get(name, {})})
        for name, option in old.carriers.items()
    }
    return old.model_copy(update=changed)


def _places(name: str, old: Any, new: Any) -> Iterator[str]:
    """Name what differs, one level down where there are sections."""
    if old == new:
        return
    before, after = _sections(old), _sections(new)
    if before is None or after is None:
        yield name
        return
    for key in dict.fromkeys((*before, *after)):
        if before.get(key) != after.get(key):
            yield f"{name}.{key}"


def _waiting(name: str, old: Any, new: Any) -> Iterator[str]:
    """Name what waits for a restart; of a door the address that is served and the one that will be."""
    if name in _TOLD:
        yield from _shown(name, old, new)
        return
    for place in _places(name, old, new):
        section, _, key = place.partition(".")
        before, after = (
            _sections(getattr(each, key)) if section == "listen" else None for each in (old, new)
        )
        if before is None or after is None:
            yield place
            continue
        for option in before.keys() & after.keys():
            changed = before[option], after[option]
            if changed[0] != changed[1]:
                yield from (
                    _shown(f"{place}.{option}", *changed) if option == "address" else (f"{place}.{option}",)
                )


def _sections(value: Any) -> Mapping[str, Any] | None:
    if isinstance(value, BaseModel):
        return {key: getattr(value, key) for key in type(value).model_fields}
    return value if isinstance(value, dict) else None


# One function for each kind of option: (name, old, new) -> words, none when nothing is new.

_Words = Callable[[str, Any, Any], Iterator[str]]


def _shown(name: str, old: Any, new: Any) -> Iterator[str]:
    if old != new:
        yield f"{name} {old} -> {new}"


def _changed(name: str, old: Any, new: Any) -> Iterator[str]:
    if old != new:
        yield f"{name} changed"


def _fields(name: str, old: Any, new: Any) -> Iterator[str]:
    for place in _places(name, old, new):
        yield f"{place} changed"


def _prices(name: str, old: Any, new: Any) -> Iterator[str]:
    yield from (f"{place}.price changed" for place in _places(name, old, new))


def _people(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    yield from _counted(
        name,
        added=len(new.keys() - old.keys()),
        removed=len(old.keys() - new.keys()),
        changed=sum(old[key] != new[key] for key in old.keys() & new.keys()),
    )


def _keys(name: str, old: Any, new: Any) -> Iterator[str]:
    yield from _people("API keys", {key.name: key for key in old.keys}, {key.name: key for key in new.keys})


def _listed(name: str, old: Sequence[Any], new: Sequence[Any]) -> Iterator[str]:
    before, after = Counter(map(repr, old)), Counter(map(repr, new))  # options may hold sections
    if len(old) != len(new):
        yield from _counted(name, added=(after - before).total(), removed=(before - after).total())
    elif before == after:
        if old != new:
            yield f"{name} in another order"
    else:
        places = [number for number, pair in enumerate(zip(old, new, strict=True), 1) if pair[0] != pair[1]]
        if len(places) > _NAMED:
            yield from _counted(name, changed=len(places))
        else:
            yield from (f"{_one(name)} {number} changed" for number in places)


def _codes(name: str, old: Sequence[str], new: Sequence[str]) -> Iterator[str]:
    signs = [f"+{code}" for code in new if code not in old] + [f"-{code}" for code in old if code not in new]
    if signs:
        yield f"{name} {' '.join(signs)}"


def _counted(name: str, **counts: int) -> Iterator[str]:
    for what, count in counts.items():
        if count:
            yield f"{count} {_one(name) if count == 1 else name} {what}"


def _one(name: str) -> str:
    return name.removesuffix("s")


_WORDS: dict[str, _Words] = {
    "country": _shown,
    "language": _shown,
    "timezone": _shown,
    "tls": _changed,
    "senders": _listed,
    "users": _people,
    "teams": _people,
    "template": _shown,
    "template_mailbox": _shown,
    "default_mailbox": _changed,
    "max_parts": _shown,
    "mms": _shown,
    "media": _fields,
    "sender_ids": _fields,
    "destinations": _fields,
    "registrations": _listed,
    "protected_names": _changed,
    "countries": _codes,
    "opt_out": _fields,
    "quiet_hours": _fields,
    "quiet_for": _shown,
    "carriers": _prices,
    "quotas": _fields,
    "routes": _listed,
    "relay": _fields,
    "on_unknown": _shown,
    "validity": _changed,
    "reply_window": _changed,
    "retention": _fields,
    "limits": _fields,
    "api": _keys,
}
