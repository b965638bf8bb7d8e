"""Criteria: every way they come in, and what is said when they cannot be used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bessemer.actors.judging import (
    bind_to_probes,
    choose_criteria,
    criteria_from_probes,
    load_file,
    load_preset,
    parse_inline,
    preset_names,
)
from bessemer.cluster.errors import CriteriaError


def test_inline_with_ids_keeps_commas_inside_texts():
    found = parse_inline("E1: every test passes, even the slow ones, E2: names are clear, short and true")
    assert [(one.id, one.text) for one in found.criteria] == [
        ("E1", "every test passes, even the slow ones"),
        ("E2", "names are clear, short and true"),
    ]
    assert found.source == "user" and {one.category for one in found.criteria} == {"must"}


def test_inline_without_ids_goes_by_lines_and_semicolons():
    found = parse_inline("fast, small; correct\nwell named")
    assert [(one.id, one.text) for one in found.criteria] == [
        ("E1", "fast, small"),
        ("E2", "correct"),
        ("E3", "well named"),
    ]


def test_inline_category_in_brackets():
    found = parse_inline("E1: a, e2 [could]: b, E3 (should): c")
    assert [(one.id, one.category) for one in found.criteria] == [("E1", "must"), ("E2", "could"), ("E3", "should")]


@given(st.lists(st.text("abc ,", min_size=1).filter(lambda t: t.strip(" ,")), min_size=1, max_size=12))
def test_inline_gives_one_criterion_per_id(texts: list[str]):
    found = parse_inline(", ".join(f"E{n}: {text}" for n, text in enumerate(texts, start=1)))
    assert [one.id for one in found.criteria] == [f"E{n}" for n in range(1, len(texts) + 1)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "gives 0 criteria"),
        (" ; ;", "gives 0 criteria"),
        (";".join("abcdefghijklm"), "gives 13 criteria; give 1 to 12"),
        ("E1: a, E1: b", "uses the id E1 twice"),
        ("E1: a, E2: ", "criterion E2 no text"),
    ],
)
def test_inline_that_cannot_be_used(text: str, said: str):
    with pytest.raises(CriteriaError, match=said):
        parse_inline(text)


@pytest.mark.parametrize("suffix", ["json", "yaml"])
def test_file_with_aliases(tmp_path: Path, suffix: str):
    items = [
        {"id": "A", "name": "short", "description": "the long text", "weight": 2, "category": "primary"},
        {"text": "second", "category": "stretch", "anti_patterns": ["x"], "score_anchors": {"3": "bad"}},
        {"name": "third"},
    ]
    path = tmp_path / f"c.{suffix}"
    lines = "\n".join(f"- {json.dumps(item)}" for item in items)
    path.write_text(json.dumps({"aspiration": "high", "criteria": items}) if suffix == "json" else lines)
    found = load_file(path)
    assert [(one.id, one.text, one.category) for one in found.criteria] == [
        ("A", "the long text", "must"),
        ("E2", "second", "could"),
        ("E3", "third", "should"),
    ]
    assert found.criteria[1].score_anchors == {"3": "bad"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[\n  {"text": "a"},\n  {"text": }\n]', r":3:12 is not valid JSON"),
        ('[\n  {"text": "a",\n   "category": "shall"}]', r":3:16 has the category 'shall'"),
        ('{"criteria": [\n {"text": "a"},\n {"txt": "b"}]}', r":3:\d+ has the unknown key 'txt' in criterion 2"),
        ("- text: a\n- text: [b]\n", r":2:9 has a `text` that is not text"),
        ("- text: a\n  category: 3\n", r":2:13 has the category 3"),
        ("criteria:\n - text: a\n   anti_patterns: b\n", r":3:19 has `anti_patterns`"),
        ("criteria:\n - text: a\n   score_anchors: {11: b}\n", r":3:19 has `score_anchors`"),
        ("criteria: [a: b: c]\n", r":1:\d+ is not valid YAML"),
        ("a: 1\n", r"is neither a list of criteria"),
        ("- category: must\n", r":1:3 gives criterion 1 no `text`"),
        ("", r"is neither a list of criteria"),
        ("[]", r"gives 0 criteria"),
    ],
)
def test_malformed_file_names_path_line_and_column(tmp_path: Path, text: str, said: str):
    path = tmp_path / "criteria.file"
    path.write_text(text)
    with pytest.raises(CriteriaError, match=said) as caught:
        load_file(path)
    assert str(path) in caught.value.message and "\n" not in caught.value.message
    assert caught.value.exit_code == 2


def test_missing_and_undecodable_files(tmp_path: Path):
    with pytest.raises(CriteriaError, match="does not exist"):
        load_file(tmp_path / "none.json")
    (tmp_path / "latin.json").write_bytes(b'["\xe9"]')
    with pytest.raises(CriteriaError, match="not UTF-8 at byte 2"):
        load_file(tmp_path / "latin.json")


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused_in_one_line(tmp_path_factory: pytest.TempPathFactory, text: str):
    path = tmp_path_factory.mktemp("c") / "c"
    path.write_text(text, encoding="utf-8", errors="ignore", newline="")
    try:
        found = load_file(path)
    except CriteriaError as error:
        assert "\n" not in error.message
    else:
        assert 1 <= len(found.criteria) <= 12


@pytest.mark.parametrize("name", preset_names())
def test_presets_are_complete(name: str):
    found = load_preset(name)
    assert found.source == "preset" and found.aspiration
    for one in found.criteria:
        assert set(one.score_anchors) == {"3", "5", "7", "9"} and one.anti_patterns and one.verify_by
    assert any(one.category == "must" for one in found.criteria)


def test_unknown_preset_names_the_known_ones():
    with pytest.raises(CriteriaError, match=r"'nope'; the presets are analysis, changedoc, .* default, evaluation"):
        load_preset("nope")


def test_probes_make_criteria():
    found = criteria_from_probes(["pytest", "ruff", "make check", "pytest"])
    assert [(one.id, one.probe, one.category) for one in found.criteria] == [
        ("E1", "pytest", "must"),
        ("E2", "ruff", "must"),
        ("E3", "make check", "must"),
    ]
    assert criteria_from_probes([]).criteria[0].probe == ""
    with pytest.raises(CriteriaError, match="13 criteria"):
        criteria_from_probes([f"p{n}" for n in range(13)])


def test_priority_of_sources(tmp_path: Path):
    path = tmp_path / "c.json"
    path.write_text('["from the file"]')
    written = criteria_from_probes(["ruff"]).model_copy(update={"source": "written"})
    every = {"inline": "E1: x", "file": path, "preset": "default", "written": written, "probes": ["pytest"]}
    order = []
    while every:
        chosen = choose_criteria(**every)  # type: ignore[arg-type]
        assert chosen is not None
        order.append(chosen.source)
        every.pop(next(iter(every)))
    assert order == ["user", "file", "preset", "written", "probes"]
    assert choose_criteria() is None


def test_only_unmistakable_words_bind_to_a_probe():
    found = bind_to_probes(
        parse_inline("E1: all tests pass, E2: no lint findings, E3: a delight to read, E4: tests are readable"),
        ["pytest", "ruff"],
    )
    assert [one.probe for one in found.criteria] == ["pytest", "ruff", "", ""]
