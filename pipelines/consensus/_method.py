"""The method, in the order it happens."""

from __future__ import annotations

from bessemer.actors.crew import RunCrew
from bessemer.cluster.errors import BudgetExhausted
from bessemer.cluster.money import format_usd
from bessemer.cluster.run import Run
from bessemer.pipelines._base import Ending
from bessemer.pipelines.consensus._conclude import conclude, reaching_an_end
from bessemer.pipelines.consensus._count import decide, force
from bessemer.pipelines.consensus._panel import Panel
from bessemer.pipelines.consensus._plan import ConsensusOutcome, ConsensusPlan
from bessemer.pipelines.consensus._round import CannotPay, gather_round


async def consensus(run: Run, crew: RunCrew, plan: ConsensusPlan) -> ConsensusOutcome:
    """Have every backend answer, then vote on what the others answered, until the rule is met or a limit forces it.

    Raises BudgetExhausted, before anything is bought, where the budget cannot pay one round.
    """
    panel = Panel(run, crew, plan)
    ending: Ending | None = None
    try:
        async with reaching_an_end(panel):
            await panel.set_up()
            ending = await _hold_rounds(panel)
    except _Refused as short:
        raise short.refusal from None
    if ending is None:
        ending = panel.stopped_by
        panel.decision = force(panel.history, panel.rules, max(panel.number, 1)) if panel.answers else None
    return await conclude(panel, ending)


async def _hold_rounds(panel: Panel) -> Ending:
    """Rounds until one decides. At the end of the last, or where nobody is left to ask, consensus is forced."""
    for number in range(1, panel.plan.max_rounds + 1):
        panel.number = number
        try:
            if not await gather_round(panel):
                panel.number = number - 1
                break
        except CannotPay as short:
            return _out_of_money(panel, short)
        panel.decision = decide(panel.history, panel.rules, number)
        if panel.decision is not None:
            return "decided"
    panel.decision = force(panel.history, panel.rules, panel.number)
    if not panel.decision.answer:
        return "not_judged"
    return "forced" if panel.decision.forced else "decided"


def _out_of_money(panel: Panel, short: CannotPay) -> Ending:
    left, needed = format_usd(short.found.left or 0), format_usd(short.needed)
    words = f"round {panel.number} may cost {needed} and {left} is left"
    if panel.number == 1:
        remedy = "raise --cost-budget, or name fewer or cheaper backends"
        facts = {"left": short.found.left or 0, "needed": short.needed}
        raise _Refused(f"the budget cannot pay one round: {words}; {remedy}", facts)
    panel.stopped_by, panel.explanation = "budget", f"forced: {words}"
    panel.decision = force(panel.history, panel.rules, panel.number)
    return "budget"


class _Refused(Exception):
    """Carries the refusal past what would make an outcome of it: nothing was bought, so there is none."""

    def __init__(self, message: str, facts: dict[str, int]) -> None:
        super().__init__(message)
        self.refusal = BudgetExhausted(message, facts)
