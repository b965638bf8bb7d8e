"""The caps of a new run: its own, today's, and those of the account and the queue it is paid from."""

from __future__ import annotations

from collections.abc import Mapping

from bessemer.cluster.budget import ACCOUNT, DayBudget, check_scope
from bessemer.cluster.errors import UsageError
from bessemer.cluster.home import Home
from bessemer.cluster.ledger import Ledger
from bessemer.cluster.money import MicroDollars, format_usd
from bessemer.cluster.settings import BudgetSettings


def caps_of(
    run: str, budget: MicroDollars | None, settings: BudgetSettings, account: str, queue: str = ""
) -> dict[str, int | None]:
    """Every scope the run counts against, with the cap it gets if it is new to the ledger."""
    caps: dict[str, int | None] = {f"run:{run}": budget, DayBudget(zone=settings.time_zone).scope: settings.day}
    if account:
        caps[f"{ACCOUNT}{account}"] = settings.accounts.get(account)
    if queue:
        caps[f"queue:{queue}"] = None
    return caps


def check_caps(caps: Mapping[str, int | None], home: Home, settings: BudgetSettings) -> list[str]:
    """What to tell of caps that the ledger has otherwise; its own hold. Raises UsageError for an unknown account."""
    with Ledger.open(home.ledger_url) as ledger:
        known = {one.scope: one.cap for one in ledger.scopes()}
    told = []
    for scope, cap in caps.items():
        name = scope.removeprefix(ACCOUNT)
        if scope.startswith(ACCOUNT) and scope not in known and name not in settings.accounts:
            check_scope(scope)
            raise UsageError(
                f"there is no account {name!r}{_known_accounts(known, settings)}; open it with "
                f"`bessemer budget set {scope} USD`, or name it under budget: accounts:"
            )
        if cap is not None and known.get(scope, cap) != cap:
            told.append(
                f"{scope} is capped at {_usd(known[scope])} in the ledger and {_usd(cap)} in the settings; the "
                f"ledger's cap holds, change it with: bessemer budget set {scope} USD"
            )
    return told


def _known_accounts(known: Mapping[str, int | None], settings: BudgetSettings) -> str:
    kept = {scope.removeprefix(ACCOUNT) for scope in known if scope.startswith(ACCOUNT)}
    names = sorted(kept | set(settings.accounts))
    return f" (known: {', '.join(names)})" if names else ""


def _usd(cap: int | None) -> str:
    return "nothing" if cap is None else format_usd(MicroDollars(cap))
