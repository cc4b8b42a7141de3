"""Users over time, and the search for the most of them."""

from itertools import pairwise

import pytest

from loadtests.traffic.profile import Shape
from loadtests.traffic.search import Search, users_at


def shape(kind: str, **more: int) -> Shape:
    return Shape(kind=kind, users=100, seconds=300.0, **more)


def test_a_ramp_ends_with_all() -> None:
    counts = [users_at(shape("ramp"), second) for second in range(300)]
    assert counts == sorted(counts) and counts[0] == 1 and counts[-1] == 100
    assert counts[149] == 50


@pytest.mark.parametrize("kind", ["steady", "soak"])
def test_steady_is_steady(kind: str) -> None:
    assert {users_at(shape(kind), second) for second in range(300)} == {100}


def test_three_bursts_of_a_tenth_each() -> None:
    counts = [users_at(shape("burst", burst_users=50), second) for second in range(300)]
    assert set(counts) == {100, 150}
    assert counts.count(150) == 90
    assert sum(before < after for before, after in pairwise(counts)) == 3


@pytest.mark.parametrize("kind", ["ramp", "steady", "burst", "soak"])
def test_a_run_ends(kind: str) -> None:
    assert users_at(shape(kind), 300) is None


@pytest.mark.parametrize("most", [1, 3, 4, 7, 50, 128, 1000])
def test_the_search_finds_what_is_borne(most: int) -> None:
    search = Search(4)
    steps, users = 0, 4
    while users is not None:
        users = search.judge(users <= most)
        steps += 1
    assert search.best <= most <= search.best * 1.1 + 1
    assert steps < 20
