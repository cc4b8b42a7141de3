"""Every format, rate and number of channels comes out as the right sound, whole and in time."""

from pathlib import Path

import numpy as np
import pytest

from server.audio.decode import decode, measure, probe
from server.audio.sources.sniffing import SUPPORTED_FORMATS
from server.errors import AudioTooLong
from server.work.steps import finish

from .making import RATE, read_mix, sine_fit, song, tone, write_sound
from .writing import BY_HAND, write

SECONDS = 1.5


def ignore(done: float) -> None:
    assert 0 <= done <= 1


def decoded(source: Path, max_seconds: float = 60.0) -> np.ndarray:
    mix = source.with_name("mix.f32")
    frames = finish(decode(source, mix, max_seconds, source.name), ignore).frames
    samples = read_mix(mix)
    assert frames == len(samples)
    assert np.isfinite(samples).all()
    return samples


# What says nothing of the encoder's silence, or is coarse; DSD's is a filter's.
COARSE = ("aac", "wma", "avi", "flv", "mpg", "ts", "ac3", "eac3", "rm", "amr", "dsf", "dff")
ROUGH = {"rm": 0.3, "amr": 0.2, "avi": 0.04, "flv": 0.04}  # LAME scales by 0.97


@pytest.mark.parametrize("kind", SUPPORTED_FORMATS)
def test_every_format_is_recognised_by_its_bytes_and_decoded(tmp_path: Path, kind: str) -> None:
    source = tmp_path / "input"
    rate = write(source, kind)
    by_hand = BY_HAND.get(kind)
    channels = by_hand[1] if by_hand else 1 if kind in ("rm", "amr") else 2
    found = probe(source, "whatever.txt")
    rate = 8 * RATE if kind in ("dsf", "dff") else rate  # as DSD is decoded
    assert (found.format, found.sample_rate, found.channels) == (kind, rate, channels)
    mix = decoded(source)
    if by_hand:
        assert len(mix) > 0.02 * RATE
        assert bool(mix.any()) is by_hand[2]
        return
    if found.seconds is not None:
        assert found.seconds == pytest.approx(SECONDS, abs=0.2)
    length = round(SECONDS * RATE)
    assert len(mix) == pytest.approx(length, abs=4096 if kind in COARSE else 1024)
    rough = ROUGH.get(kind, 0.02)
    for side in (0, 1):
        amplitude, rest = sine_fit(mix[4096 : length - 4096, side], 440)
        assert amplitude == pytest.approx(0.5, rel=max(rough, 0.02))
        assert rest < max(rough / 2, 0.01)


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg", "opus", "mp3", "m4a", "webm"])
def test_sound_is_in_time_with_the_original(tmp_path: Path, kind: str) -> None:
    source = tmp_path / "input"
    write(source, kind)
    mix, original = decoded(source), tone(SECONDS)
    inner = slice(2048, len(original) - 2048)
    # A shift by one sample would leave an error of 0.03.
    assert np.abs(mix[inner] - original[inner]).max() < 0.02


@pytest.mark.parametrize(
    ("subtype", "tolerance"),
    [("PCM_U8", 2**-7), ("PCM_16", 2**-15), ("PCM_24", 2**-23), ("PCM_32", 2**-24),
     ("FLOAT", 0), ("DOUBLE", 0), ("ULAW", 0.02), ("IMA_ADPCM", 0.05)],
)  # fmt: skip
def test_wav_sample_formats(tmp_path: Path, subtype: str, tolerance: float) -> None:
    original = tone(0.5)
    mix = decoded(write_sound(tmp_path / "input", original, format="WAV", subtype=subtype))
    start = 500 if "ADPCM" in subtype else 0  # its steps adapt first
    assert np.abs(mix[: len(original)] - original)[start:].max() <= tolerance


@pytest.mark.parametrize("container", ["WAVEX", "RF64", "W64"])
def test_other_kinds_of_wav(tmp_path: Path, container: str) -> None:
    original = song(0.2)
    source = write_sound(tmp_path / "input", original, format=container, subtype="FLOAT")
    assert probe(source, "").format == "wav"
    assert np.array_equal(decoded(source), original)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 32000, 44056, 48000, 96000, 192000, 384000])
def test_any_rate_is_resampled(tmp_path: Path, rate: int) -> None:
    frames = rate * 2 + 7
    original = tone(frames / rate, rate, hz=1000)
    mix = decoded(write_sound(tmp_path / "input", original, rate, format="WAV", subtype="FLOAT"))
    assert len(mix) == round(frames * RATE / rate)
    amplitude, rest = sine_fit(mix[:, 0], 1000)
    assert amplitude == pytest.approx(0.5, rel=1e-4)
    assert rest < 1e-4


def test_frequencies_that_cannot_be_kept_do_not_fold_back(tmp_path: Path) -> None:
    original = tone(1, 96000, hz=30000)
    mix = decoded(write_sound(tmp_path / "input", original, 96000, format="WAV"))
    assert np.abs(mix[2000:-2000]).max() < 1e-3


def test_mono_is_the_same_on_both_sides(tmp_path: Path) -> None:
    original = tone(0.3, channels=1)
    mix = decoded(write_sound(tmp_path / "input", original, format="WAV", subtype="FLOAT"))
    assert np.array_equal(mix, np.repeat(original, 2, axis=1))


@pytest.mark.parametrize("channels", range(3, 9))
@pytest.mark.parametrize("container", ["WAV", "FLAC"])
def test_more_channels_are_mixed_down(tmp_path: Path, channels: int, container: str) -> None:
    original = np.zeros((4000, channels), np.float32)
    original[:, 0] = 0.5  # front left
    source = write_sound(tmp_path / "input", original, format=container)
    assert probe(source, "").channels == channels
    mix = decoded(source)
    assert mix[:, 0].min() > 0.1
    assert not mix[:, 1].any()


def test_96_khz_with_six_channels(tmp_path: Path) -> None:
    original = tone(1, 96000, channels=6)
    source = write_sound(tmp_path / "input", original, 96000, format="WAVEX", subtype="PCM_24")
    mix = decoded(source)
    assert len(mix) == RATE
    # Left, centre and left surround agree, so the mix, which cannot clip, has their level.
    assert sine_fit(mix[:, 0], 440)[0] == pytest.approx(0.5, rel=1e-3)


def test_mp3_of_variable_bit_rate_without_an_index_is_read_whole(tmp_path: Path) -> None:
    loud = 0.2 * np.random.default_rng(0).standard_normal((3 * RATE, 2))
    original = np.concatenate([loud, np.zeros_like(loud)]).astype(np.float32)
    path = write_sound(
        tmp_path / "full", original, format="MP3", bitrate_mode="VARIABLE", compression_level=0.5
    )
    data = path.read_bytes()
    assert b"Xing" in data[:100]
    source = tmp_path / "input"
    source.write_bytes(data[data.index(data[:2], 100) :])  # the first frame held the index
    assert len(decoded(source)) == pytest.approx(len(original), abs=2304)


def test_a_picture_in_front_of_the_sound_is_skipped(tmp_path: Path) -> None:
    mp3 = write_sound(tmp_path / "mp3", tone(SECONDS), format="MP3").read_bytes()
    size = 300_000
    tag = b"ID3\x04\0\0" + bytes(size >> shift & 127 for shift in (21, 14, 7, 0)) + bytes(size)
    source = tmp_path / "input"
    source.write_bytes(tag + mp3)
    assert probe(source, "a.mp3").format == "mp3"
    assert len(decoded(source)) == pytest.approx(SECONDS * RATE, abs=2304)


@pytest.mark.parametrize("percent", [15, 30, 50, 75, 99])
@pytest.mark.parametrize("kind", ["mp3", "flac", "wav", "aiff", "ogg", "opus", "aac", "webm"])
def test_a_truncated_file_gives_what_it_holds(tmp_path: Path, kind: str, percent: int) -> None:
    source, seconds = tmp_path / "input", 8
    write(source, kind, song(seconds))
    data = source.read_bytes()
    source.write_bytes(data[: len(data) * percent // 100])
    share = len(decoded(source)) / (seconds * RATE)
    assert share == pytest.approx(percent / 100, abs=0.15)  # Ogg pages are a second long


def test_length_limit_counts_decoded_samples(tmp_path: Path) -> None:
    source = write_sound(tmp_path / "input", tone(2.0, 48000), 48000, format="FLAC")
    assert len(decoded(source, max_seconds=2.0)) == 2 * RATE
    with pytest.raises(AudioTooLong, match=r"^Audio is longer than 1\.99 seconds$"):
        decoded(source, max_seconds=1.99)
    assert not list(tmp_path.glob("*.part"))


def test_progress_grows_to_the_end(tmp_path: Path) -> None:
    source = write_sound(tmp_path / "input", tone(5.0), format="WAV")
    heard: list[float] = []
    finish(decode(source, tmp_path / "mix.f32", 60), heard.append)
    assert heard == sorted(heard)
    assert len(heard) > 5
    assert heard[-1] == 1.0


@pytest.mark.parametrize(("rate", "kind", "subtype"), [
    (44100, "WAV", "PCM_16"), (8000, "FLAC", "PCM_16"), (48000, "MP3", "MPEG_LAYER_III"),
    (96000, "WAV", "FLOAT"),
])
def test_what_is_measured_is_what_is_decoded(
    tmp_path: Path, rate: int, kind: str, subtype: str
) -> None:
    source = write_sound(tmp_path / "in", song(2.7), rate=rate, format=kind, subtype=subtype)
    frames = finish(measure(source, 60), ignore)
    assert [path.name for path in tmp_path.iterdir()] == ["in"], "nothing is written"
    assert frames == len(decoded(source))
    assert frames == pytest.approx(2.7 * RATE * RATE / rate, abs=3000)
    for limit in (frames / RATE - 0.01, 0.001):
        with pytest.raises(AudioTooLong):
            finish(measure(source, limit), ignore)


@pytest.mark.parametrize("percent", [30, 80])
def test_a_truncated_file_is_as_long_as_what_it_holds(tmp_path: Path, percent: int) -> None:
    source = write_sound(tmp_path / "in", song(3), format="FLAC")
    data = source.read_bytes()
    source.write_bytes(data[: len(data) * percent // 100])
    assert 0 < finish(measure(source, 60)) == len(decoded(source)) < 3 * RATE


@pytest.mark.parametrize(("frames", "rate"), [(1, 96000), (2, 192000)])
def test_less_than_a_frame_is_a_song(tmp_path: Path, frames: int, rate: int) -> None:
    source = tmp_path / "input.wav"
    write_sound(source, np.full((frames, 2), 0.25, np.float32), rate)
    assert len(decoded(source)) == finish(measure(source, 60.0), ignore) == 1
