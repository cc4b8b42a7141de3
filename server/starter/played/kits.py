"""Owns recorded drum kits: one file for each way of hitting each drum, as Hydrogen and Sonic Pi
keep them.

Knows kits and strokes; nothing of grooves or songs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np

from server.starter.recorded import places
from server.starter.recorded.sound import Recording, read
from server.starter.synthesis.score import Note

KITS = "usr/share/hydrogen/data/drumkits"
HYDROGEN = (("hydrogen-drumkits", KITS), ("hydrogen-data", KITS))
SONIC_PI = ("sonic-pi-samples", "usr/share/sonic-pi/samples")
UNHEARD = frozenset(("ForzeeStereo", "BJA_Pacific"))  # kept from training
LONGEST = 4.0  # seconds of a stroke
# General MIDI's percussion keys by what drums are called; the first that fits
NAMES = (
    (r"roll|flink|choke|swish|semi|noise|bell|cup|china|conga|cowbell", None),
    (r"kick|bass ?drum|^bd_", 36), (r"stick|rim click", 37), (r"snare|^sn_", 38),
    (r"clap|snap", 39), (r"(hat|hh|cymbal_).*(pedal|pd)|(pedal|pd).*(hat|hh)", 44),
    (r"(hat|hh|cymbal_).*op|open.*(hat|hh)", 46), (r"hat|hh|cymbal_closed", 42),
    (r"tom.*(floor|low|lo_)|floor", 41), (r"tom.*(mid|2)|^tom$|middle tom", 45), (r"tom", 48),
    (r"crash|cymbal", 49), (r"ride", 51), (r"splash", 55), (r"shaker|maraca", 70),
    (r"tambourine", 54),
)  # fmt: skip
# what is struck where a kit lacks a drum
INSTEAD = MappingProxyType({
    35: 36, 40: 38, 39: 38, 37: 38, 44: 42, 46: 42, 70: 42, 54: 42, 69: 42, 82: 42, 51: 42, 59: 51,
    53: 51, 49: 46, 55: 49, 57: 49, 52: 49, 41: 45, 43: 41, 45: 48, 47: 45, 48: 41, 50: 48,
})  # fmt: skip
NEEDED = frozenset((36, 38, 42))


class Layer(NamedTuple):
    """A recording of strokes up to a velocity (0..1)."""

    top: float
    path: Path


class Kit(NamedTuple):
    """Drums by percussion key: one or more to choose from, each with its layers, soft to hard."""

    name: str
    drums: Mapping[int, tuple[tuple[Layer, ...], ...]]


def recorded_kits(heard: bool) -> tuple[Kit, ...]:
    """The kits at hand that have kick, snare and hat, for training or kept from it; maybe none."""
    folders = [place for package, inside in HYDROGEN if (place := places.find(package, inside))]
    listings = sorted(chain.from_iterable(folder.glob("*/drumkit.xml") for folder in folders))
    found = [hydrogen_kit(listing) for listing in listings]
    if (samples := places.find(*SONIC_PI)) is not None:
        found.append(sonic_pi_kit(samples))
    return tuple(kit for kit in found
                 if set(kit.drums) >= NEEDED and (kit.name not in UNHEARD) == heard)  # fmt: skip


def hydrogen_kit(listing: Path) -> Kit:
    """A kit from its drumkit.xml, of any of the format's versions."""
    root = ElementTree.parse(listing).getroot()
    for element in root.iter():
        element.tag = element.tag.split("}")[-1]
    drums: dict[int, list[tuple[Layer, ...]]] = {}
    for instrument in root.iter("instrument"):
        key = key_of(instrument.findtext("name") or "")
        layers = tuple(sorted(layers_of(instrument, listing.parent)))
        if key and layers:
            drums.setdefault(key, []).append(layers)
    return Kit(listing.parent.name, {key: tuple(choices) for key, choices in drums.items()})


def layers_of(instrument: ElementTree.Element, folder: Path) -> Iterator[Layer]:
    """The files of one instrument that exist."""
    layers = list(instrument.iter("layer")) or [instrument]
    for layer in layers:
        path = folder / (layer.findtext("filename") or "")
        if path.is_file():
            yield Layer(float(layer.findtext("max") or 1.0), path)


def sonic_pi_kit(folder: Path) -> Kit:
    """All single strokes among the samples, as one kit with many drums of each kind."""
    drums: dict[int, list[tuple[Layer, ...]]] = {}
    for path in sorted(folder.glob("*.flac")):
        key = key_of(path.stem.replace("heavy_kick", "kick"))
        if key and not path.stem.startswith(("loop_", "ambi_", "misc_")):
            drums.setdefault(key, []).append((Layer(1.0, path),))
    return Kit("sonic-pi", {key: tuple(choices) for key, choices in drums.items()})


def key_of(name: str) -> int | None:
    """Which drum a name means, as a percussion key; None if no drum of a song's."""
    bare = re.sub(r"\(.*?\)", "", name.lower())  # makes and sizes
    return next((key for pattern, key in NAMES if re.search(pattern, bare.strip())), None)


def strike(
    kit: Kit, strokes: list[Note], cents: float, rng: np.random.Generator, n: int, sr: int
) -> np.ndarray:
    """The strokes, whose pitches are percussion keys, tuned by `cents`: (2, n) float32.

    Of several drums for a key, one plays them all. A drum that the kit lacks is replaced by the
    next of its kin.
    """
    out = np.zeros((2, n), dtype=np.float32)
    chosen = {key: choices[int(rng.integers(len(choices)))]
              for key, choices in sorted(kit.drums.items())}  # fmt: skip
    for note in strokes:
        key = at_hand(round(note.pitch), chosen)
        start = max(0, int(note.start * sr))
        if key is None or start >= n:
            continue
        layers = chosen[key]
        layer = next((x for x in layers if note.velocity <= x.top), layers[-1])
        sound = tuned(stroke(layer.path, sr), cents)[:, : n - start]
        out[:, start : start + sound.shape[1]] += np.float32(note.velocity) * sound
    return out


def at_hand(key: int | None, drums: Mapping[int, object]) -> int | None:
    """The key, or the next of its kin that the kit has; None if there is none."""
    tried = set()
    while key is not None and key not in drums and key not in tried:
        tried.add(key)
        key = INSTEAD.get(key)
    return key if key in drums else None


@lru_cache(maxsize=96)
def stroke(path: Path, sr: int) -> np.ndarray:
    """One recording (2, at most LONGEST), faded at its end."""
    sound, _ = read(Recording(path), sr)
    sound = sound[:, : int(LONGEST * sr)]
    fade = min(sound.shape[1], sr // 20)
    sound[:, sound.shape[1] - fade :] *= np.linspace(1.0, 0.0, fade, dtype=np.float32)
    return sound


def tuned(sound: np.ndarray, cents: float) -> np.ndarray:
    """The sound (2, n) played faster or slower."""
    ratio = 2.0 ** (cents / 1200.0)
    at = np.arange(0.0, max(0, sound.shape[1] - 1), ratio)
    whole = np.arange(sound.shape[1])
    return np.stack([np.interp(at, whole, side) for side in sound]).astype(np.float32)
