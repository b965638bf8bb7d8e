"""The queue's operations, one by one and in groups, on a real ledger under a clock that the test moves."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bessemer.cluster.ledger import (
    Acknowledge,
    AddTasks,
    ClaimTasks,
    CloseQueue,
    LeaveTask,
    Ledger,
    MarkTasks,
    NewTask,
    OpenQueue,
    RenewQueue,
    StopQueue,
)
from tests.ledger._make import Clock, one, refused


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock) -> Iterator[Ledger]:
    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}", clock=clock, durable=False) as made:
        yield made


def new(key: str, priority: float = 0.1, digest: str = "d", title: str = "do it") -> NewTask:
    return NewTask(key=key, digest=digest, title=title, priority=priority, spec={"plan": {"task": title}})


def add(ledger: Ledger, *keys: str, priority: float = 0.1) -> tuple[str, ...]:
    return tuple(one(ledger, AddTasks(queue="q", tasks=tuple(new(key, priority) for key in keys))).tasks)


def opened(ledger: Ledger, owner: str = "a", **more: Any) -> int:
    return int(one(ledger, OpenQueue(queue="q", owner=owner, **more)).epoch)


def claim(ledger: Ledger, epoch: int, limit: int, *holding: str) -> list[str]:
    answer = one(ledger, ClaimTasks(queue="q", epoch=epoch, limit=limit, holding=holding))
    return [task.task for task in answer.tasks]


def leave(ledger: Ledger, epoch: int, task: str, state: Any = "done", **more: Any) -> Any:
    return one(ledger, LeaveTask(queue="q", epoch=epoch, task=task, state=state, **more))


def states(ledger: Ledger) -> dict[str, str]:
    return {row.task: row.state for row in ledger.tasks("q")}


def test_the_highest_priority_is_claimed_first_and_then_the_oldest(ledger: Ledger) -> None:
    low = add(ledger, "a", "b")
    high = add(ledger, "c", priority=5)
    middle = add(ledger, "d", priority=1)
    epoch = opened(ledger)
    assert claim(ledger, epoch, 3) == [*high, *middle, low[0]]
    assert [row.task for row in ledger.tasks("q", ("queued",))] == [low[1]]


def test_a_key_is_added_once_and_another_task_under_it_is_refused_with_its_neighbours(
    ledger: Ledger,
) -> None:
    first = one(ledger, AddTasks(queue="q", tasks=(new("a"), new("b"))))
    again = one(ledger, AddTasks(queue="q", tasks=(new("a"), new("b"), new("c"))))
    assert again.tasks[:2] == first.tasks
    assert (first.fresh, again.fresh) == ((True, True), (False, False, True))
    other = AddTasks(queue="q", tasks=(new("z"), new("b", digest="other")))
    assert refused(one(ledger, other)) == "LedgerRefusal"
    assert len(states(ledger)) == 3


def test_a_batch_that_is_added_twice_in_one_group_is_there_once(ledger: Ledger) -> None:
    operation = AddTasks(queue="q", tasks=tuple(new(str(n)) for n in range(5)))
    ledger.apply([operation, operation, operation])
    assert len(states(ledger)) == 5


def test_a_thousand_tasks_are_claimed_as_slots_get_free(ledger: Ledger) -> None:
    add(ledger, *map(str, range(1000)))
    epoch = opened(ledger)
    in_hand: list[str] = []
    ended: Counter[str] = Counter()
    generator = random.Random(7)
    while True:
        answer = one(ledger, ClaimTasks(queue="q", epoch=epoch, limit=8 - len(in_hand), holding=tuple(in_hand)))
        assert len(answer.tasks) <= 8 - len(in_hand)
        in_hand += [task.task for task in answer.tasks]
        if not in_hand:
            break
        task = in_hand.pop(generator.randrange(len(in_hand)))
        leave(ledger, epoch, task)
        ended[task] += 1
        assert ledger.queue("q").tasks.get("running", 0) == len(in_hand)
    assert len(ended) == 1000
    assert set(ended.values()) == {1}
    assert ledger.queue("q").tasks == {"done": 1000}


def test_one_runner_at_a_time_and_an_older_epoch_is_refused(ledger: Ledger, clock: Clock) -> None:
    task, _ = add(ledger, "a", "b")
    first = opened(ledger)
    assert claim(ledger, first, 1) == [task]
    assert refused(one(ledger, OpenQueue(queue="q", owner="b"))) == "QueueIsOpen"
    clock.pass_(10)
    assert not one(ledger, RenewQueue(queue="q", owner="a", epoch=first)).stopped
    clock.pass_(10)
    assert refused(one(ledger, OpenQueue(queue="q", owner="b"))) == "QueueIsOpen"
    clock.pass_(10)
    second = opened(ledger, "b")
    assert second == first + 1
    assert claim(ledger, second, 1) == [task], "what was running is handed on before anything new"
    for operation in (
        RenewQueue(queue="q", owner="a", epoch=first),
        ClaimTasks(queue="q", epoch=first, limit=1),
        LeaveTask(queue="q", epoch=first, task=task, state="done"),
        CloseQueue(queue="q", epoch=first),
    ):
        assert refused(one(ledger, operation)) == "Fenced"
    leave(ledger, second, task)
    one(ledger, CloseQueue(queue="q", epoch=second))
    assert opened(ledger, "c") == 3
    assert refused(one(ledger, OpenQueue(queue="q", owner="d", dead="b"))) == "QueueIsOpen", "another is the holder"
    assert opened(ledger, "d", dead="c") == 4


def test_a_claim_whose_answer_was_lost_is_answered_again(ledger: Ledger) -> None:
    tasks = add(ledger, "a", "b", "c")
    epoch = opened(ledger)
    assert claim(ledger, epoch, 2) == list(tasks[:2])
    assert claim(ledger, epoch, 2) == list(tasks[:2]), "nobody has them in hand"
    assert claim(ledger, epoch, 2, *tasks[:2]) == [tasks[2]]


def test_a_task_ends_once(ledger: Ledger) -> None:
    (task,) = add(ledger, "a")
    epoch = opened(ledger)
    claim(ledger, epoch, 1)
    leave(ledger, epoch, task, "done", reason="first")
    leave(ledger, epoch, task, "failed", reason="second")
    (row,) = ledger.tasks("q")
    assert (row.state, row.reason, row.tries) == ("done", "first", 1)
    assert claim(ledger, epoch, 1) == []


def test_a_task_that_goes_back_waits_its_time_and_keeps_its_place(ledger: Ledger, clock: Clock) -> None:
    first, second = add(ledger, "a", "b")
    epoch = opened(ledger)
    assert claim(ledger, epoch, 1) == [first]
    leave(ledger, epoch, first, "queued", again_after=30.0, degraded="the network")
    answer = one(ledger, ClaimTasks(queue="q", epoch=epoch, limit=1))
    assert ([task.task for task in answer.tasks], answer.waiting) == ([second], 1)
    clock.pass_(31)
    (again,) = one(ledger, ClaimTasks(queue="q", epoch=epoch, limit=1, holding=(second,))).tasks
    assert (again.task, again.tries, again.run) == (first, 1, first)


def test_a_person_takes_tasks_out_and_puts_them_back_but_not_a_running_one(ledger: Ledger) -> None:
    first, second, third = add(ledger, "a", "b", "c")
    epoch = opened(ledger)
    claim(ledger, epoch, 1)
    assert one(ledger, MarkTasks(queue="q", tasks=(first, second, "q-none"), to="cancelled")).tasks == (second,)
    assert states(ledger) == {first: "running", second: "cancelled", third: "queued"}
    assert one(ledger, MarkTasks(queue="q", tasks=(first, second, third), to="queued")).tasks == (second,)
    leave(ledger, epoch, first)
    assert one(ledger, MarkTasks(queue="q", tasks=(first,), to="queued")).tasks == ()


def test_a_stop_is_told_with_the_next_renewal_and_outlives_the_runner(ledger: Ledger) -> None:
    add(ledger, "a")
    epoch = opened(ledger)
    one(ledger, StopQueue(queue="q", stopped=True))
    assert one(ledger, RenewQueue(queue="q", owner="a", epoch=epoch)).stopped
    one(ledger, CloseQueue(queue="q", epoch=epoch))
    assert ledger.queue("q").stopped
    one(ledger, StopQueue(queue="q", stopped=False))
    assert not ledger.queue("q").stopped


def test_degraded_stays_until_somebody_has_seen_it(ledger: Ledger, clock: Clock) -> None:
    first, second = add(ledger, "a", "b")
    epoch = opened(ledger)
    claim(ledger, epoch, 2)
    leave(ledger, epoch, first, "queued", degraded="the disk was full")
    claim(ledger, epoch, 1, second)
    leave(ledger, epoch, first, "done")
    assert ledger.queue("q").degraded == 1, "a later success does not take it back"
    clock.pass_(5)
    one(ledger, Acknowledge(queue="q", by="ada"))
    assert ledger.queue("q").degraded == 0
    assert [(row.action, row.by) for row in ledger.audit()] == [("acknowledge", "ada")]
    clock.pass_(5)
    leave(ledger, epoch, second, "failed", degraded="the disk was full")
    assert ledger.queue("q").degraded == 1


def test_queues_do_not_mix(ledger: Ledger) -> None:
    add(ledger, "a")
    one(ledger, AddTasks(queue="other", tasks=(new("a"),)))
    epoch = opened(ledger)
    assert len(claim(ledger, epoch, 10)) == 1
    assert [row.queue for row in ledger.queues()] == ["other", "q"]
    assert ledger.queue("other").tasks == {"queued": 1}
    assert refused(one(ledger, OpenQueue(queue="none", owner="a"))) == "LedgerRefusal"
    assert len(ledger.find_tasks("q", "q-")) == 1


def test_texts_that_no_database_keeps_are_refused(ledger: Ledger) -> None:
    assert refused(one(ledger, AddTasks(queue="q", tasks=(new("a", title="\0"),)))) == "LedgerRefusal"
    assert refused(one(ledger, AddTasks(queue="q", tasks=(new("a", title="\ud800"),)))) == "LedgerRefusal"
    assert ledger.queues() == []
