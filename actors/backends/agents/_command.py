"""Any program as a backend, told in the settings."""

from __future__ import annotations

import json
from typing import Any

from bessemer.actors.backends.agents._agent import Answer, Launch, Place, UnreadableOutput, json_lines
from bessemer.actors.backends.base import Usage
from bessemer.cluster.agent_settings import CommandSettings


class Command:
    """`command/NAME`. It gets no key, no network and no gateway."""

    provider = "command"
    package = ""
    fallback = ""
    credentials: tuple[str, ...] = ()
    login_argv: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()

    def __init__(self, settings: CommandSettings) -> None:
        self._settings = settings
        self.program = settings.argv[0]

    def vendors(self, model: str) -> tuple[str, ...]:
        return ()

    def launch(self, place: Place) -> Launch:
        places = {"{prompt_file}": place.prompt_file, "{model}": place.model}
        words = [place.program]
        for word in self._settings.argv[1:]:
            for name, value in places.items():
                word = word.replace(name, value)
            words.append(word)
        return Launch(tuple(words), dict(self._settings.env), stdin=not place.prompt_file)

    def read(self, stdout: str, model: str) -> Answer:
        given = self._settings
        if given.output == "text":
            return Answer(text=stdout.strip(), model=model)
        told = self._told(stdout)
        text = pick(told, given.text_at)
        if text is None:
            raise UnreadableOutput(f"its JSON has nothing at {given.text_at!r} (text_at)")
        inward, outward = pick(told, given.input_tokens_at), pick(told, given.output_tokens_at)
        cost = pick(told, given.cost_at)
        tokens = isinstance(inward, int) and isinstance(outward, int) and inward >= 0 and outward >= 0
        return Answer(
            text=text if isinstance(text, str) else json.dumps(text),
            usage=Usage(input=inward, output=outward) if tokens else None,
            cost=float(cost) if isinstance(cost, int | float) and not isinstance(cost, bool) and cost >= 0 else None,
            model=model,
        )

    def _told(self, stdout: str) -> Any:
        if self._settings.output == "jsonl":
            lines = json_lines(stdout)
            if not lines:
                raise UnreadableOutput("its output has no JSON lines")
            return lines[-1]
        try:
            return json.loads(stdout)
        except (ValueError, RecursionError):
            raise UnreadableOutput(f"its output is no JSON: {' '.join(stdout.split())[:200]!r}") from None


def pick(value: Any, path: str) -> Any:
    """What stands at a dotted path of keys and positions; None where nothing does, or the path is empty."""
    if not path:
        return None
    for key in path.split("."):
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list) and key.lstrip("-").isdigit() and -len(value) <= int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    return value
