"""What both OpenAPI documents say of listening and mixing: parameters, answers and headers.

Plain data.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from server.api.listening.mixing import FORMATS as MIX_FORMATS
from server.api.listening.mixing import GAIN, LEAST_GAIN, MOST_GAIN, SILENT
from server.api.listening.windows import (
    FORMATS,
    LATEST,
    LEAST_SECONDS,
    MOST_SECONDS,
    WINDOW_HEADERS,
    ZOOMS,
)
from server.sound import SAMPLE_RATE

_HEADERS: Final[Mapping[str, str]] = dict(zip(WINDOW_HEADERS, (
    "Frames in a second", "The first frame that is sent", "How many are sent",
    "The tracks, in the order of the request", "How far each track is final, in frames",
    "The song's length in frames, 0 while it is not known",
), strict=True))  # fmt: skip


def window(errors: Mapping[str, Any]) -> dict[str, Any]:
    """The operation of a window of frames."""
    seconds = {"type": "number", "minimum": LEAST_SECONDS, "maximum": MOST_SECONDS, "default": 2}
    return {
        "description": "A part of some tracks, finished or still growing: for each frame, for "
        "each track, left and right. Only frames that are final in all of these tracks are sent, "
        "so there may be fewer than asked for, or none. `mix` is the song as it was decoded.",
        "parameters": [
            _query("tracks", {"type": "string", "minLength": 1}, "Names, separated by commas",
                   required=True),
            _query("start", {"type": "number", "minimum": 0, "maximum": LATEST, "default": 0},
                   "Seconds from the song's beginning"),
            _query("seconds", seconds, "Length"),
            _query("format", {"type": "string", "enum": list(FORMATS), "default": "f32"},
                   "Little-endian 32-bit floats, or 16-bit integers"),
        ],
        "responses": {
            "200": {
                "description": "The frames",
                "headers": {
                    name: {"description": text, "schema": {"type": "string"}}
                    for name, text in _HEADERS.items()
                },
                "content": {"application/octet-stream": {}},
            },
            **errors,
        },
    }  # fmt: skip


def peaks(schema: Mapping[str, Any], errors: Mapping[str, Any]) -> dict[str, Any]:
    """The operation of all tracks' peaks; `schema` of its answer."""
    since = {"type": "number", "minimum": 0, "maximum": LATEST * SAMPLE_RATE, "default": 0}
    return {
        "description": "What waveforms are drawn from, of all tracks, as far as they are final. "
        "`data` is base64 of signed bytes: the lowest and the highest sample of every stretch of "
        "`frames_per_peak` frames, full scale 127.",
        "parameters": [
            _query("zoom", {"type": "string", "enum": list(ZOOMS), "default": "both"},
                   "Which stretches: 512 frames, 8192, or both"),
            _query("since", since, "Only from the stretch on that holds this frame"),
        ],
        "responses": {
            "200": {
                "description": "The peaks",
                "content": {"application/json": {"schema": schema}},
            },
            **errors,
        },
    }  # fmt: skip


def events(errors: Mapping[str, Any]) -> dict[str, Any]:
    """The operation of a job's event stream."""
    text = {"type": "string"}
    event = {
        "type": "object",
        "required": ["event", "data"],
        "properties": {"event": {"const": "job"}, "id": text, "data": text},
    }
    return {
        "description": "Server-sent events: `event: job` with the job as it stands, at once and "
        "whenever it changes, four times a second at most. The stream ends with the job; its "
        "last event has the id `end`.",
        "responses": {
            "200": {
                "description": "The events",
                "content": {"text/event-stream": {"schema": event}},
            },
            "204": {"description": "`Last-Event-ID` is `end`, and the job has ended"},
            **errors,
        },
    }


def mix(tracks: Sequence[str], names: str) -> dict[str, Any]:
    """Description and parameters of the download of a mix, of these tracks.

    names: the field of a job's answer that has all its tracks, whatever they are called.
    """
    second = {"type": "number", "minimum": 0, "maximum": LATEST}
    decibels = {"type": "number", "minimum": LEAST_GAIN, "maximum": MOST_GAIN}
    gain = {"anyOf": [decibels, {"const": SILENT}]}  # no default: without it, it may be left out
    return {
        "description": "The model's stems as one file, and every other track that has a gain or "
        "is soloed. Each sound is heard once: a stem that another one of the job holds, such as "
        "`drums` beside `instrumental`, is one of the others. Where the mix would clip, all of it "
        f"is scaled by one factor. A job's tracks are those of its `{names}`; each has a gain, "
        f"also as `{GAIN}NAME` where its name is not listed here. A stem whose gain is not given "
        "is heard at 0 dB.",
        "parameters": [
            *(_query(f"{GAIN}{name}", gain, f"dB, of `{name}`") for name in tracks),
            _query("mute", {"type": "string"}, "Tracks to leave out, separated by commas"),
            _query("solo", {"type": "string"}, "The only tracks to be heard, where any are named"),
            _query("start", second, "Seconds from the song's beginning"),
            _query("end", second, "Seconds, more than `start`; the song's end, if it is not given"),
            _query("format", {"type": "string", "enum": list(MIX_FORMATS), "default": "wav"},
                   "What file it is"),
        ],
    }  # fmt: skip


def _query(
    name: str, schema: Mapping[str, Any], description: str, required: bool = False
) -> dict[str, Any]:
    return {
        "name": name, "in": "query", "required": required, "description": description,
        "schema": dict(schema),
    }  # fmt: skip
