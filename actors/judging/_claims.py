"""What a judge says of the probes, held against what they measured."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bessemer.actors.judging._text import folded
from bessemer.actors.probes.base import ProbeResult

_EXCEPT = r"(?!\W{0,3}(?:except|but|apart|save|besides|other than|only (?:if|when)))"
_CLAIMS: dict[str, tuple[str, ...]] = {
    "pytest": (
        r"all (?:of )?(?:the |its |\d+ )?(?:unit |existing |\d+ )?tests? (?:now )?pass(?:es|ed|ing)?",
        r"all (?:of )?(?:the |its |\d+ )?(?:unit |existing )?tests? (?:now )?(?:succeed(?:s|ed)?|are green)",
        r"tests? all (?:pass(?:es|ed)?|succeed(?:s|ed)?)",
        r"every (?:single )?test (?:now )?(?:pass(?:es|ed)|succeeds?)",
        r"(?:no|zero|0) (?:failing|failed) tests?",
        r"no tests? fail(?:s|ed)?",
        r"(?:the )?(?:entire |full |whole )?test suite (?:now )?(?:pass(?:es|ed)|succeeds|is green)",
        r"100 ?% of (?:the )?tests? pass",
    ),
    "ruff": (
        r"(?:no|zero|0) lint(?:er|ing)? (?:errors?|findings?|issues?|warnings?|problems?)",
        r"lint(?:er|ing)? (?:is |comes out )?(?:clean|passes|passed)",
        r"lint[- ]free",
    ),
    "bandit": (r"(?:no|zero|0) security (?:findings?|issues?|warnings?)",),
    "spelling": (r"(?:no|zero|0) (?:spelling (?:errors?|mistakes?)|typos?|misspellings?)",),
    "html": (r"(?:the )?html is (?:fully )?valid", r"(?:no|zero|0) html errors?"),
    "browser": (r"(?:no|zero|0) console errors?",),
}
_DENIED = re.compile(r"(?:\bnot|n't|\bnever|\bhardly|\bif|\bonce|\bunless|\bclaims? that|\buntil)\s*$")


def contradicted_probe(reason: str, failed: Sequence[ProbeResult]) -> str:
    """Name of the first failed probe, by name, that `reason` says is fine; empty if it says so of none."""
    text = folded(reason)
    for name in sorted({probe.probe for probe in failed}):
        if any(_claimed(pattern, text) for pattern in _patterns(name)):
            return name
    return ""


def _patterns(name: str) -> tuple[str, ...]:
    quoted = rf"`?{re.escape(folded(name))}`?"
    said = (
        rf"{quoted} (?:now )?(?:pass(?:es|ed)|succeeds|succeeded|is clean|is green)",
        rf"(?:no|zero|0) {quoted} (?:errors?|findings?|issues?|failures?)",
    )
    # A user's command line such as `pytest -q` speaks of what the command it starts speaks of.
    return said + next((claims for key, claims in _CLAIMS.items() if re.search(rf"\b{key}\b", name)), ())


def _claimed(pattern: str, text: str) -> bool:
    found = re.finditer(rf"(?<!\w){pattern}(?!\w){_EXCEPT}", text)
    return any(not _DENIED.search(text[: match.start()]) for match in found)
