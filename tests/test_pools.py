"""The host: how often what dies is started again."""

from server.pools import LONGEST_PAUSE, SHORTEST_LIFE, Birth


def test_what_dies_young_is_replaced_more_and_more_slowly() -> None:
    birth, now, pauses = Birth(), 100.0, []
    for _ in range(9):
        birth.died(now)
        pauses.append(birth.pause)
        now = birth.due + 1
        birth.born(now)
        assert birth.due is None
        now += 1
    assert pauses[0] == 0.0, "the first death is made good at once"
    assert pauses[1:4] == [0.5, 1.0, 2.0]
    assert pauses[-1] == LONGEST_PAUSE


def test_what_lived_long_is_replaced_at_once() -> None:
    birth = Birth()
    birth.died(0.0)
    birth.born(1.0)
    birth.died(2.0)
    birth.born(3.0)
    birth.died(3.0 + SHORTEST_LIFE)
    assert birth.pause == 0.0
