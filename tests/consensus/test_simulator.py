"""A panel of three vendors over their real SDKs, against the simulator: what it books is what was bought."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from bessemer.interfaces.simulator import running
from tests.consensus._world import PanelWorld, answered, rule, voted
from tests.crash._world import done, launched

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]

PANEL = ("anthropic/claude-opus-4-6", "openai/gpt-5.4", "google/gemini-3.1-pro-preview")


def test_three_vendors_agree_and_every_call_is_booked_once(world: PanelWorld, short_tmp: Path) -> None:
    scenario = short_tmp / "simulated.yaml"
    first = r"answer name=.answer-1.\\n\\{.{0,20}Forty-two"
    rules = [
        rule(voted("answer-1", "answer-2"), text="Answers of others", backend=PANEL[0]),
        rule(voted("answer-1", "answer-2"), text=first.replace("\\\\", "\\")),
        rule(voted("answer-2", "answer-1"), text="Answers of others"),
        rule(answered("Forty-two"), backend=PANEL[0]),
        rule(answered("41"), backend=PANEL[1]),
        rule(answered("43"), backend=PANEL[2]),
    ]
    scenario.write_text(yaml.safe_dump({"rules": rules}))
    with running(scenario=str(scenario)) as simulator:
        urls = {"anthropic": simulator.url, "openai": f"{simulator.url}/v1", "google": simulator.url}
        vendors = {name: {"base_url": url, "key_variable": "BESSEMER_TEST_KEY"} for name, url in urls.items()}
        (world.root / ".bessemer" / "config.yaml").write_text(json.dumps({"backends": vendors}))
        (world.root / ".env").write_text("BESSEMER_TEST_KEY=simulated\n")
        flags = ["--no-cwd-context", "--cost-budget", "5", "--json", "--backends", *PANEL]
        driver = world.command("consensus", "What is 6 times 7?", *flags)
        launched(driver)
        outcome = done(driver)
        bought = [one["key"] for one in simulator.books() if one["billed"]]
    assert (outcome["ending"], outcome["by"]) == ("decided", [PANEL[0]])
    assert len(bought) == len(set(bought)) == 6
    assert 0 < outcome["cost"] < 5_000_000
