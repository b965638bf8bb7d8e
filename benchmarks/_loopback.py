"""A model server on loopback for benchmarks: answers chat completions and Responses after a fixed time, at little CPU.

    python benchmarks/_loopback.py --latency 0.2

prints one JSON line, {"url": "http://127.0.0.1:PORT", "pid": …}, and serves until it is ended. `GET /stats` tells how
many requests came, how many were in flight at most, and the server's CPU seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from typing import Any

_USAGE = {"input": 500, "output": 20}


def chat_completion(answer: str) -> bytes:
    usage = {
        "prompt_tokens": _USAGE["input"],
        "completion_tokens": _USAGE["output"],
        "total_tokens": _USAGE["input"] + _USAGE["output"],
    }
    body: dict[str, Any] = {
        "id": "chatcmpl-loopback",
        "object": "chat.completion",
        "created": 1,
        "model": "loopback",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": answer}}],
        "usage": usage,
    }
    return _http(body)


def response(answer: str) -> bytes:
    content = {"type": "output_text", "text": answer, "annotations": []}
    message = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [content]}
    body = {
        "id": "resp_loopback",
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "model": "loopback",
        "output": [message],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "usage": {
            "input_tokens": _USAGE["input"],
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": _USAGE["output"],
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": _USAGE["input"] + _USAGE["output"],
        },
    }
    return _http(body)


def _http(body: Any, status: str = "200 OK") -> bytes:
    data = json.dumps(body).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    return head.encode() + data


class Answers:
    """What every connection shares: the two ready answers and the counts."""

    def __init__(self, latency: float, answer: str) -> None:
        self.latency = latency
        self.chat = chat_completion(answer)
        self.responses = response(answer)
        self.requests = 0
        self.in_flight = 0
        self.most_in_flight = 0

    def stats(self) -> bytes:
        counts = {"requests": self.requests, "most_in_flight": self.most_in_flight, "cpu_seconds": time.process_time()}
        return _http(counts)


class Connection(asyncio.Protocol):
    """One keep-alive connection without pipelining, as every SDK uses it."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._buffer = b""
        self._needed = -1
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._needed < 0:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self._buffer[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 : (head + b"\r\n").find(b"\r\n", at)]) if at >= 0 else 0
            self._needed = end + 4 + length
        if len(self._buffer) >= self._needed:
            path = self._buffer.split(b" ", 2)[1]
            self._buffer, self._needed = self._buffer[self._needed :], -1
            self._serve(path)

    def _serve(self, path: bytes) -> None:
        answers = self._answers
        if path.endswith(b"/stats"):
            self._write(answers.stats())
            return
        answers.requests += 1
        answers.in_flight += 1
        answers.most_in_flight = max(answers.most_in_flight, answers.in_flight)
        ready = answers.responses if path.endswith(b"/responses") else answers.chat
        asyncio.get_running_loop().call_later(answers.latency, self._answer, ready)

    def _answer(self, ready: bytes) -> None:
        self._answers.in_flight -= 1
        self._write(ready)

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)


async def serve(latency: float, answer: str, port: int) -> None:
    answers = Answers(latency, answer)
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(answers), "127.0.0.1", port, backlog=2048
    )
    bound = server.sockets[0].getsockname()[1]
    print(json.dumps({"url": f"http://127.0.0.1:{bound}", "pid": os.getpid()}), flush=True)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latency", type=float, default=0.2, help="seconds until each answer")
    parser.add_argument("--answer", default="ok", help="text of every answer")
    parser.add_argument("--port", type=int, default=0)
    given = parser.parse_args()
    asyncio.run(serve(given.latency, given.answer, given.port))


if __name__ == "__main__":
    main()
