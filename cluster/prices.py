"""What a call costs, and the most it can cost, in micro-dollars.

A price in dollars for a million tokens is the same number as micro-dollars for one token. Prices come from
genai-prices, whose version is recorded beside every cost, and from a table of the user's own, which wins. A price
applies to one call: long-context tiers jump for the whole request, so summed usage must never be priced.
"""

from __future__ import annotations

import difflib
import functools
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib import resources
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import yaml
from pydantic import ValidationError

from bessemer.cluster.backend_settings import PriceOverride, PriceSettings
from bessemer.cluster.canonical import content_hash
from bessemer.cluster.errors import SettingsError, UnpricedModel
from bessemer.cluster.money import MicroDollars

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice

FREE_PROVIDERS = frozenset({"embedded", "scripted", "replay"})
OVERHEAD_TOKENS = 1024
"""Input tokens a provider may add to what is sent: chat template, tool and schema preambles."""
_USUAL_TIERS = frozenset({"", "default", "standard", "auto"})
_PRICE_DATA_IDS = {"xai": "x-ai"}
_PRICE_HORIZON = timedelta(hours=1)
"""A call reserved now ends within this time; a price that rises meanwhile is counted in its worst case."""
_BATCH_HORIZON = timedelta(hours=36)
"""As above, for a call in a batch: a day at the vendor, and the waiting before it."""
BATCH = "batch"
"""The tier of calls made through a vendor's batch API."""


class TokenUsage(Protocol):
    """Tokens of one call: `input` includes both caches, `cache_write` its one-hour part, `output` reasoning.

    `tier` is the vendor's word for how the call was processed; a word without a price of its own costs the usual one.
    """

    @property
    def input(self) -> int: ...
    @property
    def cache_read(self) -> int: ...
    @property
    def cache_write(self) -> int: ...
    @property
    def cache_write_1h(self) -> int: ...
    @property
    def output(self) -> int: ...
    @property
    def reasoning(self) -> int: ...
    @property
    def tier(self) -> str: ...


class _Tier(NamedTuple):
    above: int
    """Applies to requests with more input tokens than this."""
    price: Decimal


Rate = tuple[_Tier, ...]


class Rates(NamedTuple):
    """Micro-dollars a token by kind, each with its tiers in rising order."""

    input: Rate
    cache_read: Rate
    cache_write: Rate
    cache_write_1h: Rate
    output: Rate
    reasoning: Rate
    per_request: Decimal

    def cost(self, usage: TokenUsage) -> Decimal:
        long_write = min(usage.cache_write_1h, usage.cache_write)
        counts = (
            (self.input, max(0, usage.input - usage.cache_read - usage.cache_write)),
            (self.cache_read, usage.cache_read),
            (self.cache_write, usage.cache_write - long_write),
            (self.cache_write_1h, long_write),
            (self.output, max(0, usage.output - usage.reasoning)),
            (self.reasoning, min(usage.reasoning, usage.output)),
        )
        return self.per_request + sum((_at(rate, usage.input) * tokens for rate, tokens in counts), Decimal(0))

    def worst(self, input_tokens: int, output_tokens: int) -> Decimal:
        kinds_in = (self.input, self.cache_read, self.cache_write, self.cache_write_1h)
        dearest_in = max(_dearest(rate, input_tokens) for rate in kinds_in)
        dearest_out = max(_dearest(rate, input_tokens) for rate in (self.output, self.reasoning))
        return self.per_request + dearest_in * input_tokens + dearest_out * output_tokens


_NOTHING: Rate = (_Tier(-1, Decimal(0)),)
FREE = Rates(_NOTHING, _NOTHING, _NOTHING, _NOTHING, _NOTHING, _NOTHING, Decimal(0))


class PriceBook:
    """Prices by backend name (`provider/model`). Cheap to ask: tables are cached by model and price period."""

    def __init__(
        self,
        overrides: Mapping[str, PriceOverride | Mapping[str, Any]] | None = None,
        *,
        free: frozenset[str] = frozenset(),
        metered: frozenset[str] = frozenset(),
        unmetered: frozenset[str] = frozenset(),
    ) -> None:
        """`free` names further providers whose calls cost nothing. Raises SettingsError for a malformed override.

        Calls to `metered` providers cost nothing themselves: the traffic they cause is booked call by call. Nothing
        bounds what a call to an `unmetered` one costs, unless an override sets a price for each call.
        """
        self._overrides = {name: _override(name, given) for name, given in (overrides or {}).items()}
        self._free = FREE_PROVIDERS | free | unmetered
        self._metered = metered
        self._unmetered = unmetered
        self._models: dict[str, ModelInfo] = {}
        self._windows: dict[str, int | None] = {}
        self._tables: dict[tuple[str, int], Rates] = {}

    @functools.cached_property
    def data_version(self) -> str:
        """Version of the price data, with a hash of the overrides where there are any."""
        from importlib.metadata import version

        known = f"genai-prices-{version('genai-prices')}"
        if not self._overrides:
            return known
        table = {name: given.model_dump(mode="json") for name, given in self._overrides.items()}
        return f"{known}+{content_hash(table)[:8]}"

    def is_unmetered(self, backend: str) -> bool:
        """Whether nothing bounds what a call to `backend` costs, so that no cap can hold."""
        return backend.partition("/")[0] in self._unmetered and self._override_of(backend) is None

    def tells_its_cost(self, backend: str) -> bool:
        """Whether what `backend` says a call cost is booked: the price set for each call is then its worst case."""
        return backend.partition("/")[0] in self._unmetered and not self.is_unmetered(backend)

    def require(self, backend: str) -> None:
        """Raises UnpricedModel unless every call to `backend` can be priced."""
        self._rates(backend, datetime.now(UTC))

    def context_window(self, backend: str) -> int | None:
        """Most input tokens the model reads; None where the price data does not know, or not the model."""
        if backend not in self._windows:
            provider, _, model = backend.partition("/")
            try:
                self._windows[backend] = self._info(backend, provider, model).context_window
            except UnpricedModel:
                self._windows[backend] = None
        return self._windows[backend]

    def worst_case(
        self, backend: str, request_bytes: int, max_output_tokens: int, attachment_tokens: int = 0, tier: str = ""
    ) -> MicroDollars:
        """The most one call can cost if it is sent within the hour, or within a day and a half in a batch.

        `request_bytes` is the UTF-8 length of all text sent: a token is at least one byte, so it bounds the input;
        `attachment_tokens` bounds what images and PDFs add. Raises UnpricedModel.
        """
        now = datetime.now(UTC)
        tokens = request_bytes + OVERHEAD_TOKENS + attachment_tokens
        soon = self._rates(backend, now, tier)
        later = self._rates(backend, now + (_BATCH_HORIZON if tier == BATCH else _PRICE_HORIZON), tier)
        periods = (soon,) if later is soon else (soon, later)
        return MicroDollars(math.ceil(max(rates.worst(tokens, max_output_tokens) for rates in periods)))

    def has_batch_price(self, backend: str) -> bool:
        """Whether a batch is cheaper by what is known; without that, calls in it are priced like any other.

        Raises UnpricedModel.
        """
        now = datetime.now(UTC)
        return self._rates(backend, now, BATCH) != self._rates(backend, now)

    def cost(self, backend: str, usage: TokenUsage, at: datetime | None = None) -> MicroDollars:
        """What one call cost that was sent at `at` (now if None), rounded up once. Raises UnpricedModel."""
        return MicroDollars(math.ceil(self._rates(backend, at or datetime.now(UTC), usage.tier).cost(usage)))

    def _rates(self, backend: str, at: datetime, tier: str = "") -> Rates:
        provider, _, model = backend.partition("/")
        if provider in self._metered:
            return FREE
        given = self._override_of(backend)
        if given is not None:
            return _rates_of_override(given)
        if provider in self._free:
            return FREE
        info = self._info(backend, provider, model)
        if tier not in _USUAL_TIERS:
            return _rates_of_model(info.get_prices(at, {"processing": tier, "service_tier": tier}))
        price = info.get_prices(at)
        key = (backend, id(price))
        if key not in self._tables:
            if price.input_mtok is None or price.output_mtok is None:
                raise UnpricedModel(_unpriced(backend))
            self._tables[key] = _rates_of_model(price)
        return self._tables[key]

    def _override_of(self, backend: str) -> PriceOverride | None:
        return self._overrides.get(backend) or self._overrides.get(f"{backend.partition('/')[0]}/*")

    def _info(self, backend: str, provider: str, model: str) -> ModelInfo:
        if backend not in self._models:
            from genai_prices.data_snapshot import get_snapshot

            try:
                found = get_snapshot().find_provider_model(model, None, _PRICE_DATA_IDS.get(provider, provider), None)
            except LookupError:
                raise UnpricedModel(_unpriced(backend)) from None
            self._models[backend] = found[1]
        return self._models[backend]


def load_prices(
    settings: PriceSettings,
    *,
    free: frozenset[str] = frozenset(),
    metered: frozenset[str] = frozenset(),
    unmetered: frozenset[str] = frozenset(),
) -> PriceBook:
    """The price book of the shipped table and the user's overrides, which win. Raises SettingsError."""
    text = resources.files("bessemer.configs").joinpath("prices.yaml").read_text(encoding="utf-8")
    shipped = (yaml.safe_load(text) or {}).get("overrides") or {}
    return PriceBook({**shipped, **settings.overrides}, free=free, metered=metered, unmetered=unmetered)


def nearest_models(backend: str, most: int = 3) -> tuple[str, ...]:
    """Models of the same provider that the price data knows and whose names are nearest, as `provider/model`."""
    from genai_prices.data_snapshot import get_snapshot

    provider, _, model = backend.partition("/")
    wanted = _PRICE_DATA_IDS.get(provider, provider)
    known = [one.id for found in get_snapshot().providers if found.id == wanted for one in found.models]
    near = difflib.get_close_matches(model, known, n=most + 1, cutoff=0.6)
    return tuple(f"{provider}/{name}" for name in near if name != model)[:most]


def _unpriced(backend: str) -> str:
    near = nearest_models(backend)
    meant = f"; did you mean {' or '.join(near)}?" if near else ""
    return (
        f"no price is known for {backend!r}, so no budget could hold{meant}; set one in the configuration, in dollars "
        f"for a million tokens: backends: {{prices: {{overrides: {{{backend}: {{input: 1.0, output: 4.0}}}}}}}}"
    )


def _override(name: str, given: PriceOverride | Mapping[str, Any]) -> PriceOverride:
    try:
        return given if isinstance(given, PriceOverride) else PriceOverride.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in (name, *first["loc"]))
        raise SettingsError(f"price override {where} is not usable: {first['msg']}") from None


def _rates_of_override(given: PriceOverride) -> Rates:
    read = given.input if given.cache_read is None else given.cache_read
    write = given.input if given.cache_write is None else given.cache_write
    output = _rate(given.output)
    return Rates(_rate(given.input), _rate(read), _rate(write), _rate(write), output, output, given.call * 1_000_000)


def _rates_of_model(price: ModelPrice) -> Rates:
    """Rates of a model in genai-prices. A kind without a price of its own costs what the kind around it costs."""
    plain = _rate(price.input_mtok) or _NOTHING
    output = _rate(price.output_mtok) or _NOTHING
    write = _rate(price.cache_write_mtok) or plain
    per_request = getattr(price, "requests_kcount", None)
    return Rates(
        input=plain,
        cache_read=_rate(price.cache_read_mtok) or plain,
        cache_write=write,
        cache_write_1h=_rate(price.cache_write_1h_mtok) or write,
        output=output,
        reasoning=_rate(getattr(price, "output_reasoning_mtok", None)) or output,
        per_request=_rate(per_request)[0].price * 1000 if per_request is not None else Decimal(0),
    )


def _rate(price: Any) -> Rate:
    if price is None:
        return ()
    if isinstance(price, Decimal):
        return (_Tier(-1, price),)
    return (_Tier(-1, price.base), *(_Tier(tier.start, tier.price) for tier in price.tiers))


def _at(rate: Rate, input_tokens: int) -> Decimal:
    return next(tier.price for tier in reversed(rate) if input_tokens > tier.above)


def _dearest(rate: Rate, input_tokens: int) -> Decimal:
    return max(tier.price for tier in rate if input_tokens > tier.above)
