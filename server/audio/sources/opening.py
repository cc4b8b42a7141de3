"""Opens a file with the reader of its family. The only way in for the rest of the house."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from server.audio.sources.filters.unwrapping import UnwrappedSource
from server.audio.sources.headers import foreign
from server.audio.sources.headers.mpeg import is_free_format
from server.audio.sources.headers.tags import behind_tags
from server.audio.sources.readers import aiff, au, caf, coded, ffmpeg, mp3, ogg, wave
from server.audio.sources.sniffing import Container, sniff, suffix_of
from server.audio.sources.source import Source
from server.errors import AudioError, UnsupportedFormat

Opener = Callable[[Path, Container], AbstractContextManager[Source]]

# By the container's demuxer. What is not here goes to FFmpeg.
_OPENERS: Mapping[str, Opener] = {
    "wav": wave.opened, "w64": wave.opened, "aiff": aiff.opened, "au": au.opened, "caf": caf.opened,
    "mp3": mp3.opened, "dts": coded.dts, "ogg": ogg.opened,
}  # fmt: skip
_HEAD_BYTES, _FREE_BYTES = 1 << 12, 1 << 14  # that are looked at to say what a file is


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
        raise _unsupported(path, file_name)
    try:
        opener = _OPENERS.get(container.demuxer, ffmpeg.opened)
        with opener(path, container) as source:
            yield UnwrappedSource(source)
    except MemoryError:  # FFmpeg's own is one too
        raise AudioError("The audio needs too much memory to be decoded") from None


def _unsupported(path: Path, file_name: str) -> UnsupportedFormat:
    """The error for bytes that no decoder knows; `file_name` is the user's name for them."""
    if path.stat().st_size == 0:
        return UnsupportedFormat("The file is empty")
    with open(path, "rb") as file:
        kind = foreign.kind_of(file.read(_HEAD_BYTES))
        file.seek(behind_tags(file))
        if kind is None and is_free_format(file.read(_FREE_BYTES)):
            return UnsupportedFormat("Unsupported audio format: MP3 of free format")
    suffix = suffix_of(file_name)
    if kind and suffix[1:] not in kind.lower().split():  # a PDF may be called a .pdf
        return UnsupportedFormat(f"Unsupported audio format: {kind}")
    return UnsupportedFormat("Unsupported audio format" + (f": {suffix}" if suffix else ""))
