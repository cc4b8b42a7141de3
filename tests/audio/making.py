"""Makes the songs and files of these tests, and measures what came of them."""

from pathlib import Path

import av
import numpy as np
import soundfile

from server.work.scratch import FrameReader

RATE = 44100


def tone(seconds: float, rate: int = RATE, channels: int = 2, hz: float = 440.0) -> np.ndarray:
    """A sine at half of full scale: float32 of shape (frames, channels)."""
    wave = 0.5 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)
    return np.repeat(wave[:, None], channels, axis=1).astype(np.float32)


def song(seconds: float, seed: int = 0) -> np.ndarray:
    """Stereo with harmonic, percussive and noisy parts: float32 of shape (frames, 2)."""
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    chord = sum(np.sin(2 * np.pi * hz * time) for hz in (220.0, 277.2, 329.6))
    clicks = random.standard_normal(len(time)) * np.exp(-60 * (time % 0.25))
    left, right = 0.1 * chord + 0.2 * clicks, 0.12 * chord + 0.15 * clicks
    noise = 0.005 * random.standard_normal((len(time), 2))
    return (np.stack([left, right], axis=1) + noise).astype(np.float32)


def write_sound(path: Path, samples: np.ndarray, rate: int = RATE, **how: object) -> Path:
    """Writes by libsndfile, in blocks (it crashes on long Vorbis files written at once)."""
    with soundfile.SoundFile(path, "w", rate, samples.shape[1], **how) as file:
        for start in range(0, len(samples), 16384):
            file.write(samples[start : start + 16384])
    return path


def write_av(path: Path, samples: np.ndarray, rate: int, codec: str, container: str) -> Path:
    """Writes one or two channels by FFmpeg, in the samples that the codec wants."""
    layout = "mono" if samples.shape[1] == 1 else "stereo"
    with av.open(str(path), "w", format=container) as file:
        stream = file.add_stream(codec, rate=rate, layout=layout)
        context = stream.codec_context
        context.format = context.codec.audio_formats[0]
        if codec != "libopencore_amrnb":
            stream.bit_rate = 192_000
        else:
            stream.bit_rate = 12_200
        context.open()
        step = context.frame_size or 4096
        for start in range(0, len(samples), step):
            block = as_format(samples[start : start + step], context.format.name)
            frame = av.AudioFrame.from_ndarray(block, format=context.format.name, layout=layout)
            frame.sample_rate, frame.pts = rate, start
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def as_format(samples: np.ndarray, name: str) -> np.ndarray:
    """Samples in one of FFmpeg's formats: of a plane each, or a single row."""
    if name.startswith("flt"):
        data = samples.astype(np.float32)
    elif name.startswith("u8"):
        data = np.round(samples * 127 + 128).astype(np.uint8)
    else:
        dtype = np.int16 if name.startswith("s16") else np.int32
        data = np.round(samples.astype(np.float64) * np.iinfo(dtype).max).astype(dtype)
    return np.ascontiguousarray(data.T if name.endswith("p") else data.reshape(1, -1))


def read_mix(path: Path) -> np.ndarray:
    """A scratch file whole: float32 of shape (frames, 2)."""
    with FrameReader(path) as reader:
        return reader.read(0, reader.frames)


def write_mix(path: Path, samples: np.ndarray) -> Path:
    """A scratch file from float32 of shape (frames, 2)."""
    path.write_bytes(samples.astype("<f4").tobytes())
    return path


def sine_fit(samples: np.ndarray, hz: float, rate: int = RATE) -> tuple[float, float]:
    """Amplitude of the sine at `hz` in a mono signal, and what is left over (RMS), least squares.

    The first and last 50 ms are left out: encoders and filters fade there.
    """
    edge = rate // 20
    inner = samples[edge:-edge].astype(np.float64)
    phase = 2 * np.pi * hz * np.arange(len(inner)) / rate
    basis = np.stack([np.sin(phase), np.cos(phase)], axis=1)
    weights, *_ = np.linalg.lstsq(basis, inner, rcond=None)
    return float(np.hypot(*weights)), float(np.sqrt(np.mean((inner - basis @ weights) ** 2)))


def snr(wanted: np.ndarray, got: np.ndarray) -> float:
    """Signal to error, in dB."""
    return float(10 * np.log10((wanted**2).sum() / ((wanted - got) ** 2).sum()))
