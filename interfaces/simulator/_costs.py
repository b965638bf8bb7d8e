"""What the vendor says a call cost. Only xAI says it."""

from __future__ import annotations

import functools

from bessemer.actors.backends.base import Usage as Tokens
from bessemer.cluster.backend_settings import PriceSettings
from bessemer.cluster.errors import UnpricedModel
from bessemer.cluster.prices import PriceBook, load_prices
from bessemer.interfaces.simulator._answers import Usage
from bessemer.interfaces.simulator._asked import Asked

TICKS_PER_MICRO_DOLLAR = 10_000


@functools.cache
def _book() -> PriceBook:
    return load_prices(PriceSettings())


def cost_ticks(asked: Asked, usage: Usage) -> int | None:
    """Cost in ticks of 1e-10 dollars, at the list price; None without one, and in a batch."""
    if asked.batch:
        return None
    tokens = Tokens(input=usage.input, cache_read=usage.cache_read, output=usage.output, reasoning=usage.reasoning)
    try:
        return int(_book().cost(f"{asked.vendor}/{asked.model}", tokens)) * TICKS_PER_MICRO_DOLLAR
    except UnpricedModel:
        return None
