"""Spreads one pass over an array over threads."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any


class Spans:
    """The calling thread and `threads - 1` of its own."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._pool = ThreadPoolExecutor(max(1, threads - 1), "spans")

    def split(self, count: int, work: Callable[[int, int], Any]) -> list[Any]:
        """What `work(first, last)` returned for one span of `range(count)` on each thread."""
        edges = [count * place // self.threads for place in range(self.threads + 1)]
        others = [self._pool.submit(work, *span) for span in pairwise(edges[1:])]
        own = work(0, edges[1])
        return [own, *(other.result() for other in others)]
