"""Reads by FFmpeg what has no reader of our own.

The only module that opens files by FFmpeg (through PyAV). It opens nothing but the file it is
given: demuxer, protocols and codecs are all named. Which stretch of what is decoded belongs where
is for `edits` and `timeline` to say.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from math import inf
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer

from server.audio.sources.decoding import codecs, pictures
from server.audio.sources.decoding.decoder import Decoder
from server.audio.sources.decoding.errors import FFmpegErrorsIgnored
from server.audio.sources.decoding.frames import chunks_of, part, silence
from server.audio.sources.decoding.streams import only, wanted
from server.audio.sources.headers import asf, avi, isobmff, matroska, mpeg, musepack
from server.audio.sources.headers.iff import FOLLOWED
from server.audio.sources.headers.open_file import Behind
from server.audio.sources.headers.tags import behind_tags
from server.audio.sources.sniffing import Container
from server.audio.sources.source import SHORT, Chunk, Source, nothing_decoded
from server.audio.sources.timing import edits
from server.audio.sources.timing.edits import Edit
from server.audio.sources.timing.timeline import Clock, Piece, Places, Timeline
from server.errors import AudioError, UnsupportedFormat

# Containers that store timestamps (for others FFmpeg counts them), with `longest` and `jitter` of
# their `Clock`. A broadcast's clock may be set anew: no gap in it is longer than 10 s. Recorders'
# clocks are some milliseconds off; Ogg and FLAC count samples.
_STAMPED = {
    "mov": (inf, 0.02), "matroska": (inf, 0.02), "flv": (inf, 0.02), "asf": (inf, 0.02),
    "rm": (inf, 0.02), "mpegts": (10.0, 0.02), "mpeg": (10.0, 0.02), "ogg": (inf, 0.0005),
    "flac": (inf, 0.0005),
}  # fmt: skip
_FROM_ZERO = ("mov", "matroska")  # whose time begins at 0 even where nothing is shown then
_BROADCAST = 60.0  # s: a start later than this is a running clock, no late start
# Containers whose headers tell the length of the sound itself.
_EXACT = ("flac", "wv", "tta", "ape", "caf", "dsf", "iff", "flv", "rm")
_ROUGH = ("flv", "rm")  # those of them that may tell that of all tracks
_CHECKED = ("flac", "tta", "wavpack", "ape")  # whose checksums are to be minded
# What a file of them begins with, and nothing else has: a FLAC's stream info follows at once.
_BEGINNINGS = {
    "flac": b"fLaC\0\0\0\x22", "tta": b"TTA1\1\0",
    "asf": bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"),
}  # fmt: skip
_BLOCK = 1 << 20  # bytes
_PREROLL = 1.0  # s: decoded and thrown away in front of a place that was sought


class Claims(NamedTuple):
    """What a file's own headers say beyond FFmpeg."""

    edits: tuple[Edit, ...] = ()
    seconds: float | None = None
    cut: bool = False  # it ends before its headers say
    margin: float = SHORT  # s: how much shorter than it says the sound may be
    skipped: Callable[[], float] = float  # `mpeg.adts_skipped` of the file, which reads all of it


class FFmpegSource(Source):
    """A track of a file in any container that FFmpeg reads."""

    def __init__(
        self, container: Container, media: InputContainer, stream: AudioStream, claims: Claims,
        starts: list[float],
    ) -> None:  # fmt: skip
        super().__init__(container.format, claims.seconds or _claimed_seconds(media, stream))
        self.codec = codecs.title(stream.codec_context.codec.name)
        self.followed: Callable[[], bool] = bool
        self._claims = claims
        self._decoder = Decoder(media, stream, container.demuxer, bool(claims.edits))
        self._timeline = Timeline[AudioFrame](_clock(container.demuxer, starts, stream))

    def chunks(self) -> Iterator[Chunk]:
        """As `Source` says. Raises AudioError also where most of it cannot be decoded."""
        yield from chunks_of(self._frames())
        lost, seconds = self._timeline.lost, self._timeline.seconds
        skipped = seconds * self._claims.skipped()
        self.read, self.lost = seconds + skipped, lost.seconds + skipped
        self.check_lost()
        if skipped > SHORT:
            self.warnings.append(f"About {skipped:.1f} s are damaged and were left out")
        if self.followed():  # asked when all has been read: a probe reads no more than it must
            self.warnings.append(FOLLOWED)
        self._warn(lost, self._timeline.filled, seconds)

    def _warn(self, lost: Places, filled: Places, seconds: float) -> None:
        if lost.count:
            self.warnings.append(f"{lost} could not be decoded and became silence")
        if filled.count:
            self.warnings.append(
                f"{filled} of the file's time hold no sound and became silence"
            )
        claims, claimed = self._claims, self._claims.seconds or 0.0
        before = len(self.warnings)
        self.check_end(seconds, claimed, max(claims.margin, claims.margin * claimed / 20))
        if (claims.cut or self._decoder.broken) and len(self.warnings) == before:
            self.warnings.append(
                f"The file is cut off or damaged: nothing can be read behind {seconds:.1f} s"
            )

    def _frames(self) -> Iterator[AudioFrame]:
        """The frames, and silent ones where there is nothing."""
        like: AudioFrame | None = None
        waiting = 0
        for piece in self._timeline.place(self._pieces()):
            if piece.sound is None:
                waiting, rate = piece.length, piece.rate
                if like is not None:
                    yield from silence(like, rate, waiting)
                    waiting = 0
                continue
            like = piece.sound
            if waiting:
                yield from silence(like, piece.rate, waiting)
                waiting = 0
            yield part(like, piece.first, piece.length)

    def _pieces(self) -> Iterator[Piece[AudioFrame]]:
        if not self._claims.edits:
            yield from self._decoder.pieces()
            return
        for number, run in enumerate(edits.passes(self._claims.edits)):
            if number:
                self._decoder.seek((run[0].media or 0.0) - _PREROLL)
            yield from edits.edited(self._decoder.pieces(), run)


@contextmanager
def opened(path: Path, container: Container) -> Iterator[Source]:
    """Opens a file with the demuxer that its container names. Raises as `open_source`."""
    with open(path, "rb") as file:
        start = behind_tags(file)
    if start:  # of these some demuxers know nothing
        url, protocols = f"subfile,,start,{start},end,0,,:file:{path}", "file,subfile"
    else:
        url, protocols = f"file:{path}", "file"
    with opened_at(url, path, container, protocols) as source:
        yield source


@contextmanager
def opened_at(
    url: str, path: Path, container: Container, protocols: str = "file"
) -> Iterator[FFmpegSource]:
    """As `opened`, at a URL of FFmpeg's that shows the file or a part of it."""
    headers = _headers(path, container)
    if headers.protected:
        raise AudioError("The audio is encrypted (Windows Media DRM) and cannot be decoded")
    with _open(url, container.demuxer, protocols) as media:
        streams = list(media.streams.audio)
        if not streams:
            raise AudioError("The file holds no audio track")
        keys = {s.index: s.id if container.demuxer == "mov" else n for n, s in enumerate(streams)}
        clear = [s for s in streams if keys[s.index] not in headers.encrypted]
        stream = wanted([s for s in clear if _has_decoder(s)],
                        lambda: _open(url, container.demuxer, protocols))  # fmt: skip
        if stream is None:
            raise _refusal(container, {keys[s.index]: s for s in streams}, headers)
        only(media, stream)
        claims = headers.claims.get(keys[stream.index], headers.other)
        if container.demuxer in _EXACT:
            margin = 1.0 if container.demuxer in _ROUGH else claims.margin
            claims = claims._replace(seconds=_claimed_seconds(media, stream), margin=margin)
        if stream.codec_context.codec.name in _CHECKED:
            stream.codec_context.options = {"err_detect": "crccheck+explode"}
        starts: list[float] = []
        if pictures.moving(media):
            with _open(url, container.demuxer, protocols) as look:
                starts = pictures.starts(look)
        source = FFmpegSource(container, media, stream, claims, starts)
        source.followed = headers.followed
        if len(streams) > 1:
            source.track = _track_in_words(streams, stream)
        yield source


class Headers(NamedTuple):
    """What our own look at a file's headers found, by the tracks' ids, or their places among the
    tracks of sound where FFmpeg knows no ids."""

    encrypted: dict[int, str]
    claims: dict[int, Claims]
    codecs: dict[int, str]
    other: Claims  # for a stream that they do not name
    protected: bool = False  # all of it is encrypted
    followed: Callable[[], bool] = bool  # by a file of which FFmpeg reads nothing, or parts


def _headers(path: Path, container: Container) -> Headers:
    demuxer = container.demuxer
    with open(path, "rb") as whole:
        file = cast(BinaryIO, Behind(whole, behind_tags(whole)))
        if demuxer == "matroska":
            film = matroska.read(file)
            claims = Claims((), film.seconds, film.cut, 1.0 if film.pictures else 0.5)
            return Headers(film.encrypted, {}, film.codecs, claims)
        if demuxer == "asf":
            media = asf.read(file)
            claims = Claims((), media.seconds, media.cut, 1.0)
            return Headers({}, {}, {}, claims, media.encrypted, partial(_followed, path, demuxer))
        if demuxer == "avi":
            lengths = enumerate(avi.seconds_of(file))
            return Headers({}, {n: Claims((), s, margin=1.0) for n, s in lengths}, {}, Claims())
        if demuxer == "aac":
            return Headers({}, {}, {}, Claims(skipped=partial(mpeg.adts_skipped, path)))
        if demuxer == "mpc8" and (found := musepack.read(file)):
            samples, rate = found
            shown = Edit(0.0, musepack.DELAY / rate, samples / rate)
            return Headers({}, {}, {}, Claims((shown,), shown.duration))
        if demuxer != "mov":
            return Headers({}, {}, {}, Claims(), followed=partial(_followed, path, demuxer))
        movie = isobmff.read(file)
    if not movie.tracks:
        raise AudioError(
            "The file holds no movie header (moov): it is cut off, or a fragment of another"
        )
    audio = [track for track in movie.tracks if track.audio]
    return Headers(
        {track.id: track.encryption for track in audio if track.encryption},
        {t.id: Claims(t.edits, t.seconds or None, not movie.complete) for t in audio},
        {track.id: track.codec for track in audio},
        Claims(cut=not movie.complete), followed=partial(bool, movie.followed),
    )


def _followed(path: Path, demuxer: str) -> bool:
    with open(path, "rb") as whole:
        return _again(cast(BinaryIO, Behind(whole, behind_tags(whole))), demuxer)


def _again(file: BinaryIO, demuxer: str) -> bool:
    """Whether what only begins a file is in this one again."""
    mark = _BEGINNINGS.get(demuxer)
    if mark is None:
        return False
    file.seek(len(mark))
    end = b""
    while block := file.read(_BLOCK):
        if mark in end + block[: len(mark)] or mark in block:
            return True
        end = block[-len(mark) :]
    return False


def _open(url: str, demuxer: str, protocols: str) -> InputContainer:
    options = {"protocol_whitelist": protocols, "codec_whitelist": ",".join(codecs.DECODERS)}
    if demuxer == "mov":
        options["ignore_editlist"] = "1"  # `edits` does that, to the sample
    if demuxer in ("wav", "w64"):
        # Else FFmpeg searches the samples of 16-bit files for the streams of fifty formats.
        options["probesize"] = "32"
    with FFmpegErrorsIgnored():
        return av.open(url, format=demuxer, options=options, metadata_errors="replace")
    raise nothing_decoded()


def _has_decoder(stream: AudioStream) -> bool:
    context = stream.codec_context
    return context is not None and context.codec.name in codecs.DECODERS


def _refusal(
    container: Container, streams: dict[int, AudioStream], headers: Headers
) -> AudioError:
    """Why none of the tracks can be read."""
    for key in streams:
        if key in headers.encrypted:
            return AudioError(
                f"The audio is encrypted ({headers.encrypted[key]}) and cannot be decoded"
            )
    names = [
        headers.codecs.get(key) or (s.codec_context.codec.name if s.codec_context else "unknown")
        for key, s in streams.items()
    ]
    kinds = ", ".join(dict.fromkeys(codecs.title(name) for name in names))
    return UnsupportedFormat(f"Unsupported audio format: {kinds} in {container.format.upper()}")


def _track_in_words(streams: list[AudioStream], chosen: AudioStream) -> str:
    """Which of the tracks it is, as `Source.track` says it: "2 of 3 (AAC, eng)"."""
    name = codecs.title(chosen.codec_context.codec.name)
    language = chosen.language
    more = f", {language}" if language and language != "und" else ""
    return f"{streams.index(chosen) + 1} of {len(streams)} ({name}{more})"


def _clock(demuxer: str, starts: list[float], stream: AudioStream) -> Clock:
    """What a container's stamps are worth, and where its time begins. starts: of its pictures."""
    own = float((stream.start_time or 0) * (stream.time_base or 0))
    origin = min(starts, default=inf)
    if demuxer in _FROM_ZERO and (demuxer == "mov" or not starts):
        origin = 0.0 if min([own, *starts]) < _BROADCAST else inf
    tick = float(stream.time_base or 0)
    longest, jitter = _STAMPED.get(demuxer, (None, 0.0))
    if longest is None:
        return Clock(tick, origin, stamped=False)
    end = 0.0
    if demuxer == "ogg" and stream.duration and stream.codec_context.name != "speex":
        ahead = stream.codec_context.delay / max(1, stream.codec_context.sample_rate)
        end = stream.duration * tick - ahead
    return Clock(tick, origin, True, end, longest, jitter)


def _claimed_seconds(media: InputContainer, stream: AudioStream) -> float | None:
    """What the header says, or FFmpeg makes of the bit rate. A hint: it may be far off."""
    if stream.duration and stream.time_base:
        seconds = float(stream.duration * stream.time_base)
    else:
        seconds = (media.duration or 0) / av.time_base
    return seconds if seconds > 0 else None
