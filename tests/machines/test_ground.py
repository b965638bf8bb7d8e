"""The same refinement on every ground: files, a database server, an object store; and with both away for a while."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests._postgresql import Postgresql, free_port
from tests._s3 import S3
from tests.crash._world import done, lake_keys, launched, read_books, tree_of
from tests.machines._stage import Stage

pytestmark = [pytest.mark.ray, pytest.mark.timeout(400)]


@pytest.fixture
def stage(short_tmp: Path, ray_cluster: str) -> Iterator[Callable[..., Stage]]:
    made: list[Stage] = []

    def make(**places: Any) -> Stage:
        made.append(Stage(short_tmp, ray_cluster, **places))
        return made[-1]

    yield make
    for one in made:
        one.close()


def check(stage: Stage, run: str, outcome: dict[str, Any]) -> None:
    """Nothing bought twice, the account right, every row in the lake once, nothing left to publish."""
    assert outcome["exit_code"] == 0
    attempts = stage.ledger.attempts(run)
    books = read_books(stage.books, run)
    assert len(books) == len({line["attempt"] for line in books}) == len(attempts)
    assert stage.ledger.run(run).charged == sum(attempt.charge for attempt in attempts) == outcome["cost"]
    assert stage.ledger.read_outbox(10) == []
    keys = lake_keys(stage.lake, run)
    calls = [key for key in keys.elements() if key[0] == "calls"]
    assert len(calls) == len(set(calls)) == len(attempts)
    assert tree_of(outcome)


@pytest.mark.long
@pytest.mark.parametrize("ground", ["files", "postgresql", "postgresql+s3"])
def test_a_refinement_ends_the_same_on_every_ground(
    stage: Callable[..., Stage], request: pytest.FixtureRequest, ground: str
) -> None:
    places: dict[str, Any] = {}
    if "postgresql" in ground:
        server: Postgresql = request.getfixturevalue("postgresql")
        places["ledger_url"] = server.new_url()
    if "s3" in ground:
        s3: S3 = request.getfixturevalue("s3_server")
        places |= {"lake_url": s3.new_url(), "s3": s3}
    made = stage(**places)
    driver = made.refine()
    run = launched(driver)
    check(made, run, done(driver))


@pytest.mark.long
def test_a_run_waits_for_a_database_and_an_object_store_that_are_away(
    stage: Callable[..., Stage], own_server: Postgresql, s3_server: S3
) -> None:
    made = stage(ledger_url=own_server.new_url(), lake_url=s3_server.new_url(), s3=s3_server)
    driver = made.refine()
    run = launched(driver)
    deadline = time.monotonic() + 120
    while not read_books(made.books, run) and time.monotonic() < deadline:
        time.sleep(0.05)
    own_server.stop()
    s3_server.refuse(503)
    try:
        while not told(made, run, "waiting: the ledger") and time.monotonic() < deadline:
            time.sleep(0.1)
        assert told(made, run, "waiting: the ledger"), (made.root / "driver.log").read_text()
    finally:
        s3_server.refuse(0)
        own_server.start()
    check(made, run, done(driver))
    assert told(made, run, "answers again")
    assert "waiting: the ledger" in (made.root / "driver.log").read_text()
    kinds = made.lake.sql("SELECT count(*) AS n FROM events WHERE kind = 'ledger_away'").to_pylist()
    assert kinds[0]["n"] >= 1


def told(stage: Stage, run: str, text: str) -> bool:
    return any(text in str(event.get("text", "")) for event in stage.events(run))


@pytest.mark.parametrize("what", ["ledger", "lake"])
def test_what_is_away_at_the_start_is_named_in_one_line(stage: Callable[..., Stage], s3_server: S3, what: str) -> None:
    if what == "ledger":
        made = stage(ledger_url=f"postgresql+psycopg://ann:sesame@127.0.0.1:{free_port()}/x")
    else:
        made = stage(lake_url="s3://no-such-bucket/lake", s3=s3_server)
    driver = made.refine()
    driver.communicate(timeout=120)
    said = (made.root / "driver.log").read_text().strip().partition("error: ")[2]
    assert driver.returncode == 5
    assert len(said.splitlines()) == 1 and "sesame" not in said
    assert ("does not answer" if what == "ledger" else "no such bucket") in said
