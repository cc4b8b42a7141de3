"""Owns a song in the engine: its separation, the model it goes through, and its place in line.

Knows nothing of batches, nor of the other songs.
"""

import time
from collections.abc import Callable, Hashable
from contextlib import ExitStack
from pathlib import Path

from server.engine.models import Separator
from server.engine.songs.separation import Separation
from server.engine.songs.targets import signal_file, signal_targets, stem_targets
from server.presets.inferences import Inference
from server.tracks import MIX
from server.work.messages import Options


class Song:
    """One song in the engine: its separation and the model it goes through."""

    def __init__(
        self, name: str, model: Separator, separation: Separation,
        again: "Callable[[], Song] | None" = None, repeats: int = 0,
    ) -> None:  # fmt: skip
        self.name = name
        self.model = model
        self.separation = separation
        self.again = again  # the same song from its start, in float32
        self.repeats = repeats  # inferences of its job that follow, with other models
        self.members = model.members(separation.needed)
        self.began = time.monotonic()
        self.failed: Exception | None = None
        self.waited = 0  # steps since a segment of it was last in a batch
        self._stack = ExitStack()
        self._stack.enter_context(separation)

    @property
    def kind(self) -> Hashable:
        """Segments of the same kind fit into one batch."""
        return id(self.model), self.members, self.padded

    @property
    def padded(self) -> int:
        """Samples that the model wants for the next segment."""
        return self.model.padded_length(self.separation.next_length())

    @property
    def remaining(self) -> int:
        """Segments still to be read: of this inference, and about as many of each that follows."""
        return self.separation.unread + self.repeats * self.separation.cuts.count

    def left(self, at_most: int) -> int:
        """How many of its next segments fit into one batch, up to `at_most`."""
        if self.failed is not None:
            return 0
        return self.separation.run_length(self.model.padded_length, at_most)

    def close(self, error: BaseException | None = None) -> None:
        """Ends the song: the stems appear, or after an error nothing is left of them."""
        self._stack.__exit__(type(error) if error else None, error, None)


def start_song(
    name: str, model: Separator, scratch: Path, options: Options, step: Inference | None = None,
    repeats: int = 0,
) -> Song:  # fmt: skip
    """A song whose mix lies in `scratch`, to be separated there into the stems of its options; or
    into what `step` of them says, of the signal that it says. repeats: such steps that follow.

    Raises:
        ModelError: the model has no source for one of them.
        OSError: the mix cannot be read, or the stems cannot be written.
    """
    if step is None:
        targets, overlap = stem_targets(scratch, options, model.recipe), options.overlap
    else:
        targets, overlap = signal_targets(scratch, step, model.recipe), step.overlap
    mix = signal_file(scratch, MIX if step is None else step.input)
    separation = Separation(mix, targets, model.cut(overlap), model.device)

    def again() -> Song:
        return start_song(name, model.in_full(), scratch, options, step, repeats)

    return Song(name, model, separation, again if model.reduced else None, repeats)
