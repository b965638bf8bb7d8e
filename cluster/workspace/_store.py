"""Work on its way between machines, kept for a run's length in a folder that all see, or in an object store."""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bessemer.cluster.errors import SettingsError, WorkspaceError

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

CHUNK_BYTES = 8 * 2**20
CONNECT_SECONDS = 5.0
REQUEST_SECONDS = 60.0
"""How long an object store may say nothing."""
TRIES = 3
KEPT = datetime.timedelta(days=7)
"""How long what a run left that never ended is kept."""
OPTIONS = ("endpoint", "region", "allow_http")

MEANINGS = (
    (r"NO_SUCH_BUCKET|NoSuchBucket", "there is no such bucket; make it, or mend workspace.url"),
    (r"ACCESS_DENIED|AccessDenied|HTTP status 403", "access is denied; check the AWS_* keys and the policy"),
    (r"InvalidAccessKeyId|SignatureDoesNotMatch|INVALID_ACCESS_KEY|credentials", "no valid credentials; set AWS_*"),
    (r"SLOW_DOWN|SlowDown|SERVICE_UNAVAILABLE|HTTP status 5\d\d|INTERNAL_FAILURE", "the object store refuses for now"),
    (r"NETWORK_CONNECTION|curlCode|timed out|resolve host", "the object store cannot be reached"),
)


class SnapshotStore:
    """Files named `RUN/NAME`. Every method blocks and raises WorkspaceError, in one line, where the place refuses."""

    def __init__(self, url: str, storage: Mapping[str, str] | None = None) -> None:
        """`url` is a folder or `s3://bucket/prefix`; `storage` says what the AWS_* variables don't.

        Raises SettingsError for another scheme or option.
        """
        self.url = url.rstrip("/")
        scheme, separator, rest = self.url.partition("://")
        self._remote = bool(separator) and scheme == "s3"
        if separator and scheme not in ("s3", "file"):
            raise SettingsError(f"workspace.url {url!r} is neither a folder nor s3://BUCKET/PREFIX; name one of them")
        self._root = rest if separator else self.url
        self._storage = _known(storage or {})
        self._made: FileSystem | None = None

    def check(self) -> None:
        """Write something and take it away, as a run will."""
        name = f"check-{uuid.uuid4().hex}"
        with self._troubles("written"):
            self._write(f"{name}/check", (b"bessemer",))
            self._files.delete_dir(self._path(name))

    def has(self, name: str) -> bool:
        with self._troubles("read"):
            return bool(self._files.get_file_info(self._path(name)).is_file)

    def put(self, name: str, source: Path) -> None:
        """Keep a file. It appears whole or not at all."""
        with self._troubles("written"), source.open("rb") as file:
            self._write(name, iter(lambda: file.read(CHUNK_BYTES), b""))

    def get(self, name: str, target: Path) -> None:
        with self._troubles("read"), self._files.open_input_stream(self._path(name)) as file, target.open("wb") as out:
            while chunk := file.read(CHUNK_BYTES):
                out.write(chunk)

    def forget(self, run: str) -> None:
        """Remove what a run kept, and what others left that never ended."""
        with self._troubles("emptied"):
            for name in (run, *self._left_behind()):
                with contextlib.suppress(FileNotFoundError):
                    self._files.delete_dir(self._path(name))

    def names(self, run: str) -> list[str]:
        """What is kept for a run, sorted."""
        with self._troubles("read"):
            return sorted(info.base_name for info in self._below(run) if info.is_file)

    def _left_behind(self) -> set[str]:
        before = datetime.datetime.now(datetime.UTC) - KEPT
        newest: dict[str, datetime.datetime] = {}
        for info in self._below("", deep=True):
            if info.is_file:
                name = Path(info.path).parent.name
                newest[name] = max(info.mtime, newest.get(name, info.mtime))
        return {name for name, when in newest.items() if when < before}

    def _below(self, name: str, *, deep: bool = False) -> list[Any]:
        from pyarrow.fs import FileSelector

        place = self._path(name) if name else self._root
        return list(self._files.get_file_info(FileSelector(place, allow_not_found=True, recursive=deep)))

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _write(self, name: str, chunks: Any) -> None:
        path = self._path(name)
        # An object appears when its upload is complete; a file does from its first byte.
        place = path if self._remote else f"{path}.{os.getpid()}.{uuid.uuid4().hex[:8]}.part"
        if not self._remote:
            self._files.create_dir(str(Path(path).parent), recursive=True)
        with self._files.open_output_stream(place) as out:
            for chunk in chunks:
                out.write(chunk)
        if place != path:
            self._files.move(place, path)

    @property
    def _files(self) -> FileSystem:
        if self._made is None:
            self._made = _object_store(self._storage) if self._remote else _folder(self._root)
        return self._made

    @contextlib.contextmanager
    def _troubles(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise WorkspaceError(f"{self.url} (workspace.url) cannot be {what}: {_told(str(error))}") from None


def _known(storage: Mapping[str, str]) -> dict[str, str]:
    given = {name.lower().removeprefix("aws_").replace("endpoint_url", "endpoint"): storage[name] for name in storage}
    for name in given:
        if name not in OPTIONS:
            raise SettingsError(f"workspace.storage has {name!r}; it takes {', '.join(OPTIONS)}")
    return given


def _folder(root: str) -> FileSystem:
    from pyarrow.fs import LocalFileSystem

    if not Path(root).is_absolute():
        raise SettingsError(f"workspace.url {root!r} is no absolute path; name the folder as every machine sees it")
    return LocalFileSystem()


def _object_store(storage: Mapping[str, str]) -> FileSystem:
    from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem

    endpoint = storage.get("endpoint") or os.environ.get("AWS_ENDPOINT_URL", "")
    scheme, separator, host = endpoint.rpartition("://")
    places = {"endpoint_override": host, "scheme": scheme if separator else "https"} if endpoint else {}
    region = storage.get("region") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return S3FileSystem(
        region=region,
        connect_timeout=CONNECT_SECONDS,
        request_timeout=REQUEST_SECONDS,
        retry_strategy=AwsStandardS3RetryStrategy(max_attempts=TRIES),
        **places,
    )


def _told(text: str) -> str:
    line = " ".join(text.split())
    return next((meaning for sign, meaning in MEANINGS if re.search(sign, line)), line[:200])
