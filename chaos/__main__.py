"""`make chaos`: schedules of faults over real runs. `docs/reliability.md` says what is tried and how to read it."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path

from bessemer.cluster.errors import BessemerError
from chaos import results
from chaos.session import Session, say


def main() -> None:
    given = _arguments()
    try:
        known = results.read(given.results)
        if given.report:
            print(results.report(known), end="")
            return
        # Its cluster outlives it otherwise.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        sys.exit(_carry_out(given, known))
    except BessemerError as error:
        print(f"error: {error.message}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)


def _carry_out(given: argparse.Namespace, known: list[results.Result]) -> int:
    """Exit code: 0 where every invariant held, 1 where one was violated."""
    first = given.seed if given.seed is not None else max((one.seed for one in known), default=0) + 1
    until = time.monotonic() + given.within * 60
    done = violated = 0
    with Session() as session:
        for result in session.carry_out(range(first, first + given.schedules), until):
            results.append(given.results, result)
            done += 1
            violated += bool(result.violations)
    say(f"{done} schedules, {violated} with a violation; written to {given.results}")
    if done < given.schedules:
        say(f"out of time: go on with make chaos ARGS='--schedules {given.schedules - done}'")
    return 1 if violated else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make chaos", description="Seeded schedules of faults over real runs.")
    parser.add_argument("--schedules", type=_count, default=20, metavar="N", help="how many (default 20)")
    parser.add_argument("--seed", type=_count, metavar="S", help="the first; else goes on after the last in the file")
    parser.add_argument("--within", type=float, default=60.0, metavar="MINUTES", help="begin none later (default 60)")
    parser.add_argument("--results", type=Path, default=Path("chaos-results.jsonl"), metavar="FILE")
    parser.add_argument("--report", action="store_true", help="print the tables of docs/reliability.md, try nothing")
    return parser.parse_args()


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError
    return number


if __name__ == "__main__":
    main()
