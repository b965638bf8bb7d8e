"""Reading criteria files. Whatever is wrong is named with its line and column."""

from __future__ import annotations

import json
from typing import Any, Literal, NamedTuple, NoReturn

import yaml

from bessemer.actors.judging.types import Category, CriteriaSet, Criterion
from bessemer.cluster.errors import CriteriaError

CATEGORIES: dict[str, Category] = {
    "must": "must",
    "primary": "must",
    "should": "should",
    "standard": "should",
    "core": "should",
    "could": "could",
    "stretch": "could",
}
_OURS = {"must", "should", "could"}
_TEXT = ("text", "description", "name")
_KNOWN = {"id", "category", "probe", "verify_by", "anti_patterns", "score_anchors", "rationale", "weight", *_TEXT}
_KNOWN_TOP = {"criteria", "aspiration", "source", "schema_version"}
_Path = tuple[str | int, ...]


def parse_criteria(text: str, origin: str, source: Literal["file", "preset"]) -> CriteriaSet:
    """The criteria in a file's text: JSON where it starts like JSON, else YAML. Raises CriteriaError."""
    document = _Document(text, origin)
    data, base = _top(document)
    _refuse_mixed_words(document, base, data["criteria"])
    criteria = [_criterion(document, (*base, n), n, item) for n, item in enumerate(data["criteria"])]
    return CriteriaSet(source=source, criteria=tuple(criteria), aspiration=data.get("aspiration") or "")


def criteria_problems(text: str, origin: str) -> list[str]:
    """Everything that keeps a file's text from being criteria, at most one problem per criterion; empty if it is sound.

    Ids used twice, empty sets and sets that are too long are not looked for here.
    """
    found: list[str] = []
    try:
        document = _Document(text, origin)
        data, base = _top(document)
    except CriteriaError as error:
        return [error.message]
    for n, item in enumerate(data["criteria"]):
        try:
            _criterion(document, (*base, n), n, item)
        except CriteriaError as error:
            found.append(error.message)
    try:
        _refuse_mixed_words(document, base, data["criteria"])
    except CriteriaError as error:
        found.append(error.message)
    return found


def _top(document: _Document) -> tuple[dict[str, Any], _Path]:
    data = document.data
    if isinstance(data, list):
        data = {"criteria": data}
        base: _Path = ()
    elif isinstance(data, dict) and isinstance(data.get("criteria"), list):
        base = ("criteria",)
    else:
        document.fail((), "is neither a list of criteria nor an object with a list `criteria`")
    for key in data.keys() - _KNOWN_TOP:
        document.fail((key,), f"has the unknown key {key!r}; known are {', '.join(sorted(_KNOWN_TOP))}")
    aspiration = data.get("aspiration") or ""
    if not isinstance(aspiration, str):
        document.fail(("aspiration",), "has an `aspiration` that is not text")
    return data, base


def _refuse_mixed_words(document: _Document, base: _Path, items: list[Any]) -> None:
    """One file speaks of must, should and could or of primary, standard and stretch: both at once is two files' halves.

    `core` belongs to the older words.
    """
    spoken: dict[str, str] = {}
    for n, item in enumerate(items):
        value = item.get("category") if isinstance(item, dict) else None
        word = value.strip().lower() if isinstance(value, str) else ""
        if word not in CATEGORIES:
            continue
        spoken.setdefault("ours" if word in _OURS else "theirs", word)
        if len(spoken) == 2:
            document.fail(
                (*base, n, "category"),
                f"says {spoken['ours']!r} in one criterion and {spoken['theirs']!r} in another; use must, should and "
                "could, or primary, standard and stretch, in all of them",
            )


def _criterion(document: _Document, where: _Path, n: int, item: Any) -> Criterion:
    if isinstance(item, str):
        item = {"text": item}
    if not isinstance(item, dict):
        document.fail(where, f"has a criterion {n + 1} that is not an object with a `text`")
    for key in item.keys() - _KNOWN:
        document.fail((*where, key), f"has the unknown key {key!r} in criterion {n + 1}; known are {_names(_KNOWN)}")
    key = next((key for key in _TEXT if item.get(key) not in (None, "")), None)
    if key is None:
        document.fail(where, f"gives criterion {n + 1} no `text`")
    if key == "text" and item.get("description") not in (None, "", item["text"]):
        document.fail(
            (*where, "description"),
            f"gives criterion {n + 1} a `text` and a `description` that differ; keep the one that is meant",
        )
    return Criterion(
        id=_text(document, where, item, "id") or f"E{n + 1}",
        text=_text(document, where, item, key),
        category=_category(document, where, item),
        probe=_text(document, where, item, "probe"),
        verify_by=_text(document, where, item, "verify_by"),
        anti_patterns=_patterns(document, where, item),
        score_anchors=_anchors(document, where, item),
    )


def _text(document: _Document, where: _Path, item: dict[str, Any], key: str) -> str:
    value = item.get(key)
    if value is None:
        return ""
    if not isinstance(value, str) or (key in ("id", *_TEXT) and not value.strip()):
        document.fail((*where, key), f"has a `{key}` that is not text: {value!r}")
    return " ".join(value.split())


def _category(document: _Document, where: _Path, item: dict[str, Any]) -> Category:
    value = item.get("category", "should")
    found = CATEGORIES.get(value.strip().lower()) if isinstance(value, str) else None
    if found is None:
        document.fail((*where, "category"), f"has the category {value!r}; use one of {', '.join(CATEGORIES)}")
    return found


def _patterns(document: _Document, where: _Path, item: dict[str, Any]) -> tuple[str, ...]:
    value = item.get("anti_patterns") or []
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        document.fail((*where, "anti_patterns"), "has `anti_patterns` that are not a list of texts")
    return tuple(value)


def _anchors(document: _Document, where: _Path, item: dict[str, Any]) -> dict[str, str]:
    value = item.get("score_anchors") or {}
    scale = {str(score) for score in range(1, 11)}
    good = isinstance(value, dict) and all(str(k) in scale and isinstance(v, str) for k, v in value.items())
    if not good:
        document.fail((*where, "score_anchors"), "has `score_anchors` that do not map scores 1 to 10 to texts")
    return {str(k): v for k, v in value.items()}


def _names(keys: set[str]) -> str:
    return ", ".join(sorted(keys))


class _Mark(NamedTuple):
    line: int
    column: int


class _Document:
    """A parsed file that still knows where each part of it stood."""

    def __init__(self, text: str, origin: str) -> None:
        self._origin = origin
        self._root: yaml.Node | None = None
        if text.lstrip()[:1] in ("{", "["):
            self.data = self._json(text)
            self._root = _compose(text)
        else:
            self.data = self._yaml(text)
        self._refuse_twins(self._root)

    def _refuse_twins(self, node: yaml.Node | None) -> None:
        """A key given twice: readers would keep one of the two values and not say which."""
        if isinstance(node, yaml.SequenceNode):
            for one in node.value:
                self._refuse_twins(one)
        if isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, value in node.value:
                if str(key.value) in seen:
                    place = f"{self._origin}:{key.start_mark.line + 1}:{key.start_mark.column + 1}"
                    raise CriteriaError(f"the criteria file {place} gives the key {key.value!r} twice; keep one")
                seen.add(str(key.value))
                self._refuse_twins(value)

    def fail(self, where: _Path, problem: str) -> NoReturn:
        """Raise CriteriaError for the part at `where`, or for the nearest part around it."""
        mark = self._mark(where)
        place = f"{self._origin}:{mark.line}:{mark.column}" if mark else self._origin
        raise CriteriaError(f"the criteria file {place} {problem}")

    def _json(self, text: str) -> Any:
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            place = f"{self._origin}:{error.lineno}:{error.colno}"
            raise CriteriaError(f"the criteria file {place} is not valid JSON: {error.msg}; correct it") from None
        except RecursionError:
            raise CriteriaError(f"the criteria file {self._origin} is nested too deeply; flatten it") from None

    def _yaml(self, text: str) -> Any:
        try:
            loader = yaml.SafeLoader(text)
            self._root = loader.get_single_node()
            return loader.construct_document(self._root) if self._root is not None else None
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            place = f"{self._origin}:{mark.line + 1}:{mark.column + 1}" if mark else self._origin
            problem = f"is not valid YAML: {error.problem or error.context}; correct it"
            raise CriteriaError(f"the criteria file {place} {problem}") from None
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            words = " ".join(str(error).split())
            raise CriteriaError(f"the criteria file {self._origin} is not valid YAML: {words}; correct it") from None

    def _mark(self, where: _Path) -> _Mark | None:
        node = self._root
        for part in where:
            inner = _inner(node, part)
            if inner is None:
                break
            node = inner
        return _Mark(node.start_mark.line + 1, node.start_mark.column + 1) if node is not None else None


def _compose(text: str) -> yaml.Node | None:
    """Marks for a JSON text; None where it is JSON that YAML cannot read (tabs), which only loses the line."""
    try:
        found: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError):
        return None
    return found


def _inner(node: yaml.Node | None, part: str | int) -> yaml.Node | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        found: yaml.Node = node.value[part]
        return found
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                inner: yaml.Node = value
                return inner
    return None
