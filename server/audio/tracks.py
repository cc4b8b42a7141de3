"""The tracks of a pipeline job, in the documented order, and the folders that the contract names.

Imports no more, so that any process may ask.
"""

from collections.abc import Sequence

TRACKS = {
    "vocals": "demucs_output",
    "drums": "demucs_output",
    "bass": "demucs_output",
    "other": "demucs_output",
    "harmonic": "harmonic_percussive",
    "percussive": "harmonic_percussive",
    "main": "composite",
    "main_harmonic": "composite",
    "main_percussive": "composite",
}

MIX = "mix"  # the song itself, as it was decoded: to be heard beside its tracks


STEMS = "demucs_output"


def tracks_of(stems: Sequence[str]) -> tuple[str, ...]:
    """A pipeline job's tracks, where the model makes these stems: the documented ones in their
    order, but for stems that it does not make; before them those that are not documented."""
    others = [stem for stem in stems if stem not in TRACKS]
    return (*others, *(name for name, folder in TRACKS.items()
                       if folder != STEMS or name in stems))  # fmt: skip


def track_file(stage: str, track: str, form: str) -> str:
    """Path of the file of a track that a stage writes, relative to the outputs folder.

    form: a StemSplit job's format, of the tracks that `encode/<track>` writes.
    """
    return f"{track}.{form.lower()}" if stage.startswith("encode/") else track_path(track)


def track_path(track: str) -> str:
    """Path of a track's WAV, relative to the outputs folder. What is not listed is a stem."""
    return f"{TRACKS.get(track, 'demucs_output')}/{track}.wav"
