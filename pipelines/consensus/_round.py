"""One round: who is asked, whether the money reaches, and listening until it is decided or everyone was heard."""

from __future__ import annotations

import asyncio
from typing import Any

from bessemer.actors.backends.base import ModelRequest
from bessemer.cluster.errors import BudgetExhausted, ClusterError, DeadlineExceeded
from bessemer.cluster.money import format_usd
from bessemer.pipelines.consensus._acts import Dropped, Failed, standing_answers
from bessemer.pipelines.consensus._ask import Asked, ask, request_for
from bessemer.pipelines.consensus._ballots import Ballot, draw
from bessemer.pipelines.consensus._count import decide, is_duel, still_needed, to_ask
from bessemer.pipelines.consensus._duel import duel_requests, score
from bessemer.pipelines.consensus._money import Affordable, by_value, choose
from bessemer.pipelines.consensus._panel import Panel
from bessemer.pipelines.consensus._plan import Heard, Listened


class CannotPay(Exception):
    """What is left does not pay a round that could decide anything."""

    def __init__(self, found: Affordable, needed: int) -> None:
        super().__init__("money is short")
        self.found = found
        self.needed = needed


class Turn:
    """One agent's turn in this round: its request, and for two agents the same with the answers swapped."""

    def __init__(self, asked: Asked, swapped: ModelRequest | None = None) -> None:
        self.asked = asked
        self.swapped = swapped


async def gather_round(panel: Panel) -> bool:
    """Hold one round. False where nobody is left to be asked. Raises CannotPay before anything of it is sent."""
    agents = to_ask(panel.history, panel.rules, panel.number)
    if not agents:
        return False
    panel.crew.people.tell("consensus_round", number=panel.number, of=panel.plan.max_rounds)
    turns = await _priced(panel, _turns(panel, panel.order(agents)))
    panel.last_worst |= {turn.asked.agent: turn.asked.worst for turn in turns}
    affordable = await _afford(panel, turns)
    for agent in affordable.dropped:
        panel.history = panel.history.adding(Dropped(agent=agent, round=panel.number))
        panel.crew.people.tell("notice", text=f"{panel.backends[agent]} is dropped: it costs too much for its value")
    kept = [turn for turn in turns if turn.asked.agent in affordable.kept]
    await _hear(panel, kept)
    return True


def _turns(panel: Panel, agents: list[str]) -> list[Turn]:
    if is_duel(panel.history, panel.number):
        return [_duel_turn(panel, agent) for agent in agents]
    turns, texts = [], panel.texts
    for agent in agents:
        ballot = draw(panel.history, panel.rules, agent, panel.number, panel.seed)
        request = request_for(panel.wording, panel.mode, panel.backends[agent], ballot, texts)
        turns.append(Turn(Asked(agent, panel.backends[agent], request, ballot)))
    return turns


def _duel_turn(panel: Panel, agent: str) -> Turn:
    answers, texts = standing_answers(panel.history, panel.number - 1), panel.texts
    own = answers[agent].answer
    other = next(one.answer for one in answers.values() if one.answer != own)
    straight, swapped = duel_requests(panel.wording, panel.backends[agent], (texts[other], texts[own]))
    return Turn(Asked(agent, panel.backends[agent], straight, Ballot({"other": other}, own)), swapped)


async def _priced(panel: Panel, turns: list[Turn]) -> list[Turn]:
    requests = [request for turn in turns for request in (turn.asked.request, turn.swapped) if request is not None]
    worst = iter(await panel.crew.worst_cases(requests))
    return [
        Turn(turn.asked._replace(worst=sum(next(worst) for _ in range(2 if turn.swapped else 1))), turn.swapped)
        for turn in turns
    ]


async def _afford(panel: Panel, turns: list[Turn]) -> Affordable:
    """Who can be paid; journalled only where it is enough, so that a raised cap can go on where money was short."""

    async def look() -> dict[str, Any]:
        found = choose([turn.asked for turn in turns], panel.values, await panel.crew.left())
        if not _is_worth_it(panel, turns, found):
            raise CannotPay(found, sum(turn.asked.worst for turn in turns))
        return found.model_dump(mode="json")

    return Affordable.model_validate(await panel.run.observe(f"round-{panel.number}/affordable", look))


def _is_worth_it(panel: Panel, turns: list[Turn], found: Affordable) -> bool:
    """Whether the shrunk round could still decide: enough votes for the quorum, and of a duel both sides."""
    if not found.dropped:
        return True
    if turns[0].swapped is not None:
        return False
    have = len(panel.plan.backends) - len(turns)
    return have + len(found.kept) >= panel.rules.quorum_of(len(panel.plan.backends)) and bool(found.kept)


async def _hear(panel: Panel, turns: list[Turn]) -> None:
    """Take the turns of those who were heard before the round was decided; who that was is journalled."""
    there: dict[str, Heard] = {}

    async def listen() -> dict[str, Any]:
        return (await _listen(panel, turns, there)).model_dump(mode="json")

    listened = Listened.model_validate(await panel.run.observe(f"round-{panel.number}/heard", listen))
    by_agent = {turn.asked.agent: turn for turn in turns}
    for agent, failure in listened.heard:
        if agent in there:
            continue
        panel.take(_broken(panel, agent, failure) if failure else await _take_turn(panel, by_agent[agent]))
    unsent = [turn.asked for turn in turns if turn.asked.agent not in listened.sent]
    panel.saved = panel.saved.model_copy(
        update={
            "calls": panel.saved.calls + len(unsent),
            "at_most": panel.saved.at_most + sum(one.worst for one in unsent),
        }
    )
    if unsent:
        about = format_usd(sum(one.worst for one in unsent))
        panel.crew.people.tell("notice", text=f"decided early: {len(unsent)} calls of at most {about} are not made")


async def _listen(panel: Panel, turns: list[Turn], there: dict[str, Heard]) -> Listened:
    """Ask, and take each turn as it comes. Nothing more is sent once the round is decided; what was sent goes on."""
    by_name = {turn.asked.agent: turn for turn in turns}
    sent = await _sent_before(panel, list(by_name))
    asked = by_value([turn.asked for turn in turns], panel.values)
    # What is paid for already is heard first.
    waiting = [by_name[one.agent] for one in sorted(asked, key=lambda one: one.agent not in sent)]
    under_way: set[asyncio.Task[Heard]] = set()
    heard: list[tuple[str, str]] = []
    try:
        while decide(panel.history, panel.rules, panel.number) is None:
            room = still_needed(panel.history, panel.rules, panel.number)
            room = len(turns) if panel.plan.all_at_once else room - len(under_way)
            for turn in waiting[: max(room, 0)]:
                sent.add(turn.asked.agent)
                under_way.add(asyncio.create_task(_take_turn(panel, turn), name=turn.asked.agent))
            waiting = waiting[max(room, 0) :]
            if not under_way:
                break
            done, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
            for task in sorted(done, key=lambda one: one.get_name()):
                turned, failure = _result(panel, task)
                panel.take(turned)
                there[turned.act.agent] = turned
                heard.append((turned.act.agent, failure))
            panel.show_status()
    finally:
        panel.stragglers |= under_way
    return Listened(heard=tuple(heard), sent=tuple(sorted(sent)))


async def _sent_before(panel: Panel, agents: list[str]) -> set[str]:
    """Agents whose call in this round was sent before the run was broken off."""
    if panel.run.epoch == 1:
        return set()
    spent = [await panel.crew.spending(_path(panel, agent)) for agent in agents]
    return {agent for agent, one in zip(agents, spent, strict=True) if one.calls}


def _result(panel: Panel, task: asyncio.Task[Heard]) -> tuple[Heard, str]:
    """What a turn brought; an agent whose host is lost, or that no money is left for, has failed, and only it."""
    try:
        return task.result(), ""
    except BudgetExhausted:
        return _broken(panel, task.get_name(), "budget"), "budget"
    except (ClusterError, DeadlineExceeded) as error:
        kind = "timeout" if isinstance(error, DeadlineExceeded) else "infrastructure"
        return _broken(panel, task.get_name(), kind), kind


def _broken(panel: Panel, agent: str, failure: str) -> Heard:
    return Heard(act=Failed(agent=agent, round=panel.number, failure=failure), backend=panel.backends[agent])


async def _take_turn(panel: Panel, turn: Turn) -> Heard:
    asked, number, wording = turn.asked, panel.number, panel.wording
    swapped = turn.swapped

    async def work(step: Any) -> Heard:
        if swapped is not None:
            return await score(step, panel.crew, asked, swapped, wording.criteria, number)
        return await ask(step, panel.crew, asked, panel.mode, wording, number)

    return await panel.run.step(_path(panel, asked.agent), work, result=Heard)


def _path(panel: Panel, agent: str) -> str:
    return f"round-{panel.number}/{agent}"
