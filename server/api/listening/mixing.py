"""Mixes as HTTP answers, the same for both APIs: what their parameters mean."""

import math
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from server.api.files import downloads
from server.api.listening.windows import LATEST, MOST_TRACKS
from server.api.parameters import choice, names, number, query_of, text
from server.api.ports import MixOrder, Renders, TrackFile
from server.api.sharing import caller_of
from server.errors import InvalidRequest

FORMATS: Final = {"wav": "audio/wav", "flac": "audio/flac", "mp3": "audio/mpeg"}
GAIN: Final = "gain."  # in front of a track's name
SILENT: Final = "-inf"
LEAST_GAIN: Final = -60.0  # dB
MOST_GAIN: Final = 12.0


class Mixing:
    """The two answers, bound to the jobs room."""

    def __init__(self, renders: Renders) -> None:
        self._renders = renders

    async def mix(self, request: Request, job_id: str, song: str) -> Response:
        """The mix that the query sets, as a download named after the song.

        Raises InvalidRequest, and as `Renders.mix`.
        """
        order = _order(request)
        path = await self._renders.mix(job_id, order, caller_of(request.scope))
        suffix = order.format.lower()
        name = f"{song} - mix.{suffix}"
        return await downloads.file(request, name, TrackFile(path), FORMATS[suffix])

    async def stem_file(self, request: Request, job_id: str, song: str) -> Response:
        """The song's stem file. Raises as `Renders.stem_file`."""
        path = await self._renders.stem_file(job_id, caller_of(request.scope))
        return await downloads.file(request, f"{song}.stem.m4a", TrackFile(path), "audio/mp4")


def _order(request: Request) -> MixOrder:
    gains, muted = {}, names(request, "mute")
    gained = [key for key in dict.fromkeys(query_of(request)) if key.startswith(GAIN)]
    if len(gained) > MOST_TRACKS:
        raise InvalidRequest(f"gains of {MOST_TRACKS} tracks at the most")
    for key in gained:
        if text(request, key) == SILENT:
            muted.append(key.removeprefix(GAIN))
        else:
            gains[key.removeprefix(GAIN)] = number(request, key, 0.0, LEAST_GAIN, MOST_GAIN)
    start = number(request, "start", 0.0, 0.0, LATEST)
    end = number(request, "end", math.inf, 0.0, LATEST)
    if end <= start:
        raise InvalidRequest("end must be after start")
    return MixOrder(
        gains=gains, muted=muted, solo=names(request, "solo"), start=start,
        end=None if end == math.inf else end,
        format=choice(request, "format", FORMATS, "wav").upper(),
    )  # fmt: skip
