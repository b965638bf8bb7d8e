"""A value is checked against its schema the quick way and, where that refuses it, the thorough way."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from bessemer.cluster.json_schema import schema_errors

SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["score", "why"],
    "properties": {
        "score": {"type": "integer", "minimum": 1, "maximum": 10},
        "why": {"anyOf": [{"type": "string", "minLength": 1}, {"type": "null"}]},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 2},
    },
}
leaves = st.none() | st.booleans() | st.integers(-2, 12) | st.floats() | st.sampled_from(["", "a", "b", "é", "\ud800"])
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["score", "why", "tags"]), inner),
)


@given(values)
def test_both_ways_say_the_same(value: Any) -> None:
    thorough = [error.message for error in Draft202012Validator(SCHEMA).iter_errors(value)]
    assert [error.message for error in schema_errors(value, SCHEMA)] == thorough


def test_what_the_quick_way_cannot_read_goes_the_thorough_way() -> None:
    deep: Any = 1
    for _ in range(300):
        deep = [deep]
    assert not list(schema_errors(deep, {}))
    assert not list(schema_errors({"x": math.nan}, {"type": "object"}))
    assert [error.message for error in schema_errors(1, {"type": "string"})] == ["1 is not of type 'string'"]
    assert len(list(schema_errors({"\ud800": "x"}, {"properties": {"\ud800": {"type": "integer"}}}))) == 1


def test_no_schema_is_fetched_from_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Exception, match="Unresolvable"):
        list(schema_errors(1, {"$ref": "http://example.invalid/schema"}))
