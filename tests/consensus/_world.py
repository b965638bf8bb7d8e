"""A folder with a panel of scripted agents, and what their vendor served."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from tests.crash._world import World


def voted(choice: str, *others: str, score: int = 7, reason: str = "read all") -> dict[str, Any]:
    """A vote for a label, with ratings of every label named."""
    ratings = [{"answer": one, "criterion": "overall", "score": score} for one in (choice, *others)]
    fields = {"vote": choice, "ranking": [choice, *others], "ratings": ratings}
    return {"action": "vote", "reason": reason, "answer": None, **fields}


def answered(text: str, later: bool = False, files: tuple[dict[str, str], ...] = ()) -> dict[str, Any]:
    """An answer; after the first round a reply has more fields."""
    more: dict[str, Any] = {"vote": None, "ranking": [], "ratings": []} if later else {}
    return {"action": "answer", "reason": "it is so", "answer": {"text": text, "files": list(files)}, **more}


def rule(data: dict[str, Any] | None, *, fail: str = "", latency: float = 0.0, **match: Any) -> dict[str, Any]:
    answer = {"fail": fail} if fail else {"data": data}
    return {"match": match, "answer": {**answer, "latency": latency}}


class PanelWorld(World):
    """The usual world with a scenario of its own."""

    def script(self, *rules: dict[str, Any], price: float | None = None) -> None:
        """What agents say. `price` is dollars for a million tokens either way."""
        (self.root / "scenario.yaml").write_text(yaml.safe_dump({"rules": list(rules)}, sort_keys=False))
        if price is not None:
            path = self.root / ".bessemer" / "config.yaml"
            config = json.loads(path.read_text())
            config["backends"]["prices"] = {"overrides": {"scripted/*": {"input": price, "output": price}}}
            path.write_text(json.dumps(config))

    def consensus(self, *more: str, agents: str = "a b c", task: str = "What is 6 times 7?") -> Any:
        backends = [f"scripted/{one}" for one in agents.split()]
        return self.command("consensus", task, "--no-cwd-context", "--json", *more, "--backends", *backends)

    def served(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.books.read_text().splitlines()] if self.books.exists() else []

    def work(self, name: str) -> Path:
        return self.root / name
