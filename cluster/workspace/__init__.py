"""Workspaces: the private git repository of a run, its worktrees, taking work in and letting results out.

The user's files are only ever read, until the user asks for a branch or for the result to be applied.
"""

from bessemer.cluster.workspace._apply import apply_back, recover
from bessemer.cluster.workspace._checksum import user_checkout_hash
from bessemer.cluster.workspace._export import export_branch, export_files, export_patch, export_to
from bessemer.cluster.workspace._intake import read_intake, take_in
from bessemer.cluster.workspace._listing import list_source
from bessemer.cluster.workspace._mirror import (
    FOLDER,
    Parcel,
    States,
    clear_for,
    pack_parcel,
    remove_files,
    state_of,
    states_of,
    unpack_parcel,
)
from bessemer.cluster.workspace._repository import Repository
from bessemer.cluster.workspace._size import size_of_work
from bessemer.cluster.workspace._store import SnapshotStore
from bessemer.cluster.workspace._travel import (
    MAX_PACK_BYTES,
    has,
    pack,
    pack_into,
    receiver,
    unpack,
    unpack_from,
)
from bessemer.cluster.workspace._types import (
    Applied,
    Commit,
    Conflict,
    Exported,
    Intake,
    IntakeLimits,
    Merge,
    Refused,
    RefusedPath,
)

__all__ = [
    "FOLDER",
    "MAX_PACK_BYTES",
    "Applied",
    "Commit",
    "Conflict",
    "Exported",
    "Intake",
    "IntakeLimits",
    "Merge",
    "Parcel",
    "Refused",
    "RefusedPath",
    "Repository",
    "SnapshotStore",
    "States",
    "apply_back",
    "clear_for",
    "export_branch",
    "export_files",
    "export_patch",
    "export_to",
    "has",
    "list_source",
    "pack",
    "pack_into",
    "pack_parcel",
    "read_intake",
    "receiver",
    "recover",
    "remove_files",
    "size_of_work",
    "state_of",
    "states_of",
    "take_in",
    "unpack",
    "unpack_from",
    "unpack_parcel",
    "user_checkout_hash",
]
