"""EARS: the five sentence patterns of requirements, and their combinations.

| pattern | sentence |
|---|---|
| ubiquitous | The <system> shall <response> |
| event | When <trigger>, the <system> shall <response> |
| state | While <state>, the <system> shall <response> |
| unwanted | If <trigger>, then the <system> shall <response> |
| optional | Where <feature>, the <system> shall <response> |
| complex | several of these conditions, then the <system> shall <response> |
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

Pattern = Literal["ubiquitous", "event", "state", "unwanted", "optional", "complex"]

_PATTERNS: dict[str, Pattern] = {"when": "event", "while": "state", "if": "unwanted", "where": "optional"}
_BINDING = re.compile(r"\bshall\b", re.IGNORECASE)
_OTHER_BINDING = re.compile(r"\b(must|should|will|may|can|needs? to|has to)\b", re.IGNORECASE)
_CLAUSE = re.compile(
    r"(?:^|,\s*(?:and\s+)?|\s+and\s+(?=(?-i:[A-Z]{2})))(?P<word>when|while|where|if)\b|\s(?P<loud>(?-i:WHEN|WHILE|WHERE|IF))\b",
    re.IGNORECASE,
)
_SUBJECT = r"(?:the|a|an|each|every|all|any|no)\s+\S[^,]*"
_AFTER_COMMA = re.compile(rf"^(?P<before>.*),\s*(?P<then>then,?\s+)?(?P<system>{_SUBJECT})$", re.IGNORECASE)
_AFTER_THEN = re.compile(rf"^(?P<before>.*?),?\s+(?P<then>then)\s+(?P<system>{_SUBJECT})$", re.IGNORECASE)
_AFTER_SPACE = re.compile(r"^(?P<before>.*)\s+(?P<then>)(?P<system>the\s+\S[^,]*)$", re.IGNORECASE)
_ALONE = re.compile(rf"^(?:{_SUBJECT}|(?-i:[A-Z])\S*(?:\s+\S+){{0,5}})$", re.IGNORECASE)


class Condition(NamedTuple):
    pattern: Pattern
    text: str


class Ears(NamedTuple):
    """A requirement's sentence, taken apart."""

    pattern: Pattern
    conditions: tuple[Condition, ...]
    system: str
    response: str


class NotEars(NamedTuple):
    """Why a sentence is none of the patterns, and what would make it one."""

    reason: str


def parse_ears(sentence: str) -> Ears | NotEars:
    """Read one requirement. Never raises: a sentence that is no pattern gives the reason."""
    text = " ".join(sentence.split()).strip().rstrip(".").strip()
    if not text:
        return NotEars("it is empty; write `The <system> shall <response>`")
    parts = _BINDING.split(text)
    if len(parts) == 1:
        other = _OTHER_BINDING.search(text)
        said = f"it says {other[0]!r} where `shall` is needed" if other else "it has no `shall`"
        return NotEars(f"{said}; write `The <system> shall <response>`")
    if len(parts) > 2:
        return NotEars(f"it says `shall` {len(parts) - 1} times; write one requirement for each")
    head, response = parts[0].strip(), parts[1].strip(" ,:;")
    if not response:
        return NotEars("nothing follows `shall`; say what the system does")
    return _with_conditions(head, response) if _CLAUSE.match(head) else _alone(head, response)


def _alone(head: str, response: str) -> Ears | NotEars:
    if not head:
        return NotEars("nothing stands before `shall`; name the system")
    if not _ALONE.match(head) or "," in head:
        return NotEars(f"it starts with {head[:40]!r}; start with When, While, If, Where, or with the system's name")
    return Ears("ubiquitous", (), head, response)


def _with_conditions(head: str, response: str) -> Ears | NotEars:
    found = _AFTER_COMMA.match(head) or _AFTER_THEN.match(head) or _AFTER_SPACE.match(head)
    if found is None:
        return NotEars("no system stands between its condition and `shall`; write `…, the <system> shall …`")
    before, then = found["before"].strip(), bool(found["then"])
    marks = list(_CLAUSE.finditer(before))
    ends = [mark.start() for mark in marks[1:]] + [len(before)]
    conditions = []
    for mark, end in zip(marks, ends, strict=True):
        word = (mark["word"] or mark["loud"]).lower()
        text = before[mark.end() : end].strip(" ,")
        if not text:
            return NotEars(f"nothing follows {word.capitalize()!r}; say what the condition is")
        conditions.append(Condition(_PATTERNS[word], text))
    unwanted = any(one.pattern == "unwanted" for one in conditions)
    if unwanted and not then:
        return NotEars("an `If` needs its `then`; write `If <trigger>, then the <system> shall …`")
    if then and not unwanted:
        return NotEars("a `then` belongs to `If`; leave it out, or write If for something unwanted")
    pattern = conditions[0].pattern if len(conditions) == 1 else "complex"
    return Ears(pattern, tuple(conditions), found["system"].strip(), response)
