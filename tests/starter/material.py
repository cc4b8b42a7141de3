"""Made-up material, in packages unpacked below a folder, as tests find it."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import lfilter
from scipy.signal.windows import tukey

SR = 44100


def tone(seconds: float, hertz: float = 330.0, sr: int = SR, gain: float = 0.3) -> np.ndarray:
    """A stereo tone (n, 2), the sides in quadrature."""
    turn = 2 * np.pi * hertz * np.arange(round(seconds * sr)) / sr
    return gain * np.stack([np.sin(turn), np.cos(turn)], axis=1)


def babble(words: int, hertz: float = 120.0, sr: int = SR) -> np.ndarray:
    """Something like speech, mono (n,): pulses through two resonances, a vowel after a hiss."""
    rng = np.random.default_rng(round(hertz))
    said = []
    for _ in range(words):
        hiss = 0.02 * rng.standard_normal(int(0.06 * sr))
        pulses = np.zeros(int(0.3 * sr))
        pulses[:: round(sr / (hertz * rng.uniform(0.95, 1.05)))] = 1.0
        vowel = pulses
        for centre in (rng.uniform(300, 800), rng.uniform(900, 2200)):
            pole = 0.985 * np.exp(2j * np.pi * centre / sr)
            vowel = lfilter([1.0], [1.0, -2 * pole.real, abs(pole) ** 2], vowel)
        swell = tukey(len(vowel), 0.3) / np.abs(vowel).max()
        said += [hiss, 0.4 * vowel * swell, np.zeros(int(0.08 * sr))]
    return np.concatenate(said)


def write_sound(path: Path, sound: np.ndarray, sr: int = SR) -> Path:
    """A sound file, its folders made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound, sr)
    return path


def zipped(path: Path, files: dict[str, Path]) -> Path:
    """A ZIP archive of files under other names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, file in files.items():
            archive.write(file, name)
    return path


def midi(*tracks: bytes, division: int = 480) -> bytes:
    """A Standard MIDI File of format 1."""
    head = struct.pack(">4sIHHH", b"MThd", 6, 1, len(tracks), division)
    return head + b"".join(b"MTrk" + struct.pack(">I", len(x)) + x for x in tracks)


def line(channel: int, program: int, keys: list[int], ticks: int = 240) -> bytes:
    """A MIDI track: a program, then keys one after the other, by running status."""
    events = bytes((0, 0xC0 | channel, program, 0, 0x90 | channel, keys[0], 100))
    for key, following in zip(keys, [*keys[1:], None], strict=True):
        events += quantity(ticks) + bytes((key, 0))
        if following is not None:
            events += bytes((0, following, 100))
    return events + b"\x00\xff\x2f\x00"


def quantity(value: int) -> bytes:
    """A number of variable length."""
    groups = [value & 0x7F]
    while value := value >> 7:
        groups.append(value & 0x7F | 0x80)
    return bytes(reversed(groups))


def wad(lumps: dict[str, bytes]) -> bytes:
    """A WAD archive."""
    body, entries = b"", b""
    for name, data in lumps.items():
        entries += struct.pack("<II8s", 12 + len(body), len(data), name.encode())
        body += data
    return struct.pack("<4sII", b"IWAD", len(lumps), 12 + len(body)) + body + entries


def drumkit(
    folder: Path, drums: dict[str, list[tuple[float, float]]], layered: bool = True
) -> Path:
    """A Hydrogen kit: drums by name, each with (top velocity, frequency) of its layers."""
    text = "<drumkit_info xmlns='http://www.hydrogen-music.org/drumkit'><instrumentList>"
    for name, layers in drums.items():
        text += f"<instrument><name>{name}</name>"
        for top, hertz in layers:
            file = write_sound(folder / f"{name}-{hertz:g}.wav".replace(" ", ""), tone(0.2, hertz))
            inner = f"<filename>{file.name}</filename><max>{top}</max>"
            text += f"<layer>{inner}</layer>" if layered else inner
        text += "</instrument>"
    (folder / "drumkit.xml").write_text(text + "</instrumentList></drumkit_info>")
    return folder
