"""Money is an integer number of micro-dollars (1 USD = 1,000,000). Rounding happens once per call, upwards."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal, InvalidOperation
from typing import NewType

from bessemer.cluster.errors import UsageError

MicroDollars = NewType("MicroDollars", int)

MICRO = 1_000_000
MAX_MICRO_DOLLARS = 10**15
"""A thousand million dollars: no amount is larger, so that sums of amounts fit a database's integer."""


def from_usd(usd: Decimal) -> MicroDollars:
    """Micro-dollars of a price in dollars, rounded up."""
    return MicroDollars(int((usd * MICRO).to_integral_value(rounding=ROUND_CEILING)))


def parse_usd(text: str | float, name: str = "budget") -> MicroDollars:
    """A dollar amount a person wrote, e.g. `2.50`. Raises UsageError for what is no amount above 0, or too large."""
    try:
        amount = Decimal(str(text).strip().removeprefix("$"))
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or amount <= 0:
        raise UsageError(f"{name} {str(text)!r} is not an amount above 0; give dollars, for example 2.50")
    if amount * MICRO > MAX_MICRO_DOLLARS:
        most = MAX_MICRO_DOLLARS // MICRO
        raise UsageError(f"{name} {str(text)!r} is more than {most:,} dollars; give less, or no budget at all")
    return from_usd(amount)


def format_usd(micro: int) -> str:
    """`$0.0123`: four decimals below a dollar, two above; an amount below a hundredth of a cent keeps six."""
    usd = Decimal(micro) / MICRO
    if micro and abs(usd) < Decimal("0.0001"):
        return f"${usd:.6f}"
    return f"${usd:.4f}" if abs(usd) < 1 else f"${usd:,.2f}"
