"""Which segments make up the next batch. Pure: no torch, no clock.

Fair between songs: every step goes round the songs and takes one segment from each until the
batch is full, so a short clip beside an hour-long file is done in a few steps. All segments
of a batch share one set of weights and one length.
"""

from collections.abc import Hashable, Sequence
from typing import Protocol, TypeVar


class Queue(Protocol):
    """A song with segments left: `kind` is what must be the same within a batch, `left` how
    many segments of that kind come next (looking no further than `at_most`)."""

    @property
    def kind(self) -> Hashable: ...

    def left(self, at_most: int) -> int: ...


Q = TypeVar("Q", bound=Queue)


def pick(queues: Sequence[Q], size: int) -> list[tuple[Q, int]]:
    """How many segments to take from which song: (song, count), at most `size` in all.

    The first song of the sequence that has work decides the kind; the caller turns the
    sequence by one after every step so that everyone is first in turn.
    """
    ready = [queue for queue in queues if queue.left(1)]
    if not ready:
        return []
    same = [queue for queue in ready if queue.kind == ready[0].kind]
    left = [queue.left(size) for queue in same]
    counts = [0] * len(same)
    while (room := size - sum(counts)) and (open_ := [i for i, n in enumerate(left) if n]):
        for i in open_[:room]:
            counts[i] += 1
            left[i] -= 1
    return [(queue, count) for queue, count in zip(same, counts, strict=True) if count]
