"""The focused builder: one function, one failure, one answer put in its place."""

from __future__ import annotations

import pytest

from bessemer.actors.backends import capabilities
from bessemer.actors.backends.base import CallFailure
from bessemer.actors.builders import best, builder_for, tasks_from_probes
from bessemer.actors.builders._focused import FocusedBuilder
from bessemer.actors.judging.types import Task

from .conftest import MemoryJournal, RealProber, said

GOOD = '```python\ndef truncate(text, width):\n    return text[: width - 3] + "..."\n```'


async def measured(place, *probes):
    return await RealProber().measure(place.repository.intake().source, probes)


async def build(place, journal, task, **more):
    return await FocusedBuilder().build(place.request(task, **more), journal, RealProber())


async def test_repairs_the_function_a_failing_test_is_about(site):
    place = await site()
    baseline = await measured(place, "pytest")
    (task,) = tasks_from_probes(baseline)
    journal = MemoryJournal(said(GOOD))
    result = await build(place, journal, task, baseline=baseline, probes=("pytest",))
    assert result.status == "changed"
    assert result.probes[0].passed == 2
    assert best([result], baseline) == result
    source = await place.read(result.commit, "kit.py")
    assert '"""At most `width` characters."""' in source, "a docstring that the model dropped comes back"
    assert "def shout" in source


async def test_three_of_four_candidates_write_anew_and_one_repairs(site):
    place = await site()
    baseline = await measured(place, "pytest")
    (task,) = tasks_from_probes(baseline)
    prompts = []
    for candidate in (0, 3):
        journal = MemoryJournal(said(GOOD))
        await build(place, journal, task, baseline=baseline, candidate=candidate)
        prompts.append(journal.requests[0].prompt)
    anew, repair = prompts
    assert '"""At most `width` characters."""' in anew and 'text + "..."' not in anew
    assert 'text + "..."' in repair and "assert 18 == 9" in repair
    assert all("test_truncate_is_short" in prompt and "def shout" not in prompt for prompt in prompts)


async def test_a_replay_buys_and_measures_nothing(site):
    place = await site()
    baseline = await measured(place, "pytest")
    (task,) = tasks_from_probes(baseline)
    journal = MemoryJournal(said(GOOD))
    first = await build(place, journal, task, baseline=baseline, probes=("pytest",))
    again = journal.again()
    prober = RealProber()
    second = await FocusedBuilder().build(place.request(task, baseline=baseline, probes=("pytest",)), again, prober)
    assert second == first
    assert (again.written, prober.count, len(again.requests)) == (0, 0, 1)


async def test_candidates_differ_in_temperature_and_seed(site):
    place = await site()
    baseline = await measured(place, "pytest")
    (task,) = tasks_from_probes(baseline)
    settings = []
    for candidate in range(5):
        journal = MemoryJournal(said(GOOD))
        await build(place, journal, task, baseline=baseline, candidate=candidate)
        settings.append((journal.requests[0].temperature, journal.requests[0].seed))
    assert [temperature for temperature, _ in settings] == [0.2, 0.8, 0.8, 0.8, 0.8]
    assert len({seed for _, seed in settings}) == 5


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("", "no function"),
        ("I cannot do that.", "not Python"),
        ("```python\ndef truncate(text, width:\n```", "not Python"),
        ("```python\ndef shorten(text, width):\n    return ''\n```", "no function"),
        ("```python\ndef truncate(text):\n    return ''\n```", "parameters"),
        (
            'def truncate(text, width):\n    """At most `width` characters."""\n    return text + "..."',
            "nothing",
        ),
    ],
)
async def test_an_unusable_answer_changes_nothing(site, answer, why):
    place = await site()
    baseline = await measured(place, "pytest")
    (task,) = tasks_from_probes(baseline)
    result = await build(place, MemoryJournal(said(answer)), task, baseline=baseline, probes=("pytest",))
    assert result.status == "unchanged"
    assert why in result.summary
    assert result.commit == ""


async def test_a_failed_call_is_the_result(site):
    place = await site()
    baseline = await measured(place, "pytest")
    (task,) = tasks_from_probes(baseline)
    failure = CallFailure(kind="truncated", message="embedded/x: the answer was cut off")
    result = await build(place, MemoryJournal(failure), task, baseline=baseline)
    assert (result.status, result.failure) == ("failed", failure)


async def test_without_a_place_nothing_is_asked(site):
    place = await site()
    journal = MemoryJournal()
    result = await build(place, journal, Task(id="goal", description="Make it beautiful"))
    assert result.status == "unchanged"
    assert journal.requests == []


async def test_repairs_what_a_linter_reports(site):
    files = {
        "kit.py": "import os\nimport sys\n\n\ndef exe():\n    return sys.executable\n",
        "pyproject.toml": '[tool.ruff.lint]\nselect = ["F", "E"]\n',
    }
    place = await site(files)
    baseline = await measured(place, "ruff")
    (task,) = tasks_from_probes(baseline)
    journal = MemoryJournal(said("```python\nimport sys\n```"))
    result = await build(place, journal, task, baseline=baseline, probes=("ruff",))
    assert result.status == "changed"
    assert result.probes[0].status == "passed"
    assert (await place.read(result.commit, "kit.py")).startswith("import sys\n\n\ndef exe")
    assert "import os\nimport sys" in journal.requests[0].prompt


def test_the_builder_suits_the_backend():
    assert builder_for(capabilities("embedded/qwen2.5-coder-1.5b")).name == "focused"
    assert builder_for(capabilities("anthropic/claude-opus-4-6")).name == "agent"
