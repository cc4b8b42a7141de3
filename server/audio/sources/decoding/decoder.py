"""The packets of one stream to pieces of sound on the container's clock.

What encoders add in front and behind is left out here, as the container or the decoder tells it.
It knows FFmpeg's packets and frames; it must not know edit lists, gaps or files.
"""

import struct
from collections.abc import Iterator

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.codec.context import Flags2
from av.container import InputContainer
from av.packet import Packet
from av.sidedata.sidedata import Type as SideDataType
from av.stream import Disposition

from server.audio.sources.decoding.errors import FFmpegErrorsIgnored
from server.audio.sources.source import check_limits
from server.audio.sources.timing.holes import Holes, Skipped
from server.audio.sources.timing.timeline import Piece
from server.errors import AudioError

MOST_SILENT = 20_000  # packets in a row without sound: minutes of it, and under a second of work
_UNPADDED = ("alac", "flac")  # whose last frame is as short as the sound: nothing is to be cut
# Containers that store timestamps, and that FFmpeg searches for packets from front to back.
_SEARCHED = ("matroska", "flv", "asf", "mpegts", "mpeg", "ogg", "flac")
_TOUCHING = ("truehd", "mlp")  # whose packets follow one another without anything between
_IN_BLOCKS = ("gsm", "adpcm")  # of a fixed size
_RAW = ("mp3", "ac3", "eac3", "dts")  # streams of frames without a container
# Demuxers that give up looking for a packet after so many bytes, and go on when asked again.
_RESUMED, _AFTER = ("mpegts", "ogg"), 1 << 15
_SKIP = struct.Struct("<II")  # samples at the start, and at the end
_Piece = Piece[AudioFrame]


class SilentPackets:
    """Counts packets in a row from which no sound came.

    Each takes time, however small it is: a megabyte holds a hundred thousand, and meanwhile the
    worker gives no sign of life.
    """

    def __init__(self) -> None:
        self._count = 0

    @property
    def too_many(self) -> bool:
        """Whether no sound is to be expected any more."""
        return self._count > MOST_SILENT

    def add(self) -> None:
        """Counts a packet, as silent until sound comes from it."""
        self._count += 1

    def end(self) -> None:
        """Sound came from the last packet: counts anew."""
        self._count = 0


class Decoder:
    """Decodes a stream of an open file.

    demuxer: FFmpeg's name of the container's.
    trimmed: an edit list says what of the sound is shown, encoders' own counts do not.
    """

    def __init__(
        self, media: InputContainer, stream: AudioStream, demuxer: str, trimmed: bool
    ) -> None:
        self._media, self._stream, self._demuxer = media, stream, demuxer
        self._context = stream.codec_context
        self._context.flags2 |= Flags2.skip_manual  # what is to be cut is told, not cut
        self._trimmed = trimmed
        self._tick = float(stream.time_base or 0)
        self._skip = 0  # samples that are still to be left out
        self._delay = 0.0  # s: padding that was left out, which timestamps do not include
        self._usual = 0.0  # s: how long the last frame was
        self._size = 0  # bytes of the last packet
        self._packets = Packets(media, stream)
        alone = demuxer in _SEARCHED and _is_alone(media, stream)
        self._holes = Holes() if alone else None
        self._skipped = Skipped() if demuxer in _TOUCHING else None
        self._torn = False  # whether the next piece comes behind a hole

    @property
    def broken(self) -> bool:
        """Whether the container broke off before the file's end."""
        return self._packets.broken

    def seek(self, seconds: float) -> None:
        """Goes on at or before a time."""
        self._media.seek(int(max(0.0, seconds) / self._tick), stream=self._stream)

    def pieces(self) -> Iterator[_Piece]:
        """All that is decoded from here on; silence for what cannot be.

        Raises:
            AudioError: a rate or a number of channels that cannot be handled, or packets without
                end that hold no sound.
        """
        last: _Piece | None = None
        silent = SilentPackets()
        for packet in self._packets:
            silent.add()
            if silent.too_many:
                raise AudioError(
                    f"{MOST_SILENT} packets in a row hold no sound that can be decoded"
                )
            self._torn |= self._is_torn(packet)
            for piece in self._decoded(packet):
                piece, self._torn = piece._replace(torn=self._torn), False
                if piece.sound is not None:
                    silent.end()
                if last is not None:
                    yield last
                last = piece
        if last is not None:
            yield self._shortened(last)

    def _is_torn(self, packet: "Packet[AudioStream]") -> bool:
        """Whether damage, not a pause, is what is missing right in front of a packet."""
        resumed, self._packets.resumed = self._packets.resumed, False
        if self._holes is None:
            return resumed
        start = None if packet.pts is None else packet.pts * self._tick
        seconds = (packet.duration or 0) * self._tick or self._usual
        return self._holes.is_damage(packet.pos, start, seconds) or resumed

    def _decoded(self, packet: "Packet[AudioStream]") -> Iterator[_Piece]:
        if self._skipped is not None and packet.size:
            seconds = (packet.duration or 0) * self._tick
            lost = self._skipped.seconds(packet.pos, packet.size, seconds)
            if length := round(lost * self._context.sample_rate):
                yield Piece(None, self._context.sample_rate, length, None)
        frames: list[AudioFrame] | None = None
        with FFmpegErrorsIgnored():
            frames = self._stream.decode(packet)
        if frames is None:
            yield from self._lost(packet)
            return
        self._size = packet.size or self._size
        for frame in frames:
            rate = frame.sample_rate
            check_limits(rate, frame.layout.nb_channels)
            self._usual = frame.samples / rate
            start = None if frame.pts is None else frame.pts * self._tick - self._delay
            piece = Piece(start, rate, frame.samples, frame)
            if self._skip or len(frame.side_data):
                piece = self._without_padding(piece, frame, packet)
            if piece.length > 0:
                yield piece

    def _lost(self, packet: "Packet[AudioStream]") -> Iterator[_Piece]:
        """Silence for a packet that cannot be decoded: it costs its own sound only."""
        if self._context.name.startswith(_IN_BLOCKS) and packet.size < self._size:
            return  # a pad byte that was counted, or what else is left behind the last block
        rate = self._context.sample_rate
        seconds = (packet.duration or 0) * self._tick or self._usual
        if self._demuxer in _RAW and self._size:  # all up to the next sync word is one packet
            seconds *= max(1, round(packet.size / self._size))
        if packet.size and rate > 0:
            start = None if packet.pts is None else packet.pts * self._tick - self._delay
            yield Piece(start, rate, round(seconds * rate), None)

    def _without_padding(
        self, piece: _Piece, frame: AudioFrame, packet: "Packet[AudioStream]"
    ) -> _Piece:
        """A frame's piece without what the encoder added in front of the sound and behind it."""
        first, end = _trims(frame)
        if self._demuxer == "mov" and (self._trimmed or self._context.name != "opus"):
            first = 0
        if first and not self._start_padding_has_timestamps(first, frame, packet):
            self._delay += first / piece.rate
            if piece.start is not None:
                piece = piece._replace(start=piece.start - first / piece.rate)
        if self._demuxer == "ogg":  # a lone page of Vorbis tells the end as if all was shown
            end = max(0, end - round(self._delay * piece.rate))
        if end > piece.length or self._context.name in _UNPADDED:
            end = 0
        self._skip += first
        front = min(self._skip, piece.length)
        self._skip -= front
        return self._on_the_tick(piece.cut(front, max(front, piece.length - end)), front)

    def _start_padding_has_timestamps(
        self, first: int, frame: AudioFrame, packet: "Packet[AudioStream]"
    ) -> bool:
        """Whether the timestamps include the encoder's leading padding, or only the decoder knows
        of it. first: samples of it in this frame."""
        if packet.has_sidedata("skip_samples") or frame.pts is None or self._demuxer == "asf":
            return True
        if self._demuxer == "ogg":
            return frame.pts != 0
        return frame.pts * self._tick <= self._tick - first / frame.sample_rate

    def _on_the_tick(self, piece: _Piece, front: int) -> _Piece:
        """A piece whose first `front` samples are left out, moved to where the container puts it,
        which counts what is left out in whole ticks."""
        seconds = front / piece.rate
        if piece.start is None or self._tick <= 1 / piece.rate:
            return piece
        ticks = int(seconds / self._tick + 0.5)
        return piece._replace(start=piece.start - seconds + ticks * self._tick)

    def _shortened(self, last: _Piece) -> _Piece:
        """MP4 says by the length of the last packet where the sound ends in it."""
        if self._demuxer != "mov" or last.sound is None or not last.sound.duration:
            return last
        length = round(last.sound.duration * self._tick * last.rate)
        return last.cut(0, min(last.length, length))


def _trims(frame: AudioFrame) -> tuple[int, int]:
    """Samples that are none of the sound, at the frame's start and at its end."""
    for index in range(len(frame.side_data)):
        data = frame.side_data[index]  # type: ignore[literal-required]  # av's stubs
        if data.type is SideDataType.SKIP_SAMPLES:
            first, end = _SKIP.unpack_from(bytes(data))
            return first, end
    return 0, 0


def _is_alone(media: InputContainer, stream: AudioStream) -> bool:
    """Whether a file holds nothing but the stream; covers stand in front of all."""
    return all(
        each.index == stream.index or each.disposition & Disposition.attached_pic
        for each in media.streams
    )


class Packets:
    """A stream's packets, up to the place where the container breaks off.

    broken: they ended so, and not with the file.
    resumed: a hole was passed over since this was last set to False, by who reads it.
    """

    def __init__(self, media: InputContainer, stream: AudioStream) -> None:
        self._media, self._stream = media, stream
        self.broken = self.resumed = False

    def __iter__(self) -> "Iterator[Packet[AudioStream]]":
        left = self._media.size // _AFTER if self._media.format.name in _RESUMED else 0
        while True:
            with FFmpegErrorsIgnored():
                try:
                    yield from self._media.demux(self._stream)
                    return
                except IndexError:  # a packet of another stream, which PyAV did not see begin
                    continue
                except (av.BlockingIOError, av.InvalidDataError):  # a hole: it goes on behind it
                    left -= 1
                    self.resumed = True
                    if left >= 0:
                        continue
            self.broken = True  # by any other error, or one hole too many
            return
