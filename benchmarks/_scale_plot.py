"""The plot of `scale.py`: makespan and its floor over the number of runs, both axes logarithmic, as SVG."""

from __future__ import annotations

import math
from typing import Any

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 640, 400, 70, 50, 30, 20
LINES = (("makespan", "#b5451b", "makespan"), ("floor", "#3b6ea5", "floor"), ("cpu", "#777777", "all CPU / cores"))


def draw(levels: list[dict[str, Any]]) -> str:
    """The SVG of the levels of a report."""
    points = [_seconds(level) for level in levels]
    scale = _Scale([level["runs"] for level in levels], [value for one in points for value in one.values()])
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        *_axes(scale, [level["runs"] for level in levels]),
    ]
    for place, (name, colour, title) in enumerate(LINES):
        line = [(scale.x(level["runs"]), scale.y(one[name])) for level, one in zip(levels, points, strict=True)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in line)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in line]
        parts.append(f'<text x="{LEFT + 15}" y="{TOP + 15 + 18 * place}" fill="{colour}">{title}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _seconds(level: dict[str, Any]) -> dict[str, float]:
    floor = max(level["latency_floor"], level["cpu_floor"])
    return {"makespan": level["makespan"], "floor": floor, "cpu": level["cores_busy"] * level["makespan"]}


class _Scale:
    """Runs and seconds to places, both by their logarithm."""

    def __init__(self, runs: list[int], seconds: list[float]) -> None:
        self._most = math.log10(max(max(runs), 2))
        low, high = math.log10(max(min(seconds), 0.01)), math.log10(max(seconds))
        self.low, self.high = math.floor(low), math.ceil(max(high, low + 0.1))

    def x(self, runs: float) -> float:
        return LEFT + math.log10(runs) / self._most * (WIDTH - LEFT - RIGHT)

    def y(self, seconds: float) -> float:
        share = (math.log10(max(seconds, 0.01)) - self.low) / (self.high - self.low)
        return HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP)


def _axes(scale: _Scale, runs: list[int]) -> list[str]:
    parts = []
    for power in range(scale.low, scale.high + 1):
        y = scale.y(10.0**power)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#dddddd"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{10.0**power:g} s</text>')
    for one in runs:
        x = scale.x(one)
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{one}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 10}" text-anchor="middle">refine runs side by side</text>')
    return parts
