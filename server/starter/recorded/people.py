"""Owns recorded speakers: whose voices packages hold, and half a minute of each, to analyse.

Knows files and levels of speech; nothing of singing.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import av
import numpy as np
from scipy.signal import resample_poly, welch

from server.starter.recorded import places
from server.starter.recorded.sound import Recording, read

SR = 44100
SECONDS = 36.0  # of speech are taken of a speaker
PAUSE = 0.15  # seconds between two files
LOUDNESS = 0.05  # RMS of a file where it is loud
STEP, LOWEST = 100, 16000  # Hz, of rates; D4C looks for voices up to 7.9 kHz
BAND_DB = 65.0  # what is further below the loudest frequency is not the voice
LEAST = 0.3  # seconds: shorter files are no speech


class Person(NamedTuple):
    """A speaker: the files of a package that fit `pattern`, and the median pitch of the speech."""

    name: str
    package: str
    pattern: str
    hertz: int
    heard: bool = True  # False: kept from training, for tests on voices never heard


def people(package: str, pattern: str, hertz: str) -> Iterator[Person]:
    """Speakers of one package: `hertz` is a list of name=pitch; the pattern has their {name}."""
    kind = package.split("-")[0]
    for entry in hertz.split():
        name, pitch = entry.split("=")
        unheard = f"{kind}-{name}" in UNHEARD
        yield Person(f"{kind}-{name}", package, pattern.format(name=name), int(pitch), not unheard)


# the same language in two packages may be the same speaker: both are kept
UNHEARD = frozenset(("asterisk-it_IT_m_Carlo", "tuxpaint-es", "klettres-es", "ktuberling-ru",
                     "tuxpaint-ru"))  # fmt: skip
ASTERISK = MappingProxyType({"en": "en_US_f_Allison=187", "es": "es_MX_f_Allison=199",
                             "fr": "fr_CA_f_June=198", "it": "it_IT_m_Carlo=157",
                             "ru": "ru_RU_f_IvrvoiceRU=209"})  # fmt: skip
PEOPLE = (
    *(person for code, known in ASTERISK.items() for person in people(
        f"asterisk-core-sounds-{code}-g722", "usr/share/asterisk/sounds/{name}/**/*.g722", known)),
    *people("klettres-data", "usr/share/klettres/{name}/*/*.ogg",
            "ar=266 cs=248 da=127 de=147 en=133 en_GB=235 es=178 fr=119 he=88 hu=110 it=221 "
            "lt=116 ml=112 nb=247 nds=100 nl=215 pt_BR=317 ru=217 tn=356 uk=238"),
    *people("ktuberling-data", "usr/share/ktuberling/sounds/{name}/*.*",
            "ca=187 da=219 de=141 el=154 en=170 fr=150 lt=156 ro=235 ru=123 sl=142 uk=225 wa=130"),
    *people("tuxpaint-stamps-default", "usr/share/tuxpaint/stamps/**/*_desc_{name}.ogg",
            "be=241 bg=141 ca=139 da=111 el=211 es=248 fr=138 lt=239 nl=113 ro=222 ru=132"),
    *people("tuxpaint-stamps-default", "usr/share/tuxpaint/stamps/**/*_desc.ogg", "en=165"),
    *people("hedgewars-data", "usr/share/games/hedgewars/Data/Sounds/voices/{name}/*.ogg",
            "British=299 Default=266 Default_uk=274 HillBilly=277 Mobster=266 Pirate=291 "
            "Singer=400 Surfer=299"),
)  # fmt: skip


def files(person: Person) -> list[Path]:
    """The speaker's recordings at hand, in an order of chance that is always the same."""
    folder, rest = split(person.pattern)
    place = places.find(person.package, folder)
    found = sorted(place.glob(rest)) if place else []
    rng = np.random.default_rng(zlib.crc32(person.name.encode()))
    return [found[index] for index in rng.permutation(len(found))]


def split(pattern: str) -> tuple[str, str]:
    """A pattern's folders without wildcards, and the rest."""
    parts = Path(pattern).parts
    wild = next(index for index, part in enumerate(parts) if "*" in part)
    return str(Path(*parts[:wild])), str(Path(*parts[wild:]))


def speech(person: Person) -> tuple[np.ndarray, int]:
    """SECONDS of what the person said, mono (n,) float64, and its rate: files one after the other,
    equally loud, at a rate that holds the band of the voice and not more.

    Old recordings end at 4, 8 or 16 kHz whatever the rate of their files; what is above is for
    the singing to fill. Raises FileNotFoundError naming the package that is missing, ValueError
    where nothing is said.
    """
    found = files(person)
    if not found:
        raise FileNotFoundError(places.advice([person.package]))
    said: list[np.ndarray] = []
    highest = 0
    for path in found:
        if sum(map(len, said)) > SECONDS * SR:
            break
        try:
            (sound,), rate = read(Recording(path), channels=1)
        except (av.FFmpegError, ValueError):
            continue
        for words in spoken(resample(sound, rate, SR)):
            said += [words, np.zeros(round(PAUSE * SR))]
            highest = max(highest, rate)
    if not said:
        raise ValueError(f"{person.name} says nothing")
    return banded(np.concatenate(said), highest)


def spoken(sound: np.ndarray) -> Iterator[np.ndarray]:
    """A file's sound (n,) at SR brought to LOUDNESS, without the silence around the words; nothing
    of what is too short or silent."""
    hop = SR // 50
    frames = np.square(sound[: len(sound) // hop * hop]).reshape(-1, hop).mean(axis=1)
    if len(sound) < LEAST * SR or frames.max() < 1e-6:
        return
    loud = frames > 0.05 * frames.max()
    first, last = np.flatnonzero(frames > 0.003 * frames.max())[[0, -1]]
    words = sound[max(0, first - 4) * hop : (last + 5) * hop].copy()
    words[:hop] *= np.linspace(0.0, 1.0, hop)
    words[-hop:] *= np.linspace(1.0, 0.0, hop)
    yield words * (LOUDNESS / float(np.sqrt(frames[loud].mean())))


def banded(sound: np.ndarray, highest: int = SR) -> tuple[np.ndarray, int]:
    """Speech (n,) at SR brought to the lowest rate, a multiple of STEP, that holds its band.

    highest: the rate that its recordings had at most.
    """
    hertz, power = welch(sound, SR, nperseg=4096)
    decibels = 10.0 * np.log10(power + 1e-20)
    top = float(hertz[decibels > decibels.max() - BAND_DB].max())
    wanted = min(STEP * int(np.ceil(2.15 * top / STEP)), SR, highest)
    rate = max(LOWEST, wanted // STEP * STEP)
    return resample(sound, SR, rate), rate


def resample(sound: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """Mono (n,) at another rate, float64."""
    shared = math.gcd(rate, wanted)
    return resample_poly(sound.astype(np.float64), wanted // shared, rate // shared)
