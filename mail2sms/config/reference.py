"""Every option of mail2sms.yaml in words, and as JSON Schema (draft 7), out of the models that read the file.

A type says beside its validator how it is written (`options.Written`); what an option means stands below it in its
model, as a docstring with an `Example:` at its end. Nothing is told twice.
"""

from __future__ import annotations

import ast
import difflib
import inspect
import re
import textwrap
import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import pairwise
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from mail2sms import carriers, hooks
from mail2sms.carriers._base import CarrierOptions
from mail2sms.config.schema import Settings
from mail2sms.hooks._base import HookOptions
from mail2sms.options import Whole, Written, read_list

DRAFT = "http://json-schema.org/draft-07/schema#"
_LISTED = 3
_VARIANTS: dict[Any, tuple[str, Callable[[], tuple[str, ...]], Callable[[str], Any]]] = {
    CarrierOptions: ("type", carriers.types, carriers.load),
    HookOptions: ("format", hooks.formats, hooks.load),
}
"""Models whose options depend on the module that one of them names."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Option:
    """One option. `steps` lead to it, with ADDRESS, NAME or COUNTRY for names of one's own.

    `only` is the carrier type or hook format that has it; `schema` is its own, without those of `options`.
    """

    steps: tuple[str, ...]
    words: str
    meaning: str
    example: str = ""
    default: str = ""
    is_required: bool = False
    only: str = ""
    schema: dict[str, Any] = field(repr=False, compare=False)
    options: tuple[Option, ...] = ()

    @property
    def name(self) -> str:
        """Its name with those of the sections it is in."""
        return ".".join(self.steps)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Kind:
    """A type: in words, as a schema, how a default is written, and the options inside it."""

    words: str
    schema: dict[str, Any]
    show: Callable[[Any], str] = str
    options: tuple[Option, ...] = ()


def everything() -> tuple[Option, ...]:
    """Return the options of the file, in its order, each with those inside it."""
    return _options(Settings, ())


def flat(options: Sequence[Option]) -> Iterator[Option]:
    """Give each option, then those inside it."""
    for option in options:
        yield option
        yield from flat(option.options)


def find(name: str) -> Option | None:
    """Return an option by its dotted name; a name of one's own may stand for NAME, with dots or without."""
    options = tuple(flat(everything()))
    for option in options:
        if re.fullmatch(
            "[.]".join(".+" if step.isupper() else re.escape(step) for step in option.steps), name
        ):
            return option
    return next((option for option in options if _is_one_of(option, name)), None)


def _is_one_of(option: Option, name: str) -> bool:
    """Whether it is an entry of a section by name, such as users.marie@acme.example."""
    depth = len(option.steps)
    inside = [each.steps[-1] for each in option.options if each.steps[depth].isupper()]
    is_entry = bool(inside) and name.startswith(f"{option.name}.")
    return is_entry and not difflib.get_close_matches(name.rpartition(".")[2], inside, 1, 0.6)


def nearest(name: str) -> str:
    """Return the option that was probably meant: by its whole name, else by its last; "" if there is none."""
    known = {option.name: option for option in flat(everything())}
    found = difflib.get_close_matches(name, list(known), 1, 0.75)
    last = {option.steps[-1]: each for each, option in reversed(known.items())}
    by_last = difflib.get_close_matches(name.rpartition(".")[2], list(last), 1, 0.6)
    return found[0] if found else last[by_last[0]] if by_last else ""


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the whole file, for yaml-language-server and the like."""
    return {"$schema": DRAFT, "title": "mail2sms.yaml", **_object(everything())}


def _object(options: Sequence[Option]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {option.steps[-1]: option.schema for option in options},
        "required": [option.steps[-1] for option in options if option.is_required],
        "additionalProperties": False,
    }


def _options(model: type[BaseModel], steps: tuple[str, ...]) -> tuple[Option, ...]:
    meanings = _meanings(model)
    return tuple(
        _option(each, (*steps, each.alias or name), meanings.get(name, ""))
        for name, each in model.model_fields.items()
    )


def _option(each: FieldInfo, steps: tuple[str, ...], docstring: str) -> Option:
    kind = _kind(each.annotation, tuple(each.metadata), steps)
    meaning, _, example = " ".join(docstring.split()).partition(" Example: ")
    value = None if each.is_required() else each.default
    default = _default(value, kind)
    is_scalar = bool(example) and kind.schema.get("type") != "object"
    facts: dict[str, Any] = {"description": meaning, "examples": [example] if is_scalar else []}
    if default:
        is_number = kind.schema.get("type") == "integer"
        facts["default"] = list(value) if isinstance(value, tuple) else value if is_number else default
    return Option(
        steps=steps,
        words=kind.words,
        meaning=meaning,
        example=example,
        default=default,
        is_required=each.is_required(),
        schema=kind.schema | {name: fact for name, fact in facts.items() if fact},
        options=kind.options,
    )


def _default(value: Any, kind: _Kind) -> str:
    if value is None or kind.options or not isinstance(value, str | int | tuple):
        return ""
    if isinstance(value, tuple):
        return f"[{', '.join(map(kind.show, value))}]" if value else ""
    return kind.show(value)


@cache
def _meanings(model: type[BaseModel]) -> dict[str, str]:
    """Return what stands below each option in the model's source, and in those it is derived from."""
    found: dict[str, str] = {}
    for one in reversed(model.__mro__):
        if issubclass(one, BaseModel) and one.__module__.partition(".")[0] == __name__.partition(".")[0]:
            body = ast.parse(textwrap.dedent(inspect.getsource(one))).body[0]
            found |= _docstrings(body.body if isinstance(body, ast.ClassDef) else [])
    return found


def _docstrings(body: Sequence[ast.stmt]) -> dict[str, str]:
    found: dict[str, str] = {}
    for option, below in pairwise(body):
        is_text = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
        if isinstance(option, ast.AnnAssign) and isinstance(option.target, ast.Name) and is_text:
            found[option.target.id] = str(below.value.value)  # type: ignore[attr-defined]
    return found


def _kind(kind: Any, metadata: tuple[Any, ...], steps: tuple[str, ...]) -> _Kind:
    """Return what stands for a type, with what is annotated to it."""
    if get_origin(kind) is Annotated:
        inner, *more = get_args(kind)
        return _kind(inner, (*more, *metadata), steps)
    if get_origin(kind) in {Union, types.UnionType}:
        return _kind(next(k for k in get_args(kind) if k is not type(None)), metadata, steps)
    for each in metadata:
        if isinstance(each, Written):
            return _written(each)
        function = getattr(each, "func", None)
        if isinstance(function, Whole):
            return _whole(function)
    if kind in _VARIANTS:
        return _variants(kind, steps)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        options = _options(kind, steps)
        return _Kind(words="a section", schema=_object(options), options=options)
    return _compound(kind, metadata, steps)


def _compound(kind: Any, metadata: tuple[Any, ...], steps: tuple[str, ...]) -> _Kind:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        *most, last = map(str, arguments)
        words = f"{', '.join(most)} or {last}" if most else last
        return _Kind(words=words, schema={"enum": list(arguments)})
    if origin is tuple:
        inner = _kind(arguments[0], (), steps)
        is_one_enough = any(getattr(each, "func", None) is read_list for each in metadata)
        return _list(inner, is_one_enough=is_one_enough)
    if origin is dict:
        key = next(each for each in get_args(arguments[0]) if isinstance(each, Written))
        inner = _kind(arguments[1], (), (*steps, key.stands_for))
        names = {"propertyNames": {"pattern": key.pattern}} if key.pattern else {}
        schema = {"type": "object", **names, "additionalProperties": inner.schema}
        words = f"{inner.words} for each {key.stands_for}"
        return _Kind(words=words, schema=schema, options=inner.options)
    plain = {str: ("a text", "string"), int: ("a whole number", "integer"), bool: ("yes or no", "boolean")}
    words, name = plain[kind]
    return _Kind(words=words, schema={"type": name})


def _written(each: Written) -> _Kind:
    kinds: Any = each.types[0] if len(each.types) == 1 else list(each.types)
    schema = {"type": kinds} | ({"pattern": each.pattern} if each.pattern else {})
    kind = _Kind(words=each.words, schema=schema, show=each.show)
    return _list(kind, is_one_enough=True) if each.is_list else kind


def _whole(each: Whole) -> _Kind:
    schema = {"type": "integer", "minimum": each.low, "maximum": each.high}
    return _Kind(words=f"a whole number from {each.low} to {each.high}", schema=schema)


def _list(inner: _Kind, *, is_one_enough: bool) -> _Kind:
    array = {"type": "array", "items": inner.schema}
    words = "a list of sections" if inner.options else f"a list: {inner.words}"
    if not is_one_enough:
        return _Kind(words=words, schema=array, show=inner.show, options=inner.options)
    schema = {"anyOf": [inner.schema, array]}
    return _Kind(words=f"{inner.words}; or a list", schema=schema, show=inner.show, options=inner.options)


def _variants(kind: Any, steps: tuple[str, ...]) -> _Kind:
    """Return the options of every module there is: those that all have once, then those of each."""
    selector, names, load = _VARIANTS[kind]
    shared = _options(kind, steps)
    options, schemas = list(shared), list[dict[str, Any]]()
    known = {option.steps for option in shared}
    owners: dict[Option, list[str]] = {}
    for name in names():
        own = _options(load(name).Options, steps)
        named = {"const": name, "description": next(o.meaning for o in shared if o.steps[-1] == selector)}
        one = _object(own)
        one["properties"][selector] = named
        schemas.append(one)
        for option in own:
            if option.steps not in known:
                owners.setdefault(option, []).append(name)
    options += [_only(option, f"{selector}: {_listed(having)}") for option, having in owners.items()]
    schema: dict[str, Any] = schemas[0]
    if len(schemas) > 1:
        schema = {
            "type": "object",
            "properties": {selector: {"enum": list(names())}},
            "required": [selector],
            "anyOf": schemas,
        }
    listed = " or ".join(names())
    options = [replace(o, words=listed) if o.steps[-1] == selector else o for o in options]
    return _Kind(words="a section", schema=schema, options=tuple(options))


def _only(option: Option, only: str) -> Option:
    return replace(option, only=only, options=tuple(_only(each, only) for each in option.options))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= _LISTED else f"{names[0]} and {len(names) - 1} more"
