"""The builders' prompts: versioned files in `configs/prompts`, read as named sections."""

from __future__ import annotations

import functools
import re
from importlib import resources
from typing import NamedTuple

import yaml

from bessemer.cluster.errors import SettingsError


class Prompt(NamedTuple):
    """A prompt file: what it is called, its version, and its sections by heading."""

    name: str
    version: int
    sections: dict[str, str]

    def fill(self, section: str, **values: str) -> str:
        """A section with `{name}` replaced by its value. Values are never read as templates."""
        text = self.sections[section]
        return re.sub(r"\{(\w+)\}", lambda found: values.get(found[1], found[0]), text)


@functools.cache
def load_prompt(name: str) -> Prompt:
    """`configs/prompts/<name>.md`. Raises SettingsError where the file has no front matter."""
    text = resources.files("bessemer.configs").joinpath("prompts", f"{name}.md").read_text(encoding="utf-8")
    parts = re.split(r"^---\s*$", text, maxsplit=2, flags=re.MULTILINE)
    if len(parts) != 3:
        raise SettingsError(f"prompt {name!r} has no front matter; begin configs/prompts/{name}.md with ---")
    head = yaml.safe_load(parts[1])
    pieces = re.split(r"^# (\w+)\s*$", parts[2], flags=re.MULTILINE)[1:]
    sections = {key: body.strip() for key, body in zip(pieces[::2], pieces[1::2], strict=True)}
    return Prompt(head["name"], int(head["version"]), sections)
