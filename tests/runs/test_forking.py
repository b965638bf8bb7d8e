"""What a fork starts from: the last accepted work, whether or not the run ever came to its end."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import cast

import pytest

from bessemer.actors.crew import RunCrew
from bessemer.cluster.errors import UsageError, WorkspaceError
from bessemer.cluster.files import write_atomic
from bessemer.cluster.identity import this_process
from bessemer.cluster.ledger import GroupCommit, Ledger, LedgerClient
from bessemer.cluster.run import open_run
from bessemer.cluster.settings import load_settings
from bessemer.cluster.workspace import Commit, Repository, take_in
from bessemer.interfaces._prepare import Prepared, Request, prepare_refine, remember
from bessemer.interfaces.cli._resume import prepare_fork
from bessemer.pipelines.refine import RefinePlan
from bessemer.pipelines.refine._state import Progress


class Old:
    """A run that was killed: it is open in the ledger, and it left no outcome."""

    def __init__(self, project: Path) -> None:
        scenario = project.parent / "scenario.yaml"
        scenario.write_text("rules: []\n")
        flags = {
            "state_dir": str(project.parent / ".bessemer"),
            "sandbox": {"disabled": True},
            "backends": {"scripted": {"scenario": str(scenario)}},
        }
        self.settings = load_settings(flags=flags, cwd=project.parent)
        request = Request(
            task="Make the tests pass",
            prior_answer=str(project),
            probes=("pytest",),
            build_backend="scripted/b",
            eval_backends=("probes",),
        )
        self.prepared = prepare_refine(request, self.settings)
        self.home, self.run = self.prepared.home, self.prepared.spec.run
        self.directory = self.home.run_directory(self.run)
        self.source = project
        remember(self.prepared)

    def work(self, *texts: str, end: bool = False) -> list[str]:
        """Carry the run out under a next epoch: it accepts a commit for each text. Returns the commits."""
        return asyncio.run(self._work(texts, end))

    async def _work(self, texts: tuple[str, ...], end: bool) -> list[str]:
        spec, commits = self.prepared.spec, []
        with Ledger.open(self.home.ledger_url) as ledger:
            keeper = GroupCommit(ledger)
            owner = this_process("test")
            run, _ = await open_run(
                LedgerClient.local(keeper),
                spec.run,
                pipeline=spec.pipeline,
                pins=spec.pins,
                owner=owner,
                directory=self.directory,
                caps=spec.caps,
            )
            progress = Progress(run, cast(RunCrew, None), cast(RefinePlan, self.prepared.plan))
            intake = await take_in(self.source, progress.repository, existing_ok=True)
            progress.accepted = intake.commit
            for text in texts:
                made = await self._commit(progress, text)
                await progress.accept(made, ())
                await progress.accept(made, ())
                commits.append(made)
            if end:
                await run.close("interrupted")
            await keeper.close()
        return commits

    async def _commit(self, progress: Progress, text: str) -> str:
        repository = Repository(progress.repository)
        async with repository.worktree(progress.scratch("w"), progress.accepted) as folder:
            (folder / "calc.py").write_text(text)
            made = await repository.snapshot(folder, "work", progress.accepted)
        return cast(Commit, made).commit

    def left(self, commit: str) -> None:
        """Leave what an outcome says of the last commit."""
        outcome = {"commit": commit, "changed_files": ["calc.py"]}
        write_atomic(self.directory / "outcome.json", json.dumps(outcome).encode())

    def erase(self) -> None:
        """Let the ledger forget the run, as `ledger prune` does."""
        with Ledger.open(self.home.ledger_url) as ledger:
            ledger.delete_run(self.run)

    def fork(self) -> Prepared:
        with Ledger.open(self.home.ledger_url) as ledger:
            row = ledger.run(self.run)
        return prepare_fork(row, self.home, self.settings)


@pytest.fixture
def old(project: Path) -> Old:
    return Old(project)


def begun_from(fork: Prepared) -> str:
    """Text of the file that was worked on, as the fork begins with it."""
    return Path(cast(RefinePlan, fork.plan).source, "calc.py").read_text()


def test_a_killed_run_is_forked_from_what_it_accepted_last(old: Old, capsys: pytest.CaptureFixture[str]) -> None:
    _, last = old.work("one = 1\n", "two = 2\n")
    fork = old.fork()
    assert fork.spec.run != old.run
    assert begun_from(fork) == "two = 2\n"
    assert fork.spec.pins["plan"]["source"] == str(old.directory / "result")
    assert capsys.readouterr().err == f"starting from the work that run {old.run} accepted last ({last[:12]})\n"


def test_a_run_killed_while_it_was_resumed_keeps_what_it_had(old: Old) -> None:
    commits = old.work("one = 1\n", "two = 2\n")
    assert old.work("one = 1\n") == commits[:1]
    assert begun_from(old.fork()) == "two = 2\n"


def test_an_outcome_of_an_earlier_stop_does_not_hide_later_work(old: Old) -> None:
    first, _ = old.work("one = 1\n", "two = 2\n")
    old.left(first)
    assert begun_from(old.fork()) == "two = 2\n"


def test_where_nothing_was_accepted_the_original_work_is_named(old: Old, capsys: pytest.CaptureFixture[str]) -> None:
    old.work()
    (old.directory / "plan.json").unlink()
    assert begun_from(old.fork()) == (old.source / "calc.py").read_text()
    assert capsys.readouterr().err == (
        f"run {old.run} has no accepted work: starting from the original work in {old.source}\n"
    )


def test_a_run_that_the_ledger_forgot_is_forked_from_its_folder(old: Old) -> None:
    (commit,) = old.work("one = 1\n", end=True)
    old.left(commit)
    old.erase()
    assert begun_from(old.fork()) == "one = 1\n"
    (old.directory / "plan.json").unlink()
    with pytest.raises(UsageError, match="has no plan left to fork"):
        old.fork()


def test_accepted_work_that_is_gone_is_not_replaced_by_the_original(old: Old) -> None:
    old.work("one = 1\n")
    shutil.rmtree(old.directory / "repository")
    with pytest.raises(WorkspaceError, match=r"its repository .* is gone; start it anew"):
        old.fork()
