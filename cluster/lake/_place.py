"""Where a lake's tables are: a folder, or a prefix in an object store; and what its troubles mean for people."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from bessemer.cluster.errors import LakeError
from bessemer.cluster.lake._schemas import refuse_newer

if TYPE_CHECKING:
    from deltalake import DeltaTable

PATIENCE = {
    "timeout": "30s",
    "connect_timeout": "5s",
    "max_retries": "3",
    "retry_timeout": "20s",
}
"""How long one request may take: the Delta library holds Python's lock meanwhile, and the writer tries again itself."""

# A status stands before its phrase; the same digits also come as durations, and in the names of buckets and runs.
MEANINGS = (
    (r"\b403 [A-Z]|AccessDenied|lacked the necessary priv", "access is denied; check the AWS_* keys and the policy"),
    (r"NoSuchBucket", "there is no such bucket; make it, or mend lake.url"),
    (r"credential|InvalidAccessKeyId|SignatureDoesNotMatch", "no valid credentials; set the AWS_* variables"),
    (r"\b(?:429|5\d\d) [A-Z]|SlowDown|ServiceUnavailable", "the object store refuses for now"),
    (r"error sending request|timed out|tcp connect|dns error", "the object store cannot be reached"),
)


class Place:
    """The URL of a lake, and the options under which its tables are opened."""

    def __init__(self, url: str, storage: Mapping[str, str] | None = None) -> None:
        """`storage` says what the AWS_* variables don't: endpoint, region, allow_http and the like."""
        self.url = url.rstrip("/")
        self.options = _options(storage or {}) if self.is_remote else None

    @property
    def is_remote(self) -> bool:
        return "://" in self.url and not self.url.startswith("file://")

    def uri(self, table: str) -> str:
        return f"{self.url}/{table}"

    def find(self, table: str) -> DeltaTable | None:
        """The table as it lies there; None where there is none. Raises LakeError, also for one of a newer version."""
        from deltalake import DeltaTable

        uri = self.uri(table)
        with self.troubles(table, "read"):
            if not DeltaTable.is_deltatable(uri, self.options):
                return None
            there = DeltaTable(uri, storage_options=self.options)
            refuse_newer(uri, there.metadata().description)
            return there

    def check(self) -> None:
        """Raises LakeError, in one line, where an object store cannot be used as it is."""
        if self.is_remote:
            self.find("runs")

    @contextlib.contextmanager
    def troubles(self, table: str, doing: str) -> Iterator[None]:
        """Turn what the object store or the file system raises into one line of ours; conflicts pass."""
        from deltalake.exceptions import CommitFailedError, DeltaError

        try:
            yield
        except CommitFailedError:
            raise
        except (DeltaError, OSError) as error:
            raise LakeError(f"the lake table {self.uri(table)} cannot be {doing}: {_told(str(error))}") from None


def _options(storage: Mapping[str, str]) -> dict[str, str]:
    given = {name.lower().removeprefix("aws_"): value for name, value in storage.items()}
    endpoint = given.get("endpoint") or given.get("endpoint_url") or os.environ.get("AWS_ENDPOINT_URL", "")
    # Who names an endpoint without encryption has decided about it already.
    plain = {"allow_http": "true"} if endpoint.startswith("http://") else {}
    return {**PATIENCE, **plain, **given}


def _told(text: str) -> str:
    line = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", text).split())
    for sign, meaning in MEANINGS:
        if re.search(sign, line):
            found = re.search(r"<Code>(\w+)</Code>", line) or re.search(r"\b([45]\d\d [A-Z][a-z]+)", line)
            return f"{meaning} ({found[1]})" if found else meaning
    return line[:200]
