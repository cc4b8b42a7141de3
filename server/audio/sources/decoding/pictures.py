"""When a file's moving pictures begin, by their own packets.

FFmpeg gives a stream that it has no decoder for the start of another one; packets tell the truth.
"""

from itertools import islice

from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from server.audio.sources.decoding.errors import FFmpegErrorsIgnored

_MOST = 1000  # packets of all streams: pictures that come later start nothing
_ENOUGH = 16  # of one stream: shown in another order, the first is among these


def moving(media: InputContainer) -> list[VideoStream]:
    """Streams of pictures, covers not counted."""
    return [s for s in media.streams.video if not s.disposition & Disposition.attached_pic]


def starts(media: InputContainer) -> list[float]:
    """When the first picture of each stream is shown, in seconds. Uses up what it reads."""
    shown: dict[int, list[float]] = {stream.index: [] for stream in moving(media)}
    with FFmpegErrorsIgnored():  # what comes of the sound is another's business
        for packet in islice(media.demux(), _MOST):
            times = shown.get(packet.stream_index)
            if times is not None and packet.pts is not None and packet.time_base is not None:
                times.append(float(packet.pts * packet.time_base))
            if all(len(times) >= _ENOUGH for times in shown.values()):
                break
    return [min(times) for times in shown.values() if times]
