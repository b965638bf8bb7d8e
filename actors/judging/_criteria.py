"""Where criteria come from: the user's words, a preset, a model's proposal, or the probes there are."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import bessemer.configs
from bessemer.actors.judging._criteria_file import criteria_problems, parse_criteria
from bessemer.actors.judging.types import Category, CriteriaSet, Criterion
from bessemer.cluster.errors import CriteriaError

MAX_CRITERIA = 12
_PRESETS = Path(bessemer.configs.__file__).parent / "criteria"
_MAX_FILE_BYTES = 262_144

_LABEL = r"E\d{1,3}\s*(?:[\[(]\s*(?:must|should|could)\s*[\])])?\s*:"
_SPLIT = re.compile(rf"(?:^|[,;\n])\s*(?={_LABEL})", re.IGNORECASE)
_LABELLED = re.compile(
    r"^(?P<id>E\d{1,3})\s*(?:[\[(]\s*(?P<category>must|should|could)\s*[\])])?\s*:\s*(?P<text>.*)$",
    re.IGNORECASE | re.DOTALL,
)

_PROBE_TEXT = {
    "pytest": "Every test passes.",
    "ruff": "The linter has nothing to report.",
    "bandit": "The security scan has nothing to report.",
    "markdown": "The Markdown is well-formed and consistent.",
    "html": "The HTML is valid.",
    "spelling": "No word is misspelt.",
    "requirements": "Each requirement is single, testable and free of vague words.",
    "skill": "The SKILL.md is complete and valid.",
    "browser": "The page works in a browser: every control answers and nothing is logged as an error.",
}
_PROBE_WORDS = {
    "pytest": re.compile(r"\bpytest\b|\btests?\b.{0,20}\bpass|\bpass\w*\b.{0,20}\btests?\b", re.IGNORECASE),
    "ruff": re.compile(r"\bruff\b|\blint(er|ing|ed)?\b", re.IGNORECASE),
    "bandit": re.compile(r"\bbandit\b|\bsecurity (scan|findings)\b", re.IGNORECASE),
    "spelling": re.compile(r"\bcodespell\b|\bspell(ing|ed)\b|\bmisspel\w+", re.IGNORECASE),
    "html": re.compile(r"\bvalid html\b|\bhtml is valid\b", re.IGNORECASE),
}


def parse_inline(text: str) -> CriteriaSet:
    """Criteria as they are typed: `E1: …, E2: …`, or without ids one per line or semicolon; all of them `must`.

    A comma inside a text is part of it. `E2 [should]: …` sets another category. Raises CriteriaError.
    """
    labelled = _LABELLED.match(text.strip())
    parts = _SPLIT.split(text.strip()) if labelled else re.split(r"[;\n]", text)
    texts = [part.strip().strip(",;").strip() for part in parts]
    criteria = [_typed(n, part) for n, part in enumerate((part for part in texts if part), start=1)]
    return checked(CriteriaSet(source="user", criteria=tuple(criteria)), "--criteria")


def _typed(n: int, part: str) -> Criterion:
    found = _LABELLED.match(part)
    if found is None:
        return Criterion(id=f"E{n}", text=" ".join(part.split()), category="must")
    category: Category = (found["category"] or "must").lower()  # type: ignore[assignment]  # the pattern allows no other
    return Criterion(id=found["id"].upper(), text=" ".join(found["text"].split()), category=category)


def load_file(path: Path) -> CriteriaSet:
    """Criteria of a JSON or YAML file: a list, or an object with `criteria` and `aspiration`.

    Raises CriteriaError with the path, the line and the column of what is wrong.
    """
    return checked(parse_criteria(_read(path), str(path), source="file"), str(path))


def file_problems(path: Path) -> list[str]:
    """Everything that is wrong with a criteria file, each in one line with its place; empty for a sound one."""
    try:
        text = _read(path)
        found = criteria_problems(text, str(path))
        if not found:
            checked(parse_criteria(text, str(path), source="file"), str(path))
    except CriteriaError as error:
        return [error.message]
    return found


def preset_about(name: str) -> str:
    """One line on what a preset is for: the comment that opens its file. Raises CriteriaError as `load_preset`."""
    load_preset(name)
    text = _read(_PRESETS / f"{name.strip().lower().replace('-', '_')}.yaml")
    return text.splitlines()[0].lstrip("# ").strip()


def preset_names() -> tuple[str, ...]:
    """Names of the presets there are, sorted."""
    return tuple(sorted(file.stem for file in _PRESETS.glob("*.yaml")))


def load_preset(name: str) -> CriteriaSet:
    """A preset by name, with `_` or `-`. Raises CriteriaError naming those there are."""
    asked, name = name, name.strip().lower().replace("-", "_")
    if name not in preset_names():
        raise CriteriaError(f"there is no criteria preset {asked!r}; the presets are {', '.join(preset_names())}")
    path = _PRESETS / f"{name}.yaml"
    return checked(parse_criteria(_read(path), str(path), source="preset"), str(path))


def from_probes(probe_names: Sequence[str]) -> CriteriaSet:
    """Criteria for when no model may judge: one per probe, each a must.

    Without any probe there is one criterion that nothing can score, so that the verdict is `not_judged`.
    """
    names = list(dict.fromkeys(probe_names))
    if not names:
        only = Criterion(id="E1", text="The task is done as it was asked.", category="must")
        return CriteriaSet(source="probes", criteria=(only,))
    criteria = [
        Criterion(
            id=f"E{n}",
            text=_PROBE_TEXT.get(name, f"`{name}` succeeds."),
            category="must",
            probe=name,
            verify_by=f"the probe {name}",
        )
        for n, name in enumerate(names, start=1)
    ]
    return checked(CriteriaSet(source="probes", criteria=tuple(criteria)), "--probe")


def choose_criteria(
    *,
    inline: str | None = None,
    file: str | Path | None = None,
    preset: str | None = None,
    written: CriteriaSet | None = None,
    probes: Sequence[str] | None = None,
) -> CriteriaSet | None:
    """The first of: typed by the user, a file's, a preset's, written by a model, the probes'. None if none is given."""
    if inline is not None:
        return parse_inline(inline)
    if file is not None:
        return load_file(Path(file))
    if preset is not None:
        return load_preset(preset)
    if written is not None:
        return checked(written, "the criteria writer's answer")
    return from_probes(probes) if probes is not None else None


def bind_to_probes(criteria: CriteriaSet, probe_names: Sequence[str]) -> CriteriaSet:
    """Bind criteria that plainly speak of a probe (`all tests pass`, `no ruff findings`) to it, where none is bound.

    Only unmistakable words bind, each probe at most once: what stays unbound needs a model to judge it.
    """
    free = [name for name in dict.fromkeys(probe_names) if name not in {one.probe for one in criteria.criteria}]
    bound = []
    for criterion in criteria.criteria:
        match = "" if criterion.probe else next((name for name in free if _speaks_of(criterion.text, name)), "")
        if match:
            free.remove(match)
            criterion = criterion.model_copy(update={"probe": match})
        bound.append(criterion)
    return criteria.model_copy(update={"criteria": tuple(bound)})


def _speaks_of(text: str, probe: str) -> bool:
    words = _PROBE_WORDS.get(probe)
    return bool(words.search(text)) if words else f"`{probe}`" in text


def checked(criteria: CriteriaSet, origin: str) -> CriteriaSet:
    """The same set if it can be judged by. Raises CriteriaError on a wrong number, an id used twice, an empty text."""
    count = len(criteria.criteria)
    if count < 1:
        raise CriteriaError(f"{origin} gives 0 criteria; give 1 to {MAX_CRITERIA}, for example 'E1: every test passes'")
    if count > MAX_CRITERIA:
        raise CriteriaError(f"{origin} gives {count} criteria; give 1 to {MAX_CRITERIA}, merging those that overlap")
    seen: Mapping[str, int] = {one.id: n for n, one in enumerate(criteria.criteria)}
    for n, one in enumerate(criteria.criteria):
        if seen[one.id] != n:
            raise CriteriaError(f"{origin} uses the id {one.id} twice; give each criterion its own id")
        if not one.text.strip():
            raise CriteriaError(f"{origin} gives criterion {one.id} no text; write what is asked of the work")
    return criteria


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise CriteriaError(f"the criteria file {path} is larger than {_MAX_FILE_BYTES} bytes; shorten it")
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise CriteriaError(f"the criteria file {path} does not exist; give the path of a JSON or YAML file") from None
    except UnicodeDecodeError as error:
        raise CriteriaError(f"the criteria file {path} is not UTF-8 at byte {error.start}; save it as UTF-8") from None
    except OSError as error:
        raise CriteriaError(f"the criteria file {path} cannot be read: {error.strerror}; check the path") from None
