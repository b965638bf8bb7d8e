"""The way out of an agent that uses its own login: encrypted connections to the hosts it needs and to no other."""

from __future__ import annotations

import asyncio
import contextlib
import re

_CONNECT = re.compile(rb"^CONNECT (?P<host>[A-Za-z0-9.-]+):(?P<port>\d{1,5}) HTTP/1\.[01]\r\n", re.IGNORECASE)
PORT = 443
LARGEST_HEAD = 16_384
HEAD_SECONDS = 10.0
CONNECT_SECONDS = 15.0
CHUNK = 65536


class Tunnel:
    """An HTTP proxy that knows CONNECT alone, on a Unix socket."""

    def __init__(self, hosts: frozenset[str], port: int = PORT) -> None:
        self._hosts = hosts
        self._port = port
        self._server: asyncio.AbstractServer | None = None
        self._open: set[asyncio.Task[None]] = set()
        self.refused: list[str] = []
        """Hosts that were asked for and not reached."""

    async def start(self, path: str) -> None:
        self._server = await asyncio.start_unix_server(self._begin, path, limit=LARGEST_HEAD)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._open:
            task.cancel()
        if self._open:
            await asyncio.wait(self._open)

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            host = await self._asked(reader)
            if not host:
                writer.write(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                await writer.drain()
                return
            async with asyncio.timeout(CONNECT_SECONDS):
                far_reader, far_writer = await asyncio.open_connection(host, self._port)
            try:
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                await asyncio.gather(_carry(reader, far_writer), _carry(far_reader, writer))
            finally:
                far_writer.close()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the agent sees a closed connection and says so itself
        finally:
            writer.close()

    async def _asked(self, reader: asyncio.StreamReader) -> str:
        """The host asked for where it is allowed, else nothing."""
        async with asyncio.timeout(HEAD_SECONDS):
            head = await reader.readuntil(b"\r\n\r\n")
        found = _CONNECT.match(head)
        host = found["host"].decode().lower() if found else ""
        if found and host in self._hosts and int(found["port"]) == self._port:
            return host
        self.refused.append(host or head.split(b"\r\n")[0][:100].decode(errors="replace"))
        return ""


async def _carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await source.read(CHUNK):
            sink.write(data)
            await sink.drain()
        if sink.can_write_eof():
            sink.write_eof()
