"""What names a song's result: its content, the model that made it, and the options. Pure."""

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from server.presets.inferences import Inference

SONGS = "songs"  # the folder of all results
LAYOUT = 1  # counted up where the same key would mean other bytes


class Recipe(Struct, frozen=True, kw_only=True):
    """What is made of every song of a run. All of it changes the bytes, and nothing else does."""

    model: str  # its name, for people; its digest counts
    digest: str  # of the model's files
    stems: tuple[str, ...]
    format: str  # WAV, FLAC, MP3
    samples: str  # of WAV and FLAC: PCM_16 and so on
    overlap: float
    precision: str = "auto"  # of the separation
    inferences: tuple[Inference, ...] = ()  # of a preset

    @property
    def runs(self) -> tuple[str, ...]:
        """The models that it goes through, each once."""
        return tuple(dict.fromkeys(step.model for step in self.inferences)) or (self.model,)

    @property
    def options(self) -> str:
        """All but the model, as JSON with its keys in order."""
        told: dict[str, Any] = {"format": self.format, "overlap": self.overlap,
                                "samples": self.samples, "stems": list(self.stems)}
        # What is as it always was is not told: results keep the keys that they have.
        if self.inferences:
            told["inferences"] = self.inferences
        if self.precision != "auto":
            told["precision"] = self.precision
        return msgspec.json.encode(told, order="sorted").decode()


def result_key(content_hash: str, recipe: Recipe) -> str:
    """64 hexadecimal digits for what `recipe` makes of a file with this SHA-256."""
    said = "\n".join([str(LAYOUT), content_hash, recipe.digest, recipe.options])
    return hashlib.sha256(said.encode()).hexdigest()


def model_digest(digests: Sequence[str]) -> str:
    """One digest of a model's files, given theirs in order: the listing's, then the weights'."""
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def folder_of(key: str) -> str:
    """Where a result lies, relative to the output."""
    return f"{SONGS}/{key[:2]}/{key}"


def commit_of(key: str) -> str:
    """The object that says that a result is whole. It is written last, and once."""
    return f"{folder_of(key)}/result.json"
