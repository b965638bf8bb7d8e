"""A recording: every exchange with a model, as JSON lines in files named by what was asked.

| object | role | lifetime |
|---|---|---|
| `Exchange` | one request and what it brought | as its line |
| `Recording` | the folder: adds exchanges, finds them | the host |
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from bessemer.actors.backends._alike import Alike, alike
from bessemer.actors.backends.base import CallFailure, Reply
from bessemer.cluster.canonical import canonical_json
from bessemer.cluster.errors import SettingsError
from bessemer.cluster.files import unwritable
from bessemer.cluster.redaction import redact


class Exchange(BaseModel):
    """One request, and the reply or the failure it brought."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    hash: str
    """Of what is asked, word for word, without the backend."""
    occurrence: int = 0
    """From 1, among the requests that are filed under one key."""
    backend: str
    run: str = ""
    path: str = ""
    """Step of the call."""
    index: int = 0
    """Number of the call in its step."""
    attempt: int = 1
    persona: str = ""
    purpose: str = ""
    at: str
    """When the answer came, ISO 8601."""
    request: dict[str, Any]
    reply: Reply | None = None
    failure: CallFailure | None = None
    cost: int = 0
    """Micro-dollars."""

    @property
    def place(self) -> str:
        return f"{self.path}|{self.index}"

    def alike(self) -> Alike:
        return alike(self.request)


class Recording:
    """A folder of exchanges. Several processes of a machine may add to it at once."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def add(self, key: str, exchange: Exchange) -> None:
        """Append one exchange and number it. Raises StateUnwritable."""
        path = self._file(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "r+b", buffering=0) as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                before = file.read()
                numbered = exchange.model_copy(update={"occurrence": before.count(b"\n") + 1})
                # A line that a killed process left unfinished must not swallow this one.
                start = b"" if before.endswith(b"\n") or not before else b"\n"
                file.write(start + canonical_json(_hidden(numbered.model_dump(mode="json"))) + b"\n")
        except OSError as error:
            raise unwritable(path, error) from None

    def find(self, key: str) -> list[Exchange]:
        """The exchanges under a key, in the order they were recorded. Raises SettingsError."""
        return _read(self._file(key))

    def exchanges(self) -> Iterator[Exchange]:
        """Everything recorded, by key. Raises SettingsError."""
        for path in sorted(self.directory.glob("??/*.jsonl")):
            yield from _read(path)

    @property
    def is_empty(self) -> bool:
        return next(self.directory.glob("??/*.jsonl"), None) is None

    def _file(self, key: str) -> Path:
        return self.directory / key[:2] / f"{key}.jsonl"


def _read(path: Path) -> list[Exchange]:
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise SettingsError(f"cannot read the recording {path}: {error.strerror}") from None
    found = []
    for number, line in enumerate(lines, start=1):
        try:
            found.append(Exchange.model_validate_json(line))
        except ValidationError as error:
            first = error.errors()[0]
            if first["type"] == "json_invalid":
                continue  # the unfinished line of a killed process
            where = ".".join(str(part) for part in first["loc"])
            raise SettingsError(
                f"{path}:{number}: not an exchange of this version ({where}: {first['msg']}); record it again"
            ) from None
    return found


def _hidden(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, list):
        return [_hidden(item) for item in value]
    if isinstance(value, dict):
        return {key: _hidden(item) for key, item in value.items()}
    return value
