"""Most of a file overwritten, or a part of it in formats without a clock: told, or refused."""

from pathlib import Path

import numpy as np
import pytest

from server.audio.sources.timing.holes import Holes
from server.errors import AudioError

from ..making import RATE, song
from ..writing import write
from . import coded
from .muxing import Sound, heard, mux

WHOLE = song(16.0)


def zeroed(path: Path, first: float, last: float) -> Path:
    data = bytearray(path.read_bytes())
    begin, end = int(len(data) * first), int(len(data) * last)
    data[begin:end] = bytes(end - begin)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("kind", ["mp3", "flac", "mkv", "wma", "opus", "ogg", "ts", "flv",
                                  "mpg", "ac3"])  # fmt: skip
def test_a_file_that_is_mostly_zeros_is_refused(tmp_path: Path, kind: str) -> None:
    write(tmp_path / "in", kind, WHOLE)
    with pytest.raises(AudioError, match=r"^Most of the audio cannot be decoded: .+ of .+ s$"):
        heard(zeroed(tmp_path / "in", 0.2, 0.85))


@pytest.mark.parametrize(("codec", "container"), [
    ("mp2", "mp2"), ("libmp3lame", "wav"),
])  # fmt: skip
def test_so_is_mpeg_audio_of_any_kind(tmp_path: Path, codec: str, container: str) -> None:
    path = mux(tmp_path / "in", container, Sound(WHOLE, RATE, codec))
    with pytest.raises(AudioError, match=r"^Most of the audio cannot be decoded: "):
        heard(zeroed(path, 0.1, 0.9))


@pytest.mark.parametrize("at", [0.75, 0.7512])
def test_dts_in_a_hole_is_silent_and_mostly_zeros_are_refused(tmp_path: Path, at: float) -> None:
    path = tmp_path / "in"
    path.write_bytes(coded.dts(200))
    before, _ = heard(path)
    after, source = heard(zeroed(path, 0.5, at))
    assert len(after) == pytest.approx(len(before), abs=coded.FRAME)
    assert np.array_equal(after[-coded.FRAME * 40 :], before[-coded.FRAME * 40 :])
    assert "damaged frames of DTS are silent" in source.warnings[0]
    with pytest.raises(AudioError, match=r"^Most of the audio cannot be decoded: "):
        heard(zeroed(path, 0.2, 0.9))


@pytest.mark.parametrize("kind", ["thd", "mlp"])
def test_truehd_in_a_hole_is_silent(tmp_path: Path, kind: str) -> None:
    rate = write(tmp_path / "in", kind)
    (tmp_path / "in").write_bytes((tmp_path / "in").read_bytes() * 8)
    before, _ = heard(tmp_path / "in")
    after, source = heard(zeroed(tmp_path / "in", 0.45, 0.7))
    assert len(after) == pytest.approx(len(before), abs=rate / 50)
    assert "became silence" in source.warnings[0]


@pytest.mark.parametrize(("codec", "container"), [
    ("aac", "matroska"), ("libopus", "webm"), ("libopus", "ogg"), ("aac", "flv"),
])  # fmt: skip
def test_a_recorder_that_was_paused_lost_nothing(
    tmp_path: Path, codec: str, container: str
) -> None:
    """Three quarters of its time have no packets, nor bytes."""
    made = Sound(WHOLE, 48000 if codec == "libopus" else RATE, codec,
                 lost=lambda number: 100 <= number < 550)  # fmt: skip
    options = {"page_duration": "20000"} if container == "ogg" else None
    got, source = heard(mux(tmp_path / "in", container, made, options=options))
    assert len(got) > 12 * RATE
    assert len(source.warnings) == 1
    assert "of the file's time hold no sound and became silence" in source.warnings[0]


def test_holes_are_judged_by_what_sound_takes() -> None:
    def torn(places: list[tuple[int, float]]) -> list[bool]:
        holes = Holes()
        return [holes.is_damage(at, start, 1.0) for at, start in places]

    begin = [(0, 0.0), (1000, 1.0), (2000, 2.0)]
    assert not any(torn([*begin, (3000, 9.0)])), "a pause"
    assert torn([*begin, (10_000, 9.0)])[-1], "a hole"
    assert not any(torn([*begin, (5000, 20.0)])), "too few bytes for so much"
    assert not any(torn([*begin, (10_000, 3.0), (11_000, 4.0)])), "no gap"
    assert torn([*begin, (10_000, 3.0), (10_000, 11.0)])[-1], "the gap stands in the next page"
    assert not any(torn([(0, 0.0), (20, 1.0), (40, 2.0), (4040, 3.0), (8040, 9.0)])), "louder"


@pytest.mark.parametrize("codec", ["pcm_s16le", "libmp3lame"])
def test_an_avi_says_how_much_there_should_be(tmp_path: Path, codec: str) -> None:
    path = mux(tmp_path / "in", "avi", Sound(WHOLE, RATE, codec))
    _, source = heard(path)
    assert source.warnings == []
    after, source = heard(zeroed(path, 0.4, 0.6))
    assert source.warnings == [
        f"The file ends early: it holds {len(after) / RATE:.1f} of 16.0 s"
    ]  # fmt: skip


def test_an_avi_that_was_written_to_a_pipe_says_nothing(tmp_path: Path) -> None:
    path = mux(tmp_path / "in", "avi", Sound(song(3.0), RATE, "libmp3lame"))
    data = path.read_bytes()
    at = data.index(b"auds") + 28
    for length in (0, 1 << 30):
        path.write_bytes(data[:at] + length.to_bytes(4, "little") + data[at + 4 :])
        assert heard(path)[1].warnings == []


def test_a_realmedia_says_how_much_there_should_be(tmp_path: Path) -> None:
    write(tmp_path / "in", "rm", WHOLE[: 8000 * 8])
    data = bytearray((tmp_path / "in").read_bytes())
    at = data.index(b"MDPR") + 8 + 2 + 2 + 4 * 6
    data[at : at + 4] = (8000).to_bytes(4, "big")  # ms; FFmpeg leaves it out
    (tmp_path / "in").write_bytes(data)
    assert heard(tmp_path / "in")[1].warnings == []
    _, source = heard(zeroed(tmp_path / "in", 0.4, 0.7))
    assert source.warnings[-1].startswith("The file ends early: it holds 5.")
    assert source.warnings[-1].endswith(" of 8.0 s")


def test_adts_says_how_much_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "in"
    write(path, "aac", WHOLE)
    whole = path.read_bytes()
    _, source = heard(zeroed(path, 0.4, 0.6))
    about = [float(text.split()[1]) for text in source.warnings if text.startswith("About ")]
    assert about == [pytest.approx(0.2 * 16, abs=0.5)]
    path.write_bytes(whole)
    with pytest.raises(AudioError, match=r"^Most of the audio cannot be decoded: "):
        heard(zeroed(path, 0.2, 0.9))


def test_tags_between_and_behind_adts_are_not_damage(tmp_path: Path) -> None:
    write(tmp_path / "in", "aac", song(3.0))
    whole = (tmp_path / "in").read_bytes()
    tag = b"ID3\4\0\0\0\0\x40\0" + bytes(8192)
    (tmp_path / "in").write_bytes(tag + whole + tag + whole + b"TAG" + bytes(125))
    assert not [text for text in heard(tmp_path / "in")[1].warnings if text.startswith("About")]
