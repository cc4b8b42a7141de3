"""What a job with a preset runs: inferences of one model each, through files of signals.

A signal is a track of the job, or lies between two inferences; then its name begins with a dot,
which no stem's does.
"""

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from server.presets.layout import Layout, Stage
from server.stems import PARTS_OF_OTHER, terms
from server.tracks import MIX

BETWEEN = "."


class Signal(Struct, frozen=True, kw_only=True):
    """One file that an inference writes.

    of: gains over the model's stems. of_input: gain over its input, which is kept where the input
    is silent. onto: the signal that the result is added to; empty for none.
    """

    name: str
    of: dict[str, float]
    of_input: float = 0.0
    onto: str = ""


class Inference(Struct, frozen=True, kw_only=True):
    """One model on one signal, the mix as a rule."""

    model: str
    overlap: float
    input: str = MIX
    signals: tuple[Signal, ...] = ()

    @property
    def reads(self) -> set[str]:
        """All signals that must be there."""
        return {self.input, *(signal.onto for signal in self.signals if signal.onto)}


def is_between(name: str) -> bool:
    """Whether a signal lies between two inferences, and is no track."""
    return name.startswith(BETWEEN)


def unwanted(inferences: Sequence[Inference], after: int) -> list[str]:
    """The signals between inferences that none after that one reads."""
    written = [signal.name for done in inferences[: after + 1] for signal in done.signals]
    read = {name for later in inferences[after + 1 :] for name in later.reads}
    return [name for name in written if is_between(name) and name not in read]


def inside_other(inferences: Sequence[Inference]) -> frozenset[str]:
    """The parts of `other` (guitar, piano) that are tracks of their own and still sound in it,
    because another step made `other`."""
    made: dict[str, set[int]] = {}
    for number, step in enumerate(inferences):
        for signal in step.signals:
            made.setdefault(_track_of(signal.name), set()).add(number)
    beside = made.get("other", set())
    return frozenset(
        part for part in PARTS_OF_OTHER if part in made and made[part].isdisjoint(beside)
    )


def files_between(inferences: Sequence[Inference]) -> int:
    """How many signals lie between inferences at once, at the most."""
    most = 0
    written: set[str] = set()
    for number, step in enumerate(inferences):
        written |= {signal.name for signal in step.signals if is_between(signal.name)}
        most = max(most, len(written))
        written -= set(unwanted(inferences, number))
    return most


def inferences_of(
    layout: Layout, wanted: Sequence[str], overlap: Callable[[str], float]
) -> tuple[Inference, ...]:
    """The inferences that make these tracks, and no others. overlap: of a model's segments.

    A mean, or a track that is the sum of several stems, is added up inference by inference.
    """
    apart = (*wanted, *_elsewhere(layout))
    tracks = {track: terms(track, apart, layout.offers) for track in wanted}
    stages, inputs = _needed(layout.stages, tracks)
    signals = dict(tracks)
    for stem in inputs:
        if tracks.get(stem) != {stem: 1.0}:
            signals[BETWEEN + stem] = {stem: 1.0}
    runs = [(stage, place, model) for stage in stages for place, model in enumerate(stage.models)]
    shares = [{name: share for name, gains in signals.items()
               if (share := _share(gains, stage, place, layout.made[model]))}
              for stage, place, model in runs]  # fmt: skip
    inferences = []
    for number, (stage, _, model) in enumerate(runs):
        if shares[number]:
            source = stage.input if tracks.get(stage.input) == {stage.input: 1.0} or \
                stage.input == MIX else BETWEEN + stage.input  # fmt: skip
            written = tuple(_signal(name, share, shares, number, signals[name], source)
                            for name, share in shares[number].items())  # fmt: skip
            inferences.append(Inference(model=model, overlap=overlap(model), input=source,
                                        signals=written))  # fmt: skip
    return tuple(inferences)


def _elsewhere(layout: Layout) -> list[str]:
    """The parts of `other` that the step which makes `other` does not make itself: other steps find
    them in a sound that still has them, so they would be heard twice."""
    beside = next((stage.sources for stage in layout.stages if "other" in stage.sources), {})
    return [part for part in PARTS_OF_OTHER if part not in beside]


def _needed(
    stages: Sequence[Stage], tracks: Mapping[str, Mapping[str, float]]
) -> tuple[list[Stage], list[str]]:
    """The stages that tracks are made of, in order, and the stems that they go on with."""
    stems = {stem for gains in tracks.values() for stem in gains}
    found: list[Stage] = []
    inputs: dict[str, None] = {}
    for stage in reversed(stages):
        if stems.isdisjoint(stage.sources):
            continue
        found.insert(0, stage)
        if stage.input != MIX:
            stems.add(stage.input)
            inputs[stage.input] = None
    return found, list(inputs)


def _share(
    gains: Mapping[str, float], stage: Stage, place: int, made: Sequence[str]
) -> dict[str, float]:
    """What one model of a stage gives to a signal: gains of its stems, and of its input."""
    apart = list(dict.fromkeys(of for sources in stage.sources.values() for of in sources))
    share: dict[str, float] = {}
    for stem, gain in gains.items():
        weight = stage.weights[stem][place] if stem in stage.sources else 0.0
        if not gain * weight:
            continue
        for source in stage.sources[stem]:
            for own, part in terms(source, apart, made).items():
                share[own] = share.get(own, 0.0) + gain * weight * part
    return {own: gain for own, gain in share.items() if gain}


def _signal(
    name: str, share: Mapping[str, float], shares: Sequence[Mapping[str, object]], number: int,
    gains: Mapping[str, float], source: str,
) -> Signal:  # fmt: skip
    """What an inference writes of a signal, of which others may have written a part, or will."""
    before = [place for place in range(number) if name in shares[place]]
    last = not any(name in later for later in shares[number + 1 :])
    onto = _part(name, before[-1]) if before else ""
    of_input = share.get(MIX, 0.0)
    if not before and (of_mix := gains.get(MIX)):  # all of the mix, where there is any of it
        if source == MIX:
            of_input += of_mix
        else:
            onto = MIX
    of = {stem: gain for stem, gain in share.items() if stem != MIX}
    return Signal(name=name if last else _part(name, number), of=of, of_input=of_input, onto=onto)


def _part(name: str, number: int) -> str:
    return f"{BETWEEN}{name}~{number}"


def _track_of(name: str) -> str:
    return name.removeprefix(BETWEEN).partition("~")[0]
