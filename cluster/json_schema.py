"""Whether a value satisfies a JSON schema (draft 2020-12), and where it does not.

The question is put for every answer of a model and nearly always answered with yes: a compiled checker says so in a
sixtieth of the time. Only what it refuses is looked through by `jsonschema`, whose errors people can read.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from typing import Any

import pydantic_core
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError


def schema_errors(value: Any, schema: dict[str, Any]) -> Iterator[ValidationError]:
    """Every place in which `value` breaks `schema`, lazily; none where it satisfies it."""
    text = _text(schema)
    if not _surely_fits(value, text):
        yield from _validator(text).iter_errors(value)


def _text(schema: dict[str, Any]) -> bytes:
    try:
        return pydantic_core.to_json(schema, inf_nan_mode="constants")
    except ValueError:
        # It refuses texts that are no Unicode.
        return json.dumps(schema).encode()


def _surely_fits(value: Any, schema: bytes) -> bool:
    try:
        return bool(_compiled(schema).is_valid(value))
    except ValueError:
        # It knows neither NaN nor what is nested too deeply, nor every schema that the other knows.
        return False


@functools.lru_cache(maxsize=512)
def _compiled(schema: bytes) -> Any:
    import jsonschema_rs

    return jsonschema_rs.Draft202012Validator(json.loads(schema), retriever=_unreachable)


def _unreachable(uri: str) -> Any:
    raise ValueError(f"{uri} is outside the schema")


@functools.lru_cache(maxsize=512)
def _validator(schema: bytes) -> Any:
    return Draft202012Validator(json.loads(schema))
