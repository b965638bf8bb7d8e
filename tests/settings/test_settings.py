"""Settings: who wins, what is refused, and that every refusal names the place, the key and the remedy."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import bessemer.cluster.settings as settings_module
from bessemer.cluster.durations import parse_duration
from bessemer.cluster.errors import SettingsError, UsageError
from bessemer.cluster.settings import Settings, config_files, load_keys, load_settings, settings_schema

ROOT = Path(__file__).resolve().parents[2]
SECRET = "sk-ant-" + "api03-abcdefghijklmnop"


@pytest.fixture(autouse=True)
def clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, an empty home, and none of our variables."""
    for name in list(os.environ):
        if name.startswith("BESSEMER_") or name.endswith("_API_KEY"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home" / ".config"))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return work


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def refusal(*files: Path, flags: dict[str, object] | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(flags=flags, files=files)
    assert "\n" not in caught.value.message
    return caught.value.message


def test_without_anything_the_defaults_hold(clean: Path) -> None:
    found = load_settings()
    assert found.refine.max_rounds == 3
    assert found.refine.builders == 2
    assert found.refine.candidates is None
    assert found.budget.run is None
    assert found.state_dir == clean / ".bessemer"


def test_each_layer_wins_over_the_one_below(clean: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user, project = config_files()
    layers = [
        (write(user, "refine: {max_rounds: 4, builders: 9}\n"), 4),
        (write(project, "refine: {max_rounds: 5}\n"), 5),
    ]
    assert load_settings().refine.max_rounds == layers[-1][1]
    first, second = (
        write(clean / "a.yaml", "refine: {max_rounds: 6}\n"),
        write(clean / "b.yaml", "refine: {max_rounds: 7}\n"),
    )
    assert load_settings(files=[first]).refine.max_rounds == 6
    assert load_settings(files=[first, second]).refine.max_rounds == 7
    assert load_settings(files=[second, first]).refine.max_rounds == 6
    monkeypatch.setenv("BESSEMER_REFINE__MAX_ROUNDS", "8")
    assert load_settings(files=[first]).refine.max_rounds == 8
    found = load_settings(flags={"refine": {"max_rounds": 9, "builders": None}}, files=[first])
    assert (found.refine.max_rounds, found.refine.builders) == (9, 9)


def test_lists_are_replaced_and_mappings_are_merged(clean: Path) -> None:
    user, project = config_files()
    write(user, "refine: {probes: [a, b]}\nbackends: {names: {x: openai/x, y: openai/y}}\n")
    write(project, "refine: {probes: [c]}\nbackends: {names: {y: google/y}}\n")
    found = load_settings()
    assert found.refine.probes == ("c",)
    assert found.backends.names == {"x": "openai/x", "y": "google/y"}


def test_the_environment_takes_text_lists_and_mappings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BESSEMER_EVAL__BACKENDS", "claude gemini")
    monkeypatch.setenv("BESSEMER_REFINE__PROBES", '["pytest -q", "ruff"]')
    monkeypatch.setenv("bessemer_refine__time_budget", "1h30m")
    monkeypatch.setenv("BESSEMER_BACKENDS__PRICES__OVERRIDES", '{"openai/new": {"input": 3, "output": 9}}')
    found = load_settings()
    assert found.eval.backends == ("claude", "gemini")
    assert found.refine.probes == ("pytest -q", "ruff")
    assert found.refine.time_budget == 5400
    assert found.prices.overrides["openai/new"].output == 9


def test_a_variable_of_ours_that_is_no_setting_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BESSEMER_CACHE_DIR", "/somewhere")
    monkeypatch.setenv("BESSEMER_SCENARIO", "x.yaml")
    assert load_settings() == load_settings()


def test_one_string_is_one_probe_because_a_command_line_has_spaces(clean: Path) -> None:
    write(config_files()[1], "refine: {probes: pytest -q}\n")
    assert load_settings().refine.probes == ("pytest -q",)


def test_settings_travel_as_json_and_ignore_the_environment_of_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = load_settings(flags={"budget": {"run": "2.345678"}, "refine": {"probe_timeout": "2m"}})
    monkeypatch.setenv("BESSEMER_REFINE__MAX_ROUNDS", "77")
    received = Settings.model_validate(json.loads(json.dumps(sent.model_dump(mode="json"))))
    assert received == sent
    assert received.budget.run == 2_345_678


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("refine: {max_round: 3}", "config.yaml:1: unknown key 'refine.max_round'; did you mean 'max_rounds'?"),
        ("a: 1\n", "config.yaml:1: unknown key 'a'; known here: state_dir, ledger"),
        ("max_rounds: 3", "unknown key 'max_rounds'; did you mean refine.max_rounds?"),
        ("refine:\n  max_rounds: many", "config.yaml:2: refine.max_rounds is 'many'; it should be a valid integer"),
        ("refine:\n  max_rounds: 0", "config.yaml:2: refine.max_rounds is 0; it should be greater than or equal to 1"),
        ("budget: {run: -1}", "config.yaml:1: budget.run is -1; give dollars, for example 2.50"),
        ("budget: {run: .nan}", "config.yaml:1: budget.run is nan; give dollars, for example 2.50"),
        ("refine: {time_budget: soon}", "refine.time_budget is 'soon'; give for example 90s, 10m or 1h30m"),
        ("refine: 3", "config.yaml:1: refine is 3; it should be"),
        ("ledger: [", "config.yaml:1: not valid YAML"),
        ("- a\n", "config.yaml:1: holds no settings but a list"),
        ("lake: {url: a}\nlake: {url: b}\n", "config.yaml:2: lake is given twice; keep one of them"),
        ("backends: &a {names: *a}", "an alias (*name) contains itself"),
        ("eval: {backends: [a, 3]}", "config.yaml:1: eval.backends.1 is 3; it should be a valid string"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(text: str, says: str) -> None:
    write(config_files()[1], text)
    assert says in refusal()


def test_a_wrong_variable_and_a_wrong_flag_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert refusal(flags={"refine": {"max_rounds": 0}}).startswith("--max-rounds: refine.max_rounds is 0")
    monkeypatch.setenv("BESSEMER_REFINE__BUILDERS", "two")
    assert refusal().startswith("BESSEMER_REFINE__BUILDERS: refine.builders is 'two'")
    monkeypatch.delenv("BESSEMER_REFINE__BUILDERS")
    monkeypatch.setenv("BESSEMER_REFINE__BUILDER", "2")
    assert "did you mean 'builders'?" in refusal()
    monkeypatch.delenv("BESSEMER_REFINE__BUILDER")
    monkeypatch.setenv("BESSEMER_REFIN__BUILDERS", "2")
    assert refusal() == "BESSEMER_REFIN__BUILDERS: no section 'refin'; did you mean 'refine'?"


def test_a_missing_or_unreadable_file_is_refused(clean: Path) -> None:
    assert refusal(clean / "none.yaml").endswith("none.yaml: no such file; give a YAML file with settings")
    (clean / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    assert "not UTF-8 text" in refusal(clean / "bytes.yaml")


@pytest.mark.parametrize(
    "text",
    [
        f"backends: {{anthropic: {{api_key: {SECRET}}}}}",
        f"backends: {{anthropic: {{key_variable: {SECRET}}}}}",
        "backends: {openai: {secret: hunter2}}",
    ],
)
def test_a_key_in_a_file_is_refused_and_not_shown(text: str) -> None:
    write(config_files()[1], text)
    said = refusal()
    assert "keys do not belong in settings" in said
    assert SECRET not in said
    assert "hunter2" not in said


def test_a_key_in_a_settings_variable_is_refused_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BESSEMER_BACKENDS__ANTHROPIC__API_KEY", SECRET)
    said = refusal()
    assert "ANTHROPIC_API_KEY in the environment or in .env" in said
    assert SECRET not in said


def test_a_password_in_an_address_is_not_shown(clean: Path) -> None:
    write(config_files()[1], "ledger: {url: [postgresql://me:hunter2@db/x]}")
    assert "hunter2" not in refusal()


def test_keys_come_from_the_nearest_env_file_and_never_replace_the_environment(
    clean: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(
        clean / ".env",
        "ANTHROPIC_API_KEY=from-file\nOPENAI_API_KEY=from-file\nPATH=/bad\nBESSEMER_REFINE__BUILDERS=9\n",
    )
    deep = clean / "a" / "b"
    deep.mkdir(parents=True)
    monkeypatch.setenv("OPENAI_API_KEY", "from-environment")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "")
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    path = os.environ["PATH"]
    assert load_keys(deep) == ("ANTHROPIC_API_KEY",)
    assert os.environ["ANTHROPIC_API_KEY"] == "from-file"
    assert os.environ["OPENAI_API_KEY"] == "from-environment"
    assert os.environ["PATH"] == path
    assert load_settings(cwd=deep).refine.builders == 2
    monkeypatch.delenv("ANTHROPIC_API_KEY")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file to somebody else")
def test_another_users_env_file_is_not_read(clean: Path) -> None:
    write(clean / ".env", "ANTHROPIC_API_KEY=planted\n")
    os.chown(clean / ".env", 12345, 12345)
    assert load_keys(clean) == ()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("10m", 600),
        ("1h30m", 5400),
        ("2d", 172800),
        ("1w", 604800),
        ("1.5h", 5400),
        ("45", 45),
        (0.5, 0.5),
    ],
)
def test_durations(text: str | float, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-3m", "0s", "nan", "inf", "3 parsecs", "m", "1h30"])
def test_what_is_no_duration_is_refused_with_the_flag_and_the_value(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_duration(text, "--time-budget")
    assert caught.value.message.startswith(f"--time-budget {text!r}")


def test_the_schema_for_editors_is_current() -> None:
    kept = json.loads((ROOT / settings_module.SCHEMA_PATH).read_text())
    assert kept == settings_schema(), "run `make docs`"


def test_every_example_in_the_docs_is_accepted(clean: Path) -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    blocks = [part.split("```")[0] for part in page.split("```yaml\n")[1:]]
    assert blocks
    for block in blocks:
        write(config_files()[1], block)
        load_settings()
