"""The simulator's own paths, under `/_simulator`: books, state, and the dials that can be turned while it runs."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import Any

from aiohttp import web

from bessemer.cluster.errors import SettingsError
from bessemer.interfaces.simulator._desk import Desk


def routes(desk: Desk) -> list[web.RouteDef]:
    """`GET books`, `GET state`, and `POST NAME` with `{"value": …}` for each dial."""
    started = time.time()

    async def books(request: web.Request) -> web.Response:
        after = request.query.get("after", "0")
        if not after.isdigit():
            return web.json_response({"error": f"after is {after!r}; it counts entries"}, status=400)
        await _refresh(desk)
        return web.json_response({"entries": desk.books.entries[int(after) :]})

    async def state(_: web.Request) -> web.Response:
        await _refresh(desk)
        return web.json_response(_state(desk, started))

    async def turn(request: web.Request) -> web.Response:
        try:
            body = await request.json()
            desk.set(request.match_info["name"], body["value"])
        except (json.JSONDecodeError, KeyError, TypeError):
            return web.json_response({"error": 'send {"value": …}'}, status=400)
        except SettingsError as error:
            return web.json_response({"error": error.message}, status=400)
        return web.json_response(_state(desk, started))

    return [
        web.get("/_simulator/books", books),
        web.get("/_simulator/state", state),
        web.post("/_simulator/{name}", turn),
    ]


async def _refresh(desk: Desk) -> None:
    for refresh in desk.refreshers:
        await refresh()


def _state(desk: Desk, started: float) -> dict[str, Any]:
    given = desk.settings
    usage: Counter[str] = Counter()
    for entry in desk.books.entries:
        if entry["usage"]:
            usage.update(entry["usage"])
    return {
        "up_seconds": round(time.time() - started, 3),
        "requests": len(desk.books.entries),
        "outcomes": dict(desk.books.outcomes),
        "usage": dict(usage),
        "in_flight": {model: count for model, count in desk.limits.in_flight.items() if count},
        "most_in_flight": desk.limits.most_in_flight,
        "seed": given.seed,
        "latency": given.latency,
        "faults": list(given.faults),
        "rate": given.rate,
        "concurrency": given.concurrency,
        "batch_seconds": given.batch_seconds,
        "batch_expires": given.batch_expires,
    }
