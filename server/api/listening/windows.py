"""Windows of a job's tracks and their peaks as HTTP answers, the same for both APIs.

Who may hear what has been decided before; which file a sound comes from is the jobs room's
business.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Final

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from server.api.answers import DownloadCut
from server.api.bodies import ENCODER
from server.api.parameters import choice, names, number
from server.api.ports import Listening, TrackPeaks, Window
from server.api.sharing import caller_of
from server.audio.peaks import COARSE, FINE, coarser
from server.errors import InvalidRequest, TrackNotFound
from server.sharing import SharedPlaces
from server.sound import CHANNELS, SAMPLE_RATE

MOST_TRACKS: Final = 40
MOST_PEAKS: Final = 16  # answers on their way at once, of one API; an hour's are megabytes each
LEAST_SECONDS: Final = 0.001
MOST_SECONDS: Final = 10.0
LATEST: Final = 1e6  # seconds
FORMATS: Final[Mapping[str, int]] = {"f32": 4, "s16": 2}  # bytes of a sample
ZOOMS: Final[Mapping[str, tuple[int, ...]]] = {
    "fine": (FINE,), "coarse": (COARSE,), "both": (FINE, COARSE)
}  # fmt: skip
KEPT_SECONDS: Final = 3600  # by browsers, of what can never come out differently
WINDOW_HEADERS: Final = (
    "X-Sample-Rate", "X-Start-Frame", "X-Frames", "X-Tracks", "X-Final-Frames", "X-Total-Frames",
)  # fmt: skip


class Zoom(Struct, frozen=True):
    """Pairs of one zoom; `data`: int8 lowest, highest, lowest …, from `first_frame` on."""

    frames_per_peak: int
    first_frame: int
    data: bytes


class PeaksOfTrack(Struct, frozen=True):
    """A track's peaks, and how far they reach."""

    final_frames: int
    zooms: list[Zoom]


class PeaksAnswer(Struct, frozen=True):
    """What the waveforms of a job are drawn from. `total_frames` is 0 while it is not known."""

    sample_rate: int
    total_frames: int
    tracks: dict[str, PeaksOfTrack]


class Listen:
    """The two answers, bound to the jobs room."""

    def __init__(self, listening: Listening) -> None:
        self._listening = listening
        self._places = SharedPlaces(MOST_PEAKS, "peaks are being sent")

    async def window(self, request: Request, job_id: str) -> Response:
        """The frames of some tracks at one place, as far as they are final.

        Raises:
            InvalidRequest: a parameter is missing, or not allowed.
            TrackNotFound: the job never has such a track.
            JobNotFound, ServerBusy: as `Listening.window`.
        """
        tracks = _tracks(request)
        start = number(request, "start", 0.0, 0.0, LATEST)
        seconds = number(request, "seconds", 2.0, LEAST_SECONDS, MOST_SECONDS)
        samples = choice(request, "format", FORMATS, "f32")
        first, count = round(start * SAMPLE_RATE), round(seconds * SAMPLE_RATE)
        caller = caller_of(request.scope)
        window = await self._listening.window(job_id, tracks, first, count, caller)
        if window is None:
            raise TrackNotFound("Track not found")
        return WindowResponse(window, tracks, samples, request.method == "HEAD")

    async def peaks(self, request: Request, job_id: str) -> Response:
        """The peaks of all tracks. Raises InvalidRequest, JobNotFound, ServerBusy."""
        zooms = ZOOMS[choice(request, "zoom", ZOOMS, "both")]
        since = round(number(request, "since", 0.0, 0.0, LATEST * SAMPLE_RATE))
        caller = caller_of(request.scope)
        self._places.take(caller)
        try:
            total, tracks = await self._listening.peaks(job_id, since // COARSE * COARSE)
        except BaseException:
            self._places.leave(caller)
            raise
        body = _encoded(total, tracks, since, zooms)
        return PeaksResponse(body, lambda: self._places.leave(caller))


class WindowResponse(StreamingResponse):
    """A window on its way out, in blocks; the files are let go of, however that ends."""

    def __init__(self, window: Window, names: list[str], samples: str, head: bool) -> None:
        frame_bytes = len(names) * CHANNELS * FORMATS[samples]
        cache = f"private, max-age={KEPT_SECONDS}" if window.finished else "no-store"
        values = (
            str(SAMPLE_RATE), str(window.start), str(window.frames), ",".join(names),
            ",".join(map(str, window.finals)), str(window.total),
        )  # fmt: skip
        headers = dict(zip(WINDOW_HEADERS, values, strict=True)) | {
            "Content-Length": str(window.frames * frame_bytes),
            "Cache-Control": cache,
            "X-Content-Type-Options": "nosniff",
        }
        super().__init__(
            _body(window, samples, head), headers=headers, media_type="application/octet-stream"
        )
        self._window = window

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._window.close()


class PeaksResponse(StreamingResponse):
    """Peaks on their way out, a track at a time; their place is left, however that ends."""

    def __init__(self, body: Iterator[bytes], sent: Callable[[], None]) -> None:
        headers = {"Cache-Control": "no-store"}
        super().__init__(body, headers=headers, media_type="application/json")
        self._sent = sent

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._sent()


async def _body(window: Window, samples: str, head: bool) -> AsyncIterator[bytes]:
    if head:
        return
    for start, count in window.spans():
        try:
            yield await window.read(start, count, samples)
        except (OSError, EOFError) as error:
            raise DownloadCut(str(error)) from None


def _encoded(
    total: int, tracks: dict[str, TrackPeaks], since: int, zooms: tuple[int, ...]
) -> Iterator[bytes]:
    """A `PeaksAnswer`, a track at a time: an hour of nine is seven megabytes of text. It is
    streamed, and so encoded, on a thread."""
    frame = ENCODER.encode(PeaksAnswer(SAMPLE_RATE, total, {}))
    inside = len(frame) - len(b"}}")
    yield frame[:inside]
    for place, (name, peaks) in enumerate(tracks.items()):
        by_zoom = {FINE: peaks.pairs[since // FINE - peaks.first :], COARSE: coarser(peaks.pairs)}
        zoomed = [Zoom(zoom, since // zoom * zoom, by_zoom[zoom].tobytes()) for zoom in zooms]
        track = ENCODER.encode(PeaksOfTrack(peaks.frames, zoomed))
        yield b"%b%b:%b" % (b"," if place else b"", ENCODER.encode(name), track)
    yield frame[inside:]


def _tracks(request: Request) -> list[str]:
    found = names(request, "tracks")
    if not 0 < len(found) <= MOST_TRACKS:
        raise InvalidRequest(f"tracks must name one to {MOST_TRACKS} tracks, separated by commas")
    return found
