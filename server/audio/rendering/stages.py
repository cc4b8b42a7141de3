"""What is rendered from finished tracks on demand, as stages of the audio pool."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import msgspec

from server.audio.rendering.mixdown import Part, Span, mixdown
from server.audio.rendering.stem_file import StemTrack, stem_file
from server.work.messages import Result, Task
from server.work.steps import Steps


def render_mix(task: Task) -> Steps[Result]:
    """The mix of the fact `parts`, from frame `start` on `count` of them, as the file `target`."""
    facts, options = task.facts, task.options
    parts = msgspec.convert(facts["parts"], list[Part])
    target = Path(task.outputs) / facts["target"]
    yield from mixdown(parts, target, Span(facts["start"], facts["count"]), options.format,
                       options.wav_format)  # fmt: skip
    return Result(task.id)


def render_stem_file(task: Task) -> Steps[Result]:
    """The stem file of the facts `mix` and `stems`, of `count` frames, as the file `target`."""
    facts = task.facts
    stems = msgspec.convert(facts["stems"], list[StemTrack])
    target = Path(task.outputs) / facts["target"]
    mix = msgspec.convert(facts["mix"], list[Part])
    yield from stem_file(mix, stems, target, facts["count"], facts["title"])
    return Result(task.id)


RENDERING: Mapping[str, Callable[[Task], Steps[Result]]] = MappingProxyType(
    {"render_mix": render_mix, "render_stem_file": render_stem_file}
)
