"""Document -> Settings: each option read by its type, every fault with its place. Judges no combination of options."""

from __future__ import annotations

import difflib
import types
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from mail2sms import numbers
from mail2sms.config.schema import UNSUPPORTED_KEYS, Settings
from mail2sms.config.values import carrier_model, hook_model
from mail2sms.errors import BadOption
from mail2sms.yamltext import Document, Fault, Place, Steps

_EXAMPLES = {
    "domain": "such as domain: sms.acme.example",
    "country": "such as country: FR; national numbers are read with it",
    "mode": "simulate, trial or live",
    "database": "such as database: sqlite:////var/lib/mail2sms/mail2sms.db",
    "senders": 'such as senders: [{from: "*@acme.example", network: 127.0.0.1}]',
    "countries": "such as countries: [FR]; other countries are not written to",
    "carriers": "such as carriers: {sim: {type: simulated}}",
    "routes": "such as routes: [{to: any, via: [sim]}]",
}
_DECLARED_BY_MODULES: dict[Steps, Callable[[Any], type[BaseModel]]] = {
    ("carriers",): carrier_model,
    ("relay", "hooks"): hook_model,
}
_KINDS = {
    "model_type": "a section", "model_attributes_type": "a section", "dict_type": "a section",
    "tuple_type": "a list", "string_type": "one text",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What could be read. Sections in `broken` are missing from `settings` or can't be relied on."""

    settings: Settings
    broken: frozenset[str]
    faults: list[Fault]


def read(document: Document) -> Reading:
    """Read every option; faults of one section don't hide those of another."""
    faults = list(document.faults)
    broken = {str(fault.steps[0]) for fault in faults if fault.steps}
    faults += _unsupported(document)
    country = document.tree.get("country")
    context = country if isinstance(country, str) and numbers.is_country(country) else ""
    try:
        return Reading(
            settings=Settings.model_validate(document.tree, context=context),
            broken=frozenset(broken),
            faults=faults,
        )
    except ValidationError as e:
        errors = e.errors(include_url=False)
    said = {fault.steps for fault in faults}
    for error in errors:
        fault = _fault(document, error)
        if not is_said(said, fault.steps):
            faults.append(fault)
        if error["type"] == "extra_forbidden":
            _remove(document.tree, fault.steps)
        else:
            broken.add(str(error["loc"][0]))
    return Reading(settings=_rest(document, broken, context), broken=frozenset(broken), faults=faults)


def is_said(said: set[Steps], steps: Steps) -> bool:
    """Whether something was said of the option, or of a section it stands in."""
    return any(steps[:depth] in said for depth in range(1, len(steps) + 1))


def _rest(document: Document, broken: Iterable[str], context: str) -> Settings:
    """Read the sections that are whole, so that what they say of one another can still be judged."""
    values: dict[str, Any] = {}
    for name, field in Settings.model_fields.items():
        if name in document.tree and name not in broken:
            adapter: TypeAdapter[Any] = TypeAdapter(field.rebuild_annotation())
            values[name] = adapter.validate_python(document.tree[name], context=context)
    return Settings.model_construct(**values)


def _unsupported(document: Document) -> Iterator[Fault]:
    for steps, place in document.keys.items():
        if any(_is_at(steps, dotted) for dotted in UNSUPPORTED_KEYS):
            _remove(document.tree, steps)
            yield Fault(message=f'"{_dotted(steps)}" is not yet supported', place=place, steps=steps)


def _is_at(steps: Steps, dotted: str) -> bool:
    pattern = dotted.split(".")
    return len(steps) == len(pattern) and all(p in ("*", s) for p, s in zip(pattern, steps, strict=True))


def _remove(tree: Any, steps: Steps) -> None:
    for step in steps[:-1]:
        tree = tree[step]
    tree.pop(steps[-1], None)


def _dotted(steps: Steps) -> str:
    return ".".join(step for step in steps if isinstance(step, str))


def _fault(document: Document, error: ErrorDetails) -> Fault:
    """Say one of pydantic's errors in the words of the file, with its place."""
    kind, steps = error["type"], tuple(error["loc"])
    if steps[-1:] == ("[key]",):
        return _bad_value(error, steps[:-1], document.key_place(steps[:-1]))
    if kind == "missing":
        place = document.key_place(steps[:-1]) if steps[:-1] else Place()
        hint = _EXAMPLES.get(_dotted(steps), "")
        return Fault(message=f'missing option "{_dotted(steps)}"', place=place, hint=hint, steps=steps)
    if kind == "extra_forbidden":
        message = f'unknown option "{_dotted(steps)}"'
        hint = did_you_mean(str(steps[-1]), _siblings(document, steps))
        return Fault(message=message, place=document.key_place(steps), hint=hint, steps=steps)
    cause = error.get("ctx", {}).get("error")
    place = document.place(steps)
    if isinstance(cause, BadOption) and cause.column:
        place = document.place_inside(place, str(error["input"]), cause.column, cause.width)
    return _bad_value(error, steps, place)


def _bad_value(error: ErrorDetails, steps: Steps, place: Place) -> Fault:
    facts, given = error.get("ctx", {}), error["input"]
    got = f'"{given}"' if isinstance(given, str) else "a section" if isinstance(given, dict) else "a list"
    cause = facts.get("error")
    if isinstance(cause, BadOption):
        message = str(cause) if isinstance(given, str) else str(cause).replace(f'"{given}"', got)
        return Fault(message=message, place=place, hint=cause.hint, steps=steps)
    if isinstance(cause, ValueError):
        return Fault(message=str(cause), place=place, steps=steps)
    if error["type"] == "literal_error":
        expected = str(facts["expected"]).replace("'", "")
        hint = did_you_mean(str(given), expected.replace(" or ", ", ").split(", "))
        return Fault(message=f"expected {expected}, got {got}", place=place, hint=hint, steps=steps)
    if error["type"] in _KINDS:
        return Fault(message=f"expected {_KINDS[error['type']]}, got {got}", place=place, steps=steps)
    return Fault(message=error["msg"], place=place, steps=steps)


def did_you_mean(written: str, known: Iterable[str]) -> str:
    """Return the hint that names what was probably meant, or nothing."""
    near = difflib.get_close_matches(written.lower(), list(known), 1, 0.6)
    return f'did you mean "{near[0]}"?' if near else ""


def _siblings(document: Document, steps: Steps) -> list[str]:
    """Return the options that exist beside the one at `steps`."""
    model: Any = Settings
    node: Any = document.tree
    for position, step in enumerate(steps[:-1]):
        node = node[step]
        declares = _DECLARED_BY_MODULES.get(steps[:position])
        model = declares(node) if declares else _inner(model, step)
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return []
    return [field.alias or name for name, field in model.model_fields.items()]


def _inner(kind: Any, step: str | int) -> Any:
    """Return the type of what stands at `step` of a value of type `kind`, without None and annotations."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        by_name = {field.alias or name: field.annotation for name, field in kind.model_fields.items()}
        return _bare(by_name.get(str(step)))
    arguments = get_args(kind)
    return _bare(arguments[1] if get_origin(kind) is dict else arguments[0]) if arguments else None


def _bare(kind: Any) -> Any:
    if get_origin(kind) is Annotated:
        return _bare(get_args(kind)[0])
    if get_origin(kind) in {Union, types.UnionType}:
        return _bare(next(k for k in get_args(kind) if k is not type(None)))
    return kind
