"""Persona files: ours are complete, the user's override them, broken ones are named with their line."""

from __future__ import annotations

from pathlib import Path

import pytest

from bessemer.actors.reviewers import load_persona, load_personas, persona_hashes
from bessemer.cluster.errors import SettingsError

GOOD = "---\nname: mine\nstage: evaluation\nfocus: tone\ntags: [a]\nschema: evaluation/1\n---\n\nLook at the tone.\n"


def test_ours():
    found = load_personas()
    assert set(found) >= {"round-evaluator", "execution-trace-analyzer", "regression-guard", "criteria-writer"}
    assert len({one.content_hash for one in found.values()}) == len(found)
    assert set(persona_hashes()) == {*found, "prompts/reviewer", "prompts/repair"}


def test_line_ends_and_composition_do_not_change_the_hash(tmp_path: Path):
    hashes = set()
    for n, text in enumerate((GOOD + "caf\u00e9\n", (GOOD + "cafe\u0301  \n\n").replace("\n", "\r\n"))):
        folder = tmp_path / str(n)
        folder.mkdir()
        (folder / "mine.md").write_bytes(text.encode())
        hashes.add(load_persona("mine", folder).content_hash)
    assert len(hashes) == 1


def test_a_users_persona_overrides_ours(tmp_path: Path):
    (tmp_path / "round-evaluator.md").write_text(GOOD.replace("mine", "round-evaluator"))
    assert load_persona("round-evaluator", tmp_path).body == "Look at the tone."
    assert persona_hashes(tmp_path)["round-evaluator"] != persona_hashes()["round-evaluator"]
    assert persona_hashes(tmp_path / "missing") == persona_hashes()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no frontmatter", r"mine\.md:1 does not begin"),
        ("---\nname: mine\n", r"mine\.md:1 opens a frontmatter that never ends"),
        (GOOD.replace("tone\n", "[tone\n", 1), r"mine\.md:\d is not valid YAML"),
        (GOOD.replace("stage: evaluation\n", ""), r"mine\.md:2 has a wrong frontmatter 'stage'"),
        (GOOD.replace("tags: [a]", "tags: 3"), r"mine\.md:5 has a wrong frontmatter 'tags'"),
        (GOOD.replace("tags", "tag"), r"mine\.md:5 has a wrong frontmatter 'tag'"),
        (GOOD.replace("name: mine", "name: other"), r"mine\.md:2 names the persona 'other'"),
        (GOOD.split("\n\n")[0], r"mine\.md:8 has no prompt"),
        (GOOD.replace("tone", "\x08"), r"mine\.md:2 .*not valid YAML"),
    ],
)
def test_broken_ones_are_named_with_their_line(tmp_path: Path, text: str, said: str):
    (tmp_path / "mine.md").write_text(text)
    with pytest.raises(SettingsError, match=said) as caught:
        load_personas(tmp_path)
    assert "\n" not in caught.value.message


def test_unknown():
    with pytest.raises(SettingsError, match="no persona 'nope'; there are criteria-raiser, criteria-writer"):
        load_persona("nope")
