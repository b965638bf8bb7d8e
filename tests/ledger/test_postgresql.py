"""What only a server does: several keepers at once, restarts and failovers, and being away."""

from __future__ import annotations

import asyncio
import threading

import pytest

from bessemer.cluster.errors import LedgerUnavailable, StateUnwritable
from bessemer.cluster.ledger import GroupCommit, Ledger, LedgerClient, Record, Refusal, Reserved, SetCap
from tests._postgresql import Postgresql, free_port
from tests.ledger._make import one, opening, reserving, row, settling, used


def test_two_keepers_never_pass_a_shared_cap_together(postgresql: Postgresql) -> None:
    url = postgresql.new_url()
    with Ledger.open(url) as ledger:
        one(ledger, SetCap(scope="queue:night", cap=1000, version=1))
    got: list[int] = []

    def buy(keeper: str) -> None:
        with Ledger.open(url, keeper=keeper) as mine:
            one(mine, opening(run=keeper, caps={f"run:{keeper}": None}))
            for index in range(60):
                scopes = (f"run:{keeper}", "queue:night")
                answer = one(mine, reserving(f"k{index}", run=keeper, index=index, worst=10, scopes=scopes))
                got.append(isinstance(answer, Reserved))

    threads = [threading.Thread(target=buy, args=(name,)) for name in ("a", "b", "c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    with Ledger.open(url) as ledger:
        assert (len(got), sum(got)) == (180, 100)
        assert used(ledger, "queue:night") == 1000


def test_keepers_that_write_the_same_keys_wait_for_each_other(postgresql: Postgresql) -> None:
    """The same openings, records and outbox numbers from several keepers at once: each is done once."""
    url = postgresql.new_url()
    Ledger.open(url).close()
    troubles: list[BaseException] = []

    def work() -> None:
        try:
            with Ledger.open(url) as mine:
                for turn in range(25):
                    record = Record(token=f"t{turn}", rows=(row(f"row-{turn}"),))
                    mine.apply([opening(run=f"r{turn}", caps={"account:x": None}), record])
        except BaseException as error:
            troubles.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert troubles == []
    with Ledger.open(url) as ledger:
        assert [seq for seq, _, _ in ledger.read_outbox(100)] == list(range(1, 26))
        assert len(ledger.runs(100)) == 25
        assert all(found.epoch == 1 for found in ledger.runs(100))


class Told:
    """Hears what people would hear."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def away(self, why: str) -> None:
        self.lines.append(why)

    def back(self, seconds: float) -> None:
        self.lines.append("back")


async def buy_all(client: LedgerClient) -> None:
    """Six hundred purchases, ten at a time, that come to the sum of their numbers."""

    async def buy(index: int) -> None:
        await client.reserve(reserving(f"k{index}", index=index, send_within=600, worst=100))
        await client.settle(settling(f"r|s|{index}|1", cost=index))

    for start in range(0, 600, 10):
        await asyncio.gather(*(buy(index) for index in range(start, start + 10)))


def bought_all_once(ledger: Ledger) -> None:
    assert used(ledger) == sum(range(600))
    assert {attempt.state for attempt in ledger.attempts("r")} == {"settled"}
    assert len(ledger.attempts("r")) == 600


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_a_server_that_goes_away_in_mid_run_loses_and_doubles_nothing(own_server: Postgresql, how: str) -> None:
    url = own_server.new_url()
    with Ledger.open(url) as ledger:
        one(ledger, opening(caps={"run:r": None}))
        keeper, told = GroupCommit(ledger), Told()
        work = asyncio.create_task(buy_all(LedgerClient.local(keeper, patience=120, watcher=told)))
        while used(ledger) == 0:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(getattr(own_server, how))
        async with asyncio.timeout(60):
            while not told.lines:
                await asyncio.sleep(0.05)
        assert not work.done()
        await asyncio.to_thread(own_server.start)
        await asyncio.wait_for(work, 120)
        bought_all_once(ledger)
        assert len(told.lines) == 2 and "does not answer" in told.lines[0] and told.lines[1] == "back"
        assert "\n" not in told.lines[0]
        await keeper.close()


async def test_a_standby_that_is_promoted_goes_on_where_the_lost_server_was(own_server: Postgresql) -> None:
    url = own_server.new_url()
    standby = await asyncio.to_thread(own_server.standby)
    both = f"host=127.0.0.1:{own_server.port}&host=127.0.0.1:{standby.port}"
    try:
        with Ledger.open(f"postgresql+psycopg://bessemer@/{url.rpartition('/')[2]}?{both}") as ledger:
            one(ledger, opening(caps={"run:r": None}))
            keeper = GroupCommit(ledger)
            work = asyncio.create_task(buy_all(LedgerClient.local(keeper, patience=120)))
            while used(ledger) == 0:
                await asyncio.sleep(0.01)
            await asyncio.to_thread(own_server.kill)
            await asyncio.sleep(0.5)
            assert not work.done(), "a standby takes no writes"
            await asyncio.to_thread(standby.promote)
            await asyncio.wait_for(work, 120)
            bought_all_once(ledger)
            await keeper.close()
    finally:
        standby.close()


def test_an_unreachable_server_is_named_in_one_line_without_its_password() -> None:
    url = f"postgresql+psycopg://ann:sesame@127.0.0.1:{free_port()}/bessemer"
    with pytest.raises(LedgerUnavailable) as caught:
        Ledger.open(url)
    assert "127.0.0.1" in caught.value.message and "does not answer" in caught.value.message
    assert "\n" not in caught.value.message and "sesame" not in caught.value.message
    assert caught.value.exit_code == 5


def test_a_missing_database_is_named(postgresql: Postgresql) -> None:
    url = postgresql.new_url().rpartition("/")[0] + "/nowhere"
    with pytest.raises(LedgerUnavailable, match='"nowhere" does not exist'):
        Ledger.open(url)


def test_a_role_that_may_not_write_is_told_so(postgresql: Postgresql) -> None:
    url = postgresql.new_url()
    Ledger.open(url).close()
    postgresql.say("CREATE ROLE reader LOGIN; GRANT pg_read_all_data TO reader")
    with Ledger.open(url.replace("bessemer@", "reader@")) as ledger, pytest.raises(StateUnwritable) as caught:
        one(ledger, opening())
    assert "permission denied" in caught.value.message and "right to write" in caught.value.message


def test_a_server_that_became_a_standby_is_waited_for(postgresql: Postgresql) -> None:
    """After a failover the old server may take connections and no writes."""
    url = postgresql.new_url()
    name = url.rpartition("/")[2]
    with Ledger.open(url) as ledger:
        one(ledger, opening())
        postgresql.say(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        postgresql.say(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        for _ in range(2):
            with pytest.raises(LedgerUnavailable):
                one(ledger, reserving())
        postgresql.say(f"ALTER DATABASE {name} RESET default_transaction_read_only")
        assert one(ledger, reserving()).fresh


def test_a_short_name_of_the_driver_is_enough(postgresql: Postgresql) -> None:
    url = postgresql.new_url()
    with Ledger.open(url.replace("+psycopg", "")) as ledger:
        assert not isinstance(one(ledger, opening()), Refusal)


def test_a_foreign_database_is_left_alone(postgresql: Postgresql) -> None:
    from bessemer.cluster.errors import LedgerCorrupted, LedgerTooNew

    url = postgresql.new_url()
    name = url.rpartition("/")[2]
    postgresql.say("CREATE TABLE recipes (name text)", name)
    with pytest.raises(LedgerCorrupted, match="other tables"):
        Ledger.open(url)
    postgresql.say("DROP TABLE recipes", name)
    Ledger.open(url).close()
    postgresql.say("UPDATE meta SET value = '99' WHERE name = 'schema_version'", name)
    with pytest.raises(LedgerTooNew, match="99"):
        Ledger.open(url)
