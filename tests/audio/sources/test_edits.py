"""What edit lists show of a track's media."""

from math import inf

import pytest

from server.audio.sources.timing.edits import Edit, edited, passes
from server.audio.sources.timing.timeline import Piece

RATE = 1000


def shown(*edits: Edit, count: int = 10) -> list[tuple[float, int]]:
    """(movie time, media sample) of every sample that edits show of `count` pieces of 100."""
    out = []
    for run in passes(edits):
        media = [Piece(n * 0.1, RATE, 100, n) for n in range(count)]
        for piece in edited(media, run):
            assert piece.sound is not None
            assert piece.start is not None
            out += [(round(piece.start + k / RATE, 6), piece.sound * 100 + piece.first + k)
                    for k in range(piece.length)]  # fmt: skip
    return out


def stretch(start: int, first: int, last: int) -> list[tuple[float, int]]:
    return [(round((start + k) / RATE, 6), first + k) for k in range(last - first)]


@pytest.mark.parametrize(("media", "length"), [(0, 1000), (37, 400), (100, 200), (150, 1)])
def test_one_stretch_to_the_sample(media: int, length: int) -> None:
    edit = Edit(0.0, media / RATE, length / RATE)
    assert shown(edit) == stretch(0, media, media + length)


def test_to_the_end() -> None:
    assert shown(Edit(2.0, 0.05, inf)) == stretch(2000, 50, 1000)


def test_beyond_the_end_there_is_nothing() -> None:
    assert shown(Edit(0.0, 0.9, 5.0)) == stretch(0, 900, 1000)
    assert shown(Edit(0.0, 5.0, 5.0)) == []


def test_an_empty_edit_delays() -> None:
    assert shown(Edit(0.0, None, 1.5), Edit(1.5, 0.1, 0.3)) == stretch(1500, 100, 400)


def test_pieces_left_out_in_the_middle() -> None:
    edits = (Edit(0.0, 0.1, 0.25), Edit(0.25, 0.6, 0.2))
    assert shown(*edits) == stretch(0, 100, 350) + stretch(250, 600, 800)


def test_two_cuts_within_one_piece() -> None:
    edits = (Edit(0.0, 0.01, 0.02), Edit(0.02, 0.05, 0.03))
    assert shown(*edits) == stretch(0, 10, 30) + stretch(20, 50, 80)


def test_the_same_twice_and_backwards() -> None:
    edits = (Edit(0.0, 0.5, 0.2), Edit(0.2, 0.5, 0.2), Edit(0.4, 0.1, 0.1))
    assert len(passes(edits)) == 3
    assert shown(*edits) == stretch(0, 500, 700) + stretch(200, 500, 700) + stretch(400, 100, 200)
