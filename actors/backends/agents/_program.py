"""Finding an agent's program, and what of the machine it needs to see."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NamedTuple

from bessemer.cluster.sandbox import interpreter_paths

_SYSTEM = ("/usr/", "/bin/", "/lib/", "/lib64/", "/opt/")
_INTERPRETERS = ("node", "bun", "deno")


class Program(NamedTuple):
    """A program as it is started in the sandbox."""

    path: str
    visible: tuple[str, ...]
    """Files and folders it consists of, beside the system's own."""
    folders: tuple[str, ...]
    """Folders that belong on its PATH."""


def find_program(name: str) -> Program | None:
    """The program of that name or path; None where there is none. Nothing is run."""
    found = shutil.which(name)
    if found is None:
        return None
    real = Path(os.path.realpath(found))
    visible = {str(_whole(real))}
    folders = []
    if interpreter := _interpreter(real):
        python = interpreter.name.startswith("python")
        visible.update(interpreter_paths(str(interpreter)) if python else (str(interpreter),))
        folders.append(str(interpreter.parent))
    outside = tuple(sorted(path for path in visible if not path.startswith(_SYSTEM)))
    return Program(str(real), outside, tuple(folders))


def _whole(program: Path) -> Path:
    """The outermost `node_modules` around a program, because packages find their dependencies there; else itself."""
    around = [folder for folder in program.parents if folder.name == "node_modules"]
    return around[-1] if around else program


def _interpreter(program: Path) -> Path | None:
    """What the first line of a script names, where that is not the system's own."""
    try:
        with program.open("rb") as file:
            first = file.readline(256)
    except OSError:
        return None
    if not first.startswith(b"#!"):
        return None
    words = first[2:].decode(errors="replace").split()
    wanted = [Path(word).name for word in words]
    name = next((word for word in wanted if word in _INTERPRETERS), None)
    if name and (found := shutil.which(name)):
        return Path(os.path.realpath(found))
    return Path(words[0]) if words and Path(words[0]).is_absolute() and wanted[0] != "env" else None
