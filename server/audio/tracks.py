"""The tracks of a pipeline job, in the documented order, and the folders that the contract names.

Imports nothing, so that any process may ask.
"""

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


def track_path(track: str) -> str:
    """Path of a track's WAV, relative to the outputs folder. What is not listed is a stem."""
    return f"{TRACKS.get(track, 'demucs_output')}/{track}.wav"
