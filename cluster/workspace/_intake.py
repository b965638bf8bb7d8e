"""Taking the user's work into a private repository."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from bessemer.cluster.errors import DeliverableError, WorkspaceError
from bessemer.cluster.files import write_atomic
from bessemer.cluster.workspace import _paths
from bessemer.cluster.workspace._disk import flush_folder, is_empty_place, make_folder, partial
from bessemer.cluster.workspace._git import PRIVATE_SETTINGS, Git, disk_errors
from bessemer.cluster.workspace._import import BRANCH, FirstCommit
from bessemer.cluster.workspace._listing import Listing, list_source
from bessemer.cluster.workspace._threads import in_thread
from bessemer.cluster.workspace._types import Intake, IntakeLimits

_RECORD = "intake.json"
_ATTRIBUTES = "* -text -ident -filter !eol !working-tree-encoding !merge !diff\n"
"""Strongest of all attributes: files come and go byte for byte, whatever a `.gitattributes` among them says."""


async def take_in(
    source: Path,
    repository: Path,
    *,
    limits: IntakeLimits | None = None,
    existing_ok: bool = False,
    exclude: Iterable[Path] = (),
    lenient: bool = False,
    empty_ok: bool = False,
) -> Intake:
    """Make a private repository whose first commit holds what the user sees in `source`.

    `source` is a git checkout or a folder of one (uncommitted work included, ignored files not), a plain folder, or
    one text file. It is only read. `exclude` names the state directory; `.bessemer` never goes in anyway. The
    repository appears whole or not at all. Doing it again gives the same Intake; with `existing_ok` the one first
    taken, even if the source has changed. With `lenient` what of a plain folder cannot be taken (a repository inside
    it, a pipe, a link that leads out) is left out instead of refused. With `empty_ok` an empty folder is an empty
    commit.

    Raises DeliverableError for what cannot be taken, and where the repository holds other work; StateUnwritable
    where the disk refuses; WorkspaceError where git fails or `limits.timeout` passes.
    """
    limits = limits or IntakeLimits()
    source, repository = _paths.absolute(source), _paths.absolute(repository)
    if existing_ok and not is_empty_place(repository):
        return read_intake(repository)
    try:
        async with asyncio.timeout(limits.timeout):
            skip = (*exclude, *_state_places(repository))
            listing = await list_source(source, skip, limits.max_file_bytes, lenient=lenient, empty_ok=empty_ok)
            return await _take_in(source, repository, limits, listing)
    except TimeoutError as error:
        raise WorkspaceError(
            f"taking in {str(source)!r} took longer than {limits.timeout:g} s; name a smaller folder"
        ) from error


def read_intake(repository: Path) -> Intake:
    """What was taken into a repository. Raises WorkspaceError where its record is missing or damaged."""
    record = repository / _RECORD
    try:
        return Intake.model_validate_json(record.read_bytes())
    except (OSError, ValidationError) as error:
        raise WorkspaceError(f"{str(record)!r} is missing or damaged; start a new run") from error


def _state_places(repository: Path) -> list[Path]:
    """The repository and, where it lies in one, the state directory `<state>/runs/<id>/repository`."""
    parents = repository.parents
    in_state = len(parents) > 2 and parents[1].name == "runs"
    return [repository, parents[2]] if in_state else [repository]


async def _take_in(source: Path, repository: Path, limits: IntakeLimits, listing: Listing) -> Intake:
    with partial(repository) as place:
        intake = await _make(place, source, listing, limits)
        await in_thread(write_atomic, place / _RECORD, intake.model_dump_json(indent=1).encode(), 0o600)
        with disk_errors(repository):
            if is_empty_place(repository):
                place.replace(repository)
                flush_folder(repository.parent)
                return intake
    taken = read_intake(repository)
    if taken.commit != intake.commit:
        raise DeliverableError(f"{str(repository)!r} already holds other work than {str(source)!r}; start a new run")
    return taken


async def _make(place: Path, source: Path, listing: Listing, limits: IntakeLimits) -> Intake:
    git = await create_repository(place)
    first = FirstCommit(listing, limits)
    await git.feed("fast-import", "--quiet", chunks=first.chunks(), deadline=limits.timeout)
    checkout = listing.checkout
    return Intake(
        commit=await git.line("rev-parse", BRANCH),
        tree=await git.line("rev-parse", f"{BRANCH}^{{tree}}"),
        files=tuple(listing.paths),
        fingerprint=first.fingerprint,
        source=str(source),
        single_file=listing.single_file,
        source_is_git=listing.in_git,
        source_head=checkout.head if checkout and listing.in_git else None,
        prefix=checkout.prefix if checkout else "",
        uncommitted=tuple(listing.uncommitted),
        deleted=listing.deleted,
        left_out=tuple(listing.left_out),
    )


async def create_repository(place: Path) -> Git:
    """An empty private repository. Raises WorkspaceError where git is too old."""
    make_folder(place, 0o700)
    git = Git(place, settings=PRIVATE_SETTINGS)
    version = (await git.line("version")).split()[2]
    if tuple(int(part) for part in version.split(".")[:2]) < (2, 38):
        raise WorkspaceError(f"git is version {version}; install git 2.38 or later")
    await git.run("init", "--quiet", "--bare", "--template=", "--object-format=sha1", "--initial-branch=main", ".")
    with disk_errors(place):
        info = place / "info"
        info.mkdir(exist_ok=True)
        (info / "attributes").write_text(_ATTRIBUTES)
        (info / "exclude").write_text("".join(f"{name}/\n" for name in sorted(_paths.JUNK_FOLDERS)))
    return Git(place, settings=PRIVATE_SETTINGS).having(GIT_DIR=place)
