"""Owns singers made of speakers: the words that one said, sung to any melody, or spoken.

Knows notes and the vocoder WORLD; nothing of songs, rooms or levels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter1d

from server.starter.played.speakers import (
    RATE,
    Material,
    Voice,
    between,
    loudness,
    material,
    mel_grid,
    world,
)
from server.starter.synthesis.score import Note

BINS = 513  # of a frame in synthesis: 23 ms at 44.1 kHz, longer than any voice's period
SILENT = -30.0  # natural log of power


class Manner(NamedTuple):
    """How a part is sung: semitones, seconds, Hz and ratios."""

    vibrato: float
    rate: float
    glide: float
    scoop: float  # semitones below the first note of a phrase
    breath: float  # least share of noise at high frequencies
    air: float  # natural log of power, of what is added above the voice's own band
    formants: float  # 1.1: a tract shorter by a tenth
    slur: float  # chance that a note goes on with the syllable before it
    spoken: bool


class Track(NamedTuple):
    """One part by frames: where each is in the material, MIDI pitch, and log power added."""

    source: np.ndarray
    pitch: np.ndarray
    gain: np.ndarray
    breathing: np.ndarray  # True while air is drawn in


def sing_words(
    voice: Voice, notes: list[Note], n: int, sr: int, rng: np.random.Generator
) -> np.ndarray:
    """Sing one line of `notes` in words of no language: mono (n,) float32, its peak 1.

    Of notes that overlap the later one cuts the earlier; notes out of the voice's range are
    moved by octaves. Speaks in their rhythm now and then. The same state of `rng` gives the same
    samples. Raises what `material` does.
    """
    return perform(voice, material(voice), draw_manner(rng), notes, n, sr, rng)


def draw_manner(rng: np.random.Generator) -> Manner:
    """A random way of singing."""
    return Manner(float(rng.uniform(0.05, 0.6)), float(rng.uniform(4.6, 6.6)),
                  float(rng.uniform(0.012, 0.04)), float(rng.choice((0, 0, 0.7, 1.5, 2.5))),
                  float(rng.choice((0, 0.03, 0.1, 0.25))), float(rng.uniform(-3.0, -0.5)),
                  float(rng.uniform(0.89, 1.12)) if rng.random() < 0.6 else 1.0,
                  float(rng.choice((0, 0.1, 0.3))), bool(rng.random() < 0.08))  # fmt: skip


def perform(
    voice: Voice, said: Material, manner: Manner, notes: list[Note], n: int, sr: int,
    rng: np.random.Generator,
) -> np.ndarray:  # fmt: skip
    """`sing_words` with its choices made."""
    notes = playable(voice, notes, n / sr, manner.spoken)
    if not notes:
        return np.zeros(n, dtype=np.float32)
    track = settled(lay(said, manner, notes, n * RATE // sr + 2, rng))
    tune(track, said, manner, notes, rng)
    voiced = (said.f0[np.rint(track.source).astype(int)] > 0) & ~track.breathing
    f0 = np.where(voiced, 440.0 * 2.0 ** ((track.pitch - 69.0) / 12.0), 0.0)
    power, noise = spectra(said, manner, track, voiced, sr)
    sound = world().synthesize(f0, power, noise, sr, 1000.0 / RATE)[:n].astype(np.float32)
    peak = float(np.abs(sound).max(initial=0.0))
    return np.pad(sound / np.float32(peak or 1.0), (0, n - len(sound)))


def playable(voice: Voice, notes: list[Note], seconds: float, spoken: bool) -> list[Note]:
    """The notes in order, in the voice's range: first moved together, then one by one."""
    ordered = sorted(x for x in notes if 0 <= x.start < seconds - 0.05 and x.length > 0.02)
    kept = [x for x, y in zip(ordered, [None, *ordered], strict=False)
            if y is None or x.start - y.start > 0.045]  # fmt: skip
    if not kept:
        return []
    middle = float(np.median([x.pitch for x in kept]))
    shift = 12 * round(((voice.low + voice.high) / 2 - middle) / 12)
    longest = 0.3 if spoken else np.inf  # nobody holds a spoken vowel
    return [x._replace(pitch=fold(x.pitch + shift, voice.low, voice.high),
                       length=min(x.length, longest)) for x in kept]  # fmt: skip


def fold(pitch: float, low: int, high: int) -> float:
    """The pitch moved by octaves between `low` and `high`, which lie over an octave apart."""
    if pitch < low:
        return pitch + 12 * np.ceil((low - pitch) / 12)
    return pitch - 12 * np.ceil(max(0.0, pitch - high) / 12)


def lay(
    said: Material, manner: Manner, notes: list[Note], frames: int, rng: np.random.Generator
) -> Track:
    """Give every note a syllable: consonants at their own speed, the vowel held, on the beat."""
    track = Track(np.zeros(frames), np.zeros(frames), np.full(frames, SILENT),
                  np.zeros(frames, dtype=bool))  # fmt: skip
    sung = join(notes, manner.slur, rng)
    start = np.array([round(x.start * RATE) for x in sung])
    end = np.array([min(round((x.start + x.length) * RATE), frames - 1) for x in sung])
    step = np.diff(start, prepend=-RATE)
    gap = np.maximum(0, start - np.append(-RATE, end[:-1]))
    cuts = said.cuts[words(len(said.cuts), gap > 0.3 * RATE, rng)]
    head = np.minimum(cuts[:, 1] - cuts[:, 0], np.maximum(gap, 0.45 * step).astype(int))
    head = np.minimum(head, start)
    last = np.minimum(end, np.append(start[1:] - head[1:], frames - 1))
    tail = np.minimum(cuts[:, 3] - cuts[:, 2], (0.4 * (last - start)).astype(int))
    power = evened(said, cuts) + 2.0 * np.log([max(0.05, x.velocity) for x in sung])
    for i, (_, first, final, _) in enumerate(cuts):
        a, b = start[i] - head[i], last[i]
        third = min((final - first) // 3, (b - tail[i] - start[i]) // 3)
        times = (a, start[i], start[i] + third, b - tail[i] - third, b - tail[i], b)
        places = (first - head[i], first, first + third, final - third, final, final + tail[i])
        track.source[a:b] = np.interp(np.arange(a, b), times, places)
        track.gain[a:b] = power[i]
        if gap[i] > 0.5 * RATE and rng.random() < 0.5:
            inhale(track, (first + final) // 2, a, power[i], rng)
    return track


def join(notes: list[Note], slur: float, rng: np.random.Generator) -> list[Note]:
    """One note a syllable: now and then a note that follows at once goes on with the last one."""
    sung: list[Note] = []
    for note in notes:
        if sung and note.start - sung[-1].start - sung[-1].length < 0.03 and rng.random() < slur:
            sung[-1] = sung[-1]._replace(length=note.start + note.length - sung[-1].start)
        else:
            sung.append(note)
    return sung


def words(count: int, phrases: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Which of `count` syllables each note gets: in the order spoken, anew at most phrases."""
    jumps = np.where(phrases & (rng.random(len(phrases)) < 0.7), rng.integers(count), 1)
    return np.cumsum(jumps) % count


def evened(said: Material, cuts: np.ndarray) -> np.ndarray:
    """Log power to add so that syllables are nearly as loud as each other, as singers make them."""
    loud = np.array([loudness(said.level[a:b], slice(None)).mean() for _, a, b, _ in cuts])
    return 0.7 * np.clip(np.median(loud) - loud, -2.0, 2.0)


def inhale(track: Track, mouth: int, before: int, power: float, rng: np.random.Generator) -> None:
    """Draw breath in front of frame `before`, through the mouth of a frame of the material."""
    length = min(before, int(rng.uniform(0.15, 0.35) * RATE))
    part = slice(before - length, before)
    track.source[part] = mouth
    track.breathing[part] = True
    swell = np.log(np.maximum(1e-3, np.linspace(0, 1, length) ** 2))
    track.gain[part] = power + swell + rng.uniform(-7.0, -4.0)


def settled(track: Track) -> Track:
    """The track with its rests filled by what came before, and every change of loudness eased."""
    known = np.flatnonzero(track.gain > SILENT)
    frames = np.arange(len(track.gain))
    nearest = known[np.clip(np.searchsorted(known, frames, side="right") - 1, 0, None)]
    loud = gaussian_filter1d(np.exp(track.gain / 2.0), 0.012 * RATE)
    gain = 2.0 * np.log(loud + np.exp(SILENT / 2.0))
    return Track(track.source[nearest], track.pitch, gain, track.breathing[nearest])


def tune(
    track: Track, said: Material, manner: Manner, notes: list[Note], rng: np.random.Generator
) -> None:
    """Write the pitch: glides, scoops, late vibrato and a little drift; or that of speech."""
    frames = len(track.pitch)
    time = np.arange(frames) / RATE
    starts = np.array([x.start for x in notes])
    which = np.clip(np.searchsorted(starts - manner.glide, time, side="right") - 1, 0, None)
    pitch = gaussian_filter1d(np.array([x.pitch for x in notes])[which], manner.glide * RATE)
    since = np.maximum(0.0, time - starts[which])
    ends = np.array([0.0, *(x.start + x.length for x in notes)])
    phrase = (starts - ends[:-1] > 0.3)[which]
    pitch -= phrase * manner.scoop * np.exp(-since / 0.06)
    sway = np.sin(2 * np.pi * manner.rate * since) * np.clip((since - 0.25) / 0.3, 0.0, 1.0)
    pitch += manner.vibrato * sway
    if manner.spoken:
        voiced = np.flatnonzero(said.f0)
        hertz = np.interp(track.source, voiced, said.f0[voiced])
        middle = float(np.median([x.pitch for x in notes]))
        pitch = middle - 5.0 + 12.0 * np.log2(hertz / np.median(said.f0[voiced]))
    slow, fast = rng.standard_normal((2, frames))
    pitch += 0.9 * gaussian_filter1d(slow, 0.2 * RATE) + 0.08 * gaussian_filter1d(fast, 2.0)
    track.pitch[:] = pitch


def spectra(
    said: Material, manner: Manner, track: Track, voiced: np.ndarray, sr: int
) -> tuple[np.ndarray, np.ndarray]:
    """WORLD's envelope and aperiodicity (frames, BINS) up to `sr` / 2, which may lie above the
    voice's own band: what is missing goes on from its top as noise, which falls."""
    hertz = np.linspace(0.0, sr / 2, BINS) / manner.formants
    grid, top = mel_grid(said.edge), 0.9 * said.edge
    weights = between(grid, hertz)
    highest = (grid > 0.75 * said.edge) & (grid < top)
    weights[:, hertz > top] = (highest / highest.sum())[:, None]
    first = np.minimum(track.source.astype(int), len(said.f0) - 2)
    part = (track.source - first)[:, None].astype(np.float32)
    level, noise = (
        ((1 - part) * kept[first] + part * kept[first + 1]) @ weights.astype(np.float32)
        for kept in (said.level, said.noise)
    )
    octaves = np.log2(np.maximum(hertz, top) / top)
    vowel = manner.air * np.minimum(1.0, 4.0 * octaves) - 3.0 * octaves
    level += np.where(voiced[:, None], vowel, -1.5 * octaves - octaves**2) + track.gain[:, None]
    breath = manner.breath * hertz / (hertz + 3000.0)
    noise = np.maximum(np.maximum(noise, breath), np.clip(8.0 * octaves, 0.0, 1.0))
    return np.exp(level.astype(np.float64)), np.clip(noise, 1e-3, 1 - 1e-3).astype(np.float64)
