"""MassGen: several models that answer and vote inside one batch process of its own.

Its backend's name lists its models, `massgen/anthropic/MODEL+openai/MODEL`. Every request of every model passes the
gateway. It writes what came of it into its workspace, which is read as data of a program that is not trusted.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bessemer.actors.backends.agents._agent import GATEWAY, Answer, Launch, Place, UnreadableOutput
from bessemer.actors.backends.base import Usage, split_name

MASSGEN = "massgen"
_TYPES = {"anthropic": "claude", "openai": "openai", "google": "gemini"}
_VENDOR_OF = {"codex": "openai", "claude-code": "anthropic", "gemini-cli": "google"}
VENDORS = tuple(_TYPES)
_RESULT, _CONFIG = "result.md", "massgen.json"
_ASK = "Do what your system message says. Answer with what it asks for and nothing else."
_MOST_BYTES = 2_000_000
_DOLLAR = "BESSEMER_DOLLAR"
"""MassGen puts variables into its configuration, so a dollar sign before a brace is written as one."""
_GRACE = 0.9
"""Part of its time after which it is told to end by itself."""
_LOGS = ".massgen/massgen_logs"
_MOST_LOGS = 20
_ENDED_WELL = ("completed", "timeout")


def members(model: str) -> tuple[str, ...]:
    """`vendor/model` of each model of a panel; empty where one of them cannot be reached through the gateway."""
    names = [split_name(part) for part in model.split("+")]
    found = [(_VENDOR_OF.get(one.provider, one.provider), one.model) if one else ("", "") for one in names]
    if any(vendor not in _TYPES for vendor, _ in found):
        return ()
    return tuple(f"{vendor}/{name}" for vendor, name in found)


class Massgen:
    provider = MASSGEN
    program = "massgen"
    package = "massgen"
    fallback = ""
    credentials: tuple[str, ...] = ()
    login_argv: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()

    def vendors(self, model: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(one.partition("/")[0] for one in members(model)))

    def launch(self, place: Place) -> Launch:
        config, result = f"{place.home}/{_CONFIG}", f"{place.work}/{_RESULT}"
        words = (place.program, "--automation", "--config", config, "--output-file", result, _ASK)
        env = {
            "ANTHROPIC_BASE_URL": GATEWAY,
            "OPENAI_BASE_URL": f"{GATEWAY}/v1",
            "GOOGLE_GEMINI_BASE_URL": GATEWAY,
            **dict.fromkeys(("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY"), place.token),
            "NO_COLOR": "1",
            _DOLLAR: "$",
        }
        return Launch(words, env, {_CONFIG: json.dumps(_config(place))}, stdin=False, gather=gather)

    def read(self, stdout: str, model: str) -> Answer:
        told = json.loads(stdout)
        status = told["status"]
        text = str(told["answer"])
        reason = str(status.get("finish_reason") or "")
        if not text:
            raise UnreadableOutput("it left no answer: neither its output file nor its winner's")
        failed = reason not in ("", *_ENDED_WELL)
        costs = _object(status, "costs")
        return Answer(
            text="" if failed else text,
            usage=_usage(costs),
            cost=_dollars(costs.get("total_estimated_cost")),
            model=model,
            session=str(_object(status, "meta").get("session_id") or ""),
            error=f"it ended as {reason}: {str(status.get('finish_reason_details') or '')[:200]}" if failed else "",
        )


def gather(stdout: str, work: Path) -> str:
    """What a run left behind: `{"answer": …, "status": …}`. The newest status counts; a file that is no plain file of
    the workspace, or that is too large, counts as missing."""
    folder = _newest(work / _LOGS)
    status = _json(folder / "status.json", work) if folder else {}
    winner = str(_object(status, "results").get("winner") or "")
    answer = _text(work / _RESULT, work).strip()
    if not answer and folder and winner and "/" not in winner and winner not in (".", ".."):
        answer = _text(folder / "final" / winner / "answer.txt", work).strip()
    return json.dumps({"answer": answer, "status": status})


def _config(place: Place) -> Mapping[str, Any]:
    """Agents that have the prompt as their system message: other users of the machine can read a command line.

    Without a folder of their own they get no tools: those for files come from npm when they start, which the sandbox
    has no way to, so that each turn waited 40 s for them.
    """
    prompt = place.prompt.replace("${", f"${{{_DOLLAR}}}{{")
    agents = []
    for number, member in enumerate(members(place.model)):
        vendor, _, model = member.partition("/")
        backend = {"type": _TYPES[vendor], "model": model}
        agents.append({"id": f"agent_{number + 1}", "backend": backend, "system_message": prompt})
    return {
        "agents": agents,
        "orchestrator": {"snapshot_storage": "snapshots", "agent_temporary_workspace": "temp_workspaces"},
        "timeout_settings": {"orchestrator_timeout_seconds": int(place.seconds * _GRACE)},
        "ui": {"display_type": "simple", "logging_enabled": True},
    }


def _newest(logs: Path) -> Path | None:
    """The attempt's folder whose status was written last, of the newest few logs."""
    try:
        found = [path for log in sorted(logs.glob("log_*"))[-_MOST_LOGS:] for path in log.glob("turn_*/attempt_*")]
        return max((path for path in found if (path / "status.json").is_file()), key=_written, default=None)
    except OSError:
        return None


def _written(folder: Path) -> tuple[int, str]:
    return (folder / "status.json").stat().st_mtime_ns, str(folder)


def _text(path: Path, work: Path) -> str:
    try:
        if not path.resolve(strict=True).is_relative_to(work.resolve()):
            return ""
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode) or about.st_size > _MOST_BYTES:
                return ""
            return file.read(_MOST_BYTES).decode(errors="replace")
    except OSError:
        return ""


def _json(path: Path, work: Path) -> dict[str, Any]:
    try:
        value = json.loads(_text(path, work))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _object(value: dict[str, Any], key: str) -> dict[str, Any]:
    found = value.get(key)
    return found if isinstance(found, dict) else {}


def _usage(costs: dict[str, Any]) -> Usage | None:
    inward, outward = costs.get("total_input_tokens"), costs.get("total_output_tokens")
    if type(inward) is not int or type(outward) is not int or inward < 0 or outward < 0:
        return None
    return Usage(input=inward, output=outward)


def _dollars(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 else None
