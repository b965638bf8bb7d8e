"""What every message of the ledger is made of."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Json = Any
Seconds = Annotated[float, Field(ge=0, le=10**9, allow_inf_nan=False)]


class Message(BaseModel):
    # A NaN must reach the ledger as what it is, to be refused there, and not become a silent null on the way.
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="constants")
