"""Replays a model's forward as one CUDA graph for each of a few batch sizes."""

from typing import Any, NamedTuple, Self

import structlog
import torch
from torch import Tensor, nn

log = structlog.get_logger()
SIZES = (1, 2, 4, 8, 16, 32, 64)
Kind = tuple[int, tuple[tuple[int, ...], ...]]  # a batch's size, and who of its networks runs
REHEARSALS = 3  # forwards before a capture: libraries choose their algorithms in them


class Memory(NamedTuple):
    """What graphs share that never run at the same time: a pool, and the stream that they are all
    captured on. What one frees, the allocator gives to that stream alone; libraries keep memory
    for each stream, too."""

    pool: Any  # what torch.cuda.graph_pool_handle() returns
    stream: torch.cuda.Stream

    @classmethod
    def on(cls, device: torch.device) -> Self:
        """Of a card."""
        return cls(torch.cuda.graph_pool_handle(), torch.cuda.Stream(device))


class Graphed(nn.Module):
    """A model whose input is always (n, 2, samples): smaller batches are filled up with silence.

    What it returns is overwritten by the next call: whatever reads it must be queued before.
    Graphs that share `memory` must not run at the same time. A capture that fails leaves the
    model as it was, without graphs.
    """

    def __init__(self, model: nn.Module, samples: int, memory: Memory) -> None:
        super().__init__()
        self.model = model
        self._samples = samples
        self._graphs: dict[Kind, tuple[torch.cuda.CUDAGraph, Tensor, Tensor]] = {}
        self._memory = memory
        self._works = True

    def forward(self, mix: Tensor, *members: tuple[int, ...]) -> Tensor:
        """members: which of its networks run, of a model that can be asked."""
        size = next((size for size in SIZES if size >= len(mix)), 0)
        kind = size, members
        if not size or mix.shape[-1] != self._samples or not self._captured(kind, mix.device):
            return self.model(mix, *members)
        graph, given, made = self._graphs[kind]
        given[: len(mix)].copy_(mix)
        given[len(mix) :] = 0
        graph.replay()
        return made[: len(mix)]

    def _captured(self, kind: Kind, device: torch.device) -> bool:
        if kind not in self._graphs and self._works:
            size, members = kind
            try:
                silence = torch.zeros(size, 2, self._samples, device=device)
                self._graphs[kind] = self._capture(silence, *members)
            except torch.OutOfMemoryError:
                raise
            except RuntimeError:
                self._works = False
                log.exception("no CUDA graphs: forwards are launched kernel by kernel")
        return kind in self._graphs

    def _capture(
        self, given: Tensor, *members: tuple[int, ...]
    ) -> tuple[torch.cuda.CUDAGraph, Tensor, Tensor]:
        aside = self._memory.stream
        aside.wait_stream(torch.cuda.current_stream(given.device))
        with torch.cuda.stream(aside):
            for _ in range(REHEARSALS):
                self.model(given, *members)
        torch.cuda.current_stream(given.device).wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        # Other threads may call CUDA meanwhile: only this one's calls belong to the graph.
        with torch.cuda.graph(
            graph, pool=self._memory.pool, stream=aside, capture_error_mode="thread_local"
        ):
            made = self.model(given, *members)
        log.info("CUDA graph captured", segments=len(given))
        return graph, given, made

    @property
    def precision(self) -> Any:
        """As the model's."""
        return self.model.precision

    def valid_length(self, length: int) -> int:
        """As the model's."""
        return int(self.model.valid_length(length))  # type: ignore[operator]
