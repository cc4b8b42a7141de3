"""Opens a file with the reader of its family. The only way in for the rest of the house."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from server.audio.sources import aiff, au, caf, coded, ffmpeg, mp3, ogg, wave
from server.audio.sources.sniffing import Container, sniff
from server.audio.sources.source import Source, unsupported
from server.audio.sources.unwrapping import UnwrappedSource
from server.errors import AudioError

Opener = Callable[[Path, Container, str], AbstractContextManager[Source]]

# By the container's demuxer. What is not here goes to FFmpeg.
_OPENERS: Mapping[str, Opener] = {
    "wav": wave.opened, "w64": wave.opened, "aiff": aiff.opened, "au": au.opened, "caf": caf.opened,
    "mp3": mp3.opened, "dts": coded.dts, "ogg": ogg.opened,
}  # fmt: skip


@contextmanager
def open_source(path: Path, file_name: str) -> Iterator[Source]:
    """Opens an audio file; `file_name` is the user's name for it, used in messages.

    Raises:
        UnsupportedFormat: the bytes are no audio that the decoders know.
        AudioError: a damaged file, one without sound, or one that needs more memory than a
            worker may use.
    """
    container = sniff(path)
    if container is None:
        raise unsupported(path, file_name)
    try:
        opener = _OPENERS.get(container.demuxer, ffmpeg.opened)
        with opener(path, container, file_name) as source:
            yield UnwrappedSource(source)
    except MemoryError:  # FFmpeg's own is one too
        raise AudioError("The audio needs too much memory to be decoded") from None
