"""Number crunching on blocks of float32 samples (channels, samples), full scale 1.0.

Compiled loops and transforms only: no I/O, no asyncio, no torch.
"""

from kernels.gain import apply_gain, normalisation_gain, quantise
from kernels.hpss import HPSSSettings, HPSSStream, hpss
from kernels.loudness import LoudnessMeter, integrated_loudness, true_peak
from kernels.warmup import warm_up

__all__ = [
    "HPSSSettings",
    "HPSSStream",
    "LoudnessMeter",
    "apply_gain",
    "hpss",
    "integrated_loudness",
    "normalisation_gain",
    "quantise",
    "true_peak",
    "warm_up",
]
