"""How each fault is done and undone."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable

from chaos import processes
from chaos.schedule import Fault, Victim
from chaos.world import World


class Injector:
    """Does a schedule's faults, one after the other in a thread of its own, when the vendors have seen enough."""

    STALLED_SECONDS = 3.0
    """A world that makes no progress for so long meets its next fault at once."""

    def __init__(self, world: World, faults: tuple[Fault, ...], requests: int, drivers: Callable[[], list[int]]):
        self._world = world
        self._faults = faults
        self._requests = requests
        """How many an undisturbed world makes."""
        self._drivers = drivers
        self._before = _lines(world)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.done: list[str] = []
        """Kinds of the faults that befell somebody."""
        self.missed: list[str] = []
        """Those that found no victim or cannot be done here, and why."""
        self.error: BaseException | None = None
        self.last = time.monotonic()
        """When the last fault was over."""

    def start(self) -> None:
        self._thread.start()

    def finish(self, within: float) -> None:
        """Wait for the last fault, or let those that are left be missed where nothing is left to disturb."""
        self._ended.set()
        self._thread.join(within)
        if self._thread.is_alive():
            raise RuntimeError(f"a fault does not end within {within:.0f} s")
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        try:
            for fault in self._faults:
                self._wait_for(fault)
                if self._ended.is_set():
                    self.missed.append(f"{fault.kind}: everything had ended")
                    continue
                why = self._do(fault)
                if why:
                    self.missed.append(f"{fault.kind}: {why}")
                else:
                    self.done.append(fault.kind)
                    self.last = time.monotonic()
        except BaseException as error:
            self.error = error

    def _wait_for(self, fault: Fault) -> None:
        wanted, last, since = fault.after * self._requests, -1, time.monotonic()
        while not self._ended.is_set():
            seen = _lines(self._world) - self._before
            if seen != last:
                last, since = seen, time.monotonic()
            # Before the first request hosts may still be starting.
            patience = self.STALLED_SECONDS * (5 if seen == 0 else 1)
            if seen >= wanted or time.monotonic() - since > patience:
                return
            time.sleep(0.02)

    def _do(self, fault: Fault) -> str:
        """Do it and undo it; returns why it could not be done."""
        world = self._world
        match fault.kind:
            case "driver":
                pids = self._drivers()
                return "" if pids and processes.kill(pids[0]) else "no driver was there"
            case "raylet":
                head = processes.raylet()
                if head is None or not processes.kill(head.pid):
                    return "no raylet was there"
                with contextlib.suppress(Exception):
                    head.wait(10)
                world.start_cluster()
            case "postgresql":
                assert world.database is not None
                world.database.kill()
                time.sleep(fault.seconds)
                world.start_database()
            case "disk_full" if not world.disk.why_not:
                world.disk.fill()
                try:
                    time.sleep(fault.seconds)
                finally:
                    world.disk.free()
            case "slow_disk" if not world.disk.why_not:
                world.disk.slow(fault.seconds)
                world.disk.mend()
            case "disk_full" | "slow_disk":
                return world.disk.why_not
            case "connections_dropped" | "rate_limit_storm":
                kind = "dropped" if fault.kind == "connections_dropped" else "rate_limited"
                _vendors_fail(world, f"{fault.amount}:{kind}" + (":0.2" if kind == "rate_limited" else ""), fault)
            case "vendor_silent":
                _stopped(world.vendor.pid, fault.seconds)
            case "clock_jump":
                if world.clock.why_not:
                    return world.clock.why_not
                world.clock.jump(fault.amount)
            case _:
                return _killed(fault.kind)
        return ""


def _killed(victim: Victim) -> str:
    """Kill a host of a class; it may take a moment until there is one."""
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        if any(processes.kill(pid) for pid in processes.host(victim)[:1]):
            return ""
        time.sleep(0.05)
    return "none was there"


def _vendors_fail(world: World, dial: str, fault: Fault) -> None:
    world.vendor.set(faults=[dial])
    try:
        time.sleep(fault.seconds)
    finally:
        world.vendor.set(faults=[])


def _stopped(pid: int, seconds: float) -> None:
    """Nothing comes through: connections stay open and no byte moves."""
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(seconds)
    finally:
        os.kill(pid, signal.SIGCONT)


def _lines(world: World) -> int:
    try:
        return world.books.read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0
