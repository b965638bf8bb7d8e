"""The metering gateway: agents that make requests of their own meet the ledger here."""

from bessemer.actors.gateway._dialects import Upstream
from bessemer.actors.gateway._gateway import Gateway
from bessemer.actors.gateway._meter import Meter, Parent
from bessemer.actors.gateway._sessions import Session

__all__ = ["Gateway", "Meter", "Parent", "Session", "Upstream"]
