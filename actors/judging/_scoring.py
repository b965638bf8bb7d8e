"""From what a probe measured to a score, by one formula.

| measured | score |
|---|---|
| passed | 10 |
| failed, `k` of `n` checks passed | 1 + floor((cutoff - 2) * k / n) |
| failed, findings but no count | 1 + floor((cutoff - 2) * 4 / (4 + w)); w = 4 a blocker, 2 a major, 1 a minor |
| failed, neither | 1 |
| error, timeout, unavailable, not applicable | no score |

A probe that failed stays below the cutoff whatever the share, so 99 of 100 tests are not a pass.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from bessemer.actors.judging.types import Criterion, CriterionScore, NotScored
from bessemer.actors.probes.base import ProbeResult

CUTOFF = 7
"""The lowest score that counts as met, of 10."""

_WEIGHT = {"blocker": 4, "major": 2, "minor": 1, "info": 0}


def score_of(probe: ProbeResult, cutoff: int = CUTOFF) -> int | None:
    """1 to 10 by the table above; None where the probe judged nothing."""
    if not probe.judged:
        return None
    if probe.status == "passed":
        return 10
    return 1 + math.floor((cutoff - 2) * _share(probe))


def _share(probe: ProbeResult) -> float:
    if probe.total > 0 and probe.passed < probe.total:
        return max(0, probe.passed) / probe.total
    if not probe.findings:
        return 0.0
    return 4 / (4 + sum(_WEIGHT[finding.severity] for finding in probe.findings))


def score_criterion(
    criterion: Criterion, probes: Sequence[ProbeResult], cutoff: int = CUTOFF
) -> CriterionScore | NotScored:
    """The score a criterion gets from its probe; of several results of one probe the worst counts."""
    mine = [probe for probe in probes if criterion.probe and probe.probe == criterion.probe]
    if not mine:
        message = f"the probe {criterion.probe} did not run" if criterion.probe else "no probe measures this"
        return NotScored(criterion=criterion.id, why="no_probe", message=message)
    silent = sorted(f"{probe.status}: {probe.summary}" for probe in mine if not probe.judged)
    if silent:
        absent = all(probe.status == "not_applicable" for probe in mine)
        why: NotScored = NotScored(
            criterion=criterion.id,
            why="no_probe" if absent else "probe_error",
            message=f"{criterion.probe} {silent[0]}",
        )
        return why
    worst = min(mine, key=lambda probe: (score_of(probe, cutoff) or 0, probe.summary))
    return CriterionScore(
        criterion=criterion.id, score=score_of(worst, cutoff) or 1, reason=worst.summary, evidence=worst.summary
    )
