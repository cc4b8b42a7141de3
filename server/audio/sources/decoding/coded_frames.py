"""Decodes frames that stand one behind the other without a container: DTS, AC-3 and the like.

FFmpeg's parsers find the frames in the bytes.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, cast

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame

from server.audio.sources.decoding.errors import FFmpegErrorsIgnored
from server.audio.sources.decoding.frames import silence
from server.audio.sources.source import Source, check_limits
from server.errors import AudioError

_DECODERS: Mapping[str, str] = {
    "AC-3": "ac3", "E-AC-3": "eac3", "DTS": "dca", "MP3": "mp3float", "AAC": "aac",
}  # fmt: skip


def decoded(codec: str, coded: Iterable[bytes], source: Source) -> Iterator[AudioFrame]:
    """The frames of a codec in pieces of its bytes, cut anywhere.

    Args:
        codec: as people call it.
        source: its `read`, `lost` and `warnings` are added to. Damaged frames become silence,
            but those in front of the first whole one are left out.

    Raises:
        AudioError: there is no decoder for it, or what comes cannot be handled.
    """
    damaged = count = size = 0  # frames, and the last one's bytes
    last: AudioFrame | None = None
    decoder = _decoder(codec)
    for data in chain(coded, (None,)):
        for packet in decoder.parse(data):
            frames, lost = None, 0
            with FFmpegErrorsIgnored():
                frames = decoder.decode(packet)
            if frames is None:  # all up to the next sync word is one packet
                lost = max(1, round(packet.size / size)) if size else 1
            elif data is not None and 0 < size < packet.size:
                lost = _zeros(packet) // size
            for frame in frames or ():
                check_limits(frame.sample_rate, frame.layout.nb_channels)
                count, last = count + 1, frame
                size = size if lost else packet.size
                yield frame
            damaged += lost
            if last is not None:
                yield from silence(last, last.sample_rate, lost * last.samples)
    if damaged:
        source.warnings.append(f"{damaged} damaged frames of {codec} are silent")
    if last is not None:
        length = last.samples / last.sample_rate
        source.lost += damaged * length
        source.read += (count + damaged) * length


def _zeros(packet: "av.Packet[Any]") -> int:
    """How many bytes of zeros a packet ends with: a hole behind a whole frame."""
    data = bytes(packet)
    return len(data) - len(data.rstrip(b"\0"))


def undecodable(codec: str) -> AudioError:
    """The error for a file of which nothing can be decoded."""
    return AudioError(f"The file holds {codec}, which cannot be decoded")


def _decoder(codec: str) -> AudioCodecContext:
    if codec not in _DECODERS:
        raise undecodable(codec)
    decoder = cast(AudioCodecContext, av.CodecContext.create(_DECODERS[codec], "r"))
    decoder.thread_count = 1
    return decoder
