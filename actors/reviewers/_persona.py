"""Personas: reviewers defined by Markdown files with YAML frontmatter, ours or the user's."""

from __future__ import annotations

import functools
import unicodedata
from pathlib import Path
from typing import NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

import bessemer.configs
from bessemer.cluster.canonical import content_hash
from bessemer.cluster.errors import SettingsError

_CONFIGS = Path(bessemer.configs.__file__).parent
BUILT_IN = _CONFIGS / "personas"
PROMPTS = _CONFIGS / "prompts"
_SHARED = ("reviewer", "repair")


class _Front(BaseModel):
    """The frontmatter."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")
    stage: str = Field(min_length=1)
    focus: str = Field(min_length=1)
    tags: tuple[str, ...] = ()
    schema_: str = Field(alias="schema", min_length=1)


class Persona(BaseModel):
    """A reviewer: what it looks at, and the prompt that makes it do so."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    stage: str
    focus: str
    tags: tuple[str, ...] = ()
    answers: str
    """Name and version of the schema it answers in, e.g. `evaluation/1`."""
    body: str
    content_hash: str
    """SHA-256 of the whole file in NFC with plain line ends: what makes two dispatches comparable."""
    origin: str
    """Path of the file, or `built-in`."""


PROBES = Persona(
    name="probes",
    stage="evaluation",
    focus="what deterministic measurements say of the work",
    answers="evaluation/1",
    body="",
    content_hash=content_hash("probes: verdict and tasks computed from measurements, formula 1"),
    origin="built-in",
)
"""Who judges where no model may."""


def load_persona(name: str, overrides: Path | None = None) -> Persona:
    """The persona called `name`: the user's in `overrides` if there is one, else ours. Raises SettingsError."""
    found = _files(overrides)
    if name not in found:
        raise SettingsError(f"there is no persona {name!r}; there are {', '.join(found)}")
    return read_persona(found[name])


def load_personas(overrides: Path | None = None) -> dict[str, Persona]:
    """All personas by name. Raises SettingsError on the first malformed file."""
    return {name: read_persona(path) for name, path in _files(overrides).items()}


def persona_hashes(overrides: Path | None = None) -> dict[str, str]:
    """Content hashes of all personas, and of the prompts they share: what a run pins."""
    shared = {f"prompts/{name}": content_hash(prompt(name)) for name in _SHARED}
    return {name: persona.content_hash for name, persona in load_personas(overrides).items()} | shared


@functools.cache
def prompt(name: str) -> str:
    """A prompt that personas share, by name."""
    return (PROMPTS / f"{name}.md").read_text(encoding="utf-8").strip()


def read_persona(path: Path) -> Persona:
    """A persona file. Raises SettingsError with path and line of what is wrong."""
    text = _normalised(path)
    front, body, first_line = _split(path, text)
    if front.name != path.stem:
        raise SettingsError(f"{path}:2 names the persona {front.name!r}; it must be the file's name {path.stem!r}")
    if not body:
        raise SettingsError(f"{path}:{first_line} has no prompt below the frontmatter; write what the reviewer does")
    return Persona(
        name=front.name,
        stage=front.stage,
        focus=front.focus,
        tags=front.tags,
        answers=front.schema_,
        body=body,
        content_hash=content_hash(text),
        origin=str(path),
    )


def _files(overrides: Path | None) -> dict[str, Path]:
    own = {path.stem: path for path in sorted(BUILT_IN.glob("*.md"))}
    theirs = {path.stem: path for path in sorted(overrides.glob("*.md"))} if overrides else {}
    return dict(sorted((own | theirs).items()))


def _normalised(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}:1 is not UTF-8 at byte {error.start}; save it as UTF-8") from None
    except OSError as error:
        raise SettingsError(f"{path}:1 cannot be read: {error.strerror}; check the file") from None
    lines = unicodedata.normalize("NFC", text).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\n".join(line.rstrip() for line in lines).strip() + "\n"


class _Parts(NamedTuple):
    front: _Front
    body: str
    first_line: int
    """1-based line on which the body begins."""


def _split(path: Path, text: str) -> _Parts:
    lines = text.split("\n")
    if lines[0] != "---":
        raise SettingsError(f"{path}:1 does not begin with `---`; put name, stage, focus and schema in frontmatter")
    if "---" not in lines[1:]:
        raise SettingsError(f"{path}:1 opens a frontmatter that never ends; close it with a line `---`")
    end = lines.index("---", 1)
    front = _front(path, "\n".join(lines[1:end]))
    return _Parts(front, "\n".join(lines[end + 1 :]).strip(), end + 2)


def _front(path: Path, text: str) -> _Front:
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        return _Front.model_validate(yaml.safe_load(text) or {})
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 2 if mark else 2
        raise SettingsError(f"{path}:{line} is not valid YAML: {error.problem or error.context}; correct it") from None
    except yaml.YAMLError as error:
        words = " ".join(str(error).split())
        raise SettingsError(f"{path}:2 begins a frontmatter that is not valid YAML: {words}; correct it") from None
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0]) if first["loc"] else ""
        line = _line_of(node, key)
        raise SettingsError(f"{path}:{line} has a wrong frontmatter {key!r}: {first['msg']}; correct it") from None


def _line_of(node: yaml.Node | None, key: str) -> int:
    """Line of a key in the file: the frontmatter begins on its second."""
    if isinstance(node, yaml.MappingNode):
        for name, _ in node.value:
            if name.value == key:
                return int(name.start_mark.line) + 2
    return 2
