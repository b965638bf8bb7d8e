"""A caller whose model reads before it answers: what it read stays in the conversation, and in the journal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bessemer.actors.asking import Read, ask_checked
from bessemer.actors.backends.base import ModelRequest, Reply, Usage
from bessemer.actors.reviewers import Fence, ReadingCaller, ReadOnlyFiles, read_tree
from tests.reviewers._journal import ListedAnswers


def wants(name: str, arguments: str) -> Reply:
    part = {"part_kind": "tool-call", "tool_name": name, "args": arguments, "tool_call_id": "c1"}
    return Reply(finish="tool_calls", message={"kind": "response", "parts": [part]}, usage=Usage(input=50, output=5))


def caller(root: Path, *answers: Any) -> tuple[ReadingCaller, ListedAnswers]:
    (root / "notes.txt").write_text("the answer is 42\n")
    journal = ListedAnswers(*answers)
    return ReadingCaller(journal, ReadOnlyFiles({"": read_tree(root)}, Fence("t0ken"))), journal


REQUEST = ModelRequest(backend="a/b", prompt="What is the answer?", output_schema={"type": "object"})


async def test_what_a_model_asks_to_read_it_is_given_as_data(tmp_path: Path):
    reading, journal = caller(tmp_path, wants("read_file", '{"path": "notes.txt", "line": 1}'), {"say": 42})
    reply = await reading.call(REQUEST)
    assert isinstance(reply, Reply) and reply.data == {"say": 42}
    assert reply.usage == Usage(input=150, output=15), "of both calls"
    first, second = journal.requests
    assert first.prompt == "" and len(first.history) == 1 and len(first.tools) == 3
    told = second.history[-1]["parts"][0]
    assert told["content"] == journal.seen["tool-0"]
    assert "the answer is 42" in told["content"] and told["content"].startswith("<<<t0ken")


async def test_a_correction_still_knows_what_was_read(tmp_path: Path):
    answers = wants("search", '{"text": "answer", "under": ""}'), {"say": 41}, {"say": 42}
    reading, journal = caller(tmp_path, *answers)

    def read(data: Any) -> Read[int]:
        return Read(42) if data["say"] == 42 else Read(None, ["say: is not what the notes say"])

    asked = await ask_checked(reading, REQUEST, read)
    assert asked.value == 42
    kinds = [part["part_kind"] for message in journal.requests[2].history for part in message["parts"]]
    assert kinds == ["user-prompt", "tool-call", "tool-return", "text", "user-prompt"]


async def test_a_replay_gives_what_was_read_then(tmp_path: Path):
    answers = wants("read_file", '{"path": "notes.txt", "line": 1}'), {"say": 42}
    reading, journal = caller(tmp_path, *answers)
    await reading.call(REQUEST)
    then = [request.request_hash() for request in journal.requests]
    again, later = caller(tmp_path, *answers)
    later.seen = dict(journal.seen)
    (tmp_path / "notes.txt").write_text("something else\n")
    again._reading._files = ReadOnlyFiles({"": read_tree(tmp_path)}, Fence("t0ken"))
    await again.call(REQUEST)
    assert [request.request_hash() for request in later.requests] == then
