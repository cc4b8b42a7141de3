"""Soft masks against librosa's, on magnitudes with many zeros and ties."""

import librosa
import numpy as np
import pytest

from kernels.masks import SoftMask
from tests.kernels import twins


@twins.needs_jit  # librosa's own loops cannot be compiled without it
@pytest.mark.parametrize("power", [0.5, 1.0, 2.0, 9.0, 300.0, np.inf])
@pytest.mark.parametrize("margin", [1.0, 2.5, 1e12])
@pytest.mark.parametrize("empty", [0.0, 0.5])
def test_equal_to_librosa(power, margin, empty):
    rng = np.random.default_rng(0)
    own, other = rng.integers(0, 5, (2, 7, 40)).astype(np.float32)
    spectra = (rng.random((7, 40)) + 1j * rng.random((7, 40))).astype(np.complex64)
    mask = librosa.util.softmask(own, other * margin, power=power, split_zeros=empty == 0.5)
    got = SoftMask(power, margin, empty).apply(spectra, own**2, other**2)
    np.testing.assert_allclose(got, spectra * mask, rtol=1e-5, atol=1e-7)
