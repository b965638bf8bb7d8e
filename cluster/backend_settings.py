"""How models are reached: the `backends:` section of the settings. Holds names of key variables, never keys."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from bessemer.cluster.agent_settings import AgentsSettings, CommandSettings


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PriceOverride(_Frozen):
    """A user's own price in dollars for a million tokens. What is left out costs as much as `input`."""

    input: Decimal = Field(default=Decimal(0), ge=0, allow_inf_nan=False)
    output: Decimal = Field(default=Decimal(0), ge=0, allow_inf_nan=False)
    cache_read: Decimal | None = Field(default=None, ge=0, allow_inf_nan=False)
    cache_write: Decimal | None = Field(default=None, ge=0, allow_inf_nan=False)
    call: Decimal = Field(default=Decimal(0), ge=0, allow_inf_nan=False)
    """Dollars for each call, whatever its tokens; what an unmetered agent or command needs under a cap."""
    free: bool = False
    """Says on purpose that calls cost nothing; without it at least one price must be above 0."""

    @model_validator(mode="after")
    def _says_something(self) -> PriceOverride:
        if not self.free and not (self.input or self.output or self.call):
            raise ValueError("give input and output in dollars for a million tokens, or call in dollars, or free: true")
        return self


class PriceSettings(_Frozen):
    overrides: dict[str, PriceOverride] = Field(default_factory=dict)
    """Prices by `provider/model`, or by `provider/*` for every model of a provider."""


class ProviderSettings(_Frozen):
    """One vendor. Empty fields mean the vendor's own defaults."""

    base_url: str = ""
    key_variable: str = ""
    """Environment variable the key is read from, where it is not the vendor's usual one."""
    max_in_flight: int = Field(default=256, ge=1)
    account: str = Field(default="default", pattern=r"^[\w.-]{1,64}$")
    """Name of the account that the key belongs to: hosts with the same name share its limits."""
    requests_per_minute: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Never more requests a minute to one model; None leaves it to the provider's own answers."""
    tokens_per_minute: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Never more tokens a minute to one model, input and output together."""


class XaiSettings(ProviderSettings):
    """xAI, which is reached over gRPC: `base_url` is `host:port`."""

    plaintext: bool | None = None
    """True sends without encryption, the key included; none does so only to this machine."""


class CompatibleSettings(_Frozen):
    """Any server that speaks OpenAI's chat completions: vLLM, Ollama, llama.cpp, a gateway."""

    base_url: str = ""
    """For example `http://127.0.0.1:8000/v1`; empty reads `BESSEMER_COMPATIBLE_URL`."""
    key_variable: str = "BESSEMER_COMPATIBLE_KEY"
    free: bool = False
    """True where the server costs nothing, so that no price is needed."""
    tools: bool = True
    may_judge: bool = True
    structured: Literal["json_schema", "none"] = "json_schema"
    images: bool = False
    max_in_flight: int = Field(default=256, ge=1)
    account: str = Field(default="default", pattern=r"^[\w.-]{1,64}$")
    """Name of the account that the key belongs to: hosts with the same name share its limits."""
    requests_per_minute: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Never more requests a minute to one model; None leaves it to the provider's own answers."""
    tokens_per_minute: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Never more tokens a minute to one model, input and output together."""


class EmbeddedSettings(_Frozen):
    """The model that needs no key."""

    threads: int = Field(default=0, ge=0)
    """Threads the model computes with; 0 takes every core this process may use."""
    slots: int = Field(default=4, ge=1, le=16)
    """Requests answered side by side; they share the context."""
    context_tokens: int = Field(default=16_384, ge=1024)
    """Tokens of context for all slots together."""
    small_memory: bool | None = None
    """Takes 0.6 GB less memory; one request alone is then slower, four at once are not. None: below 8 GB available."""
    model_dir: str = ""
    """Where the assembled model is kept (1.1 GB); empty is the user's cache directory."""
    start_timeout: float = Field(default=180.0, gt=0)
    """Seconds the model may take to load."""


class ScriptedSettings(_Frozen):
    """Answers from a scenario file, for tests and rehearsals."""

    scenario: str = ""
    """Path of a YAML file; empty reads `BESSEMER_SCENARIO`."""
    books: str = ""
    """File to which each served request is appended as a JSON line; empty keeps no books."""


class ReplaySettings(_Frozen):
    """Answers from a recording."""

    directory: str = ""
    """Folder that `record` wrote; empty reads `BESSEMER_REPLAY`."""


class RetrySettings(_Frozen):
    attempts: int = Field(default=6, ge=1)
    """Attempts at one call, the first included."""
    seconds: float = Field(default=300.0, ge=0)
    """No retry starts later than this many seconds after the first attempt."""
    lost_resends: int = Field(default=1, ge=0)
    """How often a call may be sent again whose request may have been billed without an answer."""


class BatchSettings(_Frozen):
    """The `batch:` section: how overnight calls are put into the vendors' batches."""

    max_calls: int = Field(default=10_000, ge=1)
    """Most calls in one batch; a vendor's own limit holds where it is lower."""
    max_bytes: int = Field(default=100_000_000, ge=1)
    """Most bytes of requests in one batch; a vendor's own limit holds where it is lower."""
    max_wait_seconds: float = Field(default=120.0, ge=0, allow_inf_nan=False)
    """Seconds a call waits for others before its batch is submitted."""
    poll_seconds: float = Field(default=60.0, gt=0, allow_inf_nan=False)
    """Seconds until a batch is looked at for the first time; later looks are up to ten times as far apart."""
    when_expired: Literal["again", "live", "give_up"] = "again"
    """What becomes of a call whose batch expired before it ran: another batch, a live call at full price, a failure."""
    attempts: int = Field(default=2, ge=1)
    """Batches one call may be put into, the first included."""
    lost_seconds: float = Field(default=900.0, ge=0, allow_inf_nan=False)
    """Seconds in which a submission whose answer was lost may still show up in the vendor's list."""
    leave_seconds: float = Field(default=600.0, gt=0, allow_inf_nan=False)
    """Seconds after which a run that only waits for batches leaves memory; it comes back with their results."""


class BackendSettings(_Frozen):
    """The `backends:` section."""

    names: dict[str, str] = Field(default_factory=dict)
    """Short names of your own; they win over `configs/backends.yaml`."""
    anthropic: ProviderSettings = ProviderSettings()
    openai: ProviderSettings = ProviderSettings()
    google: ProviderSettings = ProviderSettings()
    xai: XaiSettings = XaiSettings()
    compatible: CompatibleSettings = CompatibleSettings()
    embedded: EmbeddedSettings = EmbeddedSettings()
    scripted: ScriptedSettings = ScriptedSettings()
    replay: ReplaySettings = ReplaySettings()
    record: str = ""
    """Folder in which every exchange with a model is written down; empty records nothing."""
    agents: AgentsSettings = AgentsSettings()
    commands: dict[str, CommandSettings] = Field(default_factory=dict)
    """Programs by the NAME of `command/NAME`."""
    retry: RetrySettings = RetrySettings()
    prices: PriceSettings = PriceSettings()
    hosts: int = Field(default=0, ge=0)
    """Backend host processes per provider under load; 0 takes one per core, at most 4."""

    def vendor(self, provider: str) -> ProviderSettings:
        """Settings of one of the four vendors. Raises KeyError for any other name."""
        vendors: dict[str, Any] = {
            "anthropic": self.anthropic,
            "openai": self.openai,
            "google": self.google,
            "xai": self.xai,
        }
        found: ProviderSettings = vendors[provider]
        return found
