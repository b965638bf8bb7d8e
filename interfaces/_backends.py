"""What can be known of a backend without calling it: its key, its prices, what it can do."""

from __future__ import annotations

import os
from decimal import Decimal

from pydantic import BaseModel, ConfigDict

from bessemer.actors._backend_service import book_of
from bessemer.actors.backends import (
    capabilities,
    check_keys,
    check_place,
    key_variables,
    priced_as,
    resolve_name,
    short_names,
    substitute,
)
from bessemer.actors.backends.base import Usage
from bessemer.cluster.errors import BessemerError
from bessemer.cluster.settings import Settings

BATCH_PROVIDERS = ("anthropic", "openai", "google", "xai")
MILLION = 1_000_000


class BackendRow(BaseModel):
    """One backend as `backend list` shows it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    """Short name, or the full one."""
    model: str
    """`provider/model`."""
    usable: bool
    why: str = ""
    """Why it cannot be used here; or, where it can, what is to be known of it."""
    key: str = ""
    """The variable its key was found in, or those it is looked for in; never a value."""
    key_present: bool | None = None
    """None where it needs no key."""
    input_price: str | None = None
    """Dollars for a million input tokens, below any long-context tier; None where no price is known."""
    output_price: str | None = None
    context: int | None = None
    """Most input tokens, as the price data knows it."""
    tools: bool = False
    structured: bool = False
    images: bool = False
    may_judge: bool = False
    batch: bool = False
    """Whether its calls can wait for the vendor's batch price."""


def backend_rows(settings: Settings) -> list[BackendRow]:
    """The short names, each with what it stands for."""
    return [backend_row(name, settings) for name in short_names(settings.backends)]


def backend_row(name: str, settings: Settings) -> BackendRow:
    """One backend. Raises UnknownBackend where `name` names none."""
    table = short_names(settings.backends)
    try:
        model = resolve_name(name, table)
        able = capabilities(model, settings.backends)
    except BessemerError as error:
        if name not in table:
            raise
        return BackendRow(name=name, model=table[name], usable=False, why=error.message)
    obstacle, notice = _obstacle(model, settings)
    variables = key_variables(model, settings.backends)
    found = next((variable for variable in variables if os.environ.get(variable)), "")
    prices = _prices(model, settings)
    return BackendRow(
        name=name,
        model=model,
        usable=not obstacle,
        why=obstacle or notice,
        key=found or " or ".join(variables),
        key_present=bool(found) if variables else None,
        input_price=prices[0],
        output_price=prices[1],
        context=book_of(settings.backends).context_window(model),
        tools=able.tools,
        structured=able.structured,
        images=able.images,
        may_judge=able.may_judge,
        batch=model.partition("/")[0] in BATCH_PROVIDERS,
    )


def _obstacle(model: str, settings: Settings) -> tuple[str, str]:
    """What stands in the way of using `model`, and what is to be known where nothing does."""
    prices = book_of(settings.backends)
    try:
        used, notice = substitute(model, settings.backends)
        check_keys(used, settings.backends)
        check_place(used, settings.backends)
        prices.require(priced_as(used, settings.backends))
    except BessemerError as error:
        return error.message, ""
    if prices.is_unmetered(used):
        notice = "its calls are unmetered, so any cap refuses them; set a price for each call to use it under one"
    return "", notice


def _prices(model: str, settings: Settings) -> tuple[str | None, str | None]:
    """Prices of a thousand tokens, which no long-context tier applies to, as dollars for a million."""
    book = book_of(settings.backends)
    try:
        sizes = Usage(input=1000), Usage(output=1000)
        costs = [book.cost(priced_as(model, settings.backends), usage) for usage in sizes]
    except BessemerError:
        return None, None
    # Micro-dollars for 1,000 tokens are dollars for 1,000 million.
    return str((Decimal(costs[0]) / 1000).normalize()), str((Decimal(costs[1]) / 1000).normalize())
