"""Keep if better: which candidate stands, decided by measurements alone."""

from __future__ import annotations

from collections.abc import Sequence

from bessemer.actors.builders.base import BuildResult
from bessemer.actors.probes.base import ProbeResult


def best(
    candidates: Sequence[BuildResult], baseline: Sequence[ProbeResult], *, must_improve: bool = True
) -> BuildResult | None:
    """The candidate to keep, or None where none is better than `baseline`.

    With `must_improve` false, where a model judges what no probe sees, one that loses nothing is kept too.

    Better: at least one probe improves and none falls behind. Most improved wins, then fewest changed lines, then the
    earliest. Where no probe judged the baseline a model judges later, and the first changed candidate stands.
    """
    changed = [one for one in candidates if one.status == "changed"]
    if not any(probe.judged for probe in baseline):
        return next((one for one in changed if not any(probe.status == "timeout" for probe in one.probes)), None)
    kept = [
        (gain, one)
        for one in changed
        if (gain := improvement(one.probes, baseline)) > 0 or (not must_improve and not loses(one.probes, baseline))
    ]
    if not kept:
        return None
    return max(enumerate(kept), key=lambda pair: (pair[1][0], -pair[1][1].changed_lines, -pair[0]))[1][1]


def loses(probes: Sequence[ProbeResult], baseline: Sequence[ProbeResult]) -> bool:
    """Whether a probe that judged the baseline is missing or falls behind."""
    after = {probe.probe: probe for probe in probes}
    judged = (before for before in baseline if before.judged)
    return any((now := after.get(before.probe)) is None or now.falls_behind(before) for before in judged)


def improvement(probes: Sequence[ProbeResult], baseline: Sequence[ProbeResult]) -> float:
    """Sum of the probes' gains, each in its own unit; 0 where nothing improves or anything falls behind."""
    after = {probe.probe: probe for probe in probes}
    total = 0.0
    for before in baseline:
        now = after.get(before.probe)
        if now is None:
            if before.judged:
                return 0.0
            continue
        if now.falls_behind(before):
            return 0.0
        if now.improves_on(before):
            total += abs((now.measure or 0.0) - (before.measure or 0.0))
    return total


def settles(result: BuildResult, codes: Sequence[str], probe: str, baseline: Sequence[ProbeResult]) -> bool:
    """Whether a candidate improves, costs nothing, and leaves none of the task's findings: no other try is needed."""
    if improvement(result.probes, baseline) <= 0:
        return False
    left = [one.code for found in result.probes if found.probe == probe for one in found.findings]
    before = [one.code for found in baseline if found.probe == probe for one in found.findings]
    return all(left.count(code) < before.count(code) for code in codes)
