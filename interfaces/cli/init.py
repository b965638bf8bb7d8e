"""`bessemer init`: a configuration from the keys that are there."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from bessemer.interfaces.cli._options import Json
from bessemer.interfaces.cli._questions import answer_to


def init(
    headless: Annotated[bool, typer.Option("--headless", help="Ask nothing; take the first that can be used.")] = False,
    agent: Annotated[
        list[str] | None,
        typer.Option("--agent", metavar="backend=…,model=…", help="A model to use; the first builds. Repeatable."),
    ] = None,
    cost_budget: Annotated[str | None, typer.Option(metavar="USD", help="Most dollars one run may spend.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a configuration; a copy is kept.")] = False,
    as_json: Json = False,
) -> None:
    """Find the keys that are there and write .bessemer/config.yaml."""
    from bessemer.cluster.money import parse_usd
    from bessemer.cluster.settings import config_files, load_settings
    from bessemer.interfaces import _configurations as configurations
    from bessemer.interfaces.cli._frame import say

    cap = (cost_budget or "").strip().lstrip("$")
    if cost_budget is not None:
        parse_usd(cost_budget, "--cost-budget")
    _, project = config_files()
    if project.exists() and not force:
        configurations.write(project, {}, force=False)
    settings = load_settings(layered=False)
    found = configurations.usable_backends(settings)
    say(f"usable here: {', '.join(found) or 'no vendor key and no agent was found'}")
    named = [configurations.agent_of(text) for text in agent or ()]
    chosen = named or _choose(found, ask=not headless and sys.stdin.isatty())
    if not cap and not headless and not named and sys.stdin.isatty():
        cap = _ask_cap()
    values = configurations.compose(chosen[0], chosen[1:] or chosen[:1], cap)
    configurations.write(project, values, force=force)
    _tell(project, chosen, as_json=as_json)


def _choose(found: Sequence[str], *, ask: bool) -> list[str]:
    """The builder, then the judge where it is another."""
    from bessemer.cluster.errors import UsageError
    from bessemer.interfaces._prepare import EMBEDDED

    if not found:
        if not ask:
            raise UsageError(
                "no key is set and no agent is installed; set a key (for example ANTHROPIC_API_KEY in .env), or take "
                "the embedded model: bessemer init --agent backend=embedded"
            )
        return [EMBEDDED]
    if not ask:
        return [found[0]]
    for number, name in enumerate(found, start=1):
        print(f"  {number}  {name}", file=sys.stderr)
    builder = found[_number("Which one builds", len(found)) - 1]
    judge = found[_number("Which one judges", len(found)) - 1]
    return [builder] if judge == builder else [builder, judge]


def _number(question: str, most: int) -> int:
    while True:
        answer = answer_to(question, default="1")
        if answer.isdigit() and 1 <= int(answer) <= most:
            return int(answer)
        print(f"give a number from 1 to {most}", file=sys.stderr)


def _ask_cap() -> str:
    from bessemer.cluster.errors import UsageError
    from bessemer.cluster.money import parse_usd

    while True:
        answer = answer_to("Most dollars one run may spend (empty for no cap)", default="")
        try:
            if answer:
                parse_usd(answer, "the cap")
            return answer.lstrip("$")
        except UsageError as error:
            print(error.message, file=sys.stderr)


def _tell(path: Path, chosen: Sequence[str], *, as_json: bool) -> None:
    from bessemer.cluster.settings import load_settings
    from bessemer.interfaces import _configurations as configurations
    from bessemer.interfaces.cli._frame import emit, say

    build, judges = chosen[0], list(chosen[1:] or chosen[:1])
    problems = configurations.problems_of(load_settings())
    if as_json:
        emit({"path": str(path), "build_backend": build, "eval_backends": judges, "problems": problems})
    say(f"wrote {path}: {build} builds, {', '.join(judges)} judges")
    for problem in problems:
        say(f"to mend: {problem}")
