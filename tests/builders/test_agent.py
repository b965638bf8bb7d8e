"""The agent builder: tools in a worktree, confined, bounded and journalled."""

from __future__ import annotations

from pathlib import Path

import pytest

from bessemer.actors.backends.base import CallFailure
from bessemer.actors.builders._agent import AgentBuilder
from bessemer.actors.builders._tools import ToolLimits
from bessemer.actors.judging.types import Task
from bessemer.cluster.errors import BudgetExhausted
from bessemer.cluster.workspace import pack, receiver, unpack

from .conftest import DONE, MemoryJournal, RealProber, Site, calls, said

TASK = Task(id="t", description="truncate must keep to its width", files=("kit.py",))
FIX = {"path": "kit.py", "old": 'text + "..."', "new": 'text[: width - 3] + "..."'}


async def build(site, journal, task=TASK, limits=None, **more):
    return await AgentBuilder(limits).build(site.request(task, **more), journal, RealProber())


async def test_edits_runs_and_finishes(site):
    place = await site()
    journal = MemoryJournal(
        calls(("read_file", {"path": "kit.py"})),
        calls(("edit_file", FIX), ("run", {"command": "python -m pytest -q -p no:cacheprovider tests"})),
        calls(DONE),
    )
    result = await build(place, journal, probes=("pytest",))
    assert result.status == "changed", result
    assert result.changed_files == ("kit.py",)
    assert result.changed_lines == 2
    assert result.probes[0].passed == 2
    assert (result.tool_calls, result.tool_errors) == (3, 0)
    assert "text[: width - 3]" in await place.read(result.commit, "kit.py")
    assert [entry["kind"] for entry in result.trace] == ["call", "tool", "call", "tool", "tool", "call"]
    assert result.summary.startswith("Changes made") and "Remaining gaps" in result.summary
    assert "2 passed" in journal.observed["tool-2"]["result"]
    assert not place.worktree.exists()


async def test_replay_executes_no_tool_and_gives_the_same_commit(site, tmp_path):
    place = await site()
    outside = "echo x >> counter.txt"
    journal = MemoryJournal(calls(("run", {"command": outside}), ("edit_file", FIX)), calls(DONE))
    first = await build(place, journal)
    again = journal.again()
    second = await build(place, again)
    assert second == first
    assert again.written == 0
    assert await place.read(second.commit, "counter.txt") == "x\n"


@pytest.mark.parametrize("known", [0, 1, 2])
async def test_a_crash_between_tools_goes_on_from_the_journalled_tree(site, known):
    place = await site()
    script = calls(
        ("run", {"command": "echo x >> counter.txt"}),
        ("run", {"command": "echo y >> counter.txt"}),
        ("edit_file", FIX),
    )
    journal = MemoryJournal(script, calls(DONE))
    whole = await build(place, journal)
    cut = journal.again()
    cut.bought, cut.requests = cut.bought[:1], cut.requests[:1]
    cut.observed = {f"tool-{n}": journal.observed[f"tool-{n}"] for n in range(known)}
    resumed = await build(place, cut)
    assert resumed.tree == whole.tree
    assert await place.read(resumed.commit, "counter.txt") == "x\ny\n"


async def elsewhere(place, tmp_path):
    """The site as another machine has it: the base commit, and nothing that was built on it."""
    repository = await receiver(tmp_path / "elsewhere" / "repository")
    await unpack(repository, place.base, await pack(place.repository, place.base))
    return Site(repository, place.base, tmp_path / "elsewhere" / "worktree")


async def test_another_machine_does_the_changes_again_and_goes_on(site, tmp_path):
    place = await site()
    script = calls(("run", {"command": "echo x >> counter.txt"}), ("edit_file", FIX))
    journal = MemoryJournal(script, calls(DONE))
    whole = await build(place, journal)
    cut = journal.again()
    cut.bought, cut.requests = cut.bought[:1], cut.requests[:1]
    there = await elsewhere(place, tmp_path)
    resumed = await build(there, cut)
    assert resumed.tree == whole.tree
    assert await there.read(resumed.commit, "counter.txt") == "x\n"


async def test_a_command_that_comes_out_different_there_ends_the_candidate(site, tmp_path):
    place = await site()
    journal = MemoryJournal(calls(("run", {"command": "date +%N > when.txt"}), ("edit_file", FIX)), calls(DONE))
    await build(place, journal)
    result = await build(await elsewhere(place, tmp_path), journal.again())
    assert (result.status, result.failure.kind) == ("failed", "infrastructure")
    assert "machine that is gone" in result.failure.message


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/etc/passwd", "absolute"),
        ("../../secret.txt", "out of the workspace"),
        ("~/x", "absolute"),
        (".git", "git"),
        ("a/.GIT/config", "git"),
        ("out/secret.txt", "link"),
        ("link.txt", "link"),
        ("", "no file"),
        ("x\0y", "out of the workspace"),
    ],
)
async def test_nothing_outside_the_worktree_is_reached(site, tmp_path, path, why):
    (tmp_path / "secret.txt").write_text("secret")
    place = await site()
    link = f"ln -s {tmp_path} out; ln -s {tmp_path}/secret.txt link.txt; ln -s .git g"
    journal = MemoryJournal(
        calls(("run", {"command": link})),
        calls(("read_file", {"path": path}), ("write_file", {"path": path, "content": "overwritten"})),
        calls(("run", {"command": "rm out link.txt g"})),
        calls(DONE),
    )
    result = await build(place, journal)
    assert result.status == "unchanged"
    assert result.tool_errors == 2
    for number in (1, 2):
        assert journal.observed[f"tool-{number}"]["result"].startswith("error: ")
        assert why in journal.observed[f"tool-{number}"]["result"]
    assert (tmp_path / "secret.txt").read_text() == "secret"


async def test_a_link_into_git_is_off_limits(site):
    place = await site()
    journal = MemoryJournal(
        calls(("run", {"command": "ln -s .git g"})),
        calls(("write_file", {"path": "g", "content": "x"}), ("run", {"command": "rm g"})),
        calls(DONE),
    )
    result = await build(place, journal)
    assert "git" in journal.observed["tool-1"]["result"]
    assert result.status == "unchanged"


async def test_a_link_that_leads_outside_is_never_committed(site):
    place = await site()
    journal = MemoryJournal(calls(("run", {"command": "ln -s /etc/passwd p"})), calls(DONE))
    result = await build(place, journal)
    assert result.status == "failed"
    assert result.failure is not None and "'p'" in result.failure.message
    assert result.commit == ""


async def test_the_sandbox_has_no_network_and_no_secret(site, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-not-for-tools")
    place = await site()
    command = "env; python -c \"import socket; socket.create_connection(('127.0.0.1', 22), 2)\""
    journal = MemoryJournal(calls(("run", {"command": command})), calls(DONE))
    await build(place, journal)
    out = journal.observed["tool-0"]["result"]
    assert "sk-not-for-tools" not in out
    assert "exit code 1" in out


async def test_a_split_is_an_answer(site):
    place = await site()
    plan = {"reason": "two deliverables", "plan": ["fix truncate", "fix shout"]}
    result = await build(place, MemoryJournal(calls(("split_required", plan))))
    assert result.status == "split_required"
    assert result.split_plan == ("fix truncate", "fix shout")
    assert result.commit == ""


async def test_broken_arguments_are_told_and_then_end_the_loop(site):
    place = await site()
    broken = [calls(("write_file", '{"path": "kit.py", ')) for _ in range(4)]
    result = await build(place, MemoryJournal(*broken))
    assert result.status == "failed"
    assert result.failure is not None and result.failure.kind == "malformed_output"


async def test_broken_arguments_once_are_forgiven(site):
    place = await site()
    journal = MemoryJournal(calls(("edit_file", '{"path": "kit.py", ')), calls(("edit_file", FIX)), calls(DONE))
    result = await build(place, journal)
    assert result.status == "changed"


async def test_a_refusal_is_the_result(site):
    place = await site()
    refusal = CallFailure(kind="refusal", message="scripted/s refused: no")
    result = await build(place, MemoryJournal(refusal))
    assert (result.status, result.failure) == ("failed", refusal)


async def test_words_without_a_tool_call_end_as_malformed(site):
    place = await site()
    result = await build(place, MemoryJournal(*[said("I am done.") for _ in range(4)]))
    assert result.status == "failed"
    assert result.failure is not None and result.failure.kind == "malformed_output"


async def test_an_empty_answer_ends_as_malformed(site):
    place = await site()
    result = await build(place, MemoryJournal(*[said("") for _ in range(4)]))
    assert result.status == "failed"


async def test_a_spent_budget_leaves_no_result(site):
    class Broke(MemoryJournal):
        async def call(self, request):
            raise BudgetExhausted("the cap of 0.10 USD would be passed; raise it with `bessemer run resume`")

    with pytest.raises(BudgetExhausted):
        await build(await site(), Broke())


async def test_the_same_call_again_and_again_is_refused(site):
    place = await site()
    same = [calls(("list_files", {})) for _ in range(4)]
    journal = MemoryJournal(*same, calls(DONE))
    result = await build(place, journal)
    assert result.tool_errors == 2
    assert sorted(journal.observed) == ["tool-0", "tool-1"]


async def test_turns_are_limited_and_what_was_done_is_kept(site):
    place = await site()
    many = [calls(("run", {"command": f"echo {n} > n.txt"})) for n in range(5)]
    result = await build(place, MemoryJournal(*many), limits=ToolLimits(turns=3))
    assert result.status == "changed"
    assert "limit of 3 turns" in result.summary


async def test_long_output_keeps_its_ends(site):
    place = await site()
    journal = MemoryJournal(calls(("run", {"command": "python -c \"print('x'*50000, 'end')\""})), calls(DONE))
    await build(place, journal, limits=ToolLimits(result_bytes=2000))
    out = journal.observed["tool-0"]["result"]
    assert len(out) < 2200 and "bytes left out" in out and out.rstrip().endswith("end")


async def test_hand_off_files_may_be_read_and_nothing_beside_them(site, tmp_path):
    (tmp_path / "hand_off.md").write_text("read me")
    (tmp_path / "other.md").write_text("not me")
    place = await site()
    journal = MemoryJournal(
        calls(
            ("read_file", {"path": str(tmp_path / "hand_off.md")}),
            ("read_file", {"path": str(tmp_path / "other.md")}),
            ("write_file", {"path": str(tmp_path / "hand_off.md"), "content": "x"}),
        ),
        calls(DONE),
    )
    await build(place, journal, hand_off=(str(tmp_path / "hand_off.md"),))
    assert [journal.observed[f"tool-{n}"]["ok"] for n in range(3)] == [True, False, False]
    assert (tmp_path / "hand_off.md").read_text() == "read me"


async def test_hand_off_files_keep_their_names_on_another_machine(site, tmp_path):
    (tmp_path / "really").write_text("read me")
    place = await site()
    journal = MemoryJournal(calls(("read_file", {"path": "/far/away/hand_off.md"})), calls(DONE))
    await build(place, journal, hand_off=("/far/away/hand_off.md",), hand_off_at=(str(tmp_path / "really"),))
    assert journal.observed["tool-0"]["result"] == "read me"


async def test_search_finds_lines(site):
    place = await site()
    journal = MemoryJournal(calls(("search", {"pattern": "def \\w+"}), ("search", {"pattern": "("})), calls(DONE))
    await build(place, journal)
    assert "kit.py:4:def truncate" in journal.observed["tool-0"]["result"]
    assert journal.observed["tool-1"]["result"].startswith("error: search failed")


async def test_a_slow_candidate_is_cut_off(site):
    place = await site()
    journal = MemoryJournal(calls(("run", {"command": "sleep 30"})), calls(DONE))
    result = await build(place, journal, timeout=1.0)
    assert result.failure is not None and result.failure.kind == "timeout"
    assert not Path(place.worktree).exists()


async def test_the_prompt_names_the_findings(site):
    place = await site()
    baseline = await RealProber().measure(str(place.repository.intake().source), ("pytest",))
    code = baseline[0].findings[0].code
    task = TASK.model_copy(update={"probe": "pytest", "finding_codes": (code,)})
    journal = MemoryJournal(calls(DONE))
    result = await build(place, journal, task=task, baseline=baseline, probes=("pytest",))
    prompt = str(journal.requests[0].history)
    assert code in prompt and "Make it right" in prompt
    assert {tool.name for tool in journal.requests[0].tools} == {
        *("read_file", "list_files", "search", "write_file", "edit_file", "run", "finish", "split_required")
    }
    assert result.status == "unchanged"
