"""Who is in the next batch."""

from hypothesis import given
from hypothesis import strategies as st

from server.engine.batching import FAIR, pick


class Waiting:
    def __init__(self, kind: int, count: int) -> None:
        self.kind = kind
        self.remaining = count
        self.waited = 0

    def left(self, at_most: int) -> int:
        return min(self.remaining, at_most)


def steps(queues: list[Waiting], size: int) -> list[dict[Waiting, int]]:
    """Batches until all is done, as the engine takes them."""
    taken: list[dict[Waiting, int]] = []
    while picked := pick(queues, size, len(taken)):
        taken.append(dict(picked))
        for queue in queues:
            queue.waited = 0 if queue in taken[-1] else queue.waited + 1
            queue.remaining -= taken[-1].get(queue, 0)
    return taken


QUEUES = st.lists(st.builds(Waiting, st.integers(0, 2), st.integers(0, 30)), max_size=8)


@given(QUEUES, st.integers(1, 20))
def test_batches_are_full_and_of_one_kind(queues: list[Waiting], size: int) -> None:
    total = sum(queue.remaining for queue in queues)
    left = {queue: queue.remaining for queue in queues}
    for batch in steps(queues, size):
        (kind,) = {queue.kind for queue in batch}
        here = sum(count for queue, count in left.items() if queue.kind == kind)
        assert sum(batch.values()) == min(size, here)
        for queue, count in batch.items():
            left[queue] -= count
            assert left[queue] >= 0
        total -= sum(batch.values())
    assert total == 0, "everything gets its turn"


@given(QUEUES, st.integers(1, 6))
def test_nobody_starves(queues: list[Waiting], size: int) -> None:
    left = {queue: queue.remaining for queue in queues}
    waited = dict.fromkeys(queues, 0)
    for batch in steps(queues, size):
        for queue in queues:
            waited[queue] = 0 if queue in batch or not left[queue] else waited[queue] + 1
            left[queue] -= batch.get(queue, 0)
            assert waited[queue] <= FAIR * (len(queues) + 1)


@given(st.integers(1, 7), st.integers(1, 9), st.integers(1, 16), st.booleans())
def test_a_clip_behind_long_songs(long: int, clip: int, size: int, other: bool) -> None:
    """It takes at most a third longer than alone, and two steps, whatever is before it."""
    queues = [Waiting(0, 10_000) for _ in range(long)]
    short = Waiting(int(other), clip)
    done, step = 0, 5
    while short.remaining:
        for queue, count in pick([*queues, short], size, step):
            queue.remaining -= count
        step, done = step + 1, done + 1
    assert done <= -(-clip // size) * FAIR / (FAIR - 1) + 2


def test_long_songs_go_on_beside_a_stream_of_clips() -> None:
    long = Waiting(0, 1000)
    for step in range(400):
        picked = pick([long, Waiting(0, 3)], 1, step)
        long.waited += 1
        for queue, count in picked:
            queue.remaining -= count
            queue.waited = 0
    assert long.remaining == 900
