"""A schema's preparation is shared by requests of its shape, and nothing else of one reaches another."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic_ai.models.test import TestModel

from bessemer.actors.backends._prepared import parameters_of, prepare_once
from bessemer.actors.backends.base import ModelRequest

SCHEMA = {"type": "object", "properties": {"score": {"type": "integer"}}, "required": ["score"]}


class Counting(TestModel):
    """Counts how often it prepares a request."""

    prepared = 0

    def prepare_request(self, *given: Any) -> Any:
        self.prepared += 1
        return super().prepare_request(*given)


@pytest.fixture
def model() -> Counting:
    made = Counting(profile={"supports_json_schema_output": True})
    prepare_once(made)
    return made


def asked(model: Counting, instructions: str, *, json_schema: bool, schema: dict[str, Any] = SCHEMA) -> tuple[str, Any]:
    """The instructions and the schema that reach the model."""
    request = ModelRequest(backend="a/b", instructions=instructions, prompt="p", output_schema=schema)
    settings: Any = {"max_tokens": 10, "extra_headers": {"n": instructions}}
    given, parameters = model.prepare_request(settings, parameters_of(request, json_schema=json_schema))
    assert given is not None and given["extra_headers"] == {"n": instructions}
    assert parameters.output_object is not None
    parts = parameters.instruction_parts or []
    return "|".join(part.content for part in parts), parameters.output_object.json_schema


def test_each_request_keeps_its_own_instructions_and_the_schema_is_prepared_once(model: Counting) -> None:
    told = [asked(model, words, json_schema=True) for words in ("one", "two", "one")]
    assert [words for words, _ in told] == ["one", "two", "one"]
    assert all(schema["properties"].keys() == {"score"} for _, schema in told)
    assert model.prepared == 1


def test_a_schema_that_is_asked_for_in_words_goes_with_its_own_instructions(model: Counting) -> None:
    first, second = (asked(model, words, json_schema=False)[0] for words in ("one", "two"))
    assert first.startswith("one|") and second.startswith("two|")
    assert "score" in first and "one" not in second
    assert model.prepared == 2


def test_another_schema_is_another_shape(model: Counting) -> None:
    other = {"type": "object", "properties": {"vote": {"type": "string"}}, "required": ["vote"]}
    asked(model, "one", json_schema=True)
    assert asked(model, "one", json_schema=True, schema=other)[1]["properties"].keys() == {"vote"}


def test_no_instructions_stay_none(model: Counting) -> None:
    assert [asked(model, words, json_schema=True)[0] for words in ("one", "", "two")] == ["one", "", "two"]
