"""An agent's own login, made by the agent itself on this terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from bessemer.actors.backends.agents import AGENTS, find_program, has_login, login_home, missing_program
from bessemer.cluster.backend_settings import BackendSettings
from bessemer.cluster.errors import SettingsError, UnknownBackend

_KEPT = ("PATH", "TERM", "LANG", "LC_ALL", "DISPLAY", "BROWSER", "WAYLAND_DISPLAY", "SSH_CONNECTION", "COLORTERM")
_PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "https_proxy", "http_proxy", "no_proxy", "NODE_EXTRA_CA_CERTS")


def log_in(name: str, settings: BackendSettings) -> int:
    """Run the agent's login in the HOME kept for it, which only this user can read; the agent's exit code.

    It sees no key, so that it cannot log in with one. Raises UnknownBackend and SettingsError (no such program).
    """
    provider = name.replace("_", "-")
    agent = AGENTS.get(provider)
    if agent is None:
        raise UnknownBackend(f"no agent is called {name!r}; choose one of {', '.join(AGENTS)}")
    program = find_program(settings.agents.of(provider).program or agent.program)
    if program is None:
        raise SettingsError(missing_program(provider, settings))
    home = _home(login_home(provider, settings))
    words = [program.path, *agent.login_argv]
    print(f"starting {' '.join([agent.program, *agent.login_argv])} with its own home {home}", file=sys.stderr)
    if not agent.login_argv:
        print("log in when it asks, then leave it with /quit", file=sys.stderr)
    variables = {key: os.environ[key] for key in (*_KEPT, *_PROXIES) if key in os.environ}
    code = subprocess.run(words, env={**variables, "HOME": str(home)}, cwd=home, check=False).returncode
    if code == 0 and not has_login(provider, settings):
        print(f"{agent.program} ended without a login; run this again", file=sys.stderr)
        return 2
    if code == 0:
        said = "its calls are unmetered, so a run with a budget refuses them unless you set a price for each call"
        print(f"{provider} is logged in; {said}", file=sys.stderr)
    return code


def _home(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.chmod(0o700)
    return path
