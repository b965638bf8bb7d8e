"""Where every host is found: names, namespaces, and who makes it when it is not there."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bessemer.actors._placement import Node, at, for_backends, node_name, on_head, own_full_name, own_node
from bessemer.actors._wire import HostRef, find_only, find_or_make
from bessemer.cluster.errors import BessemerError, LedgerUnavailable, error_named
from bessemer.cluster.home import Home
from bessemer.cluster.ledger import LedgerClient, Watcher
from bessemer.cluster.settings import ClusterSettings

if TYPE_CHECKING:
    from bessemer.actors._backend_client import BackendClient
    from bessemer.actors._line import LinedHost
    from bessemer.cluster.limits import LimitsLike


_log = logging.getLogger(__name__)

FILE_PATIENCE_SECONDS = 60.0
"""How long a ledger in a file is waited for: its keeper may be starting again."""
APPLY_SECONDS = 120.0
"""How long the keeper may take for one message, before it is sent again: its operations carry their tokens."""


def _payload(home: Home) -> bytes:
    return home.model_dump_json().encode()


def keeper_ref(home: Home) -> HostRef:
    from bessemer.actors.ledger_keeper import LedgerKeeper

    find = find_or_make(LedgerKeeper, "ledger", home.ledger_namespace, _payload(home), where=on_head)
    patience = ledger_patience(home)
    # A keeper that hangs must be back before the patience of those who wait for it is over.
    return HostRef("ledger", find, patience=patience, silence=min(silence(home), patience / 2))


def silence(home: Home) -> float:
    """Seconds that a host which is waited for may say nothing."""
    return ClusterSettings.model_validate(home.settings.get("cluster", {})).silent_seconds


def _ref(home: Home, name: str, find: Callable[[], Any]) -> HostRef:
    return HostRef(name, find, silence=silence(home))


def ledger_patience(home: Home) -> float:
    """Seconds that work waits for the ledger: a file is there or it is not, a server comes back."""
    if home.ledger_url.startswith("sqlite"):
        return FILE_PATIENCE_SECONDS
    return float(home.settings.get("ledger", {}).get("patience", FILE_PATIENCE_SECONDS))


def lake_ref(home: Home) -> HostRef:
    from bessemer.actors.lake_writer import LakeWriter

    return _ref(home, "lake", find_or_make(LakeWriter, "lake", home.ledger_namespace, _payload(home), where=on_head))


def run_ref(home: Home, name: str = "", *, make: bool = True) -> LinedHost:
    """A run host, by default this machine's first; with `make` it is made here where it is not there."""
    from bessemer.actors._line import LinedHost
    from bessemer.actors.run_host import RunHost

    name, space = name or f"run/{node_name()}", home.host_namespace
    if not make:
        return LinedHost(name, find_only(name, space), silence=silence(home))
    find = find_or_make(RunHost, name, space, _payload(home), where=at(own_node()))
    return LinedHost(name, find, silence=silence(home))


def builder_ref(home: Home) -> HostRef:
    from bessemer.actors.builder_host import BuilderHost

    name = f"builder/{node_name()}"
    return _ref(home, name, find_or_make(BuilderHost, name, home.host_namespace, _payload(home), where=at(own_node())))


def builder_on(home: Home, node: Node) -> HostRef:
    """The builder host of another machine."""
    from bessemer.actors.builder_host import BuilderHost

    name = f"builder/{node.name}"
    return _ref(home, name, find_or_make(BuilderHost, name, home.host_namespace, _payload(home), where=at(node.id)))


def prober_ref(home: Home, node: Node | None = None) -> HostRef:
    """The prober host of this machine or of another one; all who measure on a machine share it, and its cores."""
    from bessemer.actors.prober_host import ProberHost

    place = node.id if node else own_node()
    name = f"prober/{node.name if node else own_full_name()}"
    return _ref(home, name, find_or_make(ProberHost, name, home.host_namespace, _payload(home), where=at(place)))


def reviewer_ref(home: Home) -> HostRef:
    from bessemer.actors.reviewer_host import ReviewerHost

    name = f"reviewer/{node_name()}"
    return _ref(home, name, find_or_make(ReviewerHost, name, home.host_namespace, _payload(home), where=at(own_node())))


def backend_ref(home: Home, name: str) -> HostRef:
    """The host of a name such as `backend/anthropic` or `batch/anthropic/default`."""
    from bessemer.actors.backend_host import BackendHost
    from bessemer.actors.batch_host import BatchHost

    if name.startswith("batch/"):
        return _ref(
            home, name, find_or_make(BatchHost, name, home.ledger_namespace, _payload(home), name, where=on_head)
        )
    return _ref(
        home, name, find_or_make(BackendHost, name, home.host_namespace, _payload(home), name, where=for_backends)
    )


def limiter_ref(home: Home) -> HostRef:
    """The one limiter of the cluster, for every home that runs the same code."""
    from bessemer.actors.limiter import Limiter

    return _ref(home, "limiter", find_or_make(Limiter, "limiter", f"bessemer-limits-{home.code[:12]}", where=on_head))


def host_limits(home: Home, host: str) -> LimitsLike:
    """The limits of the backend host `backend/PROVIDER` or `backend/PROVIDER#N`.

    They are shared with the whole cluster through the limiter, which is made if there is none; a provider that lives
    in the host's own process needs none. Raises nothing: while the limiter is away the host goes on with part of
    what it had.
    """
    from bessemer.actors._call_limits import DEFAULT_POLICY, OWN, HostLimits, limits_of, policies_of
    from bessemer.actors._line import Direct
    from bessemer.cluster.backend_settings import BackendSettings
    from bessemer.cluster.limits import SharedLimits

    settings = BackendSettings.model_validate(home.settings.get("backends", {}))
    if host.removeprefix("backend/").partition("#")[0] in OWN:
        return limits_of(settings)
    limiter = limiter_ref(home)
    limiter.make()
    direct = Direct(limiter, "exchange")

    async def exchange(report: bytes) -> bytes:
        try:
            with limiter.waiting():
                return await direct.ask(report)
        except Exception:
            limiter.forget()
            raise

    shared = SharedLimits(
        exchange,
        # Names are unique among the hosts of a home only.
        host=f"{home.host_namespace}/{host}@{uuid.uuid4().hex[:12]}",
        home=home.ledger_namespace,
        policies=policies_of(settings),
        default=DEFAULT_POLICY,
    )
    return HostLimits(limits_of(settings), shared)


def ledger_client(home: Home, watcher: Watcher | None = None) -> LedgerClient:
    """The ledger as a host sees it: through the keeper, which is made if there is none."""
    from bessemer.actors._line import Direct

    keeper = keeper_ref(home)
    direct = Direct(keeper, "apply")

    async def send(payload: bytes) -> bytes:
        try:
            with keeper.waiting():
                async with asyncio.timeout(APPLY_SECONDS):
                    answer = await direct.ask(payload)
        except Exception as error:
            keeper.forget()
            raise LedgerUnavailable(f"the ledger keeper does not answer: {type(error).__name__}") from None
        if answer.startswith(b"!"):
            # A full disk is no reason to wait in silence, so only LedgerUnavailable is tried again.
            name, _, message = answer[1:].decode().partition(" ")
            raise error_named(name, message)
        return answer

    return LedgerClient(send, patience=ledger_patience(home), watcher=watcher)


def trace_as(home: Home, host: str) -> None:
    """Start this process's telemetry as the home's settings say. What is wrong with it must not stop work."""
    from bessemer.cluster.telemetry import TelemetrySettings, configure

    try:
        configure(TelemetrySettings.model_validate(home.settings.get("telemetry", {})), host)
    except BessemerError as error:
        _log.warning("no telemetry from %s: %s", host, error.message)


def backend_client(home: Home) -> BackendClient:
    """The backends as a host sees them: one host per provider, made when first asked."""
    from bessemer.actors._backend_client import BackendClient

    return BackendClient(home)
