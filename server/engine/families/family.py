"""What a family of models is: it recognises its models, says how their network is made, and how
their segments overlap. The network itself is made elsewhere: nothing here imports torch, since
the API process asks which model would serve.

Of a network the engine needs:
    sources: names of its outputs, in order;
    samplerate, audio_channels: 44100 and 2;
    segment: seconds of the segments that it is applied to;
    valid_length(samples): how long a segment of so many samples must be padded (if it has it);
    forward: float32 (segments, 2, samples) to (segments, sources, 2, samples);
and perhaps a faster forward of the same weights, which must prove itself: `acceleration`.
"""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any, ClassVar, NamedTuple

from server.engine.library.configuration import Configuration
from server.engine.songs.segments import Cuts, fades, triangles
from server.errors import ModelError


class Blueprint(NamedTuple):
    """How a network is made.

    Attributes:
        network: its class by its full name: one of those that a family names, never a file.
        outputs: how many signals it makes.
        args, kwargs: what it is called with.
        extra: which of stembox's extras brings its package, if any does.
    """

    network: str
    outputs: int
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = {}
    extra: str = ""

    def check(self) -> None:
        """Raises ModelError: the package that brings the network is not installed."""
        if find_spec(self.network.partition(".")[0]) is None:
            raise ModelError(f"it needs pip install 'stembox[{self.extra}]'")


class Family:
    """One kind of model; a module each.

    Attributes:
        name: what a configuration calls it (`family:`).
        aliases: other names for it.
        networks: classes that files in the format of demucs's hub may ask for.
    """

    name: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]] = ()
    networks: ClassVar[tuple[str, ...]] = ()

    def recognises(self, config: Configuration) -> bool:
        """Whether a configuration's content is that of one of its models."""
        return False

    def blueprint(self, config: Configuration) -> Blueprint:
        """How the network of one of its models is made. Raises ValueError: it makes no sense."""
        raise ValueError(f"{self.name} has no models of this format")

    def plan(self, frames: int, segment: int, overlap: float) -> Cuts:
        """How a song is cut for its models, and what becomes of the part that neighbours share."""
        return triangles(frames, segment, overlap)

    def overlap(self, config: Configuration, tier: float, fast: bool) -> float:
        """The part of a segment that neighbours share, where the tier asks for `tier`."""
        return tier


class ChunkedFamily(Family):
    """A family whose models were published with an overlap of their own: it is what their figures
    were measured with, so that only whoever wants them to be fast gets less."""

    def plan(self, frames: int, segment: int, overlap: float) -> Cuts:
        return fades(frames, segment, overlap)

    def overlap(self, config: Configuration, tier: float, fast: bool) -> float:
        return tier if fast else max(tier, config.overlap)
