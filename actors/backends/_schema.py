"""Checking an answer against its JSON schema."""

from __future__ import annotations

from typing import Any


def schema_error(value: Any, schema: dict[str, Any]) -> str:
    """What is wrong with `value` under `schema`, as a path and a reason; empty if nothing is."""
    from bessemer.cluster.json_schema import schema_errors

    error = next(schema_errors(value, schema), None)
    if error is None:
        return ""
    where = "/".join(str(part) for part in error.absolute_path) or "the top level"
    return f"at {where}: {' '.join(str(error.message).split())[:300]}"
