"""Checking an answer against its JSON schema."""

from __future__ import annotations

import functools
import json
from typing import Any


def schema_error(value: Any, schema: dict[str, Any]) -> str:
    """What is wrong with `value` under `schema`, as a path and a reason; empty if nothing is."""
    validator = _validator(json.dumps(schema))
    error = next(iter(validator.iter_errors(value)), None)
    if error is None:
        return ""
    where = "/".join(str(part) for part in error.absolute_path) or "the top level"
    return f"at {where}: {' '.join(str(error.message).split())[:300]}"


@functools.lru_cache(maxsize=256)
def _validator(schema: str) -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(json.loads(schema))
