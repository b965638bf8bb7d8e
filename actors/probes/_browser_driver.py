"""Runs inside the sandbox: `python _browser_driver.py SPEC` opens pages in chromium and prints findings as JSON.

It imports nothing of Bessemer: the sandbox shows it this file and the environment only.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import http.server
import itertools
import json
import os
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any
from urllib.parse import quote

import websockets

WIDTHS = (390, 1280)
HEIGHT = 900
SETTLE_SECONDS = 0.4
REPLY_SECONDS = 15.0
START_SECONDS = 30.0
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--mute-audio",
    "--disable-background-networking", "--disable-extensions", "--disable-sync", "--remote-debugging-port=0",
)  # fmt: skip
CLICK = """(() => {
  const all = [...document.querySelectorAll(
    'button, a[href^="#"], input, select, textarea, summary, [role=button], [onclick]')].slice(0, 200);
  let clicked = 0;
  for (const one of all) {
    if (one.disabled || one.type === 'file' || !one.isConnected) continue;
    try { one.focus(); one.click(); clicked++; } catch (error) { console.error(String(error)); }
  }
  return clicked;
})()"""
WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


class Tab:
    """One page's connection: commands with deadlines, and the faults its console told of."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.faults: list[tuple[str, str, int]] = []
        self.loaded = asyncio.Event()

    async def listen(self) -> None:
        async for text in self._socket:
            message = json.loads(text)
            waiting = self._waiting.pop(message.get("id", 0), None)
            if waiting is not None and not waiting.done():
                waiting.set_result(message.get("result", {}))
            elif message.get("method") == "Page.javascriptDialogOpening":
                await self._post("Page.handleJavaScriptDialog", {"accept": True})
            else:
                self._note(message.get("method", ""), message.get("params", {}))

    async def ask(self, method: str, **params: Any) -> dict[str, Any]:
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[await self._post(method, params)] = future
        return await asyncio.wait_for(future, REPLY_SECONDS)

    async def _post(self, method: str, params: dict[str, Any]) -> int:
        number = next(self._ids)
        await self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        return number

    def _note(self, method: str, params: dict[str, Any]) -> None:
        if method == "Page.loadEventFired":
            self.loaded.set()
        elif method == "Runtime.exceptionThrown":
            detail = params["exceptionDetails"]
            said = detail.get("exception", {}).get("description") or detail.get("text", "")
            self.faults.append(("uncaught", said, detail.get("lineNumber", -1) + 1))
        elif method == "Runtime.consoleAPICalled" and params.get("type") in ("error", "assert"):
            words = [str(one.get("value", one.get("description", ""))) for one in params.get("args", [])]
            self.faults.append(("console", " ".join(words), 0))
        elif method == "Log.entryAdded" and params["entry"].get("level") == "error":
            entry = params["entry"]
            if not entry.get("url", "").endswith("/favicon.ico"):
                self.faults.append(("load", f"{entry.get('text', '')} {entry.get('url', '')}".strip(), 0))


async def look(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """Open every page at every width; findings, each once."""
    port = _serve()
    profile = tempfile.mkdtemp(prefix="chromium-")
    process = await asyncio.create_subprocess_exec(
        spec["browser"], *FLAGS, f"--user-data-dir={profile}", "about:blank",
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        address = await asyncio.wait_for(_address(Path(profile) / "DevToolsActivePort"), START_SECONDS)
        found: dict[tuple[str, str, str], dict[str, Any]] = {}
        for number, page in enumerate(spec["pages"]):
            for width in WIDTHS:
                for one in await _visit(address, port, page, width, f"{spec['shots']}/{number}-{width}.png"):
                    found.setdefault((one["code"], one["file"], one["message"]), one)
        return list(found.values())
    finally:
        process.kill()
        await process.wait()


async def _address(file: Path) -> str:
    while True:
        with contextlib.suppress(OSError, ValueError):
            port, path = file.read_text().splitlines()[:2]  # noqa: ASYNC240
            return f"ws://127.0.0.1:{int(port)}{path}"
        await asyncio.sleep(0.05)


async def _visit(address: str, port: int, page: str, width: int, shot: str) -> list[dict[str, Any]]:
    async with websockets.connect(address, max_size=None, proxy=None) as browser:
        root = Tab(browser)
        listening = asyncio.create_task(root.listen())
        target = (await root.ask("Target.createTarget", url="about:blank"))["targetId"]
        try:
            where = address.partition("/devtools/")[0] + f"/devtools/page/{target}"
            async with websockets.connect(where, max_size=None, proxy=None) as socket:
                return await _use(Tab(socket), f"http://127.0.0.1:{port}/{quote(page)}", page, width, shot)
        finally:
            await root.ask("Target.closeTarget", targetId=target)
            listening.cancel()


async def _use(tab: Tab, url: str, page: str, width: int, shot: str) -> list[dict[str, Any]]:
    listening = asyncio.create_task(tab.listen())
    try:
        for domain in ("Page", "Runtime", "Log"):
            await tab.ask(f"{domain}.enable")
        size = {"width": width, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": width < 600}
        await tab.ask("Emulation.setDeviceMetricsOverride", **size)
        await tab.ask("Page.navigate", url=url)
        await asyncio.wait_for(tab.loaded.wait(), REPLY_SECONDS)
        await asyncio.sleep(SETTLE_SECONDS)
        over = (await tab.ask("Runtime.evaluate", expression=WIDE))["result"].get("value", 0)
        image = await tab.ask("Page.captureScreenshot", format="png")
        Path(shot).write_bytes(base64.b64decode(image["data"]))  # noqa: ASYNC240
        await tab.ask("Runtime.evaluate", expression=CLICK, userGesture=True)
        await asyncio.sleep(SETTLE_SECONDS)
        await tab.ask("Runtime.evaluate", expression="1")
    except TimeoutError:
        tab.faults.append(("hangs", f"the page does not answer within {REPLY_SECONDS:.0f} s", 0))
        over = 0
    finally:
        listening.cancel()
    if over > 0:
        tab.faults.append(("too-wide", f"the page is {over} pixels wider than a {width} pixel window", 0))
    return [_finding(code, said, page, line) for code, said, line in tab.faults]


def _finding(code: str, said: str, page: str, line: int) -> dict[str, Any]:
    first = (said.strip().splitlines() or [code])[0][:500]
    severity = "minor" if code == "too-wide" else "major"
    return {"code": code, "message": first, "file": page, "line": line, "severity": severity, "detail": said[-4000:]}


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is told: stderr is the probe's evidence."""


def _serve() -> int:
    handler = functools.partial(_Quiet, directory=os.getcwd())  # noqa: PTH109
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return int(server.server_port)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(look(json.loads(sys.argv[1])))))
