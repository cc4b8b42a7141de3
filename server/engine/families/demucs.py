"""Demucs of any version: from its hub, or trained by the convention."""

from typing import Any

from server.engine.families.family import Blueprint, Family
from server.engine.library.configuration import Configuration
from server.sound import SAMPLE_RATE

CLASSES = {
    "demucs": "demucs.demucs.Demucs", "hdemucs": "demucs.hdemucs.HDemucs",
    "htdemucs": "demucs.htdemucs.HTDemucs",
}  # fmt: skip


LONGEST = 600  # seconds of a segment that anybody means


class DemucsFamily(Family):
    """`model` names the version in place of being a section, and a section of that name follows."""

    name = "demucs"
    aliases = tuple(CLASSES)
    networks = tuple(CLASSES.values())

    def recognises(self, config: Configuration) -> bool:
        kind = config.content.get("model")
        return isinstance(kind, str) and kind in CLASSES

    def blueprint(self, config: Configuration) -> Blueprint:
        kind = config.content.get("model")
        if not isinstance(kind, str) or kind not in CLASSES:
            raise ValueError(f"model is one of {', '.join(CLASSES)}")
        sizes: dict[str, Any] = dict(config.section(kind))
        if sizes.pop("num_subbands", 1) != 1:
            raise ValueError("num_subbands: want 1")
        more = {"sources": list(config.instruments), "segment": _seconds(config),
                "samplerate": SAMPLE_RATE, "audio_channels": 2}  # fmt: skip
        return Blueprint(CLASSES[kind], len(config.instruments), kwargs=sizes | more)


def _seconds(config: Configuration) -> float:
    """Of a segment; where `training` says nothing, it is a chunk."""
    said = config.section("training").get("segment")
    if said is None:
        return config.segment / SAMPLE_RATE
    if isinstance(said, bool) or not isinstance(said, int | float) or not 0 < said <= LONGEST:
        raise ValueError(f"training.segment: want seconds, at most {LONGEST}")
    if said * SAMPLE_RATE < 1:
        raise ValueError("training.segment: want a sample at least")
    return said
