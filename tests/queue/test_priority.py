"""A run's priority reaches the limits: with every call of its own, and with those of an agent it starts."""

from __future__ import annotations

from bessemer.actors._calls import BudgetRefused, CallEnvelope
from bessemer.actors._journal import StepJournal
from bessemer.actors.backends.base import ModelRequest, Reply
from bessemer.cluster.ledger import GroupCommit, Ledger, LedgerClient, Outcome
from bessemer.cluster.run import Ticket
from bessemer.interfaces._prepare import Request
from bessemer.interfaces.queue._entries import Entry


class Told:
    """A caller that keeps what it is asked."""

    def __init__(self) -> None:
        self.envelopes: list[CallEnvelope] = []

    async def call(self, envelope: CallEnvelope) -> Outcome | BudgetRefused:
        self.envelopes.append(envelope)
        reply = Reply(text="done", model="m")
        return Outcome(kind="answer", value={"reply": reply.model_dump(mode="json")})


async def test_every_call_of_a_step_has_its_runs_priority(tmp_path: object) -> None:
    ledger = Ledger.open(f"sqlite:///{tmp_path}/ledger.db", durable=False)
    keeper = GroupCommit(ledger)
    told = Told()
    ticket = Ticket(run="r", path="s", epoch=1, scopes=(), priority=0.1)
    journal = StepJournal(ticket, LedgerClient.local(keeper), told)
    for _ in range(2):
        await journal.call(ModelRequest(backend="scripted/a", prompt="p", max_output_tokens=1))
    assert [one.priority for one in told.envelopes] == [0.1, 0.1]
    await keeper.close()
    ledger.close()


def test_a_queued_task_yields_unless_it_says_otherwise() -> None:
    assert Request().priority == 1.0
    assert Entry(task="t").request(0.1).priority == 0.1
    assert Entry(task="t", priority=2).request(0.1).priority == 2
