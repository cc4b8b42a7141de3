"""Edit lists: which stretches of a track's media are shown, and when on the movie's clock.

Pure arithmetic; it must not know where edits are written, or how media is decoded.
"""

from collections.abc import Iterable, Iterator
from math import inf
from typing import NamedTuple

from server.audio.sources.timing.timeline import Piece, Sound


class Edit(NamedTuple):
    """A stretch of a track's media on the movie's clock; all in seconds. `media` None: nothing."""

    start: float
    media: float | None
    duration: float

    @property
    def end(self) -> float:
        """Where it ends in the media."""
        return inf if self.media is None else self.media + self.duration


def edited(pieces: Iterable[Piece[Sound]], edits: tuple[Edit, ...]) -> Iterator[Piece[Sound]]:
    """What edits show of a track's media, on the movie's clock.

    edits: in the media's order, none of them empty.
    """
    now, index = 0.0, 0
    for piece in pieces:
        start = now if piece.start is None else piece.start
        now = start + piece.seconds
        while index < len(edits) and edits[index].end <= start:
            index += 1
        for edit in edits[index:]:
            media = edit.media or 0.0
            if media >= now:
                break
            shown = edit.start + max(0.0, start - media)
            first = max(0, round((media - start) * piece.rate))
            last = piece.length
            if edit.end < now:
                last = round((edit.end - start) * piece.rate)
            if first < last:
                yield Piece(shown, piece.rate, last - first, piece.sound, piece.first + first)
        if index == len(edits):
            return


def passes(edits: tuple[Edit, ...]) -> list[tuple[Edit, ...]]:
    """Edits, without the empty ones, as stretches in which the media only moves on."""
    runs: list[list[Edit]] = []
    for edit in edits:
        if edit.media is None or edit.duration <= 0:
            continue
        if runs and edit.media >= runs[-1][-1].end:
            runs[-1].append(edit)
        else:
            runs.append([edit])
    return [tuple(run) for run in runs]
