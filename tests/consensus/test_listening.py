"""A round that is listened to again after its run was broken off: what was sent then is known."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from bessemer.cluster.ledger import Spending
from bessemer.pipelines.consensus import _round
from bessemer.pipelines.consensus._acts import Failed
from bessemer.pipelines.consensus._plan import Heard


class Panel(SimpleNamespace):
    """As much of a panel as listening needs; it is decided once `enough` turns were taken."""

    def __init__(self, epoch: int, sent: set[str], enough: int) -> None:
        super().__init__(
            run=SimpleNamespace(epoch=epoch),
            crew=SimpleNamespace(spending=self.spending),
            plan=SimpleNamespace(all_at_once=False),
            values={},
            history=None,
            rules=None,
            number=2,
            stragglers=set(),
        )
        self.before, self.enough, self.heard = sent, enough, []

    async def spending(self, path: str) -> Spending:
        return Spending(calls=1, cost=5) if path.removeprefix("round-2/") in self.before else Spending()

    def take(self, heard: Heard) -> None:
        self.heard.append(heard.act.agent)

    def show_status(self) -> None:
        pass


def turns(*agents: str) -> list[Any]:
    return [SimpleNamespace(asked=SimpleNamespace(agent=agent, backend=agent, worst=7)) for agent in agents]


@pytest.fixture(autouse=True)
def counting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decide by the number of turns alone."""

    async def turn(panel: Panel, one: Any) -> Heard:
        return Heard(act=Failed(agent=one.asked.agent, round=2, failure="timeout"), backend="b")

    heard: list[Panel] = []
    monkeypatch.setattr(_round, "_take_turn", turn)
    original = _round._listen

    async def listen(panel: Panel, *more: Any) -> Any:
        heard[:] = [panel]
        return await original(panel, *more)

    monkeypatch.setattr(_round, "_listen", listen)
    monkeypatch.setattr(_round, "decide", lambda *_: True if len(heard[0].heard) >= heard[0].enough else None)
    monkeypatch.setattr(_round, "still_needed", lambda *_: heard[0].enough - len(heard[0].heard))


async def test_what_was_paid_for_before_is_heard_first() -> None:
    panel = Panel(epoch=2, sent={"c", "d"}, enough=2)
    listened = await _round._listen(panel, turns("a", "b", "c", "d"), {})
    assert sorted(panel.heard) == ["c", "d"]
    assert listened.sent == ("c", "d")


async def test_a_call_that_was_sent_before_is_not_told_as_saved() -> None:
    panel = Panel(epoch=3, sent={"a", "b", "c"}, enough=1)
    listened = await _round._listen(panel, turns("a", "b", "c", "d"), {})
    assert [agent for agent, _ in listened.heard] == ["a"]
    assert listened.sent == ("a", "b", "c")


async def test_a_run_that_never_broke_off_asks_the_ledger_nothing() -> None:
    panel = Panel(epoch=1, sent={"d"}, enough=1)
    assert (await _round._listen(panel, turns("a", "d"), {})).sent == ("a",)
