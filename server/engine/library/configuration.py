"""A model's `config.yaml` by the convention of Music-Source-Separation-Training: `audio`, `model`,
`training`, `inference`. Reads it and says what the model makes; knows no family and no torch.

Files come from strangers: nothing that they name is made, whatever tag it has.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct

from server.sound import SAMPLE_RATE
from server.stems import RESERVED, STEM, Recipe

NAME = "config.yaml"
MOST_BYTES = 1 << 20
MOST_TEXT = 200  # characters
MOST_OVERLAP = 100  # times that every sample is computed
# What a stranger's file that is not as it should be may raise, wherever it is first looked at.
MALFORMED = (OSError, ValueError, TypeError, ArithmeticError, LookupError, AttributeError,
             RecursionError, yaml.YAMLError)  # fmt: skip


# YAML 1.1 wants a point and a signed exponent: without them, `1e-3` would be a text. In YAML 1.2 it
# is a number, and whoever trained a model wrote it as one.
EXPONENT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)[eE][-+]?[0-9]+\Z")


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML's plain values; the convention's tuples are lists."""


_Loader.add_constructor("tag:yaml.org,2002:python/tuple",
                        lambda loader, node: loader.construct_sequence(node, deep=True))
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", EXPONENT, list("-+.0123456789"))


class Configuration(Struct, frozen=True):
    """What `config.yaml` says.

    Attributes:
        content: all of it.
        instruments: what the model was trained to tell apart, as names of stems.
        target: the only one of them that it makes, if so.
        segment: samples of the chunks that it is applied to.
        overlap: the part of a chunk that neighbours share, by whoever published the model.
        levelled: whether it hears whole songs without their mean, and with a deviation of 1.
        family: its kind of network, where the file says it.
        licence: of its weights, where the file says it.
    """

    content: dict[str, Any]
    instruments: tuple[str, ...]
    target: str | None
    segment: int
    overlap: float
    levelled: bool = False
    family: str | None = None
    licence: str | None = None

    def section(self, name: str) -> dict[str, Any]:
        """A section's keys; none where it is missing or is no section."""
        found = self.content.get(name)
        return found if isinstance(found, dict) else {}

    def recipe(self, outputs: int) -> Recipe:
        """What the stems are made of, of a network with this many outputs, and of the mix.

        A model of two instruments that makes one of them leaves the other in the mix.

        Raises ValueError: the outputs do not fit the instruments.
        """
        names = self.instruments
        made: tuple[str, ...] = names
        if outputs == 1 and self.target is not None:
            made = (self.target,)
        elif outputs != len(names):
            raise ValueError(f"{outputs} outputs for the instruments {', '.join(names)}")
        rows = {name: (*(float(name == other) for other in made), 0.0)
                for name in made if self.target in (None, name)}  # fmt: skip
        if self.target is not None and len(names) == 2:
            rest = next(name for name in names if name != self.target)
            rows[rest] = (*(0.0 - gain for gain in rows[self.target][:-1]), 1.0)
        return rows


def read(path: Path) -> Configuration:
    """A model's configuration. Raises ValueError, OSError, yaml.YAMLError: it is none."""
    return understood(read_yaml(path))


def read_yaml(path: Path) -> Any:
    """A small file's content, not to be changed. Raises ValueError, OSError, yaml.YAMLError."""
    known = path.stat()
    if known.st_size > MOST_BYTES:
        raise ValueError(f"{path.name} has more than a megabyte")
    try:
        return _parsed(path, known.st_mtime_ns, known.st_size)
    except (OSError, yaml.YAMLError, ValueError):
        raise
    except Exception as error:  # of whatever a tag makes of what does not fit it
        raise ValueError(f"{path.name} makes no sense: {error!r:.200}") from None


@lru_cache(maxsize=1024)  # as many models as somebody may have, or none would be found again
def _parsed(path: Path, *_: int) -> Any:
    """Parsing takes milliseconds, and whoever posts a job asks which model will serve it."""
    return yaml.load(path.read_text(encoding="utf-8"), _Loader)


def understood(content: Any) -> Configuration:
    """What a configuration's content says. Raises ValueError."""
    if not isinstance(content, dict):
        raise ValueError("a configuration has sections")
    training, audio, inference = (_mapping(content, name)
                                  for name in ("training", "audio", "inference"))
    names = training.get("instruments")
    if not isinstance(names, list) or not names:
        raise ValueError("training.instruments is a list of names")
    instruments = tuple(stem_name(name) for name in names)
    if len(set(instruments)) != len(instruments):
        raise ValueError("training.instruments has a name twice")
    target = training.get("target_instrument")
    wanted = stem_name(target) if target else None
    if wanted is not None and wanted not in instruments:
        raise ValueError("training.target_instrument is none of training.instruments")
    for section, key in ((audio, "sample_rate"), (training, "samplerate")):
        if _given(section, key, SAMPLE_RATE) != SAMPLE_RATE:
            raise ValueError(f"{key}: want {SAMPLE_RATE}")
    for section, key in ((audio, "num_channels"), (training, "channels")):
        if _given(section, key, 2) != 2:
            raise ValueError(f"{key}: want stereo")
    family, licence = content.get("family"), content.get("licence", content.get("license"))
    segment = _given(inference, "chunk_size", audio.get("chunk_size"))
    count = _count(_given(inference, "num_overlap", 2), "num_overlap")
    if count > MOST_OVERLAP:
        raise ValueError(f"num_overlap: want at most {MOST_OVERLAP}")
    return Configuration(content, instruments, wanted, _count(segment, "chunk_size"),
                         1 - 1 / count,
                         _said(inference.get("normalize"), "normalize"),
                         None if family is None else scalar(family, "family"),
                         None if licence is None else scalar(licence, "licence"))


def scalar(value: object, name: str) -> str:
    """A value as a short text. Raises ValueError: it is no scalar; the text of a list whose lists
    are one and the same may be longer than all memory."""
    if not isinstance(value, str | int | float):
        raise ValueError(f"{name} is a text")
    return str(value)[:MOST_TEXT]


def stem_name(name: object) -> str:
    """An instrument's name as that of a track: `Lead Vocals` is lead_vocals, and what another track
    of a job is called gets `_stem` behind it. Raises ValueError."""
    said = scalar(name, "an instrument's name")
    plain = re.sub(r"[^a-z0-9_-]+", "_", said.strip().lower()).strip("_")
    if not STEM.fullmatch(plain):
        raise ValueError(f"{said!r:.80} is no name of an instrument")
    return f"{plain}_stem" if plain in RESERVED else plain


def _given(section: Mapping[str, Any], key: str, usual: Any) -> Any:
    """What a section says; whoever leaves a value empty says as little as who leaves it out."""
    found = section.get(key)
    return usual if found is None else found


def _mapping(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = _given(content, name, {})
    if not isinstance(found, dict):
        raise ValueError(f"{name} is a section")
    return found


def _said(value: object, name: str) -> bool:
    if value is not None and not isinstance(value, bool):
        raise ValueError(f"{name} is true or false")
    return bool(value)


def _count(value: object, name: str) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < 1 << 31:
        raise ValueError(f"{name} is a whole number above 0")
    return value
