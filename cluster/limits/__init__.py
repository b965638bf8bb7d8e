"""How many requests go to a model, how fast and for whom. `docs/limits.md` explains it."""

from bessemer.cluster.limits._limits import Limiter, Limits
from bessemer.cluster.limits._types import (
    CircuitOpen,
    Ended,
    Feedback,
    FlowState,
    Lease,
    LimiterState,
    LimitEvent,
    LimitKey,
    LimitPolicy,
    LimitsLike,
    RateHint,
    Terms,
)

__all__ = [
    "CircuitOpen",
    "Ended",
    "Feedback",
    "FlowState",
    "Lease",
    "LimitEvent",
    "LimitKey",
    "LimitPolicy",
    "Limiter",
    "LimiterState",
    "Limits",
    "LimitsLike",
    "RateHint",
    "Terms",
]
