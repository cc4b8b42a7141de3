"""DTS and AC-3 that pose as samples are decoded, never played; sound is never taken for them."""

import struct
from pathlib import Path

import numpy as np
import pytest

from server.audio.decode import measure, probe
from server.audio.sources.opening import open_source
from server.errors import AudioError
from server.work.steps import finish

from ..making import RATE, song, tone, write_sound
from .coded import FRAME, ac3, bursts, decoded, dts, fourteen
from .reading import chunk, form, read

FRAMES = 90


@pytest.fixture(scope="module")
def stream() -> bytes:
    return dts(FRAMES)


@pytest.fixture(scope="module")
def wanted(stream: bytes) -> np.ndarray:
    samples = decoded("dca", stream)
    assert samples.shape == (FRAMES * FRAME, 2)
    assert 0.02 < samples.std() < 0.3
    return samples


def written(path: Path, words: bytes, order: str = "<", silence: int = 0, channels: int = 2,
            format: str = "WAV", subtype: str = "PCM_16") -> Path:  # fmt: skip
    """A file whose samples are these words, behind some frames of silence."""
    words += bytes(-len(words) % (2 * channels))
    samples = np.frombuffer(words, f"{order}i2").reshape(-1, channels).astype(np.int16)
    samples = np.concatenate([np.zeros((silence, channels), np.int16), samples])
    if subtype != "PCM_16":
        return write_sound(path, samples / 32768, format=format, subtype=subtype)
    return write_sound(path, samples, format=format, subtype=subtype)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("bits", [16, 14])
@pytest.mark.parametrize("silence", [0, 1, 12_345, 8 * RATE])
@pytest.mark.parametrize("format", ["WAV", "AIFF", "FLAC", "W64", "CAF"])
def test_dts(
    tmp_path: Path, stream: bytes, wanted: np.ndarray, format: str, silence: int, bits: int,
    order: str,
) -> None:  # fmt: skip
    words = stream if bits == 16 else fourteen(stream)
    path = written(tmp_path / "x", words, order, silence, format=format)
    samples, rate, _ = read(path)
    assert rate == RATE
    assert not samples[:silence].any()
    assert np.array_equal(samples[silence:], wanted)


@pytest.mark.parametrize("size", [512, 1006, 2048, 4096])
@pytest.mark.parametrize("bits", [16, 14])
def test_frames_of_any_size(tmp_path: Path, size: int, bits: int) -> None:
    stream = dts(FRAMES, size)
    words = stream if bits == 16 else fourteen(stream, size)
    assert np.array_equal(read(written(tmp_path / "x", words))[0], decoded("dca", stream))


@pytest.mark.parametrize(("channels", "subtype"), [(1, "PCM_16"), (6, "PCM_16"), (2, "PCM_24"),
                                                   (2, "PCM_32"), (2, "FLOAT")])  # fmt: skip
def test_samples_of_any_kind(
    tmp_path: Path, stream: bytes, wanted: np.ndarray, channels: int, subtype: str
) -> None:
    path = written(tmp_path / "x", stream, channels=channels, subtype=subtype)
    assert np.array_equal(read(path)[0], wanted)


@pytest.mark.parametrize("cut", [1, 100, 1500])
def test_a_first_frame_that_was_cut_is_silent(
    tmp_path: Path, stream: bytes, wanted: np.ndarray, cut: int
) -> None:
    samples = read(written(tmp_path / "x", stream[4 * cut :], silence=1000))[0]
    whole = len(wanted) - -(-cut // FRAME) * FRAME  # frames whose beginning is there
    assert not samples[:-whole].any()
    assert len(samples) == 1000 + whole + -cut % FRAME
    assert np.array_equal(samples[-80 * FRAME :], wanted[-80 * FRAME :])


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("silence", [0, 5000])
def test_dts_in_bursts(
    tmp_path: Path, stream: bytes, wanted: np.ndarray, silence: int, order: str
) -> None:
    frames = [stream[at : at + 2048] for at in range(0, len(stream), 2048)]
    small = dts(FRAMES, 1000)
    tight = bursts([small[at : at + 1000] for at in range(0, len(small), 1000)], 11, FRAME)
    for words, sound in ((bursts(frames, 12, 1024), wanted), (tight, decoded("dca", small))):
        samples = read(written(tmp_path / "x", words, order, silence))[0]
        assert not samples[:silence].any()
        assert np.array_equal(samples[silence:], sound)


def test_pauses_in_bursts_are_no_sound(tmp_path: Path, stream: bytes, wanted: np.ndarray) -> None:
    frames = [stream[at : at + 2048] for at in range(0, len(stream), 2048)]
    words = bursts([b"\0\0\0\0"] * 300, 3, 64) + bursts(frames, 12, 1024)
    samples = read(written(tmp_path / "x", words))[0]
    assert np.array_equal(samples[-len(wanted) :], wanted)
    assert np.abs(samples[: -len(wanted)]).max(initial=0) == 0, "no noise"


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("burst", [True, False])
@pytest.mark.parametrize(("rate", "kbits"), [(48000, 448), (44100, 192), (32000, 96)])
@pytest.mark.parametrize("codec", ["ac3", "eac3"])
def test_ac3(tmp_path: Path, codec: str, rate: int, kbits: int, burst: bool, order: str) -> None:
    frames = ac3(song(3), rate, kbits, codec)
    words = b"".join(frames)
    if burst:
        words = bursts(frames, *((1, 1536) if codec == "ac3" else (21, 6144, 8)))
    path = written(tmp_path / "x", words, order)
    samples, found, _ = read(path)
    assert found == rate
    assert np.array_equal(samples, decoded(codec, b"".join(frames)))
    assert np.corrcoef(samples[256:100_256, 0], song(3)[:100_000, 0])[0, 1] > 0.95


def test_what_is_measured_is_what_is_decoded(
    tmp_path: Path, stream: bytes, wanted: np.ndarray
) -> None:
    path = written(tmp_path / "x", stream)
    assert finish(measure(path, 60)) == len(wanted)
    found = probe(path, "x")
    assert (found.format, found.sample_rate, found.channels) == ("wav", RATE, 2)


def test_sound_in_front_of_it_stays(tmp_path: Path, stream: bytes, wanted: np.ndarray) -> None:
    intro = (song(30) * 16000).astype("<i2")
    intro[-FRAME:] = 0
    samples = read(written(tmp_path / "x", intro[: 5 * RATE].tobytes() + bytes(4000) + stream))[0]
    assert np.array_equal(samples[: 5 * RATE], (intro[: 5 * RATE] / 32768).astype(np.float32))
    assert np.array_equal(samples[5 * RATE + 1000 :], wanted)


def test_what_cannot_be_decoded_is_named(tmp_path: Path) -> None:
    broken = bytearray(dts(FRAMES))
    for at in range(0, len(broken), 2048):
        broken[at + 6 : at + 2048] = bytes([0xFF]) * 2042
    with pytest.raises(AudioError, match="DTS"):
        probe(written(tmp_path / "x", bytes(broken)), "x.wav")
    for kind, name in ((22, "TrueHD"), (30, "data of type 30 in S/PDIF")):
        with pytest.raises(AudioError, match=f"^The file holds {name}, which cannot be decoded$"):
            probe(written(tmp_path / "x", bursts([b"\1" * 500] * 50, kind, 2000)), "x.wav")


def test_damage_within_costs_only_its_own_sound(
    tmp_path: Path, stream: bytes, wanted: np.ndarray
) -> None:
    broken = bytearray(stream)
    broken[40 * 2048 : 42 * 2048] = np.random.default_rng(0).bytes(2 * 2048)
    samples = read(written(tmp_path / "x", bytes(broken)))[0]
    assert np.array_equal(samples[: 39 * FRAME], wanted[: 39 * FRAME])
    assert np.array_equal(samples[-45 * FRAME :], wanted[-45 * FRAME :])
    assert np.abs(samples).max() < 2 * np.abs(wanted).max(), "no noise"


def sounds() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    square = np.where(np.arange(6 * RATE) // 50 % 2, 32766, -32767)
    saw = np.arange(6 * RATE) * 37 % 65536 - 32768
    lone = random.integers(-32768, 32768, 6 * RATE)
    for at in (1000, 3024, 9000, 20_000):
        lone[at : at + 3] = (0x7FFE, 0x8001 - 65536, 0xFC3C - 65536)
    every = np.tile(np.array([0x7FFE, -0x7FFF, 0x1FFF, -0x1800, 0xB77, 0x7F0]), RATE)
    return {
        "noise": random.integers(-32768, 32768, 6 * RATE), "square": square, "saw": saw,
        "loud": np.clip(song(6)[:, 0] * 4e5, -32768, 32767), "music": song(6)[:, 0] * 30_000,
        "sine": tone(6)[:, 0] * 65534, "lone sync words": lone, "the words in a loop": every,
        "a constant": np.full(6 * RATE, 0x0B77), "another": np.full(6 * RATE, 0x7FFE),
        "small": random.integers(-3, 4, 6 * RATE),
    }  # fmt: skip


@pytest.mark.parametrize("name", sounds())
@pytest.mark.parametrize("channels", [1, 2])
def test_sound_is_never_taken_for_it(tmp_path: Path, name: str, channels: int) -> None:
    samples = np.repeat(sounds()[name].astype(np.int16)[:, None], channels, axis=1)
    path = write_sound(tmp_path / "x", samples, format="WAV")
    with open_source(path, "x") as source:
        found = np.concatenate([chunk.samples for chunk in source.chunks()])
        assert source.warnings == []
    assert np.array_equal(found, (samples / 32768).astype(np.float32))


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("bits", [16, 14])
def test_dts_without_any_container(
    tmp_path: Path, stream: bytes, wanted: np.ndarray, bits: int, swap: bool
) -> None:
    words = stream if bits == 16 else fourteen(stream)
    path = tmp_path / "x"
    path.write_bytes(np.frombuffer(words, np.uint16).byteswap().tobytes() if swap else words)
    assert np.array_equal(read(path)[0], wanted)
    assert probe(path, "x").format == "dts"


@pytest.mark.parametrize(("tag", "codec"), [(0x2001, "dca"), (0x2000, "ac3")])
def test_a_wav_that_says_what_it_holds(tmp_path: Path, tag: int, codec: str) -> None:
    coded = dts(FRAMES) if codec == "dca" else b"".join(ac3(song(2), 48000, 384))
    fmt = struct.pack("<HHIIHHH", tag, 2, RATE, 176_400, 2048, 0, 0)
    path = tmp_path / "x"
    path.write_bytes(form(b"RIFF", b"WAVE", chunk(b"fmt ", fmt) + chunk(b"data", coded)))
    assert np.array_equal(read(path)[0], decoded(codec, coded))


def test_silence_between_and_behind_keeps_its_length(
    tmp_path: Path, stream: bytes, wanted: np.ndarray
) -> None:
    pause = 10 * RATE
    samples = read(written(tmp_path / "x", (stream + bytes(4 * pause)) * 2))[0]
    total = 2 * (len(wanted) + pause)
    assert len(samples) == pytest.approx(total, abs=4 << 14)  # a block may be part of either
    assert np.array_equal(samples[: len(wanted)], wanted)
    assert not samples[len(wanted) : len(wanted) + pause - (2 << 14)].any()
    second = np.flatnonzero(samples[len(wanted) :].any(axis=1))[0] + len(wanted)
    start = np.flatnonzero(wanted.any(axis=1))[0]
    assert np.array_equal(samples[second : second + len(wanted) - start], wanted[start:])
