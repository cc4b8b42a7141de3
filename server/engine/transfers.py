"""Copies between the host and the device that overlap with the device's own work."""

from collections.abc import Sequence

import numpy as np
import torch


class Transfers:
    """One device's ways in and out. On a CPU nothing is copied.

    Attributes:
        device: where the models are.
        depth: batches that are under way at once: while the card works on one, the host writes
            out the last and reads the next.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._cuda = device.type == "cuda"
        self.depth = 2 if self._cuda else 1
        if self._cuda:
            self._in = torch.cuda.Stream(device)
            self._out = torch.cuda.Stream(device)

    def host(self, *shape: int) -> torch.Tensor:
        """Memory that `to_device` can copy from without the CPU: float32, not initialised."""
        return torch.empty(shape, pin_memory=self._cuda)

    @torch.inference_mode()
    def to_device(self, data: torch.Tensor) -> torch.Tensor:
        """What lies in `host` memory, on the device, for whatever is queued there next."""
        if not self._cuda:
            return data
        with torch.cuda.stream(self._in):
            there = data.to(self.device, non_blocking=True)
        work = torch.cuda.current_stream(self.device)
        work.wait_stream(self._in)
        there.record_stream(work)
        return there

    @torch.inference_mode()
    def to_host(self, results: Sequence[torch.Tensor]) -> "Arrival":
        """Starts to copy results of what is queued so far back to the host."""
        if not self._cuda:
            return Arrival(list(results), None)
        self._out.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self._out):
            here = [self.host(*result.shape) for result in results]
            for target, result in zip(here, results, strict=True):
                target.copy_(result, non_blocking=True)
                result.record_stream(self._out)
            landed = torch.cuda.Event(blocking=True)  # a core that waits is another worker's
            landed.record()
        return Arrival(here, landed)


class Arrival:
    """Results on their way to the host."""

    def __init__(self, here: list[torch.Tensor], landed: torch.cuda.Event | None) -> None:
        self._here = here
        self._landed = landed

    def wait(self) -> list[np.ndarray]:
        """The results, once they are there. Raises RuntimeError if the device failed."""
        if self._landed is not None:
            self._landed.synchronize()
        return [result.numpy() for result in self._here]
