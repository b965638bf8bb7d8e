"""Builders: a task and a base commit in, one changed tree with its measurements out."""

from bessemer.actors.backends import Capabilities
from bessemer.actors.builders._select import best, improvement, settles
from bessemer.actors.builders._tasks import tasks_from_probes
from bessemer.actors.builders.base import Builder

__all__ = ["best", "builder_for", "improvement", "settles", "tasks_from_probes"]


def builder_for(capabilities: Capabilities) -> Builder:
    """The builder that suits a backend: `agent` where it can call tools, else `focused`. Imports only what it needs."""
    if capabilities.tools:
        from bessemer.actors.builders._agent import AgentBuilder

        return AgentBuilder()
    from bessemer.actors.builders._focused import FocusedBuilder

    return FocusedBuilder()
