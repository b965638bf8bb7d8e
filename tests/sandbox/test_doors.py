"""Which doors each system is offered, and what is said where none works; no door is opened."""

from __future__ import annotations

import errno
import os
import subprocess
from typing import Any

import pytest

from bessemer.cluster import environment
from bessemer.cluster.errors import SandboxUnavailable
from bessemer.cluster.sandbox import SandboxPolicy, _door
from bessemer.cluster.settings import Settings


@pytest.mark.parametrize(
    ("system", "doors"), [("darwin", ("seatbelt",)), ("linux", ("bubblewrap", "sandlock")), ("freebsd14", ())]
)
def test_the_doors_of_a_system(system: str, doors: tuple[str, ...]) -> None:
    assert _door.automatic_doors(system) == doors


def test_a_door_says_what_it_is() -> None:
    assert {name: _door.Door(name, "x").label for name in _door.LABELS} == {
        "bubblewrap": "bubblewrap",
        "sandlock": "Landlock and seccomp (sandlock)",
        "seatbelt": "Seatbelt (sandbox-exec); not tested by this project",
        "docker": "docker; not tested by this project",
        "podman": "podman; not tested by this project",
        "none": "none",
    }


def test_doctor_names_seatbelt_on_a_mac(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "bessemer.cluster.sandbox.find_door", lambda preference: _door.Door("seatbelt", "/usr/bin/sandbox-exec")
    )
    row = environment.sandbox_row(Settings())
    assert (row.state, row.found) == ("ok", "Seatbelt (sandbox-exec); not tested by this project")


def test_seatbelt_shuts_in_by_its_profile() -> None:
    policy = SandboxPolicy(workspace="/w/work")
    command = _door.Door("seatbelt", "/usr/bin/sandbox-exec").command(policy, ["true"], "/w/private")
    assert command[:2] == ["/usr/bin/sandbox-exec", "-p"]
    profile = command[2].splitlines()
    assert "(deny network*)" in profile
    assert '(allow file-write* (subpath "/w/work"))' in profile
    assert profile.index('(deny file-write* (subpath "/"))') < profile.index('(allow file-write* (subpath "/w/work"))')


@pytest.mark.parametrize(
    ("system", "remedy"),
    [("darwin", "sandbox-exec"), ("linux", "install bubblewrap"), ("freebsd14", "sandbox.door")],
)
def test_where_none_works_the_remedy_is_that_systems(monkeypatch: pytest.MonkeyPatch, system: str, remedy: str) -> None:
    monkeypatch.setattr("sys.platform", system)
    monkeypatch.setattr(_door, "_fault", lambda door: "not installed")
    _door.find_door.cache_clear()
    with pytest.raises(SandboxUnavailable) as caught:
        _door.find_door("auto")
    _door.find_door.cache_clear()
    said, _, remedies = str(caught.value).partition(";")
    assert "no sandbox works here" in said
    assert remedy in remedies
    assert ("bubblewrap" in remedies) is (system == "linux")


@pytest.mark.parametrize(
    ("number", "refused", "works"),
    [(errno.EAGAIN, 2, True), (errno.EAGAIN, 3, False), (errno.EINVAL, 2, True), (errno.EACCES, 1, False)],
)
def test_a_machine_without_a_process_to_give_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, number: int, refused: int, works: bool
) -> None:
    monkeypatch.setattr(_door, "PAUSE_SECONDS", 0.0)
    start, left = subprocess.run, [OSError(number, os.strerror(number))] * refused

    def refusing(*words: Any, **more: Any) -> Any:
        if left:
            raise left.pop()
        return start(*words, **more)

    monkeypatch.setattr(subprocess, "run", refusing)
    fault = _door._fault(_door.Door("none", "sh"))
    # Without a sandbox the trial reaches outside: that it says so means that it was run.
    assert fault == ("does not shut in" if works else f"does not run ({os.strerror(number)})")
