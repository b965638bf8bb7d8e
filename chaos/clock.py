"""A clock of the cluster's and the database's own that can be set, by libfaketime: the machine's stays as it is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NAME = "libfaketime.so.1"
PRELOAD = Path(__file__).parent / "preload"


def library() -> Path | None:
    """libfaketime (Debian's package of that name); `BESSEMER_CHAOS_FAKETIME` says where else it is."""
    if named := os.environ.get("BESSEMER_CHAOS_FAKETIME"):
        return Path(named)
    folders = [Path("/usr/lib"), *Path("/usr/lib").glob("*-linux-gnu*"), Path("/usr/lib64"), Path("/usr/local/lib")]
    return next((path for folder in folders if (path := folder / "faketime" / NAME).exists()), None)


class Clock:
    """How far the wall clock of what was started under it is off. Monotonic clocks go on."""

    def __init__(self, folder: Path) -> None:
        self._library = library()
        self._file = folder / "clock"
        self.why_not = "" if self._library else "libfaketime is not installed: apt-get install libfaketime"
        self.jump(0.0)

    def jump(self, seconds: float) -> None:
        """Set the offset; processes notice within a second."""
        part = self._file.with_suffix(".part")
        part.write_text(f"{seconds:+g}\n")
        part.chmod(0o644)
        part.replace(self._file)

    @contextmanager
    def of_hosts(self) -> Iterator[None]:
        """Ray's workers that are started from within have this clock; Ray's own programs keep the machine's."""
        search = os.pathsep.join([str(PRELOAD), *filter(None, [os.environ.get("PYTHONPATH")])])
        with _environment({"BESSEMER_CHAOS_PRELOAD": str(self._library), "PYTHONPATH": search, **self._given()}):
            yield

    @contextmanager
    def of_others(self) -> Iterator[None]:
        """What is started within has this clock."""
        with _environment({"LD_PRELOAD": str(self._library), **self._given()}):
            yield

    def _given(self) -> dict[str, str]:
        return {
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }


@contextmanager
def _environment(given: dict[str, str]) -> Iterator[None]:
    if library() is None:
        yield
        return
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
