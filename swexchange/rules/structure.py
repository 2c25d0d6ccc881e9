"""What the JSON Schema of routes.yaml finds wrong in a file, in words for whoever edits it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any

import jsonschema

from swexchange.errors import ConfigFault
from swexchange.rules.sheet import suggest
from swexchange.yamlfile import YamlFile

_SHAPES = {"array": "a list: [a, b]", "object": "a mapping, keys with values: {a: b}"}
LONGEST = 200  # characters of a message that quotes the file
_REFERENCE = "See docs/reference/routes-yaml.md"


def json_schema() -> str:
    """The JSON Schema (draft 7) of routes.yaml, for editors."""
    return files("swexchange").joinpath("routes.schema.json").read_text("utf-8")


@cache
def _validator() -> jsonschema.Draft7Validator:
    return jsonschema.Draft7Validator(json.loads(json_schema()))


def problems(file: YamlFile) -> Iterator[ConfigFault]:
    """Everything in a file that is not as the JSON Schema says, in the order of its lines."""
    if file.data is None:
        yield file.fault("the file is empty", (), _REFERENCE)
        return
    for error in sorted(_validator().iter_errors(file.data), key=lambda e: file.line(tuple(e.absolute_path))):
        place = tuple(error.absolute_path)
        name = ".".join(str(part) for part in place) or "the file"
        for what, do in _said(error):
            yield file.fault(f"{name}: {what}", place, do)


def _said(error: jsonschema.ValidationError) -> Iterator[tuple[str, str]]:
    """What is wrong, and what to do about it."""
    schema: Any = error.schema  # the part of the schema that was not kept
    instance: Any = error.instance
    match error.validator:
        case "additionalProperties" if isinstance(error.validator_value, bool):
            known = schema.get("properties", {})
            for key in set(instance) - set(known):
                advice = suggest(str(key), known)
                yield f"{key!r} is no key of this place", f"{advice}{'' if advice.endswith('?') else '.'} {_REFERENCE}"
        case "pattern" | "anyOf" if "description" in schema:
            yield f"{_cut(repr(instance))} does not fit. Expected: {schema['description']}", _REFERENCE
        case "type":
            found = "it is empty" if instance is None else f"{_cut(repr(instance))} does not fit"
            yield f"{found}. Expected: {_SHAPES.get(str(error.validator_value), 'a text')}", _REFERENCE
        case _:
            yield _cut(error.message), _REFERENCE


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
