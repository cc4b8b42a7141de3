"""What is lost of a file is said: silence in its place, a file that ends early, or a refusal."""

import re
from pathlib import Path

import numpy as np
import pytest

from server.audio.decode import decode, measure, probe
from server.errors import AudioError, AudioTooLong
from server.work.steps import finish

from ..making import RATE, song, write_sound
from ..writing import write
from .muxing import Sound, elst, heard, lag, mux, with_box

SECONDS = 8.0
WHOLE = song(SECONDS)


def damaged(path: Path, first: float, count: int, with_noise: bool = True) -> Path:
    data = bytearray(path.read_bytes())
    at = int(len(data) * first)
    data[at : at + count] = np.random.default_rng(0).bytes(count) if with_noise else bytes(count)
    path.write_bytes(data)
    return path


def cut(path: Path, share: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


@pytest.mark.parametrize("kind", ["m4a", "mkv", "tta", "flv", "ac3", "eac3", "ogg", "opus", "ts"])
@pytest.mark.parametrize("with_noise", [False, True])
def test_damage_in_the_middle_keeps_the_rest_in_its_place(
    tmp_path: Path, kind: str, with_noise: bool
) -> None:
    rate = write(tmp_path / "whole", kind, WHOLE)
    before, _ = heard(tmp_path / "whole")
    write(tmp_path / "in", kind, WHOLE)
    after, source = heard(damaged(tmp_path / "in", 0.5, 3000, with_noise))
    assert after.shape[0] == pytest.approx(len(before), abs=rate / 50)
    tail = rate
    assert abs(lag(before[-tail:], after[-tail:])) <= rate / 500
    assert any("became silence" in text for text in source.warnings)


@pytest.mark.parametrize("hole", [70_000, 150_000, 400_000])
@pytest.mark.parametrize(("codec", "container", "picture"), [
    ("ac3", "mpegts", False), ("ac3", "mpegts", True), ("libopus", "ogg", False),
    ("flac", "ogg", False),
])  # fmt: skip
def test_a_hole_that_ffmpeg_gives_up_in_costs_its_own_sound_only(
    tmp_path: Path, codec: str, container: str, picture: bool, hole: int
) -> None:
    samples = np.tile(song(24.0), 3)
    made = Sound(samples, 48000 if codec == "libopus" else RATE, codec)
    before, _ = heard(mux(tmp_path / "in", container, made, picture=picture))
    share = hole / (tmp_path / "in").stat().st_size
    after, source = heard(damaged(tmp_path / "in", 0.3, hole, with_noise=False))
    assert len(after) == pytest.approx(len(before), abs=made.rate / 50)
    tail = made.rate
    assert abs(lag(before[-tail:], after[-tail:])) <= made.rate / 500
    assert any("became silence" in text for text in source.warnings)
    silent = (~after.any(axis=1)).mean()
    assert silent == pytest.approx(share, abs=0.1)


def test_a_container_that_breaks_off_says_so(tmp_path: Path) -> None:
    """It does not tell how long it is, and FFmpeg finds no packet behind what is damaged."""
    path = mux(tmp_path / "in", "wv", Sound(WHOLE, RATE, "wavpack"))
    data = path.read_bytes()
    blocks = [at.start() for at in re.finditer(rb"wvpk.{4}[\x02-\x10]\x04", data, re.DOTALL)]
    told = bytearray(data)
    for at in blocks:
        told[at + 12 : at + 16] = b"\xff" * 4  # as in a file that was written to a pipe
    path.write_bytes(told)
    _, source = heard(path)
    assert source.warnings == []
    middle = blocks[len(blocks) // 2]
    path.write_bytes(told[:middle] + bytes(3000) + told[middle + 3000 :])
    got, source = heard(path)
    assert len(got) < 0.8 * len(WHOLE)
    assert "The file is cut off or damaged: nothing can be read behind " in source.warnings[-1]


@pytest.mark.parametrize("kind", ["wv", "tta", "mkv", "wma", "flv"])
def test_a_file_that_is_cut_off_says_how_much_there_is(tmp_path: Path, kind: str) -> None:
    write(tmp_path / "in", kind, WHOLE)
    got, source = heard(cut(tmp_path / "in", 0.6))
    seconds = len(got) / RATE
    assert 0.4 < seconds / SECONDS < 0.7
    said = [text for text in source.warnings if text.startswith("The file ends early: it holds ")]
    assert len(said) == 1
    words = said[0].split()
    assert float(words[6]) == pytest.approx(seconds, abs=0.11)
    assert float(words[8]) == pytest.approx(SECONDS, abs=0.15)


@pytest.mark.parametrize("flags", ["faststart", "frag_keyframe+empty_moov+delay_moov"])
def test_an_mp4_that_is_cut_off(tmp_path: Path, flags: str) -> None:
    options = {"movflags": flags}
    if "frag" in flags:
        options["frag_duration"] = "500000"
    path = mux(tmp_path / "in", "mp4", Sound(WHOLE, RATE, "aac"), options=options)
    got, source = heard(cut(path, 0.5))
    assert 0.4 < len(got) / len(WHOLE) < 0.6
    assert any("ends early" in text or "cut off" in text for text in source.warnings)


def test_a_torn_fragment_is_told_though_nothing_says_how_long_the_file_was(tmp_path: Path) -> None:
    options = {"movflags": "frag_keyframe+empty_moov+delay_moov", "frag_duration": "500000"}
    path = mux(tmp_path / "in", "mp4", Sound(WHOLE, RATE, "aac"), options=options)
    got, source = heard(damaged(path, 0.5, 20_000, with_noise=False))
    assert len(got) < 0.8 * len(WHOLE)
    assert "The file is cut off or damaged: nothing can be read behind " in source.warnings[-1]


def test_half_a_webm_is_never_whole(tmp_path: Path) -> None:
    """The rest of a cluster is lost with the place that is damaged."""
    path = mux(tmp_path / "in", "webm", Sound(song(3.0), 48000, "libopus"))
    got, source = heard(damaged(path, 0.5, 3000))
    assert len(got) < 2.5 * 48000
    assert len(source.warnings) == 1


def test_what_is_mostly_lost_is_refused(tmp_path: Path) -> None:
    path = mux(tmp_path / "in", "matroska", Sound(WHOLE, RATE, "flac"))
    data = bytearray(path.read_bytes())
    for at in range(len(data) // 20, len(data) * 9 // 10, 4000):
        data[at + 1000 : at + 1100] = bytes(100)
    path.write_bytes(data)
    for attempt in (measure(path, 60), decode(path, tmp_path / "mix", 60)):
        with pytest.raises(AudioError, match=r"^Most of the audio cannot be decoded: .+ of .+ s$"):
            finish(attempt)
    assert not (tmp_path / "mix").exists()


@pytest.mark.parametrize("kind", ["m4a", "mkv", "webm", "ogg", "opus", "tta", "wv", "flac", "ts",
                                  "wma", "flv", "avi", "ac3", "aac", "mov", "mpg", "amr", "voc"])
def test_a_sound_file_is_not_complained_of(tmp_path: Path, kind: str) -> None:
    write(tmp_path / "in", kind)
    _, source = heard(tmp_path / "in")
    assert source.warnings == []


def test_a_wrong_checksum_is_minded(tmp_path: Path) -> None:
    """Bytes that decode to something, but not to what was encoded."""
    path = write_sound(tmp_path / "in", WHOLE, format="FLAC")
    got, source = heard(damaged(path, 0.5, 3))
    assert len(source.warnings) >= 1
    assert np.abs(got).max() <= np.abs(WHOLE).max() + 1e-3, "no burst of noise"


@pytest.mark.parametrize("kind", ["m4a", "mkv", "wv", "ape", "mpc", "amr", "tta", "ogg", "ac3",
                                  "flac", "aac"])  # fmt: skip
def test_tags_in_front_of_any_container(tmp_path: Path, kind: str) -> None:
    write(tmp_path / "whole", kind)
    whole, _ = heard(tmp_path / "whole")
    tag = b"ID3\4\0\0\0\0\x10\0" + bytes(2048)
    (tmp_path / "in").write_bytes(tag + (tmp_path / "whole").read_bytes())
    got, source = heard(tmp_path / "in")
    assert np.array_equal(got, whole)
    assert source.warnings == []


def test_silence_of_an_age_ends_at_the_limit(tmp_path: Path) -> None:
    path = mux(tmp_path / "in", "ipod", Sound(song(1.0), RATE, "alac"))
    edits = elst((2**31 - 1, -1), (1000, 0))  # 24 days
    path.write_bytes(with_box(path.read_bytes(), (b"moov", b"trak", b"edts", b"elst"), edits))
    with pytest.raises(AudioTooLong, match=r"^Audio is longer than 60 seconds$"):
        finish(decode(path, tmp_path / "mix", 60))
    assert probe(path, "x").channels == 2
