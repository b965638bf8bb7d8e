"""The frame around every command: how it ends, and that whatever goes wrong is one line on stderr."""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import re
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from typer import Abort
from typer.exceptions import TyperException

from bessemer.cluster.errors import BessemerError
from bessemer.interfaces.cli._arguments import swallowed
from bessemer.interfaces.remote import address_in, carry_out

if TYPE_CHECKING:
    from pydantic import BaseModel

INTERRUPTED = 130
PIPE_CLOSED = 141
"""128 + SIGPIPE: what a shell reports for a program whose reader went away."""

EXIT_CODES = {
    0: "passed or converged",
    1: "the verdict is: failed",
    2: "wrong usage or configuration",
    3: "inconclusive: nothing may be concluded",
    4: "the budget is exhausted; what was reached is saved",
    5: "infrastructure: this machine, the network, a bug",
    INTERRUPTED: "interrupted; what was reached is saved",
}


class _End(NamedTuple):
    code: int
    error: str
    message: str


def run(arguments: Sequence[str], command: Any) -> int:
    """Run the command line `arguments`; returns the exit code. Whatever is raised becomes one line on stderr."""
    try:
        if elsewhere := address_in(arguments):
            code = carry_out(elsewhere, arguments)
        else:
            code = command.main(args=list(arguments), prog_name="bessemer", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        return _reader_gone()
    except BaseException as error:
        if isinstance(error.__context__, BrokenPipeError) and isinstance(error, SystemExit):
            # The parser turns a closed pipe into an exit of its own.
            return _reader_gone()
        return _finish(_ending(error, arguments), "--json" in arguments)
    return code if isinstance(code, int) else 0


def emit(record: BaseModel | Mapping[str, Any]) -> None:
    """Write one record to stdout as a line of JSON."""
    text = json.dumps(record, default=str) if isinstance(record, Mapping) else record.model_dump_json()
    print(text, flush=True)


def say(text: str) -> None:
    """Write a line for people to stderr."""
    print(text, file=sys.stderr, flush=True)


def _ending(error: BaseException, arguments: Sequence[str]) -> _End:
    name = type(error).__name__
    if isinstance(error, BessemerError):
        return _End(error.exit_code, name, error.message)
    if isinstance(error, TyperException):
        return _End(error.exit_code, "UsageError", _usage(error, arguments))
    if isinstance(error, KeyboardInterrupt | Abort):
        return _End(INTERRUPTED, "Cancelled", "interrupted")
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
        return _End(code, "", "")
    if isinstance(error, OSError) and (said := _told_by_the_system(error)):
        return _End(5, "StateUnwritable", said)
    return _End(5, name, _crash(error, arguments))


def _finish(end: _End, as_json: bool) -> int:
    with contextlib.suppress(OSError, ValueError):
        if end.message:
            if as_json:
                emit({"event": "error", "error": end.error, "message": end.message, "exit_code": end.code})
            word = "" if end.error == "Cancelled" else "error: "
            say(word + " ".join(end.message.split()))
    return end.code


def _usage(error: TyperException, arguments: Sequence[str]) -> str:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "bessemer"
    said = error.format_message().rstrip(".")
    said = said[:1].lower() + said[1:]
    if near := getattr(error, "possibilities", None):
        (nearest, *_) = difflib.get_close_matches(error.option_name, near, n=1, cutoff=0) or near  # type: ignore[attr-defined]
        said = f"{said.partition(' (Possible')[0]}; did you mean {nearest}?"
    elif said.startswith("no such command"):
        said += _nearest_command(context, said)
    elif said.startswith("invalid value for '"):
        said = _wrong_value(said, arguments)
    flag, value = swallowed(arguments)
    if said.startswith("missing argument") and flag:
        said += f": {flag} took {value!r}; put the argument before {flag}, or after --"
    return f"{said}; see `{path} --help`"


def _wrong_value(said: str, arguments: Sequence[str]) -> str:
    """Name the value too: the parser only says which flag and why."""
    flags, _, reason = said.removeprefix("invalid value for ").partition(": ")
    names = [name.strip("' ") for name in flags.split("/")]
    reason = reason.removeprefix("Input ").replace(", unable to parse string as an integer", "")
    reason = re.sub(r"^Value error, '.*' is not (?=one of )", "should be ", reason)
    for position, word in enumerate(arguments):
        name, equals, value = word.partition("=")
        if name in names and (equals or position + 1 < len(arguments)):
            return f"{name} is {value if equals else arguments[position + 1]!r}; it {reason}"
    return f"{' / '.join(names)} has a wrong value: it {reason}"


def _nearest_command(context: Any, said: str) -> str:
    word = said.partition("'")[2].partition("'")[0]
    near = difflib.get_close_matches(word, context.command.list_commands(context), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _told_by_the_system(error: OSError) -> str:
    import errno

    if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        return ""
    from bessemer.cluster.files import unwritable

    return unwritable(Path(os.fsdecode(error.filename or "a file")), error).message


def _crash(error: BaseException, arguments: Sequence[str]) -> str:
    from bessemer.cluster.redaction import redact

    first = (str(error).strip().splitlines() or ["no message"])[0]
    details = redact("".join(traceback.format_exception(error)))
    if os.environ.get("BESSEMER_DEBUG"):
        say(details)
    where = _write_crash(redact(" ".join(arguments)) + "\n\n" + details)
    told = f"details are in {where}" if where else "set BESSEMER_DEBUG=1 for details"
    return f"this is a bug in Bessemer ({type(error).__name__}: {redact(first)[:160]}); {told}"


def _write_crash(text: str) -> str:
    import tempfile

    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    state = Path(os.environ.get("BESSEMER_STATE_DIR", ".bessemer"))
    for folder in (state / "crashes", Path(tempfile.gettempdir()) / f"bessemer-crashes-{os.getuid()}"):
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
        except OSError:
            continue
        return str(folder / name)
    return ""


def _reader_gone() -> int:
    # Python flushes stdout once more at exit; it must not find the closed pipe.
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return PIPE_CLOSED
