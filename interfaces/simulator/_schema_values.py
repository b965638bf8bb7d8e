"""Values that satisfy a JSON schema, drawn from a seeded source of chance."""

from __future__ import annotations

import json
import math
import random
import re
from typing import Any

from bessemer.interfaces.simulator._patterns import text_for

ATTEMPTS = 30
DEEP = 5
"""Nesting from which on only what is required is drawn."""
WORDS = re.findall(
    r"\w+",
    """
    the part after each change holds its own value where one check reads what another wrote and all of them agree so a
    reader can follow why this step comes first while the rest waits
    """,
)
_INEXACT = frozenset(
    re.findall(
        r"\w+",
        """
        pattern allOf oneOf not if dependentRequired dependentSchemas patternProperties propertyNames uniqueItems
        contains unevaluatedProperties unevaluatedItems multipleOf
        """,
    )
)
"""Words after which a drawn value is checked, because drawing does not follow them exactly."""
_FORMATS = {
    "date-time": "2026-03-0{digit}T10:2{digit}:00Z",
    "date": "2026-03-0{digit}",
    "time": "10:2{digit}:00Z",
    "duration": "PT{digit}M",
    "email": "reader{digit}@example.org",
    "uri": "https://example.org/{digit}",
    "uuid": "00000000-0000-4000-8000-00000000000{digit}",
    "hostname": "host{digit}.example.org",
    "ipv4": "192.0.2.{digit}",
    "ipv6": "2001:db8::{digit}",
}


class Unsatisfiable(Exception):
    """No value was found that the schema allows."""


def draw_value(schema: dict[str, Any] | bool, chance: random.Random) -> Any:
    """A value that `schema` allows. Raises Unsatisfiable with the reason."""
    reason = "it allows nothing"
    for _ in range(ATTEMPTS):
        drawing = _Drawing(schema, chance)
        value = drawing.draw(schema, 0)
        if not drawing.inexact or not (reason := _error(value, schema)):
            return value
    raise Unsatisfiable(reason)


def _error(value: Any, schema: dict[str, Any] | bool) -> str:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError, best_match

    try:
        found = best_match(Draft202012Validator(schema).iter_errors(value))
    except SchemaError as error:
        return error.message
    return "" if found is None else found.message


class _Drawing:
    """One attempt. `inexact` says whether the value still needs to be checked."""

    def __init__(self, root: dict[str, Any] | bool, chance: random.Random) -> None:
        self._root = root
        self._chance = chance
        self.inexact = False

    def draw(self, schema: Any, depth: int) -> Any:
        if schema is False:
            raise Unsatisfiable("a part of it is false")
        if not isinstance(schema, dict) or not schema:
            return self._text({})
        if not _INEXACT.isdisjoint(schema):
            self.inexact = True
        if depth > 60:
            raise Unsatisfiable("it never ends")
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._chance.choice(schema["enum"])
        merged = self._resolved(schema, depth)
        if merged is not schema:
            return self.draw(merged, depth + 1)
        return self._of_kind(schema, depth)

    def _resolved(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        """References followed, one branch chosen, all of allOf laid together; the schema itself where there is none."""
        rest = {key: value for key, value in schema.items() if key not in ("$ref", "anyOf", "oneOf", "allOf", "$defs")}
        if "$ref" in schema:
            return _merged(self._follow(schema["$ref"]), rest)
        for key in ("anyOf", "oneOf"):
            if schema.get(key):
                rest |= {other: schema[other] for other in ("allOf",) if other in schema}
                return _merged(self._branch(schema[key], depth), rest)
        if schema.get("allOf"):
            for part in schema["allOf"]:
                rest = _merged(self._flat(part), rest)
            return rest
        return schema

    def _branch(self, branches: list[Any], depth: int) -> dict[str, Any]:
        usable = [branch for branch in branches if branch is not False]
        if depth > DEEP:
            usable = [branch for branch in usable if "$ref" not in str(branch)] or usable
        chosen = self._chance.choice(usable)
        return chosen if isinstance(chosen, dict) else {}

    def _flat(self, part: Any) -> dict[str, Any]:
        if not isinstance(part, dict):
            return {}
        return (
            _merged(self._follow(part["$ref"]), {k: v for k, v in part.items() if k != "$ref"})
            if "$ref" in part
            else part
        )

    def _follow(self, reference: str) -> dict[str, Any]:
        node: Any = self._root
        if not reference.startswith("#"):
            raise Unsatisfiable(f"{reference} points outside of it")
        for step in reference.lstrip("#/").split("/") if reference.strip("#/") else ():
            step = step.replace("~1", "/").replace("~0", "~")
            node = node.get(step) if isinstance(node, dict) else node[int(step)] if isinstance(node, list) else None
            if node is None:
                raise Unsatisfiable(f"{reference} points to nothing")
        return node if isinstance(node, dict) else {}

    def _of_kind(self, schema: dict[str, Any], depth: int) -> Any:
        kind = schema.get("type") or _implied(schema)
        if isinstance(kind, list):
            kind = self._chance.choice([one for one in kind if one != "null"] or ["null"])
        kind = str(kind).lower()
        if schema.get("nullable") and self._chance.random() < 0.1:
            return None
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            return self._array(schema, depth)
        if kind in ("integer", "number"):
            return self._number(schema, whole=kind == "integer")
        if kind == "boolean":
            return self._chance.random() < 0.5
        return None if kind == "null" else self._text(schema)

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties") or {}
        required = set(schema.get("required") or ())
        value: dict[str, Any] = {}
        for name, inner in properties.items():
            if name in required or (depth <= DEEP and inner is not False and self._chance.random() < 0.7):
                value[name] = self.draw(inner, depth + 1)
        others = schema.get("additionalProperties", True)
        for name in sorted(required - properties.keys()):
            value[name] = self.draw(others if isinstance(others, dict) else {}, depth + 1)
        wanted = int(schema.get("minProperties") or 0)
        for name, inner in properties.items():
            if len(value) < wanted and name not in value:
                value[name] = self.draw(inner, depth + 1)
        while len(value) < wanted and others is not False:
            value[f"field_{len(value)}"] = self.draw(others if isinstance(others, dict) else {}, depth + 1)
        return value

    def _array(self, schema: dict[str, Any], depth: int) -> list[Any]:
        first = [self.draw(inner, depth + 1) for inner in schema.get("prefixItems") or ()]
        least = int(schema.get("minItems") or 0)
        most = int(schema.get("maxItems") or max(least, 3))
        length = least if depth > DEEP else self._chance.randint(least, max(least, min(most, least + 3)))
        inner = schema.get("items", {})
        if inner is False or (not inner and first):
            return first
        value = first
        seen = {json.dumps(item, sort_keys=True) for item in value}
        for _ in range((length - len(value)) * 4):
            if len(value) >= length:
                break
            item = self.draw(inner, depth + 1)
            text = json.dumps(item, sort_keys=True)
            if not (schema.get("uniqueItems") and text in seen):
                value.append(item)
                seen.add(text)
        return value

    def _number(self, schema: dict[str, Any], *, whole: bool) -> int | float:
        low, high = _limits(schema, whole)
        step = schema.get("multipleOf")
        if step:
            count = self._chance.randint(math.ceil(low / step), max(math.ceil(low / step), math.floor(high / step)))
            return int(count * step) if whole else count * step
        if whole:
            return self._chance.randint(math.ceil(low), max(math.ceil(low), math.floor(high)))
        drawn = self._chance.uniform(low, high)
        tidy = round(drawn, 3)
        return tidy if low < tidy < high else drawn

    def _text(self, schema: dict[str, Any]) -> str:
        if pattern := schema.get("pattern"):
            return text_for(pattern, self._chance)
        least, most = int(schema.get("minLength") or 0), schema.get("maxLength")
        if template := _FORMATS.get(str(schema.get("format"))):
            return template.format(digit=self._chance.randint(1, 9))
        text = " ".join(self._chance.choices(WORDS, k=self._chance.randint(2, 8)))
        while len(text) < least:
            text += " " + self._chance.choice(WORDS)
        if most is not None and len(text) > int(most):
            text = text[: int(most)]
            text = text[:-1] + "s" if text.endswith(" ") else text
        return text


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    value = {**base, **over}
    for key in ("required",):
        if key in base and key in over:
            value[key] = [*base[key], *(name for name in over[key] if name not in base[key])]
    if "properties" in base and "properties" in over:
        value["properties"] = {**base["properties"], **over["properties"]}
    return value


def _implied(schema: dict[str, Any]) -> str:
    """The type that a schema's other words speak of."""
    if "properties" in schema or "required" in schema or "additionalProperties" in schema:
        return "object"
    if "items" in schema or "prefixItems" in schema:
        return "array"
    numeric = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
    return "number" if any(key in schema for key in numeric) else "string"


def _limits(schema: dict[str, Any], whole: bool) -> tuple[float, float]:
    small = 1.0 if whole else 1e-6
    lows = [
        schema[key] + add for key, add in (("minimum", 0), ("exclusiveMinimum", small)) if _is_number(schema.get(key))
    ]
    highs = [
        schema[key] - add for key, add in (("maximum", 0), ("exclusiveMaximum", small)) if _is_number(schema.get(key))
    ]
    low = max(lows) if lows else (min(highs) - 100 if highs and min(highs) < 0 else 0)
    high = min(highs) if highs else low + 100
    return low, high


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
