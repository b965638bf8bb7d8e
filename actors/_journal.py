"""A step as hosts work on it: the ledger's step, and model calls through the backend hosts."""

from __future__ import annotations

from bessemer.actors.backends.base import CallFailure, ModelRequest, Reply
from bessemer.cluster.run import Step, Ticket
