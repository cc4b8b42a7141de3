"""The tracks of a pipeline job, in the documented order, and the folders that the contract names.
"""

from collections.abc import Sequence
from typing import Final

STEMS: Final = "demucs_output"
TRACKS = {
    "vocals": STEMS,
    "drums": STEMS,
    "bass": STEMS,
    "other": STEMS,
    "harmonic": "harmonic_percussive",
    "percussive": "harmonic_percussive",
    "main": "composite",
    "main_harmonic": "composite",
    "main_percussive": "composite",
}
DERIVED = frozenset(track for track, folder in TRACKS.items() if folder != STEMS)
MIX: Final = "mix"  # the song itself, as it was decoded: to be heard beside its tracks


def tracks_of(stems: Sequence[str]) -> tuple[str, ...]:
    """A pipeline job's tracks, where the model makes these stems: the documented ones in their
    order, but for stems that it does not make; before them those that are not documented."""
    others = [stem for stem in stems if stem not in TRACKS]
    return (*others, *(name for name in TRACKS if name in DERIVED or name in stems))


def track_file(stage: str, track: str, form: str) -> str:
    """Path of the file of a track that a stage writes, relative to the outputs folder.

    form: a StemSplit job's format, of the tracks that `encode/<track>` writes.
    """
    return f"{track}.{form.lower()}" if stage.startswith("encode/") else track_path(track)


def track_path(track: str) -> str:
    """Path of a track's WAV, relative to the outputs folder. What is not listed is a stem."""
    return f"{TRACKS.get(track, STEMS)}/{track}.wav"
