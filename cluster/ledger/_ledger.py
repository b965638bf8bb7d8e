"""The ledger itself: a group of operations in, one durable transaction, their answers out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType

from sqlalchemy import Connection, delete, select

from bessemer.cluster.ledger import _schema as t
from bessemer.cluster.ledger._decide import decide, not_storable
from bessemer.cluster.ledger._driver import rows_of
from bessemer.cluster.ledger._engine import Store
from bessemer.cluster.ledger._erase import erase_ended, erase_run
from bessemer.cluster.ledger._flush import Writer
from bessemer.cluster.ledger._load import load, wanted
from bessemer.cluster.ledger._queue_reads import QueueReads
from bessemer.cluster.ledger._reads import Reads
from bessemer.cluster.ledger._rows import Policy, Work
from bessemer.cluster.ledger._values import NotStorable, check_texts
from bessemer.cluster.ledger.operations import Answer, Operation

Clock = Callable[[], float]


class Ledger(Reads, QueueReads):
    """The durable account of runs, steps, calls and money. `docs/ledger.md` says what each operation does.

    Blocking; may be used from any thread, and by several processes on one file or database.
    """

    def __init__(self, store: Store, policy: Policy, keeper: str, clock: Clock | None) -> None:
        super().__init__(store)
        self._policy = policy
        self._keeper = keeper
        self._clock = clock
        self._now = t.clock_text(store.engine.dialect)
        self._writer = Writer(store.engine.dialect, keeper)

    @classmethod
    def open(
        cls,
        url: str,
        *,
        create: bool = True,
        lease_seconds: float = 15.0,
        live_billing_seconds: float = 3600.0,
        batch_billing_seconds: float = 86400.0,
        keeper: str = "0",
        clock: Clock | None = None,
        durable: bool = True,
    ) -> Ledger:
        """Open the ledger at `url` (a SQLAlchemy URL, or a path), and lay it out if it is new and `create` is true.

        `keeper` names the shard whose outbox this is. `clock` (seconds since the epoch) replaces the database's, and
        `durable=False` gives up surviving a power cut: both are for tests on files that may be lost.
        Raises LedgerCorrupted, LedgerTooNew, StateUnwritable, LedgerUnavailable, SettingsError.
        """
        policy = Policy(lease_seconds, live_billing_seconds, batch_billing_seconds)
        return cls(Store(url, create=create, durable=durable), policy, keeper, clock)

    @property
    def ledger_uuid(self) -> str:
        """The ledger's own id, made when it was laid out: 32 hex characters."""
        return self._store.ledger_uuid

    @property
    def name(self) -> str:
        """The ledger's file, or its server's URL without the password."""
        return self._store.name

    def apply(self, ops: Sequence[Operation]) -> list[Answer]:
        """Apply `ops` in order as one durable transaction; answers in the same order.

        A member that is refused is answered with a Refusal and does not undo its neighbours. Nothing is answered
        before it is durable. Raises LedgerUnavailable, StateUnwritable or LedgerCorrupted, and then nothing was done.
        """
        answers: list[Answer | None] = [None] * len(ops)
        sound: list[tuple[int, Operation]] = []
        for place, operation in enumerate(ops):
            try:
                check_texts(operation)
            except NotStorable as error:
                answers[place] = not_storable(operation, error)
            else:
                sound.append((place, operation))
        if sound:
            decided = self._store.transact(lambda connection: self._decide(connection, [one for _, one in sound]))
            for (place, _), answer in zip(sound, decided, strict=True):
                answers[place] = answer
        return [answer for answer in answers if answer is not None]

    def _decide(self, connection: Connection, ops: Sequence[Operation]) -> list[Answer]:
        work = self._work(connection)
        load(connection, wanted(ops), work)
        answers = [decide(work, operation) for operation in ops]
        self._writer.flush(connection, work)
        return answers

    def _work(self, connection: Connection) -> Work:
        now = self._clock() if self._clock else float(next(iter(rows_of(connection, self._now)))[0])
        return Work(now=now, policy=self._policy)

    def read_outbox(self, limit: int) -> list[tuple[int, str, str]]:
        """The oldest `limit` rows on their way to the lake: (sequence number, table, row as JSON)."""
        query = (
            select(t.outbox.c.seq, t.outbox.c.table, t.outbox.c.row)
            .where(t.outbox.c.keeper == self._keeper)
            .order_by(t.outbox.c.seq)
            .limit(limit)
        )
        with self._store.reading() as connection:
            return [(int(seq), str(table), str(row)) for seq, table, row in connection.execute(query)]

    def delete_outbox(self, upto_seq: int) -> None:
        """Forget rows up to and including `upto_seq`, which are in the lake now. Their numbers are never used again."""
        old = delete(t.outbox).where(t.outbox.c.keeper == self._keeper, t.outbox.c.seq <= upto_seq)
        self._store.transact(lambda connection: connection.execute(old))

    def delete_run(self, run: str, by: str = "") -> None:
        """Erase a run's answers, results, observations and pins; it cannot be resumed then. Its money stays.

        Audited. Raises RunIsOpen while a process holds the run, LedgerRefusal if there is none of that id.
        """
        self._store.transact(lambda one: erase_run(one, self._work(one), self._writer, run, by))
        self._store.forget_erased()

    def prune(self, older_than_seconds: float, by: str = "") -> int:
        """Erase every run that ended longer ago than that, as `delete_run` does; returns how many. Audited."""
        erased = self._store.transact(
            lambda one: erase_ended(one, self._work(one), self._writer, older_than_seconds, by)
        )
        self._store.forget_erased()
        return erased

    def close(self) -> None:
        """Close the database. The ledger may not be used afterwards."""
        self._store.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
