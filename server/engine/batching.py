"""Which segments make up the next batch. Pure: no torch, no clock.

Three places of four go to the song that is nearest its end, so that a clip posted behind an
hour-long file is done in little more than the time that it would take alone, and songs of one
length are done one after the other rather than all at the last moment. The fourth goes to
whoever has waited longest, so that nobody starves. All segments of a batch share one set of
weights and one length.
"""

from collections.abc import Hashable, Sequence
from typing import Protocol, TypeVar

FAIR = 4  # every fourth place


class Queue(Protocol):
    """A song with segments left.

    Attributes:
        remaining: segments that are not yet read, of any kind.
        waited: steps since a segment of it was last in a batch.
        kind: what must be the same within a batch.
    """

    waited: int

    @property
    def remaining(self) -> int: ...

    @property
    def kind(self) -> Hashable: ...

    def left(self, at_most: int) -> int:
        """How many segments of this kind come next, looking no further than `at_most`."""
        ...


Q = TypeVar("Q", bound=Queue)


def pick(queues: Sequence[Q], size: int, step: int) -> list[tuple[Q, int]]:
    """How many segments to take from which song: (song, count), at most `size` in all.

    The song that gets the first place decides the kind. `step` counts the batches so far.
    """
    ready = [queue for queue in queues if queue.left(1)]
    if not ready:
        return []
    if step % FAIR:
        first = min(ready, key=lambda queue: queue.remaining)
    else:
        first = max(ready, key=lambda queue: queue.waited)
    same = [queue for queue in ready if queue.kind == first.kind]
    left = [queue.left(size) for queue in same]
    counts = [0] * len(same)
    for place in range(step, step + size):
        open_ = [index for index, count in enumerate(counts) if count < left[index]]
        if not open_:
            break
        if place % FAIR:
            chosen = min(open_, key=lambda index: same[index].remaining - counts[index])
        else:
            chosen = min(open_, key=lambda index: (counts[index], -same[index].waited))
        counts[chosen] += 1
    return [(queue, count) for queue, count in zip(same, counts, strict=True) if count]
