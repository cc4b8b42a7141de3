"""Puts the separated segments of one song together again, on the device that made them."""

import torch

from server.engine.songs.segments import Cuts


class OverlapAdd:
    """Mixes the segments of one song in order and hands out what is final.

    Holds one segment's length on the device, whatever the song's length. Never waits for it.
    """

    def __init__(self, cuts: Cuts, stems: int, device: torch.device) -> None:
        self._cuts = cuts
        self._windows = [torch.from_numpy(window).to(device) for window in cuts.windows()]
        self._sum = torch.zeros(stems, 2, cuts.segment, device=device)
        self._weights = torch.zeros(cuts.segment, device=device)

    def add(self, index: int, part: torch.Tensor) -> torch.Tensor:
        """Adds a segment; returns the song's samples that no later segment will touch.

        Args:
            index: the segment's number: 0, 1, 2 … without gaps.
            part: float32 (stems, 2, length of the segment).
        Returns:
            float32 (stems, 2, n); all n together are the song. n is 0 where all that became final
            lies before it.
        """
        length, start = part.shape[-1], self._cuts.start(index)
        weight = self._windows[self._cuts.window(index)][:length]
        self._sum[..., :length].addcmul_(part, weight)
        self._weights[:length] += weight
        last = index == self._cuts.count - 1
        final = length if last else self._cuts.stride
        song = slice(max(0, -start), max(0, min(final, self._cuts.frames - start)))
        out = self._sum[..., song] / self._weights[song]
        if not last:
            _shift(self._sum, final)
            _shift(self._weights, final)
        return out


def _shift(window: torch.Tensor, by: int) -> None:
    keep = window.shape[-1] - by
    window[..., :keep] = window[..., by:].clone()
    window[..., keep:] = 0
