"""The settings: what a flag, the environment or a file may change, each with its default.

A value is looked for in this order: flag, environment (`BESSEMER_*`, nested by `__`), files named with `-c` (the last
wins), `./.bessemer/config.yaml`, `./.massgen-quality/eval_config.json`, `~/.config/bessemer/config.yaml`, default. Keys
of providers are not settings: they are read from the environment or a `.env` file and refused everywhere else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    WithJsonSchema,
    field_validator,
)

from bessemer.cluster._layers import Layers, environment_layer, explain, file_layer, load_keys
from bessemer.cluster.backend_settings import BackendSettings, BatchSettings, PriceSettings
from bessemer.cluster.durations import parse_duration
from bessemer.cluster.errors import SettingsError, UsageError
from bessemer.cluster.eval_config import eval_config_layer
from bessemer.cluster.money import MICRO, MicroDollars, parse_usd
from bessemer.cluster.telemetry import TelemetrySettings

__all__ = [
    "BudgetSettings",
    "ClusterSettings",
    "EvalSettings",
    "LakeSettings",
    "LedgerSettings",
    "RefineSettings",
    "SandboxSettings",
    "Settings",
    "TelemetrySettings",
    "WorkspaceSettings",
    "config_files",
    "load_keys",
    "load_settings",
    "parse_duration",
    "settings_schema",
]

STATE_FOLDER = ".bessemer"
SCHEMA_PATH = "configs/settings.schema.json"


def _duration(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return value
    return _told(parse_duration, value)


def _dollars(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return value
    return _told(parse_usd, value)


def _told(parse: Any, value: Any) -> Any:
    try:
        return parse(value, "value")
    except UsageError as error:
        # pydantic shows a ValueError with the key; the value and the remedy are in the message.
        raise ValueError(error.message.partition(";")[2].strip()) from None


def _words(value: Any) -> Any:
    return tuple(value.split()) if isinstance(value, str) else value


def _one(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Duration = Annotated[
    float,
    BeforeValidator(_duration),
    WithJsonSchema(
        {"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "string", "examples": ["90s", "10m", "1h30m"]}]}
    ),
]
"""Seconds; written `90s`, `10m`, `1h30m` or as a number."""
Dollars = Annotated[
    MicroDollars,
    BeforeValidator(_dollars),
    PlainSerializer(lambda micro: f"{micro // MICRO}.{micro % MICRO:06d}", return_type=str, when_used="json"),
    WithJsonSchema({"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "string", "examples": ["2.50"]}]}),
]
"""Micro-dollars; written in dollars."""
Words = Annotated[tuple[str, ...], BeforeValidator(_words)]
"""Names without spaces; one string is split at its spaces."""
Lines = Annotated[tuple[str, ...], BeforeValidator(_one)]
"""Command lines; one string is one of them."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class LedgerSettings(_Section):
    url: str = ""
    """SQLAlchemy URL of the ledger; empty is `ledger.db` in the state directory."""
    lease_seconds: Annotated[Duration, Field(le=600)] = 30.0
    """How long a run's host may be silent before another may take the run over; ten minutes at most."""
    patience: Duration = 600.0
    """How long work in hand waits for a PostgreSQL that does not answer, before its run breaks off to be resumed."""


class LakeSettings(_Section):
    url: str = ""
    """Folder or object store of the lake (`s3://bucket/prefix`); empty is `lake/` in the state directory."""
    storage: dict[str, str] = {}
    """How the object store is reached where the AWS_* variables don't say it: endpoint, region, allow_http."""


class WorkspaceSettings(_Section):
    url: str = ""
    """Folder that every machine sees, or object store (`s3://bucket/prefix`), through which work travels between
    machines; empty sends it in messages, up to 100 MiB each."""
    storage: dict[str, str] = {}
    """How the object store is reached where the AWS_* variables don't say it: endpoint, region, allow_http."""


class ClusterSettings(_Section):
    address: str = ""
    """Ray cluster to join; empty takes the warm local cluster, else starts a private one."""
    num_cpus: int | None = Field(default=None, ge=1)
    """Cores a cluster started here may use; none takes all."""
    run_hosts: int = Field(default=4, ge=1, le=64)
    """Most processes of one machine that carry runs; another joins when all are full."""
    runs_per_host: int = Field(default=64, ge=1, le=1000)
    """Runs that one of them carries at once; a run more is refused, or waits in its queue."""
    silent_seconds: Annotated[Duration, Field(ge=1, le=3600)] = 180.0
    """How long a host that is waited for may leave every question unanswered before it is ended and started anew."""
    step_seconds: Annotated[Duration, Field(ge=1)] = 6 * 3600.0
    """How long one step of a run may take, its waiting for hosts included, before its run breaks off to be resumed;
    overnight, a step may take eight days beside it."""


class EvalSettings(_Section):
    backends: Words = ()
    """Models that judge; `probes` lets only the probes judge; empty chooses by the keys there are."""
    orchestrator: Literal["bessemer", "massgen"] = "bessemer"
    """`massgen` hands judging by several models to an installed MassGen, as one batch process."""


class RefineSettings(_Section):
    build_backend: str = ""
    """The model that builds; empty chooses by the keys there are."""
    max_rounds: int = Field(default=3, ge=1, le=100)
    builders: int = Field(default=2, ge=1, le=64)
    """Tasks built side by side."""
    candidates: int | None = Field(default=None, ge=1, le=32)
    """Tries at one task, of which the best is kept; none takes 1 for a capable model and 4 for the embedded one."""
    probes: Lines = ()
    """Built-in probes or command lines; empty chooses by the files there are."""
    probe_timeout: Duration = 120.0
    """Seconds one probe may take."""
    time_budget: Duration | None = None
    """Seconds a run may work; none is no limit."""
    evolve_criteria: bool = False
    """Whether criteria that are met are raised, twice at most, instead of ending the run."""
    max_file_bytes: int = Field(default=50_000_000, ge=1)
    """A larger file in the work is refused."""


class SandboxSettings(_Section):
    door: str = "auto"
    """How what a model wrote is shut in: `auto` takes the first that works here (see `bessemer doctor`),
    `container` a container before them."""
    disabled: bool = False
    """True runs it without a sandbox; only on your explicit word."""


class QueueSettings(_Section):
    parallel: int = Field(default=4, ge=1, le=1024)
    """Tasks of a queue that run at once."""
    tries: int = Field(default=3, ge=1, le=20)
    """How often a task is started whose run breaks off for reasons of the machine or the network."""
    stop_seconds: Duration = 600.0
    """How long a stopped run may take to reach its next step boundary."""
    priority: float = Field(default=0.1, gt=0, le=1000, allow_inf_nan=False)
    """Weight of a queued task against other runs (1) where they wait for one model, where `--priority` names none."""


class BudgetSettings(_Section):
    run: Dollars | None = None
    """Most dollars one run may spend; none is no cap."""
    day: Dollars | None = None
    """Most dollars all runs of this ledger may spend in one calendar day; none is no cap."""
    time_zone: str = ""
    """Where a day begins, for example `Europe/Berlin`; empty is the machine's own zone."""
    accounts: dict[str, Dollars | None] = Field(default_factory=dict)
    """Named accounts with the most dollars that runs under them may spend in all."""
    account: str = ""
    """The account that runs count against where `--budget-account` names none."""

    @field_validator("time_zone")
    @classmethod
    def _is_a_zone(cls, name: str) -> str:
        if name and name not in available_timezones():
            raise ValueError("is no time zone; write it like Europe/Berlin or UTC")
        return name

    @field_validator("accounts")
    @classmethod
    def _have_names(cls, accounts: dict[str, MicroDollars | None]) -> dict[str, MicroDollars | None]:
        for name in accounts:
            if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", name):
                raise ValueError(f"has the account {name!r}; take letters, digits, and . _ -")
        return accounts


class Settings(BaseModel):
    """All settings, resolved. Made by `load_settings`; sent to hosts as JSON and read back with `model_validate`."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    state_dir: Path = Path(STATE_FOLDER)
    """Where runs, ledger and lake are kept; relative to the current folder."""
    ledger: LedgerSettings = LedgerSettings()
    lake: LakeSettings = LakeSettings()
    workspace: WorkspaceSettings = WorkspaceSettings()
    cluster: ClusterSettings = ClusterSettings()
    urgency: Literal["now", "overnight"] = "now"
    """`overnight` makes every call through its vendor's batch API: at the batch price, within about a day."""
    backends: BackendSettings = BackendSettings()
    batch: BatchSettings = BatchSettings()
    eval: EvalSettings = EvalSettings()
    refine: RefineSettings = RefineSettings()
    queue: QueueSettings = QueueSettings()
    sandbox: SandboxSettings = SandboxSettings()
    budget: BudgetSettings = BudgetSettings()
    telemetry: TelemetrySettings = TelemetrySettings()

    @property
    def prices(self) -> PriceSettings:
        """The user's own prices: what `load_prices` lays over the shipped table."""
        return self.backends.prices


def config_files(cwd: Path | None = None) -> tuple[Path, ...]:
    """The two settings files that are looked for, the weaker first; either may be missing."""
    from platformdirs import user_config_path

    return user_config_path("bessemer") / "config.yaml", (cwd or Path.cwd()) / STATE_FOLDER / "config.yaml"


def load_settings(
    flags: Mapping[str, Any] | None = None,
    files: Sequence[Path] = (),
    cwd: Path | None = None,
    *,
    layered: bool = True,
) -> Settings:
    """Resolve the settings of a folder, and take up the keys of its `.env` (see `load_keys`).

    `flags` is nested like the settings; None in it means not given. `files` are those named with `-c`; without
    `layered` they are read alone, without the project's and the user's file and the environment. Raises SettingsError
    in one line: the file or variable, the key, the value and the remedy.
    """
    folder = (cwd or Path.cwd()).absolute()
    load_keys(folder)
    layers = Layers()
    user, project = config_files(folder)
    if layered and user.exists():
        layers.add(file_layer(user, Settings))
    if layered:
        layers.add(eval_config_layer(folder))
    if layered and project.exists():
        layers.add(file_layer(project, Settings))
    for path in files:
        if not path.expanduser().is_file():
            raise SettingsError(f"-c {path}: no such file; give a YAML file with settings")
        layers.add(file_layer(path.expanduser(), Settings))
    if layered:
        layers.add(environment_layer(Settings))
    layers.add_flags(flags or {})
    try:
        found = Settings.model_validate(layers.values)
    except ValidationError as error:
        raise SettingsError(explain(error, layers, Settings)) from None
    return found.model_copy(update={"state_dir": folder / found.state_dir.expanduser()})


def settings_schema() -> dict[str, Any]:
    """JSON schema of a settings file, for editors; kept in `configs/settings.schema.json`."""
    schema = Settings.model_json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "Bessemer settings",
        "description": "A settings file of Bessemer: .bessemer/config.yaml, ~/.config/bessemer/config.yaml or -c FILE.",
    }
