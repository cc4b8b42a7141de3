"""Owns the songs whose stems are known: a seed becomes a song of six stems.

They train and measure the starter model, and give `stembox demo` something to play.
Needs numpy, scipy and numba only: no torch, nothing else of the server. How stems are made is
`stems`' business.
"""

from __future__ import annotations

import numpy as np

from server.starter.synthesis import effects, stems
from server.starter.synthesis.score import compose

STEMS = ("drums", "bass", "other", "vocals", "guitar", "piano")
# of each stem: the chance that a song has it, loudness where it plays (mean and spread in dB
# below full scale), and who makes it
RECORDED = (
    ("drums", 0.95, -19.0, 2.5, stems.drum_stem),
    ("bass", 0.95, -20.0, 2.5, stems.bass_stem),
    ("other", 0.85, -21.0, 3.0, stems.other_stem),
    ("vocals", 0.92, -18.5, 2.5, stems.vocal_stem),
    ("guitar", 0.75, -21.0, 3.0, stems.guitar_stem),
    ("piano", 0.6, -21.0, 3.0, stems.piano_stem),
)


def synthesise(
    seed: int, seconds: float, sr: int = 44100, orchestra: stems.Orchestra | None = None
) -> dict[str, np.ndarray]:
    """Compose and play song number `seed`.

    Returns the stems by name, in the order of STEMS, each (2, round(seconds * sr)) float32; one
    that the song does not have is zeros. Their sum is the mix; its peak is below 1. Equal
    arguments give equal samples.
    orchestra: who plays some of the parts; by default the project's own instruments play all.
    Raises ValueError if `seconds` holds less than one sample.
    """
    n = round(seconds * sr)
    if n < 1:
        raise ValueError("a song needs at least one sample")
    rng = np.random.default_rng((seed, 0x57E))
    studio = stems.Studio(compose(rng, seconds), n, sr, orchestra)
    streams = rng.spawn(len(STEMS))
    song = {}
    for (name, chance, mean, spread, make), stream in zip(RECORDED, streams, strict=True):
        heard = stream.random() < chance
        stem = make(studio, stream) if heard else np.zeros((2, n), dtype=np.float32)
        target = 10.0 ** (stream.normal(mean, spread) / 20.0)
        song[name] = stem * np.float32(target / (effects.active_rms(stem, sr) or 1.0))
    return finish(song, rng, sr)


def finish(song: dict[str, np.ndarray], rng: np.random.Generator, sr: int) -> dict[str, np.ndarray]:
    """Fade the song's end, perhaps compress it as a whole, and keep the mix's peak below 1.

    The compressor listens to the mix and turns every stem alike, so they still add up.
    """
    n = song[STEMS[0]].shape[1]
    turn = np.ones(n, dtype=np.float32)
    edge = min(n, sr // 20)
    turn[n - edge :] = np.linspace(1.0, 0.0, edge, dtype=np.float32)
    mix = sum(song.values(), np.zeros((2, n), dtype=np.float32))
    glue, threshold, ratio = rng.random() < 0.4, rng.uniform(0.5, 1.5), rng.uniform(1.5, 4.0)
    if glue and mix.any():
        level = float(threshold) * effects.active_rms(mix, sr)
        turn *= effects.gain_track(mix, level, float(ratio), 0.2, float(sr))
    peak = float(np.abs(mix * turn).max())
    ceiling = float(rng.uniform(0.5, 0.97))
    turn *= np.float32(min(2.0, ceiling / max(peak, 1e-9)))
    return {name: np.ascontiguousarray(turn * x, dtype=np.float32) for name, x in song.items()}
