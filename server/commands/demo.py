"""`stembox demo`: separates a song that stembox makes itself, and shows what came out.

The song's true stems are known, so the table can say how good the separation is.
"""

from pathlib import Path

import numpy as np
import soundfile as sf

from kernels import integrated_loudness, true_peak
from server.offline import Offline, Report
from server.sound import SAMPLE_RATE
from server.starter.songs import synthesise

SEED = 2_000_001  # of the range that training never uses


def run(offline: Offline, folder: Path, seconds: float, report: Report) -> str:
    """Makes the song, separates it into nine tracks below `folder`; returns a table."""
    folder.mkdir(parents=True, exist_ok=True)
    stems = synthesise(SEED, seconds)
    song = folder / "demo.wav"
    mix = np.sum(np.stack(list(stems.values())), axis=0)
    stems["other"] = stems["other"] + stems.pop("guitar") + stems.pop("piano")
    with song.open("wb") as file:  # which says why it cannot be written; libsndfile does not
        sf.write(file, mix.T, SAMPLE_RATE, subtype="FLOAT", format="WAV")
    tracks = offline.nine_tracks(song, folder, report)
    lines = [f"{'track':<16} {'LUFS':>7} {'dBTP':>7} {'SDR dB':>7} {'mix dB':>7}  file"]
    for name, path in tracks.items():
        with path.open("rb") as file:
            made = sf.read(file, dtype="float32", always_2d=True)[0].T
        quality = ""
        if name in stems:
            quality = f"{_sdr(stems[name], made):7.1f} {_sdr(stems[name], mix):7.1f}"
        lines.append(f"{name:<16} {integrated_loudness(made, SAMPLE_RATE):7.1f} "
                     f"{true_peak(made, SAMPLE_RATE):7.1f} {quality:<15}  {path}")
    return "\n".join(lines)


def _sdr(truth: np.ndarray, made: np.ndarray) -> float:
    """Signal to distortion of the whole song in dB, as in the MDX challenge: one ratio, no
    projection. `mix dB` in the table is that of the mix itself: what doing nothing gives."""
    error = float(np.sum((truth - made) ** 2, dtype=np.float64))
    return float(10 * np.log10((np.sum(truth**2, dtype=np.float64) + 1e-9) / (error + 1e-9)))
