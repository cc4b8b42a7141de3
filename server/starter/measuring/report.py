"""Owns what is told of a measured model: its figures as data, and as tables for people.

Knows how figures are averaged; not how they came to be.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean
from types import MappingProxyType
from typing import Literal

MEANS = MappingProxyType({
    "mean of 4": ("drums", "bass", "vocals", "other4"),
    "mean of 6": ("drums", "bass", "other", "vocals", "guitar", "piano"),
})  # fmt: skip
NOTES = """\
SDR: 10 log10(sum s² / sum (s - ŝ)²) of the whole song, the measure of the Music Demixing
Challenges of 2021 and 2023. 1 s: the median of every second's SDR, which is the SDR of BSSEval
v4. SI-SDR: Le Roux et al., 2019. All are means over the songs in which the stem plays; where it is
silent, leak is the mean power of the guess beside the mix's. other4 is other + guitar + piano,
instrumental all but the vocals, backing all but the guitar. gain: over the mix itself as the
guess; mix/n: the mix shared out equally. hpss: percussive is drums, harmonic lows are bass, the
middle's mid band is vocals, and the rest is other, guitar and piano in equal shares. oracle: the
ideal ratio mask, which knows the stems; it says how hard the songs are."""

Figure = Literal["sdr", "frame_sdr", "si_sdr"]


@dataclass(frozen=True)
class Score:
    """Decibels of one method's guess at a target that plays in a song."""

    song: int
    target: str
    method: str
    sdr: float
    frame_sdr: float
    si_sdr: float


@dataclass(frozen=True)
class Leak:
    """A method's guess at a target that is silent in a song: its power beside the mix's, in dB."""

    song: int
    target: str
    method: str
    level_db: float


@dataclass(frozen=True)
class SetResult:
    """The figures of one set of songs, by seeds, each `seconds` long.

    targets: what the model gives, stems and sums of them; `missing`: why there are no figures;
    `titles`: the songs' names, where they are no seeds.
    """

    name: str
    about: str
    seconds: float
    songs: list[int]
    targets: list[str]
    scores: list[Score]
    leaks: list[Leak]
    missing: str | None = None
    titles: tuple[str, ...] | list[str] = ()

    def mean(self, target: str, method: str, figure: Figure) -> float | None:
        """Over the songs; of a row of MEANS, over its targets. None where there is nothing."""
        if target in MEANS:
            parts = [self.mean(part, method, figure) for part in MEANS[target]]
            return None if None in parts else fmean(p for p in parts if p is not None)
        scores = [s for s in self.scores if (s.target, s.method) == (target, method)]
        return fmean(getattr(s, figure) for s in scores) if scores else None

    def leak(self, target: str, method: str) -> float | None:
        """What is heard where the target is silent, in dB; None if it never is."""
        found = [k.level_db for k in self.leaks if (k.target, k.method) == (target, method)]
        return fmean(found) if found else None

    def plays(self, target: str) -> int:
        """In how many songs the target is not silent."""
        return sum((s.target, s.method) == (target, "mix") for s in self.scores)

    def lines(self) -> list[str]:
        """The targets, then the means that they allow."""
        return [*self.targets, *(m for m, parts in MEANS.items() if {*parts} <= {*self.targets})]


@dataclass(frozen=True)
class Report:
    """One model's measurement. `silence_peak`: its loudest sample, of full scale, for silence, None
    where that was not measured."""

    model: str
    sha256: str
    sources: list[str]
    silence_peak: float | None
    sets: list[SetResult]


def markdown(report: Report) -> str:
    """The report as Markdown that reads as plain text."""
    parts = [section(result) for result in report.sets]
    peak = report.silence_peak
    return "\n\n".join([*parts, *([] if peak is None else [silence(peak)]), NOTES]) + "\n"


def section(result: SetResult) -> str:
    """One set's tables, or why there are none."""
    title = f"**{result.name}**: {result.about}"
    if result.missing:
        return f"{title}. Not measured here. {result.missing}"
    size = f"{len(result.songs)} songs of {result.seconds:g} s"
    size += "" if result.titles else f", from seed {result.songs[0]:,}"
    return f"{title}; {size}.\n\n{sdr_table(result)}\n\n{other_table(result)}"


def sdr_table(result: SetResult) -> str:
    """SDR of whole songs, in dB, beside every baseline."""
    methods = list(dict.fromkeys(s.method for s in result.scores))
    rows = [["SDR, dB", "songs", *methods, "gain"]]
    for line in result.lines():
        values = [result.mean(line, method, "sdr") for method in methods]
        plays = str(result.plays(line)) if line in result.targets else ""
        rows.append([line, plays, *map(decibels, values), gain(result, line, "sdr")])
    return aligned(rows)


def other_table(result: SetResult) -> str:
    """The figures besides: by the second, SI-SDR, and the leak into silent stems."""
    rows = [["dB", "1 s: model", "hpss", "SI-SDR: model", "hpss", "mix", "gain", "leak: model",
             "hpss"]]  # fmt: skip
    for line in result.lines():
        rows.append([
            line,
            *(decibels(result.mean(line, m, "frame_sdr")) for m in ("model", "hpss")),
            *(decibels(result.mean(line, m, "si_sdr")) for m in ("model", "hpss", "mix")),
            gain(result, line, "si_sdr"),
            *(decibels(result.leak(line, m)) for m in ("model", "hpss")),
        ])  # fmt: skip
    return aligned(rows)


def gain(result: SetResult, line: str, figure: Figure) -> str:
    """How far the model is above the mix."""
    model, mix = (result.mean(line, method, figure) for method in ("model", "mix"))
    return "" if model is None or mix is None else f"{model - mix:.2f}"


def decibels(value: float | None) -> str:
    """Two decimals; nothing for None."""
    return "" if value is None else f"{value:.2f}"


def silence(peak: float) -> str:
    """What the model makes of nothing."""
    heard = f"a peak of {20.0 * math.log10(peak):.1f} dBFS" if peak > 0 else "digital silence"
    return f"Digital silence in, {heard} out."


def aligned(rows: list[list[str]]) -> str:
    """A Markdown table: the first row is its head, the first column is left-aligned."""
    widths = [max(3, *map(len, column)) for column in zip(*rows, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = []
    for first, *others in (rows[0], rule, *rows[1:]):
        cells = [first.ljust(widths[0])]
        cells += [cell.rjust(w) for cell, w in zip(others, widths[1:], strict=True)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
