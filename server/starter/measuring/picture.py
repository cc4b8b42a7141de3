"""Owns the picture of a report: box plots of every song's SDR. Needs matplotlib, as nothing else.

Knows a report's figures only.
"""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from server.starter.measuring.report import Report, SetResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# told apart by any eye
COLOURS = MappingProxyType({"model": "#0072b2", "hpss": "#e69f00", "mix": "#999999"})
WIDTH = 0.24  # of a box, where targets are 1 apart


def draw(report: Report, path: Path) -> None:
    """Write a PNG with a row for each measured set, where there is one. Raises ImportError without
    matplotlib."""
    sets = [result for result in report.sets if result.scores]
    if not sets:
        return
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.0, 4.0 * len(sets)), layout="constrained")
    for axes, result in zip(figure.subplots(len(sets), squeeze=False)[:, 0], sets, strict=True):
        draw_set(axes, result)
    figure.savefig(path, dpi=110)


def draw_set(axes: Axes, result: SetResult) -> None:
    """A group of boxes for each target: median, quartiles, whiskers of 1.5 times their range."""
    targets = result.targets
    for k, (method, colour) in enumerate(COLOURS.items()):
        values = [[s.sdr for s in result.scores if (s.target, s.method) == (target, method)]
                  for target in targets]  # fmt: skip
        places = [i + (k - 1) * (WIDTH + 0.03) for i in range(len(targets))]
        axes.boxplot(values, positions=places, widths=WIDTH, label=method, patch_artist=True,
                     boxprops={"facecolor": colour, "alpha": 0.75},
                     medianprops={"color": "black"}, flierprops={"markersize": 3})  # fmt: skip
    axes.set_xticks(range(len(targets)), targets)
    axes.set_ylabel("SDR of the song, dB")
    axes.set_title(f"{result.name}: {len(result.songs)} songs of {result.seconds:g} s")
    axes.axhline(0.0, color="black", linewidth=0.5)
    axes.grid(axis="y", alpha=0.3)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
