"""Overnight calls: one collector per provider account puts the calls of every run into batches (`docs/batch.md`)."""

from bessemer.actors.batch._open import PROVIDERS, has_batches, open_desk
from bessemer.actors.batch._out import INTENT
from bessemer.actors.batch._service import BatchService, Parking
from bessemer.actors.batch.base import Desk, Encoded, Found, Result, Stage, custom_id

__all__ = [
    "INTENT",
    "PROVIDERS",
    "BatchService",
    "Desk",
    "Encoded",
    "Found",
    "Parking",
    "Result",
    "Stage",
    "custom_id",
    "has_batches",
    "open_desk",
]
