"""Work, probes and models that misbehave, through the command line: a typed end, one line, and nothing half-written."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.crash._world import World, done, launched

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

PROBES_ONLY = ["--eval-backends", "probes", "--json"]


def end_of(world: World, *words: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, last record and standard error of a command."""
    log = world.root / "driver.log"
    before = log.read_text() if log.exists() else ""
    driver = world.command(*words)
    last = done(driver)
    return driver.returncode, last, log.read_text().removeprefix(before)


def errors(said: str) -> list[str]:
    return [line for line in said.splitlines() if line.startswith("error: ")]


def git(folder: Path, *words: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "protocol.file.allow=always"]
    subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True)


def test_work_that_cannot_be_taken_in_is_named(world: World) -> None:
    large = world.root / "large"
    large.mkdir()
    (large / "film.bin").write_bytes(bytes(50 * 2**20))
    pointer = world.root / "pointer"
    pointer.mkdir()
    (pointer / "model.bin").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 12345\n"
    )
    nested = world.root / "nested"
    nested.mkdir()
    git(nested, "init", "-q")
    git(nested, "submodule", "add", "-q", str(world.project), "inner")
    git(nested, "commit", "-q", "-m", "with a submodule")
    for name, says in (("large", "film.bin"), ("pointer", "model.bin"), ("nested", "inner")):
        code, last, said = end_of(world, "evaluate", name, *PROBES_ONLY)
        assert code == 2, (name, last, said)
        (line,) = errors(said)
        assert says in line, line
        assert last["event"] == "error"


@pytest.mark.long
def test_a_binary_deliverable_is_not_verified_and_never_passed(world: World) -> None:
    folder = world.root / "picture"
    folder.mkdir()
    (folder / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 10)
    code, last, _ = end_of(world, "evaluate", "picture", *PROBES_ONLY)
    assert code == 3
    assert last["ending"] == "not_judged"
    assert last["verdict"]["not_verified"] == ["static"] or last["verdict"]["not_scored"], last["verdict"]


def test_probes_that_hang_flood_or_fork_end_and_are_no_pass(world: World) -> None:
    config = json.loads((world.root / ".bessemer" / "config.yaml").read_text())
    config["refine"] = {"probe_timeout": 4}
    (world.root / ".bessemer" / "config.yaml").write_text(json.dumps(config))
    forks = "sh -c 'for i in 1 2 3 4 5 6 7 8; do (sleep 300 &) ; done; exit 3'"
    commands = ["sleep 300", "sh -c 'yes | head -c 300000000; exit 7'", forks]
    code, last, _ = end_of(world, "evaluate", "project", "--probe", *commands, *PROBES_ONLY)
    assert code in (1, 3)
    found = {probe["probe"]: probe for probe in last["probes"]}
    assert set(found) == set(commands)
    assert found["sleep 300"]["status"] in ("timeout", "error")
    assert all(probe["status"] != "passed" for probe in found.values())
    assert len(json.dumps(last)) < 200_000, "what a probe floods is cut"
    left = subprocess.run(["pgrep", "-f", "^sleep 300$"], capture_output=True, text=True, check=False)
    assert left.stdout == ""


ANSWERS: dict[str, tuple[dict[str, Any], str]] = {
    "broken": ({"text": '{"scores": [{"criterion": '}, "malformed"),
    "empty": ({"text": ""}, "malformed"),
    "refusal": ({"fail": "refusal", "message": "I will not."}, "abstained"),
    "wrong key": ({"fail": "auth", "message": "no"}, "failed"),
}
"""What a judge says, by a word in its criterion, and why that scores nothing."""


@pytest.mark.long
def test_a_judge_without_a_usable_answer_scores_nothing(world: World) -> None:
    rules = [{"match": {"text": f"adds, {word}"}, "answer": answer} for word, (answer, _) in ANSWERS.items()]
    (world.root / "scenario.yaml").write_text(yaml.safe_dump({"rules": rules, "default": {"text": "nobody asked"}}))
    flags = ["--eval-backends", "scripted/j", "--probe", "pytest", "--json"]
    for word, (_, why) in ANSWERS.items():
        code, last, _ = end_of(world, "evaluate", "project", *flags, "--criteria", f"E1: it adds, {word}")
        assert (code, last["ending"]) == (3, "not_judged"), last
        assert last["verdict"]["scores"] == []
        assert [one["why"] for one in last["verdict"]["not_scored"]] == [why], word


def test_a_builder_that_reaches_outside_changes_nothing_there(world: World) -> None:
    outside = world.root / "outside.txt"
    outside.write_text("mine\n")
    calls = [
        {"name": "write_file", "arguments": {"path": "../../outside.txt", "content": "theirs\n"}},
        {"name": "write_file", "arguments": {"path": str(outside), "content": "theirs\n"}},
        {"name": "run", "arguments": {"command": f"ln -s {world.root} way && echo theirs > way/outside.txt"}},
        {"name": "write_file", "arguments": {"path": "way/outside.txt", "content": "theirs\n"}},
    ]
    finish = {"changes_made": "", "spec_compliance": [], "verification": "", "remaining_gaps": ""}
    rules = [
        {"match": {"purpose": "build", "turn": 1}, "answer": {"tool_calls": calls}},
        {
            "match": {"purpose": "build", "turn": 2},
            "answer": {"tool_calls": [{"name": "finish", "arguments": finish}]},
        },
    ]
    (world.root / "scenario.yaml").write_text(yaml.safe_dump({"rules": rules, "default": {"text": "done"}}))
    words = ["refine", "Make it right", "--prior-answer", "project", "--build-backend", "scripted/b"]
    code, last, _ = end_of(world, *words, "--probe", "pytest", "--max-rounds", "1", *PROBES_ONLY)
    assert code == 1, last
    assert outside.read_text() == "mine\n"
    assert last["changed_files"] == []
    assert not Path(last["result"], "way").is_symlink()


@pytest.fixture
def small_disk(world: World) -> Iterator[Path]:
    """The state directory on a disk of 3 MB."""
    place = world.root / ".bessemer"
    config = (place / "config.yaml").read_text()
    world.close()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a file system of its own cannot be mounted here")
    (place / "config.yaml").write_text(config)
    yield place
    world.close()
    subprocess.run(["umount", "-l", str(place)], check=False)


def test_a_full_disk_is_told_and_the_run_goes_on_once_there_is_room(world: World, small_disk: Path) -> None:
    filler = small_disk / "filler"
    free = shutil.disk_usage(small_disk).free
    filler.write_bytes(bytes(free - 700_000))
    words = ["refine", "Make the tests pass", "--prior-answer", "project", "--build-backend", "scripted/b"]
    driver = world.command(*words, "--eval-backends", "scripted/j", "--probe", "pytest", "--json")
    run = launched(driver)
    last = done(driver)
    assert driver.returncode == 5, last
    assert "disk is full" in last["message"] or "No space" in last["message"] or "free space" in last["message"], last
    filler.unlink()
    subprocess.run(["mount", "-o", "remount,size=200m", str(small_disk)], check=True)
    resumed = world.resume(run)
    outcome = done(resumed)
    assert outcome["ending"] == "converged", outcome
    settled = [(one.path, one.index) for one in world.ledger.attempts(run) if one.state == "settled"]
    assert len(settled) == len(set(settled)), "a call was bought twice"
