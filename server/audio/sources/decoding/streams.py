"""Which audio track of a file is the wanted one.

The one flagged default if it can be decoded, else the first that can. A track in which nothing is
ever heard gives way to one that has sound: nobody wants the stems of silence.
"""

import re
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from enum import IntEnum

import av.logging
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Discard, Disposition

from server.audio.sources.decoding.decoder import Packets, SilentPackets
from server.audio.sources.decoding.errors import FFmpegErrorsIgnored
from server.audio.sources.decoding.frames import chunks_of
from server.audio.sources.source import Chunk

QUIET = 600.0  # s: a track that is silent for so long is taken for silent
Opener = Callable[[], AbstractContextManager[InputContainer]]


class Content(IntEnum):
    """What comes out of a track."""

    NOTHING = 0
    SILENCE = 1
    SOUND = 2


def wanted(streams: list[AudioStream], reopen: Opener) -> AudioStream | None:
    """The track to read, among those that there are decoders for; None: none can be decoded.

    reopen: opens the same file anew, to look into it.
    """
    flagged = [stream for stream in streams if stream.disposition & Disposition.default]
    ordered = flagged + [stream for stream in streams if stream not in flagged]
    if len(ordered) < 2:
        return ordered[0] if ordered else None
    best, found = ordered[0], Content.NOTHING
    for stream in ordered:
        content = _content_of_track(reopen, stream.index)
        if content > found:
            best, found = stream, content
        if content is Content.SOUND:
            break
    return best


def only(media: InputContainer, chosen: AudioStream) -> None:
    """Has the demuxer leave out all other streams, and the decoder use this thread alone."""
    for stream in media.streams:
        if stream is not chosen and stream.index != chosen.index:
            stream.discard = Discard.all
    chosen.codec_context.thread_count = 1
    if channels := _channels_in_no_order(media, chosen):
        # PyAV frees the names of such channels twice, here and in every frame; even to ask for
        # them is too much. Without names they are taken to stand in WAV's order.
        chosen.codec_context.layout = f"{channels} channels"


def _channels_in_no_order(media: InputContainer, stream: AudioStream) -> str | None:
    """How many channels there are if FFmpeg has no name for their order. Its description of the
    file is the only place to learn that from."""
    level = av.logging.get_level()
    av.logging.set_level(av.logging.INFO)
    try:
        text = media.dumps_format()  # type: ignore[attr-defined]  # av's stubs
    finally:
        av.logging.set_level(level)
    line = rf"Stream #0:{stream.index}\b[^\n]*?: Audio: [^\n]*?, ([1-9]\d*) channels \("
    found = re.search(line, text)
    return found[1] if found else None


def _content_of_track(reopen: Opener, index: int) -> Content:
    with reopen() as media:
        stream = media.streams[index]
        if not isinstance(stream, AudioStream):
            return Content.NOTHING
        only(media, stream)
        return _content_of(chunks_of(_frames(media, stream)))


def _content_of(chunks: Iterable[Chunk]) -> Content:
    """What is in a track, by as much of it as is needed to know."""
    found, seconds = Content.NOTHING, 0.0
    for rate, _, samples in chunks:
        found = Content.SILENCE
        if (samples != samples.flat[0]).any():
            return Content.SOUND
        seconds += len(samples) / max(1, rate)
        if seconds > QUIET:
            break
    return found


def _frames(media: InputContainer, stream: AudioStream) -> Iterable[AudioFrame]:
    """What is decoded of a stream; ends early where no sound is to be expected any more."""
    silent = SilentPackets()
    for packet in Packets(media, stream):
        silent.add()
        if silent.too_many:
            return
        with FFmpegErrorsIgnored():
            for frame in stream.decode(packet):
                silent.end()
                yield frame
