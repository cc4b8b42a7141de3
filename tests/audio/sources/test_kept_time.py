"""The sound comes out where the file's clock says, to the sample where it tells."""

from pathlib import Path

import numpy as np
import pytest

from server.audio.sources.sniffing import sniff

from ..making import snr, song
from .muxing import Sound, boxes, elst, heard, lag, mux, with_box

SECONDS = 3.217  # no whole number of anything


def sound(codec: str, **more: object) -> Sound:
    rate = 48000 if "opus" in codec else 44100
    samples = song(SECONDS * rate / 44100)  # as many samples as SECONDS have at this rate
    return Sound(samples, rate, codec, **more)


@pytest.mark.parametrize(("codec", "container"), [
    ("aac", "mp4"), ("aac", "mov"), ("aac", "ipod"), ("alac", "ipod"), ("alac", "mov"),
    ("flac", "mp4"), ("libopus", "mp4"), ("libmp3lame", "mp4"), ("libmp3lame", "mov"),
    ("libopus", "webm"), ("libopus", "matroska"), ("libmp3lame", "matroska"),
    ("alac", "matroska"), ("flac", "matroska"), ("libopus", "ogg"), ("flac", "ogg"),
    ("pcm_s16le", "mov"), ("pcm_s16le", "matroska"), ("alac", "caf"), ("aac", "3gp"),
])  # fmt: skip
def test_to_the_sample(tmp_path: Path, codec: str, container: str) -> None:
    made = sound(codec)
    got, source = heard(mux(tmp_path / "in", container, made))
    assert abs(len(got) - len(made.samples)) <= 2
    assert lag(made.samples, got) == 0
    assert source.warnings == []


@pytest.mark.parametrize("movflags", [
    "frag_keyframe+empty_moov+delay_moov", "dash+delay_moov", "faststart",
    "frag_keyframe+empty_moov+delay_moov+default_base_moof+global_sidx",
])
@pytest.mark.parametrize("codec", ["aac", "libopus", "alac", "libmp3lame"])
def test_fragments_to_the_sample(tmp_path: Path, codec: str, movflags: str) -> None:
    made = sound(codec)
    options = {"movflags": movflags}
    if "moov" in movflags:
        options["frag_duration"] = "300000"
    got, source = heard(mux(tmp_path / "in", "mp4", made, options=options))
    assert lag(made.samples, got) == 0
    assert abs(len(got) - len(made.samples)) <= (2 if codec != "libmp3lame" else 1152)
    assert source.warnings == []


@pytest.mark.parametrize("container", ["mp4", "mov", "matroska", "mpegts", "flv"])
@pytest.mark.parametrize("late", [0.5, 2.0])
def test_sound_that_starts_after_the_picture(
    tmp_path: Path, container: str, late: float
) -> None:
    made = sound("aac", late=late)
    got, source = heard(mux(tmp_path / "in", container, made, picture=True))
    start = round(late * made.rate)
    assert lag(made.samples, got) == pytest.approx(start, abs=made.rate / 1000 + 1)
    assert not got[: start - 1100].any()
    assert source.warnings == []


@pytest.mark.parametrize(("codec", "container"), [
    ("aac", "mp4"), ("aac", "matroska"), ("aac", "mpegts"), ("aac", "flv"), ("alac", "mov"),
    ("libopus", "webm"), ("libopus", "matroska"), ("libopus", "ogg"), ("libopus", "mp4"),
    ("flac", "ogg"), ("flac", "matroska"), ("ac3", "mpegts"), ("mp2", "mpeg"),
])  # fmt: skip
@pytest.mark.parametrize("lost", [range(20, 21), range(20, 28)])
def test_lost_packets_are_silence_of_their_length(
    tmp_path: Path, codec: str, container: str, lost: range
) -> None:
    whole, _ = heard(mux(tmp_path / "whole", container, sound(codec)))
    # The stream is cut into pages of a second, so what is lost must not straddle their ends.
    options = {"page_duration": "20000"} if container == "ogg" else None
    made = sound(codec, lost=lambda number: number in lost)
    got, source = heard(mux(tmp_path / "in", container, made, options=options))
    assert abs(len(got) - len(whole)) <= 2
    assert lag(whole[-made.rate :], got[-made.rate :]) == 0
    assert len(source.warnings) == 1
    assert "hold no sound and became silence" in source.warnings[0]
    silent = ~got.any(axis=1)
    assert silent.sum() >= len(lost) * 960 * 0.9


@pytest.mark.parametrize("container", ["webm", "matroska", "mp4"])
def test_a_recorder_that_sends_nothing_while_it_is_quiet(tmp_path: Path, container: str) -> None:
    """Opus with DTX: a packet every 400 ms in a pause of half the song."""
    samples = song(4.0 * 48000 / 44100)
    samples[48000 : 3 * 48000] = 0
    quiet = range(52, 148)
    made = Sound(samples, 48000, "libopus", lost=lambda n: n in quiet and n % 20 != 0)
    got, _ = heard(mux(tmp_path / "in", container, made))
    assert abs(len(got) - len(samples)) <= 2
    assert lag(samples[3 * 48000 :], got[3 * 48000 :]) == 0
    assert not got[60_000:140_000].any(axis=1).mean() > 0.2


def edit_list(path: Path, *edits: tuple[int, int]) -> Path:
    """Writes another edit list into an MP4 of one track."""
    data = with_box(path.read_bytes(), (b"moov", b"trak", b"edts", b"elst"), elst(*edits))
    path.write_bytes(data)
    return path


def test_an_edit_list_that_cuts_out_of_the_middle(tmp_path: Path) -> None:
    made = sound("alac")
    path = edit_list(mux(tmp_path / "in", "ipod", made), (500, 44100), (1000, 88200))
    got, _ = heard(path)
    wanted = np.concatenate([made.samples[44100 : 44100 + 22050], made.samples[88200:132300]])
    assert len(got) == len(wanted)
    assert snr(wanted, got) > 80


def test_an_edit_list_that_plays_something_twice(tmp_path: Path) -> None:
    made = sound("alac")
    path = edit_list(mux(tmp_path / "in", "ipod", made), (500, 88200), (250, -1), (1000, 11025))
    got, source = heard(path)
    wanted = np.concatenate([
        made.samples[88200:110250], np.zeros((11025, 2)), made.samples[11025:55125],
    ])  # fmt: skip
    assert len(got) == len(wanted)
    assert snr(wanted, got) > 80
    assert len(source.warnings) == 1, "the silence in the middle is told"


@pytest.mark.parametrize(("container", "codec"), [
    ("mp4", "libx264"), ("mov", "libx264"), ("matroska", "libx264"), ("mpegts", "libx264"),
    ("mp4", "libvpx-vp9"), ("matroska", "libvpx-vp9"), ("webm", "libvpx-vp9"),
])
def test_pictures_that_nobody_decodes_start_the_clock(
    tmp_path: Path, container: str, codec: str
) -> None:
    """FFmpeg gives a stream without a decoder the sound's own start."""
    made = sound("libopus" if container == "webm" else "aac", late=2.0)
    path = mux(tmp_path / "in", container, made, picture=True, codec=codec)
    got, source = heard(path)
    start = round(2.0 * made.rate)
    assert lag(made.samples, got) == pytest.approx(start, abs=made.rate / 1000 + 1)
    assert source.warnings == []


def test_an_empty_edit_in_front_is_silence_though_there_is_no_picture(tmp_path: Path) -> None:
    made = sound("alac")
    got, _ = heard(edit_list(mux(tmp_path / "in", "ipod", made), (750, -1), (3217, 0)))
    assert not got[:33075].any()
    assert lag(made.samples, got) == 33075


def itunes(priming: int, padding: int, samples: int) -> bytes:
    """The tag in which iTunes keeps an encoder's counts."""
    text = f" 00000000 {priming:08X} {padding:08X} {samples:016X}" + " 00000000" * 8
    def box(kind: bytes, body: bytes) -> bytes:
        return (len(body) + 8).to_bytes(4, "big") + kind + body
    tag = box(b"mean", bytes(4) + b"com.apple.iTunes") + box(b"name", bytes(4) + b"iTunSMPB")
    tag += box(b"data", b"\0\0\0\1" + bytes(4) + text.encode())
    handler = box(b"hdlr", bytes(8) + b"mdirappl" + bytes(10))
    return box(b"udta", box(b"meta", bytes(4) + handler + box(b"ilst", box(b"----", tag))))


@pytest.mark.parametrize("with_edits", [False, True])
def test_the_counts_of_itunes(tmp_path: Path, with_edits: bool) -> None:
    made = sound("aac")
    path = mux(tmp_path / "in", "ipod", made)
    data = path.read_bytes()
    count = len(made.samples)
    if not with_edits:
        data = with_box(data, (b"moov", b"trak", b"edts"), None)
    # The last packet is whole, as iTunes writes it: only the tag tells how much of it is padding.
    total = -(-(count + 1024) // 1024) * 1024
    data = whole_packets(data, total)
    tag = itunes(1024, total - count - 1024, count)
    path.write_bytes(with_box(with_box(data, (b"moov", b"udta"), None), (b"moov", b"udta"), tag))
    got, _ = heard(path)
    assert (len(got), lag(made.samples, got)) == (count, 0)


def whole_packets(data: bytes, total: int) -> bytes:
    """Makes the last packet as long as the others."""
    stts = (b"\0\0\0\x18stts" + bytes(4) + (1).to_bytes(4, "big")
            + (total // 1024).to_bytes(4, "big") + (1024).to_bytes(4, "big"))  # fmt: skip
    data = with_box(data, (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stts"), stts)
    at = data.index(b"mdhd")
    return data[: at + 20] + total.to_bytes(4, "big") + data[at + 24 :]


def test_counts_that_do_not_fit_are_not_believed(tmp_path: Path) -> None:
    made = sound("alac")
    path = mux(tmp_path / "in", "ipod", made)
    data = with_box(path.read_bytes(), (b"moov", b"udta"), None)
    path.write_bytes(with_box(data, (b"moov", b"udta"), itunes(2112, 500, 10_000_000)))
    got, _ = heard(path)
    assert len(got) == len(made.samples)


@pytest.mark.parametrize("first", [b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"uuid"])
def test_quicktime_without_its_brand(tmp_path: Path, first: bytes) -> None:
    made = sound("aac")
    flags = {"movflags": "faststart"} if first == b"moov" else {}
    path = mux(tmp_path / "in", "mov", made, options=flags)
    data = path.read_bytes()
    brand = next(end for kind, _, end in boxes(data) if kind == b"ftyp")
    parts = [kind for kind, _, _ in boxes(data)]
    assert parts[0] == b"ftyp"
    data = moved(data[brand:], -brand)
    if first in (b"moov", b"mdat"):
        while data[4:8] != first:  # a filling box in front of the samples
            gone = int.from_bytes(data[:4], "big")
            data = moved(data[gone:], -gone)
    else:
        data = moved((32).to_bytes(4, "big") + first + bytes(range(24)) + data, 32)
    path.write_bytes(data)
    assert data[4:8] == first
    found = sniff(path)
    assert found is not None
    assert found.format == "mov"
    got, _ = heard(path)
    assert abs(len(got) - len(made.samples)) <= 2
    assert lag(made.samples, got) == 0


def moved(data: bytes, by: int) -> bytes:
    """Chunk offsets for samples that have moved."""
    at = data.index(b"stco") + 8
    count = int.from_bytes(data[at : at + 4], "big")
    table = np.frombuffer(data[at + 4 : at + 4 + 4 * count], ">u4").astype(np.int64) + by
    return data[: at + 4] + table.astype(">u4").tobytes() + data[at + 4 + 4 * count :]
