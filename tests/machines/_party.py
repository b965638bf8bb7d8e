"""A driver of many runs at once, as a process that may be killed and started again: it resumes what it had."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from bessemer.actors._nodes import check_nodes
from bessemer.actors.run_host import RunSpec
from bessemer.cluster import ray_session
from bessemer.cluster.errors import BessemerError
from bessemer.cluster.home import Home
from bessemer.interfaces._driver import Driver

FLUSH_SECONDS = 120.0


async def drive(driver: Driver, spec: RunSpec, results: Path) -> None:
    """One run to its end; what it came to goes to a file, and what it broke off with beside it."""
    target = results / f"{spec.run}.json"
    while not target.exists():
        try:
            await driver.start(spec)
            outcome = await driver.watch(spec, lambda event: None)
        except BessemerError as error:
            with (results / "errors.txt").open("a") as file:
                file.write(f"{type(error).__name__} {spec.run}: {error.message}\n")
            await asyncio.sleep(1)
        else:
            partial = target.with_suffix(".part")
            partial.write_text(json.dumps(outcome))
            partial.replace(target)


async def party(order: dict[str, Any]) -> None:
    home = Home.model_validate(order["home"])
    await asyncio.to_thread(ray_session.join, order["address"])
    await asyncio.to_thread(check_nodes, home)
    driver = Driver(home)
    specs = [RunSpec.model_validate(spec) for spec in order["specs"]]
    await asyncio.gather(*(drive(driver, spec, Path(order["results"])) for spec in specs))
    await driver.flush(FLUSH_SECONDS)


if __name__ == "__main__":
    asyncio.run(party(json.loads(Path(sys.argv[1]).read_text())))
