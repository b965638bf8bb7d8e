"""How many requests go to a model, how fast and for whom. `docs/limits.md` explains it."""

from bessemer.cluster.limits._limits import Limiter, Limits
from bessemer.cluster.limits._messages import Grants, Report
from bessemer.cluster.limits._shared import SharedLimits
from bessemer.cluster.limits._shares import Shares
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
    "Grants",
    "Lease",
    "LimitEvent",
    "LimitKey",
    "LimitPolicy",
    "Limiter",
    "LimiterState",
    "Limits",
    "LimitsLike",
    "RateHint",
    "Report",
    "SharedLimits",
    "Shares",
    "Terms",
]
