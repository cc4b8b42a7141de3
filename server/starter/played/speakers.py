"""Owns speakers, synthesised and recorded: which there are, what they say, and its analysis,
kept on disk.

The synthesisers (commands), the recordings (packages) and pyworld may be missing; see `available`.
Knows the vocoder WORLD; nothing of notes or songs.
"""

from __future__ import annotations

import hashlib
import importlib.machinery
import importlib.util
import os
import shutil
import subprocess
import tempfile
import zlib
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import soundfile
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks
from tqdm import tqdm

from server.starter.recorded.people import PEOPLE, Person, files, speech

RATE = 200  # frames of analysis and synthesis in a second
POINTS = 96  # frequencies at which a frame is kept, evenly on the mel scale
WORDS = 75  # spoken by a voice, some 40 s
RECIPE = 1  # count up when what is analysed, or how it is kept, changes
ONSETS = "b br ch d dr f fl g gl h j k kr l m n p pl r s sh sk st t tr v w y z   "
NUCLEI = "a e i o u a o ai au ee oo ea"
CODAS = "l m n r s t nd ng st            "
FESTIVAL = Path("/usr/share/festival/voices")


class Voice(NamedTuple):
    """A speaker of a synthesiser or of recordings, and the MIDI pitches between which it sings."""

    name: str
    kind: str  # espeak, flite, festival or recorded
    variant: str  # what its command calls the voice
    low: int
    high: int
    heard: bool = True  # False: kept from training, for tests on voices never heard


class Material(NamedTuple):
    """What a voice said, as WORLD's parameters: f0 (frames,) in Hz, 0 where unvoiced; level and
    noise (frames, POINTS), log power and aperiodicity from 0 Hz to `edge`; cuts (syllables, 4),
    the first frame, the first and last of the vowel, and the end of each syllable."""

    edge: float
    f0: np.ndarray
    level: np.ndarray
    noise: np.ndarray
    cuts: np.ndarray


def espeak(low: int, high: int, variants: str) -> tuple[Voice, ...]:
    """Voices of eSpeak NG with one range; its voices are a language and a speaker."""
    return tuple(Voice(f"espeak-{v}", "espeak", v, low, high) for v in variants.split())


def recorded(person: Person) -> Voice:
    """A recorded speaker, who sings from a bit below the pitch of speech to an octave and a half
    above it."""
    low = round(69.0 + 12.0 * np.log2(person.hertz / 440.0)) - 2
    return Voice(person.name, "recorded", person.name, low, low + 20, person.heard)


VOICES = (
    *espeak(38, 57, "en-us+m8 de+david en+quincy nl+paul en-us+Storm"),
    *espeak(43, 63, "en-us+m1 en+m3 es+Diogo fr+m4 it+m5 pt-br+Marco pl+m2 de+klatt4"),
    *espeak(45, 66, "en-us+Hugo sv+gustave fi+m7 ro+pablo tr+rob en-gb-scotland+ed cs+john"),
    *espeak(48, 69, "es-419+miguel vi+Nguyen en-us+adam id+Tweaky"),
    *espeak(53, 73, "en-us+f1 fr+f4 it+aunty nl+shelby hu+steph da+f2"),
    *espeak(56, 77, "en+f3 es+f5 sv+belinda pt-br+linda en-us+Annie pl+Andrea sw+Alicia"),
    *espeak(60, 81, "ca+anika en-us+zac"),
    Voice("flite-kal", "flite", "kal16", 43, 63),
    Voice("flite-awb", "flite", "awb", 46, 66),
    Voice("festival-ked", "festival", "ked_diphone", 43, 63),
    Voice("festival-lp", "festival", "lp_diphone", 53, 73),
    Voice("festival-dita", "festival", "czech_dita", 55, 75),
    Voice("flite-rms", "flite", "rms", 42, 62, heard=False),
    Voice("flite-slt", "flite", "slt", 55, 76, heard=False),
    *map(recorded, PEOPLE),
)
PERSONS = MappingProxyType({person.name: person for person in PEOPLE})


def available(voice: Voice) -> bool:
    """Whether this machine can make `voice` sing: what speaks, its voice and pyworld are there."""
    if importlib.util.find_spec("pyworld") is None:
        return False
    if voice.kind == "recorded":
        return bool(files(PERSONS[voice.variant]))
    if not shutil.which(command(voice, "")[0]):
        return False
    return voice.kind != "festival" or any(FESTIVAL.glob(f"*/{voice.variant}"))


def command(voice: Voice, path: str) -> list[str]:
    """The command that speaks its standard input, a little slowly, into the WAV file `path`."""
    if voice.kind == "espeak":
        return ["espeak-ng", "-v", voice.variant, "-s", "125", "-b", "1", "--stdin", "-w", path]
    if voice.kind == "flite":
        stretch = "duration_stretch=1.25"
        return ["flite", "-voice", voice.variant, "--setf", stretch, "-f", "-", "-o", path]
    setting = f"(begin (voice_{voice.variant}) (Parameter.set 'Duration_Stretch 1.25))"
    return ["text2wave", "-eval", setting, "-o", path]


def mel_grid(edge: float) -> np.ndarray:
    """POINTS frequencies from 0 Hz to `edge`, evenly on the mel scale (O'Shaughnessy, 1987)."""
    return 700.0 * (10.0 ** (np.linspace(0.0, np.log10(1.0 + edge / 700.0), POINTS)) - 1.0)


def material(voice: Voice) -> Material:
    """What `voice` said, from the cache folder, or recorded and analysed first (some seconds).

    Raises FileNotFoundError without its command or recordings, CalledProcessError where the
    command fails, ValueError where nothing is said, ModuleNotFoundError without pyworld.
    """
    spoken = PERSONS.get(voice.variant) or f"{lyrics(voice)} {command(voice, '')}"
    recipe = f"{RECIPE} {RATE} {POINTS} {spoken}"
    name = f"{voice.name}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}.npz"
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    path = Path(home) / "stembox-training" / name
    if not path.exists():
        said = analyse(*record(voice))
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            np.savez(Path(folder) / name, **said._asdict())
            (Path(folder) / name).replace(path)
    with np.load(path) as kept:
        return Material(float(kept["edge"]), *(kept[x] for x in Material._fields[1:]))


def lyrics(voice: Voice) -> str:
    """Words of no language, each voice's own."""
    rng = np.random.default_rng(zlib.crc32(voice.name.encode()))
    text = ""
    for count in range(1, WORDS + 1):
        for _ in range(rng.integers(1, 4)):
            text += "".join(rng.choice(x.split(" ")) for x in (ONSETS, NUCLEI, CODAS))
        text += ". " if count % 15 == 0 else ", " if count % 5 == 0 else " "
    return text


def record(voice: Voice) -> tuple[np.ndarray, int]:
    """Let `voice` speak, its lyrics or what it once said: mono (n,) float64 and its rate."""
    if voice.kind == "recorded":
        return speech(PERSONS[voice.variant])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "said.wav"
        subprocess.run(command(voice, str(path)), input=lyrics(voice).encode(), check=True,
                       capture_output=True, timeout=300)  # fmt: skip
        return soundfile.read(path)


def analyse(sound: np.ndarray, sr: int) -> Material:
    """WORLD's analysis (Morise, Yokomori and Ozawa, 2016) of mono speech, cut into syllables."""
    vocoder, lowest = world(), 60.0
    f0, times = vocoder.dio(sound, sr, f0_floor=lowest, f0_ceil=500.0, frame_period=1000.0 / RATE)
    f0 = vocoder.stonemask(sound, f0, times, sr)
    size = vocoder.get_cheaptrick_fft_size(sr, lowest)
    power = vocoder.cheaptrick(sound, f0, times, sr, f0_floor=lowest, fft_size=size)
    noise = vocoder.d4c(sound, f0, times, sr, fft_size=size)
    hertz = np.linspace(0.0, sr / 2, size // 2 + 1)
    weights = between(hertz, mel_grid(sr / 2))
    level = (np.log(power + 1e-16) @ weights).astype(np.float16)
    loud = loudness(level, slice(None))
    # DIO finds a pitch in hiss and in the hum of a pause as well
    deep = power[:, hertz < 1200.0].sum(axis=1) > power[:, hertz > 2800.0].sum(axis=1)
    f0 = np.where(deep & (loud > np.quantile(loud, 0.9) - 8.0), f0, 0.0)
    cuts = cut(f0, level, sr / 2)
    if len(cuts) == 0:
        raise ValueError("nothing was said")
    return Material(sr / 2, f0, level, (noise @ weights).astype(np.float16), cuts)


def cut(f0: np.ndarray, level: np.ndarray, edge: float) -> np.ndarray:
    """Syllables (k, 4) as in Material: a vowel is a peak of what lies between 250 and 3500 Hz."""
    low, high, hiss = np.searchsorted(mel_grid(edge), (250.0, 3500.0, 4000.0))
    total, mouth = loudness(level, slice(None)), loudness(level, slice(low, high))
    clear = (f0 > 0) & (loudness(level, slice(hiss, None)) < mouth - 1.5)
    sung = gaussian_filter1d(np.where(clear, mouth, -35.0), 2.5)
    top = float(np.quantile(sung, 0.95))
    peaks, _ = find_peaks(sung, height=top - 4.0, prominence=0.5, distance=0.06 * RATE)
    edges = [0, *(a + int(np.argmin(total[a:b])) for a, b in pairwise(peaks)),
             len(f0) - 1]  # fmt: skip
    cuts = []
    for peak, before, after in zip(peaks, edges, edges[1:], strict=False):
        closed = ~clear | (sung < sung[peak] - 1.2)
        first = int(np.flatnonzero(closed[: peak + 1]).max(initial=0)) + 1
        last = int(np.flatnonzero(closed[peak:]).min(initial=len(f0) - 1 - peak)) + peak - 1
        before, after = max(before, first - 44), min(after, last + 36)
        if last - first < 0.04 * RATE or before > first or last > after:
            continue
        heard = np.flatnonzero(total[before : first + 1] > top - 9.0).min(initial=first - before)
        cuts.append((before + max(0, heard - 6), first, last, after))
    return np.array(cuts, dtype=np.int32)


def loudness(level: np.ndarray, band: slice) -> np.ndarray:
    """Log of a frame's power in a band of POINTS, each of which counts the same."""
    return np.log(np.exp(level[:, band].astype(np.float32)).sum(axis=1))


def between(known: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The matrix (known, wanted) that interpolates linearly between frequencies."""
    return np.stack([np.interp(wanted, known, row) for row in np.eye(len(known))])


@cache
def world() -> Any:
    """The compiled part of pyworld alone: the package around it asks for pkg_resources, which
    setuptools no longer has."""
    package = importlib.util.find_spec("pyworld")
    if package is None:
        raise ModuleNotFoundError("pyworld is not installed")
    places = package.submodule_search_locations
    inner = importlib.machinery.PathFinder.find_spec("pyworld", places)
    if inner is None or inner.loader is None:
        raise ModuleNotFoundError("pyworld has no compiled part")
    module = importlib.util.module_from_spec(inner)
    inner.loader.exec_module(module)
    return module


if __name__ == "__main__":
    for each in tqdm([x for x in VOICES if available(x)], unit="voice"):
        material(each)
