"""Gaps become silence; rounding, jitter and wrong stamps do not."""

import itertools
from collections.abc import Iterable
from math import inf

import numpy as np
import pytest

from server.audio.sources.timing.timeline import Clock, Piece, Timeline

RATE, SIZE = 48000, 960
MS = Clock(0.001, 0.0)
EXACT = Clock(1 / RATE, 0.0)


def pieces(starts: Iterable[float | None], size: int = SIZE) -> list[Piece[int]]:
    return [Piece(start, RATE, size, number) for number, start in enumerate(starts)]


def placed(clock: Clock, parts: list[Piece[int]]) -> tuple[list[tuple[int | None, int]], Timeline]:
    timeline = Timeline[int](clock)
    return [(piece.sound, piece.length) for piece in timeline.place(parts)], timeline


def silences(clock: Clock, starts: Iterable[float | None]) -> list[tuple[int, int]]:
    """(number of the piece behind it, samples) of each silence."""
    found, _ = placed(clock, pieces(starts))
    return [(behind[0], length) for (sound, length), behind in itertools.pairwise(found)
            if sound is None]  # fmt: skip


def regular(count: int, lost: Iterable[int] = (), tick: float = 0.0) -> list[float]:
    """Stamps of packets of 20 ms, rounded to a tick, without the lost ones."""
    exact = [n * SIZE / RATE for n in range(count) if n not in set(lost)]
    return [round(start / tick) * tick if tick else start for start in exact]


@pytest.mark.parametrize("clock", [MS, EXACT])
def test_what_follows_one_another_passes_unchanged(clock: Clock) -> None:
    parts = pieces(regular(500, tick=clock.tick))
    found, timeline = placed(clock, parts)
    assert found == [(n, SIZE) for n in range(500)]
    assert timeline.filled.count == 0


def test_rounding_never_adds_up() -> None:
    size = 1024  # 21.33 ms
    starts = [int(n * size / RATE * 1000) / 1000 for n in range(5000)]
    found, _ = placed(MS, pieces(starts, size))
    assert len(found) == 5000


@pytest.mark.parametrize("clock", [MS, EXACT])
@pytest.mark.parametrize("lost", [[10], [10, 11, 12], [10, 200], range(10, 110), [10, 12, 14]])
def test_lost_packets_are_silence_of_their_length(clock: Clock, lost: list[int]) -> None:
    found, timeline = placed(clock, pieces(regular(300, lost, clock.tick)))
    assert sum(length for _, length in found) == 300 * SIZE
    silent = sum(length for sound, length in found if sound is None)
    assert silent == len(lost) * SIZE
    assert timeline.filled.seconds == pytest.approx(silent / RATE)
    assert timeline.filled.first == pytest.approx(10 * SIZE / RATE)


def test_jitter_of_a_recorder_s_clock_is_no_gap() -> None:
    random = np.random.default_rng(0)
    starts = [max(0.0, t + random.uniform(-0.015, 0.015)) for t in regular(2000)]
    starts[0] = 0.0
    assert silences(MS, starts) == []


def test_one_wrong_stamp_is_no_gap() -> None:
    for wrong in (500.0, 1e9, 0.0, -1e9):
        starts = regular(100)
        starts[50] = wrong
        assert silences(EXACT, starts) == []


def test_a_loss_among_jitter_is_found() -> None:
    random = np.random.default_rng(1)
    starts = [t + random.uniform(-0.004, 0.004) for t in regular(300, range(100, 150))]
    (number, length), = silences(MS, [0.0, *starts[1:]])
    assert number == 100
    assert length == pytest.approx(50 * SIZE, abs=0.009 * RATE)


def test_a_clock_that_creeps_is_followed_in_the_end() -> None:
    starts = [t * 1.001 for t in regular(30_000)]  # 600 s, 0.6 s off
    total = sum(length for _, length in silences(EXACT, starts)) / RATE
    assert total == pytest.approx(0.6, abs=0.12)
    assert len(silences(EXACT, starts)) <= 6


@pytest.mark.parametrize("late", [0.5, 2.0, 3600.0])
def test_a_late_start_is_silence(late: float) -> None:
    found, timeline = placed(EXACT, pieces(late + t for t in regular(50)))
    assert found[0] == (None, round(late * RATE))
    assert timeline.filled.count == 0, "nothing is lacking"


def test_a_start_within_a_coarse_tick_is_none() -> None:
    assert silences(MS, [0.0007 + t for t in regular(50)]) == []
    assert silences(EXACT, [5 / RATE + t for t in regular(50)]) == [(0, 5)]


def test_without_an_origin_time_begins_with_the_sound() -> None:
    assert silences(Clock(1 / 90000, inf), [36_000 + t for t in regular(50)]) == []


def test_a_gap_of_an_age_is_one_piece_of_silence() -> None:
    starts = [*regular(50), *(1e9 + t for t in regular(50))]
    (_, length), = silences(EXACT, starts)
    assert length == pytest.approx(1e9 * RATE, rel=1e-6)


def test_a_broadcast_s_clock_may_be_set_anew() -> None:
    broadcast = Clock(1 / 90000, 0.0, longest=10.0)
    for jump in (-500.0, 5000.0):
        starts = [1000 + t for t in regular(50)]
        starts += [1000 + jump + t for t in regular(50, [20])]
        gaps = silences(broadcast._replace(origin=inf), starts)
        assert gaps == [(70, SIZE)], "the loss behind it is still found"


def test_counted_stamps_have_no_gaps() -> None:
    counted = Clock(1 / RATE, 0.0, stamped=False)
    assert silences(counted, regular(100, [20, 21, 22])) == []


def test_pieces_without_stamps_follow() -> None:
    starts: list[float | None] = [*regular(100)]
    starts[40:60] = [None] * 20
    assert silences(EXACT, starts) == []
    assert silences(EXACT, [None] * 100) == []


def test_what_is_lost_is_told_and_stays_silent() -> None:
    parts = pieces(regular(100))
    for number in (0, 1, 50):
        parts[number] = parts[number]._replace(sound=None)
    found, timeline = placed(EXACT, parts)
    assert sum(length for _, length in found) == 100 * SIZE
    assert (timeline.lost.count, timeline.lost.seconds) == (2, pytest.approx(0.06))
    assert str(timeline.lost) == "0.06 s in 2 places, the first at 0.0 s,"


def test_nothing_at_all() -> None:
    assert placed(EXACT, [])[0] == []
    assert placed(EXACT, [Piece(0.0, RATE, SIZE, None)])[0] == []


def test_the_end_that_a_container_tells_is_filled() -> None:
    found, timeline = placed(EXACT._replace(end=3.0), pieces(regular(100)))
    assert found[-1] == (None, RATE)
    assert str(timeline.filled) == "1.00 s at 2.0 s"
