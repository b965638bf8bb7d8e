"""Who judges where several are named: those with a key, a MassGen of their own, or what is left when nobody has one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bessemer.actors.backends.agents import MASSGEN, find_program, members, missing_program
from bessemer.cluster.errors import MissingKey, UsageError
from bessemer.cluster.settings import Settings

Use = Callable[[str], str]
"""Resolves one backend and checks its key; raises MissingKey."""


def authenticated(named: Sequence[str], use: Use, notices: list[str]) -> tuple[str, ...]:
    """Of several named, those whose key is there; of the others is said which key they lack.

    One alone must have its key. Raises UsageError for one named twice, and what `use` raises for anything but a missing
    key of one among several.
    """
    refuse_twice(named)
    if len(named) == 1:
        return (use(named[0]),)
    found, lacking = [], []
    for one in named:
        try:
            found.append(use(one))
        except MissingKey as error:
            lacking.append(error.message)
    notices += [f"left out: {said}" for said in lacking]
    refuse_twice(found)  # a short name and its long one are the same backend
    return tuple(found)


def refuse_twice(backends: Sequence[str]) -> None:
    """Raises UsageError for a backend that is named more than once."""
    if twice := [one for one in backends if backends.count(one) > 1]:
        raise UsageError(f"{twice[0]} is named {backends.count(twice[0])} times; name each backend once")


def through_massgen(
    backends: Sequence[str], settings: Settings, notices: list[str], *, asked: bool = False
) -> tuple[str, ...]:
    """The backends as one MassGen, where the user or the settings want it; the first alone where it is not installed.

    Models that its gateway cannot reach are left out and named.
    """
    if not (asked or settings.eval.orchestrator == "massgen") or not backends:
        return tuple(backends)
    if any(one.startswith(f"{MASSGEN}/") for one in backends):
        return tuple(backends)
    if find_program(settings.backends.agents.massgen.program or MASSGEN) is None:
        notices.append(f"{missing_program(MASSGEN, settings.backends)}; {backends[0]} judges alone")
        return (backends[0],)
    reached = {one: members(one) for one in backends}
    notices += [f"{one} cannot be metered inside MassGen: left out" for one, found in reached.items() if not found]
    models = [one for found in reached.values() for one in found]
    if not models:
        notices.append(f"MassGen can reach none of them; {backends[0]} judges alone")
        return (backends[0],)
    return (f"{MASSGEN}/{'+'.join(dict.fromkeys(models))}",)
