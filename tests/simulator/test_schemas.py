"""Values drawn from schemas are always what the schema allows, and the same for the same seed."""

from __future__ import annotations

import random
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from bessemer.interfaces.simulator._schema_values import Unsatisfiable, draw_value
from bessemer.interfaces.simulator.google import plain_schema

TREE = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
            },
            "required": ["name", "children"],
            "additionalProperties": False,
        }
    },
    "$ref": "#/$defs/node",
}
FINDING = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "pattern": "^[a-z]{2}-[0-9]{3,5}$"},
        "severity": {"enum": ["high", "low"]},
        "kind": {"const": "finding"},
        "line": {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]},
        "score": {"type": "number", "exclusiveMinimum": 0, "maximum": 0.5},
        "even": {"type": "integer", "multipleOf": 4, "minimum": 10, "maximum": 17},
        "tags": {"type": "array", "items": {"type": "string"}, "minItems": 2, "maxItems": 4, "uniqueItems": True},
        "title": {"type": "string", "minLength": 40, "maxLength": 60},
        "day": {"type": "string", "format": "date"},
        "pair": {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "boolean"}], "items": False},
    },
    "required": ["id", "severity", "kind", "line", "score", "even", "tags", "title", "day", "pair"],
    "additionalProperties": False,
}
SCHEMAS: dict[str, Any] = {
    "tree": TREE,
    "finding": FINDING,
    "list": {"type": "array", "items": FINDING, "minItems": 3, "maxItems": 3},
    "map": {"type": "object", "additionalProperties": {"type": "integer", "maximum": -5}, "minProperties": 2},
    "all": {
        "allOf": [
            {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
            {"properties": {"b": {"type": "boolean"}}, "required": ["b"]},
        ]
    },
    "one": {"oneOf": [{"type": "integer", "maximum": 3}, {"type": "string", "maxLength": 4}]},
    "types": {"type": ["string", "null"]},
    "words": {"type": "string", "pattern": r"^(?:alpha|beta)\d+[^x]\w*(\.[a-z]+)?$"},
    "anywhere": {"type": "string", "pattern": "needle", "minLength": 6},
    "not": {"type": "integer", "minimum": 0, "maximum": 3, "not": {"const": 2}},
    "anything": {},
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_value_is_allowed(name: str) -> None:
    schema = SCHEMAS[name]
    check = Draft202012Validator(schema)
    values = [draw_value(schema, random.Random(seed)) for seed in range(200)]
    assert [error.message for value in values for error in check.iter_errors(value)] == []
    assert values == [draw_value(schema, random.Random(seed)) for seed in range(200)]


@pytest.mark.parametrize("schema", [{"type": "integer", "not": {}}, {"$ref": "#/nowhere"}, {"allOf": [{"$ref": "#"}]}])
def test_what_cannot_be_satisfied_is_said(schema: dict[str, Any]) -> None:
    with pytest.raises(Unsatisfiable):
        draw_value(schema, random.Random(1))


def test_geminis_own_form_of_a_schema_is_read() -> None:
    given = {
        "type": "OBJECT",
        "properties": {"a": {"type": "STRING", "nullable": True, "minLength": "3"}},
        "required": ["a"],
    }
    plain = plain_schema(given)
    assert plain["properties"]["a"] == {"type": ["string", "null"], "minLength": 3}
    assert set(draw_value(plain, random.Random(1))) == {"a"}
