"""Doors of other systems: macOS Seatbelt and a container runtime. Command builders only; not tried on this project's
machines, so each is used only when its trial run shows that it shuts in."""

from __future__ import annotations

from bessemer.cluster.sandbox._limits import limited
from bessemer.cluster.sandbox._policy import SandboxPolicy
from bessemer.cluster.sandbox._view import environment, hidden_paths, visible_paths

IMAGE = "docker.io/library/python:3.11-slim"


def seatbelt(binary: str, policy: SandboxPolicy, command: list[str], private: str) -> list[str]:
    """`sandbox-exec` with a profile that denies homes, writing and the network."""
    shown = [*visible_paths(policy), policy.workspace, *policy.writable_paths, private]
    written = [*([policy.workspace] if policy.writable else []), *policy.writable_paths, private, "/dev"]
    rules = ["(version 1)", "(allow default)", '(deny file-write* (subpath "/"))']
    rules += ["" if policy.network else "(deny network*)", '(deny file-read* (subpath "/Users"))']
    rules += [f'(allow file-read* (subpath "{_quoted(path)}"))' for path in shown]
    rules += [f'(allow file-write* (subpath "{_quoted(path)}"))' for path in written]
    rules += [f'(deny file-read* (subpath "{_quoted(path)}"))' for path in hidden_paths(policy)]
    variables = {**environment(policy), "HOME": private, "TMPDIR": private}
    settings = [f"{name}={value}" for name, value in variables.items()]
    return [binary, "-p", "\n".join(rules), "/usr/bin/env", "-i", *settings, *limited(policy, command)]


def container(binary: str, policy: SandboxPolicy, command: list[str], image: str = IMAGE) -> list[str]:
    """`docker run` or `podman run`: read-only root, no network, no capability, limits by cgroup."""
    words = [binary, "run", "--rm", "--init", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"]
    words += [f"--pids-limit={policy.processes}", f"--memory={policy.memory_bytes}", "--tmpfs=/tmp:exec"]
    words += [] if policy.network else ["--network=none"]
    words += [f"--volume={path}:{path}:ro" for path in visible_paths(policy)]
    words += [f"--volume={policy.workspace}:{policy.workspace}:{'rw' if policy.writable else 'ro'}"]
    words += [f"--volume={path}:{path}:rw" for path in policy.writable_paths]
    words += [f"--env={name}={value}" for name, value in environment(policy).items()]
    return [*words, f"--workdir={policy.workspace}", image, *limited(policy, command)]


def _quoted(path: str) -> str:
    return path.replace("\\", "\\\\").replace('"', '\\"')
