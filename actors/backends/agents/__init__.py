"""Agents people already have, and any other program, as backends."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from bessemer.actors.backends.agents._access import (
    AGENTS,
    COMMAND,
    Billing,
    access_of,
    agent_keys,
    billing,
    call_seconds,
    check_access,
    has_login,
    login_home,
    missing_program,
    priced_as,
    program_name,
    substitute,
)
from bessemer.actors.backends.agents._massgen import MASSGEN, members
from bessemer.actors.backends.agents._program import find_program
from bessemer.actors.backends.base import Backend, BackendName
from bessemer.cluster.backend_settings import BackendSettings
from bessemer.cluster.errors import SettingsError

if TYPE_CHECKING:
    from bessemer.actors.gateway import Meter, Upstream

__all__ = [
    "AGENTS",
    "COMMAND",
    "MASSGEN",
    "Billing",
    "access_of",
    "agent_keys",
    "billing",
    "call_seconds",
    "check_access",
    "find_program",
    "has_login",
    "login_home",
    "members",
    "missing_program",
    "open_agent",
    "priced_as",
    "substitute",
]


def open_agent(
    name: BackendName, settings: BackendSettings, meter: Meter | None, upstream: Callable[[str], Upstream]
) -> Backend:
    """A backend that runs a program. `upstream` gives a vendor's address and key.

    Raises SettingsError (no such program), MissingKey, UnknownBackend.
    """
    from bessemer.actors.backends.agents._backend import AgentBackend
    from bessemer.actors.backends.agents._command import Command

    check_access(name, settings)
    program = find_program(program_name(name, settings))
    if name.provider == COMMAND:
        command = settings.commands[name.model]
        if program is None:
            raise SettingsError(f"{name} needs the program {command.argv[0]!r}, which is not there; give its path")
        return AgentBackend(name, Command(command), program, settings, None)
    if program is None:
        raise SettingsError(missing_program(name.provider, settings))
    agent = AGENTS[name.provider]
    if access_of(name.provider, settings) == "login":
        return AgentBackend(name, agent, program, settings, None)
    if meter is None:
        raise SettingsError(f"{name} is metered, so it can be used inside a run only")
    from bessemer.actors.gateway import Gateway

    vendors = agent.vendors(name.model)
    return AgentBackend(name, agent, program, settings, Gateway(meter, {one: upstream(one) for one in vendors}))
