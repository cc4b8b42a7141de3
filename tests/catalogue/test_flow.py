"""Which song goes where, and what a death costs: no Ray in it."""

import random

import pytest

pytest.importorskip("pyarrow")
pytest.importorskip("obstore")

from server.catalogue.flow import LONE_DEATHS, TRIES, Flow, Song
from server.catalogue.listing import Entry


def flow_of(count: int, depth: int = 2, stations: int = 1) -> Flow:
    flow = Flow([Entry(str(number)) for number in range(count)], depth)
    for station in range(stations):
        flow.open(station)
    return flow


def take_all(flow: Flow, station: int = 0) -> list[Song]:
    return list(iter(lambda: flow.take(station), None))


def names(songs: list[Song]) -> list[str]:
    return [song.entry.input for song in songs]


def test_a_station_has_its_depth_and_no_more() -> None:
    flow = flow_of(5, depth=2, stations=2)
    assert names(take_all(flow, 0)) == ["0", "1"]
    (first, _) = taken = take_all(flow, 1)
    assert names(taken) == ["2", "3"]
    assert flow.end(first) == [first] and flow.left == 4
    assert names(take_all(flow, 1)) == ["4"]


def test_the_same_content_is_made_once_and_counts_for_all() -> None:
    flow = flow_of(4, depth=3)
    first, second, third = take_all(flow)
    assert flow.claim(first, "k") and not flow.claim(second, "k") and flow.claim(third, "l")
    assert names(take_all(flow)) == ["3"], "who only waits takes no room"
    assert flow.end(first) == [first, second]
    assert flow.left == 2
    assert flow.end(third) == [third] and flow.left == 1


def test_who_waits_for_a_song_that_begins_again_begins_again_too() -> None:
    flow = flow_of(4, depth=4)
    first, second, third, fourth = take_all(flow)
    flow.claim(first, "k")
    flow.claim(second, "k")
    assert not flow.fail(first)
    assert not flow.lose(0)
    flow.open(0)
    assert sorted(names(take_all(flow))) == ["0", "1", "2", "3"]
    assert flow.claim(second, "k")  # now this one makes it
    assert [song.shared_deaths for song in (first, second, third, fourth)] == [0, 0, 1, 1]


def test_a_stage_that_fails_is_tried_again_and_not_for_ever() -> None:
    flow = flow_of(1)
    for _ in range(TRIES - 1):
        (song,) = take_all(flow)
        assert not flow.fail(song)
    (song,) = take_all(flow)
    assert flow.fail(song)
    assert flow.end(song) == [song] and flow.left == 0


def test_what_is_not_at_one_station_is_looked_for_at_another_once() -> None:
    flow = flow_of(2, depth=2, stations=2)
    (lost, found) = take_all(flow, 0)
    assert not flow.miss(lost) and not flow.miss(found)
    assert flow.take(0) is None, "it was not there"
    assert take_all(flow, 1) == [lost, found]
    assert flow.miss(lost)
    assert flow.end(lost) == [lost] and flow.end(found) == [found] and not flow.left


def test_where_there_is_no_other_station_nothing_is_looked_for_again() -> None:
    flow = flow_of(2, stations=2)
    (first, second) = take_all(flow, 0)
    assert not flow.miss(first)
    flow.close(1)
    assert flow.miss(second)
    assert take_all(flow, 0) == [first], "it was to go to the other one"
    assert flow.miss(first)


def test_a_suspect_that_is_looked_for_elsewhere_is_alone_there() -> None:
    flow = flow_of(1, stations=2)
    (song,) = take_all(flow, 0)
    flow.lose(0)
    flow.open(0)
    assert take_all(flow, 0) == [song] and not flow.miss(song)
    assert take_all(flow, 1) == [song] and song.missed


def test_a_station_that_is_closed_takes_no_more_and_goes_on() -> None:
    flow = flow_of(4, depth=2, stations=2)
    first, second = take_all(flow, 0)
    flow.put_back(first)
    flow.close(0)
    assert flow.take(0) is None
    assert names(take_all(flow, 1)) == ["2", "3"]
    assert flow.end(second) == [second]
    assert first.failures == first.shared_deaths == 0
    assert not flow.lose(0)


@pytest.mark.parametrize("seed", range(20))
def test_a_song_that_kills_is_given_up_alone_and_all_others_are_made(seed: int) -> None:
    """Stations die whenever a killer is there, and now and then by themselves."""
    chance = random.Random(seed)
    killers = set(map(str, chance.sample(range(40), 3)))
    flow, made, given_up = flow_of(40, depth=4, stations=3), [], []
    innocent_deaths = 10
    for _ in range(5000):
        station = chance.randrange(3)
        here = here_of(flow, station)
        here += take_all(flow, station)
        alone_by_chance = innocent_deaths > 0 and chance.random() < 0.05 and len(here) != 1
        if killers & {song.entry.input for song in here} or alone_by_chance:
            innocent_deaths -= alone_by_chance
            for song in flow.lose(station):
                given_up += flow.end(song)
            flow.open(station)
        elif here:
            made += flow.end(chance.choice(here))
        if not flow.left:
            break
    assert flow.left == 0
    assert set(names(given_up)) == killers
    assert sorted(names(made) + names(given_up), key=int) == [str(n) for n in range(40)]
    assert all(song.lone_deaths == LONE_DEATHS for song in given_up)


def here_of(flow: Flow, station: int) -> list[Song]:
    return sorted(flow._stations[station], key=lambda song: song.number)


def test_a_suspect_is_alone_where_it_is() -> None:
    flow = flow_of(3, depth=3, stations=2)
    take_all(flow)
    flow.lose(0)
    flow.open(0)
    take_all(flow)
    flow.lose(0)
    flow.open(0)
    assert [names(take_all(flow, station)) for station in (0, 1)] == [["0"], ["1"]]
    assert flow.take(0) is None
