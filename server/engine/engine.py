"""The engine: takes segments from all its songs, runs the model once, hands the results out.

One step is pick, run, add up. Nothing here blocks, and nothing knows of sockets or jobs.
"""

import time
from collections.abc import Hashable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
import structlog

from server.engine.batching import pick
from server.engine.models import Separator
from server.engine.separation import Cut, Separation
from server.messages import Options
from server.stems import stem_gains

log = structlog.get_logger()


class Song:
    """One song in the engine: its separation and the model it goes through."""

    def __init__(self, name: str, model: Separator, separation: Separation) -> None:
        self.name = name
        self.model = model
        self.separation = separation
        self.members = model.members(separation.needed)
        self.began = time.monotonic()
        self._stack = ExitStack()
        self._stack.enter_context(separation)

    @property
    def kind(self) -> Hashable:
        """Segments of the same kind fit into one batch."""
        return self.model.name, self.members, self._padded()

    def take(self) -> np.ndarray:
        """The next segment, padded as the model wants it: float32 (2, samples)."""
        return self.separation.take(self._padded())

    def _padded(self) -> int:
        return self.model.padded_length(self.separation.next_length())

    def left(self, at_most: int) -> int:
        """How many of its next segments fit into one batch, up to `at_most`."""
        return self.separation.run_length(self.model.padded_length, at_most)

    def close(self, error: BaseException | None = None) -> None:
        """Ends the song: the stems appear, or after an error nothing is left of them."""
        self._stack.__exit__(type(error) if error else None, error, None)


def start_song(name: str, model: Separator, scratch: Path, options: Options) -> Song:
    """A song whose mix lies in `scratch`, to be separated there into the stems of its options.

    Raises:
        ModelError: the model has no source for one of them.
        OSError: the mix cannot be read, or the stems cannot be written.
    """
    gains = np.array(stem_gains(options.stems, model.name, model.sources), np.float32)
    cut = Cut(model.segment, options.overlap)
    return Song(name, model, Separation(scratch / "mix.f32", scratch, options.stems, gains, cut))


class Engine:
    """All songs of one worker. `max_batch` bounds the segments of one forward."""

    def __init__(self, max_batch: int) -> None:
        self._max_batch = max_batch
        self._songs: list[Song] = []

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not self._songs

    def add(self, song: Song) -> None:
        """Takes a song in."""
        self._songs.append(song)

    def remove(self, name: str, error: BaseException) -> bool:
        """Throws a song out and removes what was written of it. False: it is not here."""
        for song in self._songs:
            if song.name == name:
                self._songs.remove(song)
                with suppress(OSError):
                    song.close(error)
                return True
        return False

    def close(self, error: BaseException) -> None:
        """Throws every song out."""
        for song in list(self._songs):
            self.remove(song.name, error)

    def step(self) -> Iterator[tuple[Song, Exception | None]]:
        """One forward. Yields each song that moved on, with its error if it failed.

        Raises RuntimeError only when the device itself is out of order.
        Songs that are finished or failed are no longer in the engine when they are yielded.
        """
        picked = pick(self._songs, self._max_batch)
        outcome: dict[Song, Exception | None] = {song: None for song, _ in picked}
        parts: list[tuple[Song, np.ndarray]] = []
        for song, count in picked:
            try:
                parts += [(song, song.take()) for _ in range(count)]
            except Exception as problem:
                outcome[song] = problem
        for song, answer in self._forward(parts):
            if outcome[song] is None:
                outcome[song] = self._add(song, answer)
        # The next step begins with the next song.
        self._songs = self._songs[1:] + self._songs[:1]
        for song, error in outcome.items():
            yield song, self._settle(song, error)

    def _forward(
        self, parts: list[tuple[Song, np.ndarray]]
    ) -> Iterator[tuple[Song, np.ndarray | Exception]]:
        """The model's answer to each part; if the batch fails, to each by itself."""
        if not parts:
            return
        first, model = parts[0][0], parts[0][0].model
        try:
            answers = model(np.stack([part for _, part in parts]), first.members)
            yield from zip((song for song, _ in parts), answers, strict=True)
        except Exception as error:
            if len(parts) == 1:
                model.check_device()  # a card that is out of order is no song's fault
                yield parts[0][0], error
                return
            log.exception("batch failed: trying its segments one by one", segments=len(parts))
            for part in parts:
                yield from self._forward([part])

    def _add(self, song: Song, answer: np.ndarray | Exception) -> Exception | None:
        if isinstance(answer, Exception):
            return answer
        try:
            song.separation.add(answer)
        except Exception as error:
            return error
        return None

    def _settle(self, song: Song, error: Exception | None) -> Exception | None:
        if error is None and not song.separation.done:
            return None
        self._songs.remove(song)
        try:
            song.close(error)
        except OSError as problem:
            return error or problem
        return error
