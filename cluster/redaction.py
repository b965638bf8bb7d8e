"""What a key looks like. Standard library only: the secret scanner loads this file by its path.

Nothing here ever returns or prints a key.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class KeyShape(NamedTuple):
    """One kind of secret and how its text looks."""

    kind: str
    pattern: re.Pattern[str]


KEY_SHAPES = (
    KeyShape("Anthropic key", re.compile(r"\bsk-ant-[A-Za-z0-9_-]{16,}")),
    KeyShape("OpenAI key", re.compile(r"\bsk-(?!ant-)(?:proj-|svcacct-|admin-)?[A-Za-z0-9_-]{20,}")),
    KeyShape("Google key", re.compile(r"\bAIza[A-Za-z0-9_-]{30,}")),
    KeyShape("xAI key", re.compile(r"\bxai-[A-Za-z0-9_-]{20,}")),
    KeyShape("GitHub token", re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{40,})")),
    KeyShape("AWS key id", re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b")),
    KeyShape("Hugging Face token", re.compile(r"\bhf_[A-Za-z0-9]{30,}")),
    KeyShape("Slack token", re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{16,}")),
    KeyShape("private key", re.compile(r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----")),
)
SECRET_NAME = re.compile(
    r"(?:^|[_-])(?:api[_-]?key|secret|secret[_-]?key|password|passwd|access[_-]?token|auth[_-]?token)$", re.I
)
"""Names of settings that would hold a secret."""

_URL_PASSWORD = re.compile(r"(?<=://)([^/\s:@]*):([^/\s@]+)(?=@)")


def kind_of_key(text: str) -> str:
    """The kind of key that `text` contains; empty if it contains none."""
    return next((shape.kind for shape in KEY_SHAPES if shape.pattern.search(text)), "")


def redact(text: str) -> str:
    """`text` with every key and every password in an address replaced by `(hidden)`."""
    for shape in KEY_SHAPES:
        text = shape.pattern.sub("(hidden)", text)
    return _URL_PASSWORD.sub(r"\1:(hidden)", text)
