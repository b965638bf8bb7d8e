"""The model that needs no key: a llama.cpp server in a child process, asked through the openai SDK.

It can repair small named defects; it cannot judge and cannot call tools (docs/backends.md).
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import secrets
import sys
from pathlib import Path
from typing import Any

import psutil

from bessemer.actors.backends._embedded_model import INSTALL_HINT, MODEL_NAME, default_directory, ensure_model
from bessemer.actors.backends._failures import KeySource
from bessemer.actors.backends.base import Backend, BackendFailure, BackendName, CallFailure, ModelRequest, Reply
from bessemer.cluster.backend_settings import EmbeddedSettings
from bessemer.cluster.errors import BessemerError, InfrastructureError, UsageError
from bessemer.cluster.text import one_line

_AMPLE_MEMORY = 8_000_000_000
_SERVER = Path(__file__).with_name("_embedded_server.py")


def require_runtime() -> None:
    """Raises UsageError where the runtime is not installed."""
    if importlib.util.find_spec("xllamacpp") is None:
        raise UsageError(f"the embedded model's runtime (xllamacpp) is not installed; {INSTALL_HINT}")


class EmbeddedBackend:
    """Starts its server with the first request, and again whenever it has died."""

    def __init__(self, name: BackendName, settings: EmbeddedSettings) -> None:
        self.name = str(name)
        self._settings = settings
        self._directory = Path(settings.model_dir) if settings.model_dir else default_directory()
        self._process: asyncio.subprocess.Process | None = None
        self._client: Backend | None = None
        self._starting = asyncio.Lock()
        self.starts = 0
        """How often a server was started."""

    @property
    def pid(self) -> int | None:
        """Process id of the server while it runs."""
        return self._process.pid if self._alive() and self._process else None

    async def request(self, request: ModelRequest) -> Reply:
        """One attempt. A server that dies meanwhile is a retryable failure, and the next request starts another."""
        if request.tools:
            message = f"{self.name} cannot call tools; name a backend that can, for example anthropic/claude-opus-4-6"
            raise BackendFailure(CallFailure(kind="bad_request", message=message))
        client = await self._ready()
        return await client.request(request)

    async def close(self) -> None:
        """End the server."""
        if self._client is not None:
            await self._client.close()
        self._client = None
        if self._process is not None and self._alive():
            self._process.kill()
            await self._process.wait()
        self._process = None

    def _alive(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def _ready(self) -> Backend:
        async with self._starting:
            if self._client is None or not self._alive():
                await self.close()
                try:
                    self._client = await self._start()
                except BessemerError as error:
                    kind: Any = "bad_request" if isinstance(error, UsageError) else "infrastructure"
                    raise BackendFailure(CallFailure(kind=kind, message=error.message)) from None
            return self._client

    async def _start(self) -> Backend:
        from bessemer.actors.backends._compatible import open_compatible

        require_runtime()
        model = await asyncio.to_thread(ensure_model, self._directory)
        key = secrets.token_urlsafe(24)
        self.starts += 1
        try:
            async with asyncio.timeout(self._settings.start_timeout):
                url = await self._launch(model, key)
                await self._healthy(url)
        except TimeoutError:
            await self.close()
            raise InfrastructureError(
                f"the embedded model did not load within {self._settings.start_timeout:.0f} s; see {self._log_path()}"
            ) from None
        name = BackendName(provider="embedded", model=MODEL_NAME)
        client = open_compatible(name, KeySource("the embedded server's own key", key), f"{url}/v1")
        client.name = self.name
        return client

    async def _launch(self, model: Path, key: str) -> str:
        self._directory.mkdir(parents=True, exist_ok=True)
        with self._log_path().open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                str(_SERVER),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env=self._environment(),
            )
        pipe_in, pipe_out = self._process.stdin, self._process.stdout
        if pipe_in is None or pipe_out is None:
            raise InfrastructureError("the embedded model's server has no pipes")
        with contextlib.suppress(ConnectionError):
            pipe_in.write(json.dumps(self._config(model, key)).encode() + b"\n")
            await pipe_in.drain()
        line = await pipe_out.readline()
        if not line:
            code = await self._process.wait()
            raise InfrastructureError(
                f"the embedded model's server ended with code {code} while loading: {self._last_words()}"
            )
        url: str = json.loads(line)["url"]
        return url

    async def _healthy(self, url: str) -> None:
        import aiohttp

        async with aiohttp.ClientSession() as session:
            while self._alive():
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(f"{url}/health") as answer:
                        if answer.status == 200:
                            return
                await asyncio.sleep(0.05)
        raise InfrastructureError(f"the embedded model's server died while loading: {self._last_words()}")

    def _config(self, model: Path, key: str) -> dict[str, Any]:
        return {
            "model": str(model),
            "key": key,
            "parent": os.getpid(),
            "context_tokens": self._settings.context_tokens,
            "slots": self._settings.slots,
            "threads": self._settings.threads or len(os.sched_getaffinity(0)),
            "small_memory": self._saves_memory(),
        }

    def _saves_memory(self) -> bool:
        wanted = self._settings.small_memory
        return psutil.virtual_memory().available < _AMPLE_MEMORY if wanted is None else wanted

    @staticmethod
    def _environment() -> dict[str, str]:
        """No key of any provider reaches the child. PASSIVE: probes and builders share the cores with the model."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
        return {**kept, "OMP_WAIT_POLICY": "PASSIVE"}

    def _log_path(self) -> Path:
        return self._directory / "embedded-server.log"

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            lines = self._log_path().read_text(errors="replace").splitlines()
            return one_line(lines[-1]) if lines else "it said nothing"
        return "it said nothing"
