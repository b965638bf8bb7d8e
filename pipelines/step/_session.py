"""The directory that agents of a session share, as any tool that follows the contract reads and writes it.

    <session>/agents/<agent>/
        last_action.json            the newest action of this agent
        001/answer.json, workspace/    or    001/vote.json
        002/ …                      answers and votes share one counter

Whatever stands there may have been written by anybody. It is read as data: what is torn, forged or impossible becomes a
`Fault` and never an answer or a vote.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from bessemer.cluster.canonical import content_hash
from bessemer.cluster.errors import UsageError
from bessemer.cluster.files import unwritable, write_atomic

AGENT_ID = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
_STEP = re.compile(r"^\d{3,9}$")
MAX_JSON_BYTES = 4_000_000
NUMBERS_TRIED = 1000


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Answer(_Frozen):
    """An agent's newest answer."""

    agent: str
    step: int
    text: str
    workspace: str = ""
    """Absolute path of its files; empty if it has none."""
    content_hash: str
    """SHA-256 of text and files: what a vote is for."""


class Vote(_Frozen):
    """An agent's newest vote, as it was cast."""

    voter: str
    step: int
    target: str
    reason: str = ""
    seen_steps: dict[str, int] = Field(default_factory=dict)
    seen_hashes: dict[str, str] = Field(default_factory=dict)
    """Content hashes of the answers that were shown; agents from elsewhere do not say."""


class Fault(_Frozen):
    """Something in the directory that counts for nothing."""

    agent: str
    step: int
    kind: Literal["torn", "forged", "no_target", "self_vote", "stale", "no_id"]
    message: str


class Session(_Frozen):
    """What a session directory says."""

    answers: dict[str, Answer] = Field(default_factory=dict)
    votes: dict[str, Vote] = Field(default_factory=dict)
    """The valid and fresh votes alone, one a voter."""
    faults: tuple[Fault, ...] = ()
    agents: tuple[str, ...] = ()

    def tally(self) -> dict[str, int]:
        """Votes for each answer."""
        counts = dict.fromkeys(sorted(self.answers), 0)
        for vote in self.votes.values():
            counts[vote.target] += 1
        return counts

    def seen_steps(self) -> dict[str, int]:
        return {agent: answer.step for agent, answer in sorted(self.answers.items())}


class _Found(NamedTuple):
    answer: Answer | None
    vote: Vote | None
    faults: list[Fault]


def read_session(directory: Path) -> Session:
    """Read every agent's newest answer and vote. A missing directory is an empty session."""
    answers: dict[str, Answer] = {}
    cast: dict[str, Vote] = {}
    faults: list[Fault] = []
    folders = sorted(path for path in (directory / "agents").glob("*") if path.is_dir() and not path.is_symlink())
    for folder in folders:
        if not AGENT_ID.match(folder.name):
            faults.append(Fault(agent=folder.name[:64], step=0, kind="no_id", message="its name is no agent id"))
            continue
        found = _read_agent(folder)
        faults += found.faults
        if found.answer is not None:
            answers[folder.name] = found.answer
        if found.vote is not None:
            cast[folder.name] = found.vote
    votes = {}
    for voter, vote in cast.items():
        fault = _vote_fault(vote, answers)
        if fault is None:
            votes[voter] = vote
        else:
            faults.append(fault)
    agents = tuple(folder.name for folder in folders if AGENT_ID.match(folder.name))
    return Session(answers=answers, votes=votes, faults=tuple(faults), agents=agents)


def _read_agent(folder: Path) -> _Found:
    """The newest answer and the newest vote. A torn one stands in the way of those before it: its agent meant to
    replace them."""
    answer: Answer | None = None
    vote: Vote | None = None
    faults: list[Fault] = []
    closed: set[str] = set()
    steps = sorted((path for path in folder.iterdir() if _STEP.match(path.name) and path.is_dir()), reverse=True)
    for step in steps:
        # Where a step holds both, the answer is what counts.
        kind = "answer" if (step / "answer.json").exists() else "vote" if (step / "vote.json").exists() else ""
        if not kind or kind in closed:
            continue
        closed.add(kind)
        try:
            data = _load(step / f"{kind}.json")
            answer = _answer(folder.name, step, data) if kind == "answer" else answer
            vote = _vote(folder.name, step, data) if kind == "vote" else vote
        except _Torn as torn:
            faults.append(Fault(agent=folder.name, step=int(step.name), kind=torn.kind, message=torn.message))
    return _Found(answer, vote, faults)


class _Torn(Exception):
    def __init__(self, message: str, kind: Literal["torn", "forged"] = "torn") -> None:
        super().__init__(message)
        self.message = message
        self.kind: Literal["torn", "forged"] = kind


def _load(path: Path) -> dict[str, Any]:
    try:
        if path.is_symlink() or path.stat().st_size > MAX_JSON_BYTES:
            raise _Torn(f"{path.name} is a link or larger than {MAX_JSON_BYTES} bytes")
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _Torn(f"{path.name} cannot be read: {' '.join(str(error).split())[:120]}") from None
    if not isinstance(data, dict):
        raise _Torn(f"{path.name} is no object")
    return data


def _answer(agent: str, step: Path, data: dict[str, Any]) -> Answer:
    text = data.get("answer")
    if not isinstance(text, str):
        raise _Torn("answer.json has no text `answer`")
    if data.get("agent_id", agent) != agent:
        raise _Torn(f"answer.json says that it is {str(data['agent_id'])[:64]!r}'s", "forged")
    workspace = step / "workspace"
    place = str(workspace.absolute()) if workspace.is_dir() and not workspace.is_symlink() else ""
    digest = content_hash([text, hashes_of(workspace) if place else {}])
    return Answer(agent=agent, step=int(step.name), text=text, workspace=place, content_hash=digest)


def _vote(agent: str, step: Path, data: dict[str, Any]) -> Vote:
    if data.get("voter", agent) != agent:
        raise _Torn(f"vote.json says that it is {str(data['voter'])[:64]!r}'s", "forged")
    seen, hashes = data.get("seen_steps"), data.get("seen_hashes")
    target = data.get("target")
    return Vote(
        voter=agent,
        step=int(step.name),
        target=target if isinstance(target, str) else "",
        reason=str(data.get("reason") or ""),
        seen_steps=_counts(seen),
        seen_hashes={str(key): str(value) for key, value in hashes.items()} if isinstance(hashes, dict) else {},
    )


def _counts(seen: Any) -> dict[str, int]:
    """The steps a voter saw; none of them where one is no number, because then nothing is known of the rest."""
    if not isinstance(seen, dict):
        return {}
    if any(isinstance(one, bool) or not isinstance(one, int) for one in seen.values()):
        return {}
    return {str(key): value for key, value in seen.items()}


def _vote_fault(vote: Vote, answers: Mapping[str, Answer]) -> Fault | None:
    def fault(kind: Literal["no_target", "self_vote", "stale"], message: str) -> Fault:
        return Fault(agent=vote.voter, step=vote.step, kind=kind, message=message)

    if vote.target not in answers:
        return fault("no_target", f"votes for {vote.target[:64]!r}, who has no answer")
    if vote.target == vote.voter:
        return fault("self_vote", "votes for itself")
    if not vote.seen_steps:
        return fault("stale", "does not say which answers it saw")
    newer = [agent for agent, answer in sorted(answers.items()) if answer.step > vote.seen_steps.get(agent, 0)]
    if newer:
        return fault("stale", f"was cast before the current answer of {', '.join(newer)}")
    changed = [
        agent
        for agent, digest in sorted(vote.seen_hashes.items())
        if agent in answers and answers[agent].content_hash != digest
    ]
    if changed:
        return fault("stale", f"was cast on another content of the answer of {', '.join(changed)}")
    return None


def hashes_of(folder: Path) -> dict[str, str]:
    """SHA-256 of the files below a folder, by relative path; links are named by their target and not followed."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = f"link {path.readlink()}"
        elif path.is_file():
            found[name] = content_hash(path.read_bytes())
    return found


class Agent:
    """Writes one agent's steps. Raises StateUnwritable, and UsageError for an id that is none."""

    def __init__(self, session: Path, agent: str) -> None:
        if not AGENT_ID.match(agent):
            raise UsageError(f"{agent!r} is no agent id; use letters, digits, '_', '-' and '.', at most 64")
        self.id = agent
        self.folder = session.absolute() / "agents" / agent

    def claim(self) -> int:
        """Take the next number for this agent: two processes never get the same."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            taken = [int(path.name) for path in self.folder.iterdir() if _STEP.match(path.name)]
            first = max(taken, default=0) + 1
            for number in range(first, first + NUMBERS_TRIED):
                try:
                    self._step(number).mkdir()
                except FileExistsError:
                    continue
                return number
        except OSError as error:
            raise unwritable(self.folder, error) from None
        raise UsageError(f"no free step in {self.folder}: {NUMBERS_TRIED} were taken meanwhile; end the other writers")

    def answer(self, number: int, text: str, files: Mapping[str, str], base: str = "") -> Path | None:
        """Write an answer and its workspace: `base` copied, `files` over it. The JSON comes last, so that who sees it
        sees the whole. Returns the workspace, if there is one."""
        workspace = self._step(number) / "workspace"
        shutil.rmtree(workspace, ignore_errors=True)
        if base:
            shutil.copytree(base, workspace, symlinks=True)
        for name, content in files.items():
            _unlink_links(workspace, name)
            write_atomic(workspace / name, content.encode())
        record = {"agent_id": self.id, "answer": text, "timestamp": _now()}
        self._write(self._step(number) / "answer.json", record)
        return workspace if workspace.is_dir() else None

    def vote(self, number: int, target: str, reason: str, shown: Session) -> None:
        """Write a vote bound to what was shown."""
        record = {
            "voter": self.id,
            "target": target,
            "reason": reason,
            "seen_steps": shown.seen_steps(),
            "seen_hashes": {agent: answer.content_hash for agent, answer in sorted(shown.answers.items())},
            "timestamp": _now(),
        }
        self._write(self._step(number) / "vote.json", record)

    def last_action(self, number: int, **fields: Any) -> Path:
        """Write `last_action.json`; returns its path."""
        record = {
            "agent_id": self.id,
            "action": "",
            "answer_text": None,
            "vote_target": None,
            "vote_reason": None,
            "timestamp": _now(),
            "step_number": number,
            "duration_seconds": 0.0,
            "cost": {},
            "workspace_path": None,
            **fields,
        }
        path = self.folder / "last_action.json"
        self._write(path, record)
        return path

    def _step(self, number: int) -> Path:
        return self.folder / f"{number:03d}"

    @staticmethod
    def _write(path: Path, record: Mapping[str, Any]) -> None:
        write_atomic(path, (json.dumps(record, indent=2, ensure_ascii=False) + "\n").encode())


def _unlink_links(root: Path, name: str) -> None:
    """A link on the way to a file is removed: writing through it would leave the workspace."""
    place = root
    for part in Path(name).parts:
        place = place / part
        if place.is_symlink():
            place.unlink()
            return


def _now() -> str:
    return datetime.now(UTC).isoformat()
