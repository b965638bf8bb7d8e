"""Probes measure what is there, and say so where they cannot."""

from __future__ import annotations

import shutil

import pytest

from bessemer.actors.probes import BUILTINS, classify, not_verified, probes_for, run_probe
from bessemer.actors.probes.base import ProbeRequest, ProbeResult


async def probe(folder, name, **fields) -> ProbeResult:
    kind = "builtin" if name in BUILTINS else "command"
    return await run_probe(ProbeRequest(probe=name, kind=kind, workspace=str(folder), **fields))


def write(folder, **files) -> None:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


TESTS = (
    "from kit import one\n\ndef test_good():\n    assert one() == 1\n\n"
    "class TestB:\n    def test_bad(self):\n        assert one() == 2\n"
)


@pytest.mark.parametrize("name", ["pytest", "pytest -q", "python -m pytest -x"])
async def test_pytest_counts_and_places_failures(tmp_path, name):
    write(tmp_path, src__kit_DOT_py="def one():\n    return 1\n", tests__test_kit_DOT_py=TESTS)
    before = sorted(tmp_path.rglob("*"))
    found = await probe(tmp_path, name)
    assert (found.status, found.passed, found.total, found.measure) == ("failed", 1, 2, 1.0)
    (bad,) = found.findings
    assert bad.code == "tests/test_kit.py::TestB::test_bad"
    assert (bad.file, bad.line) == ("tests/test_kit.py", 8)
    assert sorted(tmp_path.rglob("*")) == before


async def test_a_file_that_cannot_be_collected_fails(tmp_path):
    write(tmp_path, test_a_DOT_py="import nothing_of_the_kind\n")
    found = await probe(tmp_path, "pytest")
    assert found.status == "failed" and found.findings[0].file == "test_a.py"


async def test_no_test_is_an_error_and_never_a_pass(tmp_path):
    assert (await probe(tmp_path, "pytest")).status == "error"


async def test_a_hanging_test_is_a_timeout(tmp_path):
    write(tmp_path, test_a_DOT_py="import time\ndef test_a():\n    time.sleep(60)\n")
    assert (await probe(tmp_path, "pytest", timeout=2)).status == "timeout"


@pytest.mark.parametrize("name", ["ruff", "ruff check", "ruff check ."])
async def test_ruff_counts_findings(tmp_path, name):
    write(tmp_path, a_DOT_py="import os\n")
    found = await probe(tmp_path, name)
    assert (found.status, found.measure, found.better) == ("failed", 1.0, "lower")
    assert (found.findings[0].code, found.findings[0].file, found.findings[0].line) == ("F401", "a.py", 1)


@pytest.mark.parametrize(
    ("name", "file", "text", "code"),
    [
        ("bandit", "a.py", "exec(input())\n", "B102"),
        ("markdown", "a b.md", "# One\n\n### Three\n", "MD001"),
        ("spelling", "ä.md", "teh word\n", "spelling:teh"),
        ("html", "a.html", "<!DOCTYPE html><html><body><img src=x></body></html>", "no-alt"),
        ("requirements", "requirements.md", "- REQ-1: The pump shall be fast.\n", "vague"),
        ("requirements", "requirements.md", "- REQ-1: The pump shall stop within 5.\n", "no-unit"),
        ("skill_md", "SKILL.md", "---\nname: a-b\ndescription: d\n---\nsee [x](gone.md)\n", "broken-link"),
    ],
)
async def test_each_linter_names_its_defect(tmp_path, name, file, text, code):
    (tmp_path / file).write_text(text)
    found = await probe(tmp_path, name)
    assert found.status == "failed", found
    assert code in {one.code for one in found.findings}
    assert found.findings[0].file == file


@pytest.mark.parametrize(
    "name", ["ruff", "bandit", "markdown", "spelling", "html", "requirements", "skill_md", "browser"]
)
async def test_an_empty_workspace_has_nothing_to_measure(tmp_path, name):
    assert (await probe(tmp_path, name)).status == "not_applicable"


@pytest.mark.parametrize(
    ("command", "status", "measure"),
    [
        ("true", "passed", 1.0),
        ("false", "failed", 0.0),
        ("echo 12.5", "passed", 12.5),
        ("echo '{\"score\": 7}'", "passed", 7.0),
        ("echo nan", "passed", 1.0),
        ("not-a-command-at-all", "error", None),
        ("yes", "error", None),
    ],
)
async def test_a_users_command(tmp_path, command, status, measure):
    found = await probe(tmp_path, command)
    assert (found.status, found.measure) == (status, measure)


async def test_a_command_never_writes_into_what_it_measures(tmp_path):
    (tmp_path / "a").write_text("old")
    await probe(tmp_path, "echo new > a; touch b")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_classes_and_defaults():
    assert classify(["a.py", "tests/test_a.py"]) == "produces_output"
    assert classify(["index.html", "app.js"]) == "interactive"
    assert classify(["a.md"]) == "static"
    assert classify(["a.wav"]) == "makes_sound"
    assert probes_for(["a.py", "tests/test_a.py"], "produces_output") == ["pytest", "ruff"]
    lint = ProbeResult(probe="ruff", status="passed", summary="")
    assert not_verified("produces_output", [lint]) == ["produces_output"]
    assert not_verified("static", [lint]) == []


@pytest.mark.browser
async def test_a_page_is_looked_at_and_its_controls_are_clicked(tmp_path):
    if not shutil.which("chromium"):
        assert (await probe(tmp_path, "browser")).status in ("unavailable", "not_applicable")
        return
    (tmp_path / "site").mkdir()
    page = "<!DOCTYPE html><html lang=en><title>t</title><h1>Hello</h1><button onclick='boom()'>go</button>"
    (tmp_path / "site" / "index.html").write_text(page)
    found = await probe(tmp_path / "site", "browser", artefacts=str(tmp_path / "shots"), timeout=90)
    assert found.status == "failed", found
    assert [one.code for one in found.findings] == ["uncaught"]
    assert len(found.artefacts) == 2
