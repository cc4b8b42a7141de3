"""What a run does with a station that cannot be started, or makes no songs: no Ray in it."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
import structlog

pytest.importorskip("ray", reason="pip install 'stembox[catalogue]'")
from ray.exceptions import RayActorError, RayError

from server.catalogue.driver import STARTS, Driver, Job, Step
from server.catalogue.flow import TRIES, Flow, Song
from server.catalogue.listing import Entry
from server.catalogue.orders import Failure
from server.catalogue.progress import Meter
from server.catalogue.rows import Row
from server.errors import StemboxError
from tests.catalogue.test_keys import RECIPE


def station(number: int) -> Any:
    return SimpleNamespace(number=number, start=lambda: f"start {number}")


class Run:
    """A driver of two songs whose stations do nothing; its rows, and what it says."""

    def __init__(self, *stations: Any, known: dict[int, str] | None = None) -> None:
        self.rows: list[Row] = []
        self.meter = Meter(2, 0, 0.0)
        self.flow = Flow([Entry("a"), Entry("b")], depth=2)
        parts: Any = SimpleNamespace(add=self.rows.append)
        job = Job("out", RECIPE, known or {}, 600.0, 1024)
        self.driver = cast(Any, Driver)(job, self.flow, list(stations), parts, self.meter)
        for one in stations:
            self.driver._start(one)

    def up(self, *stations: Any) -> None:
        for one in stations:
            del self.driver._steps[one.start()]
            self.driver._up.append(one)
            self.flow.open(one.number)

    def cannot_start(self, one: Any, error: RayError | None = None) -> None:
        """Its model cannot be loaded, or else its process dies meanwhile."""
        error = error or RayError("ModelError: no such model")
        self.driver._broken(self.driver._steps.pop(one.start()), error)

    def fails(self, one: Any, song: Song, failure: Failure) -> None:
        self.driver._answered(Step(self.driver._prepared, one, song), failure)


def test_one_card_of_several_that_is_full_ends_no_run() -> None:
    first, second, third = stations = [station(number) for number in range(3)]
    run = Run(*stations)
    with structlog.testing.capture_logs() as lines:
        run.cannot_start(first)
    assert [line["station"] for line in lines] == [0]
    run.up(second)
    run.cannot_start(third)
    assert run.driver._steps == {} and run.driver._up == [second]


def test_where_none_can_be_started_the_run_ends() -> None:
    first, second = stations = [station(number) for number in range(2)]
    run = Run(*stations)
    run.cannot_start(first)
    with pytest.raises(StemboxError, match="The model cannot be started: ModelError: no such"):
        run.cannot_start(second)


def test_a_process_that_dies_while_it_loads_is_started_again_and_not_for_ever() -> None:
    only = station(0)
    run = Run(only)
    for _ in range(STARTS - 1):
        run.cannot_start(only, RayActorError())
    with pytest.raises(StemboxError, match="The model cannot be started"):
        run.cannot_start(only, RayActorError())


def test_starts_are_counted_anew_once_a_model_was_up() -> None:
    only = station(0)
    only.watch = lambda: "watch 0"
    run = Run(only)
    for _ in range(2):
        for _ in range(STARTS - 1):
            run.cannot_start(only, RayActorError())
        run.driver._answered(run.driver._steps.pop(only.start()), "cpu")
        run.driver._broken(run.driver._steps.pop(only.watch()), RayActorError())
    assert list(run.driver._steps) == [only.start()]


def test_a_station_without_room_gets_no_more_songs_and_the_last_one_ends_the_run() -> None:
    first, second = stations = [station(number) for number in range(2)]
    run = Run(*stations)
    run.up(*stations)
    full = Failure("station", "scratch: No space left on device")
    songs = [run.flow.take(0), run.flow.take(0)]
    with structlog.testing.capture_logs() as lines:
        for song in songs:
            assert song is not None
            run.fails(first, song, full)
    assert [line["reason"] for line in lines] == ["scratch: No space left on device"]
    assert run.flow.take(0) is None
    again = [run.flow.take(1), run.flow.take(1)]
    assert again == songs and not run.rows and run.meter.failed == 0
    assert again[0] is not None
    with pytest.raises(StemboxError, match="scratch: No space"):
        run.fails(second, again[0], full)
    assert run.flow.left == 2


@pytest.mark.parametrize(("kind", "tries"), [("input", 1), ("missing", 2), ("internal", TRIES)])
def test_a_song_is_tried_as_often_as_it_may_help(kind: Any, tries: int) -> None:
    stations = [station(number) for number in range(2)]
    run = Run(*stations)
    run.up(*stations)
    tried = 0
    while not run.rows:
        number, song = next((one.number, song) for one in stations
                            if (song := run.flow.take(one.number)))  # fmt: skip
        if song.entry.input == "a":
            run.fails(stations[number], song, Failure(kind, "why", version="v"))
            tried += 1
    assert tried == tries
    assert [(row.input, row.error, row.version) for row in run.rows] == [("a", "why", "v")]


def test_what_the_manifest_has_of_a_song_that_could_not_be_read_is_said_to_stay() -> None:
    only = station(0)
    run = Run(only, known={0: "v", 1: "v"})
    run.up(only)
    songs = [run.flow.take(0), run.flow.take(0)]
    with structlog.testing.capture_logs() as lines:
        for song, version in zip(songs, ("", "w"), strict=True):
            assert song is not None
            run.fails(only, song, Failure("input", "why", version=version))
    assert [(line["song"], line["reason"]) for line in lines] == [("a", "why")]
    assert run.meter.failed == len(run.rows) == 2
