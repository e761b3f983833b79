"""What is said of mail2sms.yaml: every option in words and in the JSON Schema, from one source that files obey."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml

from mail2sms import config
from mail2sms.cli.main import run
from mail2sms.config import reference
from tests.test_readme import README, blocks

ROOT = Path(__file__).resolve().parent.parent
EVERY = tuple(reference.flat(reference.everything()))
PYTHON = {"string": str, "integer": int, "boolean": bool, "array": list, "object": dict}


def faults(value: Any, schema: dict[str, Any], place: str = "") -> list[str]:
    """What JSON Schema (draft 7) has against a value, for the keywords that ours uses."""
    unknown = schema.keys() - {
        *("$schema", "title", "description", "default", "examples", "type", "enum", "const", "pattern"),
        *("anyOf", "items", "properties", "required", "additionalProperties", "propertyNames"),
        *("minimum", "maximum"),
    }
    assert not unknown, unknown
    found: list[str] = []
    if "anyOf" in schema and all(faults(value, each) for each in schema["anyOf"]):
        found.append(f"{place}: none of anyOf")
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and type(value) not in [PYTHON[kind] for kind in kinds]:
        return [f"{place}: {value!r} is no {kinds}"]
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{place}: {value!r} is not in enum")
    if "const" in schema and value != schema["const"]:
        found.append(f"{place}: {value!r} is not const")
    if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        found.append(f"{place}: {value!r} does not match")
    if isinstance(value, int) and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        found.append(f"{place}: {value!r} is out of range")
    if isinstance(value, list):
        found += [f for each in value for f in faults(each, schema.get("items", {}), f"{place}[]")]
    return found + (_in_object(value, schema, place) if isinstance(value, dict) else [])


def _in_object(value: dict[str, Any], schema: dict[str, Any], place: str) -> list[str]:
    known = schema.get("properties", {})
    found = [f"{place}: {key} is missing" for key in schema.get("required", []) if key not in value]
    for key, inner in value.items():
        found += faults(key, schema.get("propertyNames", {}), f"{place}.{key}")
        rest = schema.get("additionalProperties", {})
        if key not in known and rest is False:
            found.append(f"{place}.{key} is unknown")
        else:
            found += faults(inner, known.get(key, rest), f"{place}.{key}")
    return found


def as_editors_read(text: str) -> Any:
    """YAML 1.2 (core schema): numbers and true are typed, NO and off are text."""

    class Loader(yaml.BaseLoader):
        yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}

    Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"[-+]?[0-9]+\Z"), list("-+0123456789"))
    Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"(true|false)\Z"), list("tf"))
    Loader.add_constructor("tag:yaml.org,2002:int", lambda loader, node: int(node.value))
    Loader.add_constructor("tag:yaml.org,2002:bool", lambda loader, node: node.value == "true")
    return yaml.load(text, Loader)


def uncommented(text: str) -> str:
    """The example file with its optional lines switched on, where they don't stand in another's place."""
    return re.sub(r"^#(?=( *\S+: *[{\[])| *- \{)", "", text, flags=re.MULTILINE)


def test_every_option_is_explained() -> None:
    """In words, with a meaning that is a sentence, and an example where it is one value."""
    for option in EVERY:
        assert option.meaning.endswith("."), option.name
        assert len(option.meaning) < 120, option.name
        assert option.words, option.name
        assert option.example or option.options or option.name == "carriers.NAME.phones", option.name
    assert len({(option.name, option.only) for option in EVERY}) == len(EVERY)


@pytest.mark.parametrize("option", [o for o in EVERY if o.example], ids=lambda o: f"{o.name} {o.only}")
def test_examples_and_defaults_are_good(option: reference.Option) -> None:
    """The schema takes the example and the default of each option."""
    example = as_editors_read(option.example) if option.example[0] in "{0123456789" else option.example
    assert faults(example, option.schema) == [] or faults(str(example), option.schema) == []
    if "default" in option.schema:
        assert faults(option.schema["default"], option.schema) == []


def test_files_obey_the_schema() -> None:
    """The file of this repository, with all that it shows, and the smallest one of the README."""
    schema = reference.schema()
    example = (ROOT / "mail2sms.yaml").read_text(encoding="utf-8")
    minimal = next(text for kind, text in blocks() if kind == "yaml")
    assert "domain:" in minimal
    assert README
    for text in (example, minimal, uncommented(example)):
        assert faults(as_editors_read(text), schema) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("country: FR", "county: FR", "county is unknown"),
        ("country: FR", "country: fr", "does not match"),
        ("max_parts: 4", "max_parts: 400", "out of range"),
        ("max_parts: 4", "max_parts: four", "is no"),
        ("validity: 2d", "validity: 2", "validity"),
        ("mode: simulate", "mode: simulated", "not in enum"),
        ("type: simulated", "type: simulator", "not in enum"),
        ("domain: sms", "dom: sms", "domain is missing"),
        ("marie@acme.example:", "marie:", "does not match"),
    ],
)
def test_the_schema_finds_mistakes(old: str, new: str, fault: str) -> None:
    """Unknown options, bad values, missing options."""
    text = (ROOT / "mail2sms.yaml").read_text(encoding="utf-8")
    assert old in text
    found = faults(as_editors_read(text.replace(old, new, 1)), reference.schema())
    assert any(fault in each for each in found), found


def _names(schema: dict[str, Any]) -> set[str]:
    inner = [schema.get("items"), schema.get("additionalProperties"), *schema.get("anyOf", [])]
    inner += schema.get("properties", {}).values()
    return set(schema.get("properties", {})).union(
        *(_names(each) for each in inner if isinstance(each, dict))
    )


def test_every_key_of_the_schema_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    """What an editor proposes is found in explain-config; nothing is wider than 100 columns."""
    assert run(["explain-config"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    headings = {line.partition(" ")[0].rpartition(".")[2] for line in lines if line[:1].strip()}
    assert _names(reference.schema()) <= headings


def test_the_schema_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    """Of draft 7, which yaml-language-server takes; a section takes no unknown option."""
    assert run(["schema"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert said["additionalProperties"] is False
    assert said == json.loads(json.dumps(reference.schema()))


@pytest.mark.parametrize(
    ("key", "code", "said"),
    [
        ("listen.smtp", 0, "listen.smtp.tls\n"),
        ("users", 0, "users.ADDRESS.password\n"),
        ("users.marie@acme.example", 0, "users.ADDRESS.password\n"),
        ("users.marie@acme.example.number", 0, "users.ADDRESS.number\n"),
        ("carriers.sim.dely", 64, "did you mean carriers.NAME.delay?"),
        ("carriers.ovh.type", 0, "carriers.NAME.type\n"),
        ("validity", 0, "default 2d"),
        ("limits.per_ip", 0, "a whole number from 1 to 100000; default 10"),
        ("contries", 64, "did you mean countries?"),
        ("smarthost", 64, "did you mean relay.smarthost?"),
        ("relay.smarthos", 64, "did you mean relay.smarthost?"),
        ("xyzzy", 64, "explain-config lists all"),
    ],
)
def test_one_key(key: str, code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With the options inside it; what was probably meant is named."""
    assert run(["explain-config", key]) == code
    out, err = capsys.readouterr()
    assert said in (err if code else out)


def test_the_reference_and_the_reader_know_the_same() -> None:
    """A default that is told is the one that is used."""
    settings = config.load(ROOT / "mail2sms.yaml")
    for name in ("template", "template_mailbox", "on_unknown"):
        told = next(option.default for option in EVERY if option.name == name)
        assert told == type(settings).model_fields[name].default
