"""Work that goes to another machine and comes back, in messages and through a store; the two sides are folders here."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from bessemer.actors.apart import Answer, Carrier, Parcel, ProbeJob, arrived, measured_here
from bessemer.actors.apart._parcels import deliver
from bessemer.actors.probes import environment_of, run_probe
from bessemer.cluster import ray_session
from bessemer.cluster.errors import NodeLost
from bessemer.cluster.home import Home
from bessemer.cluster.workspace import Repository, SnapshotStore, take_in
from tests._s3 import S3


class Sides:
    """A run's machine and another one."""

    def __init__(self, root: Path, workspace: dict[str, Any]) -> None:
        settings = {"workspace": workspace}
        self.home = Home(state_dir=str(root), ledger_url="sqlite:////x", lake_url="/x", settings=settings, code="c")
        self.carrier = Carrier(self.home)
        self.parcels: list[Parcel] = []

    async def bring(self, repository: Repository, commit: str) -> Answer:
        return await deliver(self.carrier, repository, "run-1", commit, self.attempt)

    async def attempt(self, parcel: Parcel) -> Answer:
        self.parcels.append(parcel)
        return (await arrived(parcel, self.home)).lacking or Answer()

    @property
    def there(self) -> Repository:
        return Repository(ray_session.temporary_directory() / "apart" / self.home.ledger_namespace / "run-1/repository")


@pytest.fixture(autouse=True)
def _other_machine(short_tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other machine keeps what it gets in a folder of this test's."""
    monkeypatch.setattr(tempfile, "tempdir", str(short_tmp))


@pytest.fixture(params=["message", "folder", "s3"])
def sides(request: pytest.FixtureRequest, short_tmp: Path) -> Sides:
    workspace: dict[str, Any] = {}
    if request.param == "folder":
        workspace = {"url": str(short_tmp / "store")}
    if request.param == "s3":
        s3: S3 = request.getfixturevalue("s3_server")
        workspace = {"url": s3.new_url(), "storage": s3.storage}
    return Sides(short_tmp, workspace)


async def repository_of(project: Path) -> tuple[Repository, str]:
    place = project.parent / "repository"
    intake = await take_in(project, place)
    return Repository(place), intake.commit


async def test_a_commit_travels_once_and_the_next_one_without_what_is_there(sides: Sides, project: Path) -> None:
    repository, commit = await repository_of(project)
    assert not (await sides.bring(repository, commit)).lacks
    assert not (await sides.bring(repository, commit)).lacks
    assert [parcel.bundle is not None for parcel in sides.parcels] == [False, True, False]
    child = await repository.commit(await repository.tree(commit), "next", commit)
    await sides.bring(repository, child)
    assert await sides.there.tree(child) == await repository.tree(commit)
    store = SnapshotStore(**sides.home.settings["workspace"]) if sides.home.settings["workspace"] else None
    if store is not None:
        assert store.names("run-1") == sorted([f"{commit}.pack", f"{child}-{commit}.pack"])
    await sides.carrier.forget("run-1")
    assert store is None or store.names("run-1") == []


async def test_a_store_that_refuses_is_done_without(short_tmp: Path, project: Path, s3_server: S3) -> None:
    sides = Sides(short_tmp, {"url": s3_server.new_url(), "storage": s3_server.storage})
    repository, commit = await repository_of(project)
    s3_server.refuse(403)
    try:
        assert not (await sides.bring(repository, commit)).lacks
    finally:
        s3_server.refuse(0)
    assert sides.parcels[-1].bundle is not None and sides.parcels[-1].bundle.pack


async def test_what_the_other_side_cannot_read_comes_in_a_message(short_tmp: Path, project: Path) -> None:
    sides = Sides(short_tmp, {"url": str(short_tmp / "store")})
    repository, commit = await repository_of(project)
    sides.home = sides.home.model_copy(update={"settings": {"workspace": {"url": str(short_tmp / "elsewhere")}}})
    assert not (await sides.bring(repository, commit)).lacks
    kinds = [parcel.bundle and ("pack" if parcel.bundle.pack else "stored") for parcel in sides.parcels]
    assert kinds == [None, "stored", "pack"]


async def test_a_side_that_loses_all_it_gets_is_lost(short_tmp: Path, project: Path) -> None:
    repository, commit = await repository_of(project)

    async def forgetful(_: Parcel) -> Answer:
        return Answer(lacks=True)

    with pytest.raises(NodeLost):
        await deliver(Sides(short_tmp, {}).carrier, repository, "run-1", commit, forgetful)


async def test_what_arrived_is_measured_and_nothing_is_left(sides: Sides, project: Path) -> None:
    repository, commit = await repository_of(project)
    await sides.bring(repository, commit)
    arrival = await arrived(sides.parcels[-1], sides.home)
    assert arrival.lacking is None
    python = sys.executable
    job = ProbeJob(
        work=sides.parcels[0], probes=("pytest", "echo 3"), interpreter=python, environment="e", timeout=60, keep=True
    )
    found = await measured_here(job, arrival, run_probe)
    assert [(result.status, result.measure) for result in found.results] == [("failed", 0.0), ("passed", 3.0)]
    assert list((arrival.place / "scratch").iterdir()) == []


async def test_an_environment_is_told_by_what_is_installed(tmp_path: Path) -> None:
    own = await environment_of(sys.executable)
    assert own and own == await environment_of(sys.executable)
    assert await environment_of(str(tmp_path / "python")) == ""
    assert await environment_of("/usr/bin/python3") != own
