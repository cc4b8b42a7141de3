"""The Fourier transforms at both ends of HTDemucs, channels last, as demucs defines them."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Spectra(nn.Module):
    """Short-time spectra of segments of one length.

    Attributes:
        bands: n_fft / 2; the highest bin of a spectrum is left out.
        frames: one every n_fft / 4 samples.
    """

    def __init__(self, n_fft: int, length: int) -> None:
        super().__init__()
        self._n_fft, self._hop, self._length = n_fft, n_fft // 4, length
        self.bands, self.frames = n_fft // 2, math.ceil(length / self._hop)
        self._before = self._hop // 2 * 3
        window = torch.hann_window(n_fft)
        self._window: Tensor
        self.register_buffer("_window", window, persistent=False)
        # Over the song proper four windows overlap; where fewer do is cut off in the end.
        squares = window.square().view(4, self._hop).sum(0)
        scaled = window.view(4, self._hop) / squares * n_fft**0.5
        self.register_buffer("_synthesis", scaled.view(n_fft), persistent=False)

    def analyse(self, mix: Tensor) -> Tensor:
        """(segments, 2, samples) to (segments, bands, frames, 4): left re, im, right re, im."""
        after = self._before + self.frames * self._hop - self._length
        padded = F.pad(mix, (self._before, after), mode="reflect")
        z = torch.stft(
            padded.flatten(0, 1), self._n_fft, self._hop, window=self._window, normalized=True,
            center=True, pad_mode="reflect", return_complex=True,
        )[:, : self.bands, 2 : 2 + self.frames]  # fmt: skip
        parts = torch.view_as_real(z).unflatten(0, mix.shape[:2])
        return parts.permute(0, 2, 3, 1, 4).flatten(3)

    def synthesise(self, spectra: Tensor) -> Tensor:
        """complex (…, frames, bands + 1), all bins, to float32 (…, samples)."""
        waves = torch.fft.irfft(spectra, self._n_fft).mul_(self._synthesis)
        # Two frames of silence before and after, as demucs pads them: frame i begins at hop
        # i + 2 of a signal whose first n_fft / 2 samples `center=True` cuts off: at hop i.
        quarters = waves.unflatten(-1, (4, self._hop))
        total = waves.new_zeros(*waves.shape[:-2], self.frames + 3, self._hop)
        for place in range(4):
            total[..., place : place + self.frames, :] += quarters[..., place, :]
        return total.flatten(-2)[..., self._before : self._before + self._length]
