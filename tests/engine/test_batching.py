"""Who is in the next batch."""

from hypothesis import given
from hypothesis import strategies as st

from server.engine.batching import pick


class Waiting:
    def __init__(self, kind: int, count: int) -> None:
        self.kind = kind
        self.count = count

    def left(self, at_most: int) -> int:
        return min(self.count, at_most)


@given(
    st.lists(st.builds(Waiting, st.integers(0, 2), st.integers(0, 9)), max_size=8),
    st.integers(1, 20),
)
def test_full_fair_and_of_one_kind(queues: list[Waiting], size: int) -> None:
    picked = pick(queues, size)
    ready = [queue for queue in queues if queue.count]
    assert bool(picked) == bool(ready)
    if not picked:
        return
    same = [queue for queue in ready if queue.kind == ready[0].kind]
    counts = {id(queue): count for queue, count in picked}
    assert {queue.kind for queue, _ in picked} == {ready[0].kind}
    assert sum(counts.values()) == min(size, sum(queue.count for queue in same))
    assert all(counts[id(queue)] <= queue.count for queue, _ in picked)
    for queue in same:
        if counts.get(id(queue), 0) < queue.count:  # it wanted more: nobody got much more
            assert max(counts.values()) <= counts.get(id(queue), 0) + 1


def test_short_song_beside_a_long_one() -> None:
    long, short = Waiting(0, 1000), Waiting(0, 2)
    assert pick([long, short], 4) == [(long, 2), (short, 2)]


@given(st.lists(st.builds(Waiting, st.integers(0, 2), st.integers(1, 50)), min_size=1, max_size=8),
       st.integers(1, 6))  # fmt: skip
def test_nobody_waits_longer_than_a_round(queues: list[Waiting], size: int) -> None:
    """However many kinds there are: a song's kind is run at least once a round, and while every
    song of a kind wants more, none gets more than one segment above another's."""
    waited = {id(queue): 0 for queue in queues}
    for _ in range(500):
        picked = {id(queue) for queue, _ in pick(queues, size)}
        kinds = {queue.kind for queue in queues if id(queue) in picked}
        for queue in queues:
            waited[id(queue)] = 0 if queue.kind in kinds else waited[id(queue)] + 1
            assert not queue.count or waited[id(queue)] < len(queues)
        for queue, count in pick(queues, size):
            queue.count -= count
        queues = queues[1:] + queues[:1]
    assert not any(queue.count for queue in queues)
