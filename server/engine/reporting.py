"""What a separation worker tells of itself, now and then: how much went through its models, and
what is left of the card's memory."""

import time

import torch

from server.engine.engine import Engine
from server.work.channel import WorkerEnd
from server.work.messages import Report

PAUSE = 1.0  # seconds between two reports of a busy worker


class Reporter:
    """Reports on one engine. What was told once is not told again."""

    def __init__(self, engine: Engine, device: torch.device) -> None:
        self._engine = engine
        self._device = device
        self._segments = 0
        self._forwards = 0
        self._next = 0.0

    def tell(self, channel: WorkerEnd, now: bool = False) -> None:
        """Sends a report, if it is time for one. now: it is. Raises ChannelClosed."""
        if not now and time.monotonic() < self._next:
            return
        self._next = time.monotonic() + PAUSE
        free, used = self._memory()
        segments, forwards = self._engine.segments, self._engine.forwards
        channel.send(Report(
            segments=segments - self._segments, forwards=forwards - self._forwards,
            free=free, used=used,
        ))  # fmt: skip
        self._segments, self._forwards = segments, forwards

    def _memory(self) -> tuple[int, int]:
        if self._device.type != "cuda":
            return 0, 0
        free, total = torch.cuda.mem_get_info(self._device)
        return free, total - free
