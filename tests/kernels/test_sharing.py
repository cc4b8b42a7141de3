"""Masks and overlapping frames, against slow and obvious twins in float64."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kernels.sharing import Sharing
from kernels.spans import Spans

TURN = np.array([[1, 1], [1, -1]]) * 0.5**0.5  # left and right to middle and side, and back


def spectra(*shape: int) -> np.ndarray:
    rng = np.random.default_rng(shape[0])
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)


@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 5), st.integers(1, 30),
       st.integers(1, 3))  # fmt: skip
def test_share(segments: int, sources: int, frames: int, bins: int, threads: int) -> None:
    z, value = spectra(segments, 2, frames, bins), np.arange(bins) // 2
    masks = np.random.default_rng(0).random((sources, 3, segments, frames, value[-1] + 1), "f4")
    made = np.empty((segments, sources, 2, frames, bins), np.complex64)
    Sharing(Spans(threads)).share(z, masks, value, made)
    middle, side, across = masks[..., value].swapaxes(0, 1)
    mixing = np.stack([np.stack([middle, across]), np.stack([across, side])])
    turned = np.einsum("ij,njtk->nitk", TURN, z)
    truth = np.einsum("ij,jlsntk,nltk->nsitk", TURN, mixing, turned)
    np.testing.assert_allclose(made, truth, atol=1e-5)


def test_masks_of_one_source_that_takes_all_give_the_mix_to_the_bit() -> None:
    z, made = spectra(1, 2, 3, 8), np.empty((1, 2, 2, 3, 8), np.complex64)
    masks = np.zeros((2, 3, 1, 3, 8), np.float32)
    masks[1, :2] = 1
    Sharing(Spans(1)).share(z, masks, np.arange(8), made)
    assert not made[0, 0].any()
    np.testing.assert_array_equal(made[0, 1], z[0])


@given(st.integers(1, 3), st.integers(1, 50), st.sampled_from([4, 16]), st.integers(1, 3))
def test_overlap_add(rows: int, samples: int, n: int, threads: int) -> None:
    hop, rng = n // 4, np.random.default_rng(samples)
    count = -(-samples // hop) + 3
    frames = rng.normal(size=(rows, count, n)).astype(np.float32)
    window = rng.random(n, np.float32)
    out = np.empty((rows, samples), np.float32)
    Sharing(Spans(threads)).overlap_add(frames, window, out)
    truth = np.zeros((rows, (count + 3) * hop))
    for place in range(count):
        truth[:, place * hop : place * hop + n] += frames[:, place] * window
    np.testing.assert_allclose(out, truth[:, 3 * hop : 3 * hop + samples], atol=1e-5)
