"""Where each track's file lies below a job's outputs folder: the pipeline contract's folders.

Imports nothing, so that any process may ask.
"""

_STEMS = "demucs_output"
_FOLDERS = {
    "harmonic": "harmonic_percussive",
    "percussive": "harmonic_percussive",
    "main": "composite",
    "main_harmonic": "composite",
    "main_percussive": "composite",
}


def track_path(track: str) -> str:
    """Path of a track's WAV, relative to the outputs folder; what is not listed is a stem."""
    return f"{_FOLDERS.get(track, _STEMS)}/{track}.wav"
