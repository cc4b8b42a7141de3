"""What a run is to be like, and what it must keep to: TOML files, checked."""

from pathlib import Path
from typing import Annotated, Final, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

FOLDER: Final = Path(__file__).parent / "profiles"
Positive = Annotated[float, Meta(gt=0)]
Weight = Annotated[float, Meta(ge=0)]
Share = Annotated[int, Meta(ge=0)]
Count = Annotated[int, Meta(ge=1)]
T = TypeVar("T")


class Strict(Struct, frozen=True, forbid_unknown_fields=True):
    """A section whose keys are all known."""


class Shape(Strict, frozen=True):
    """How many users there are when. `seconds`: of the whole run; of a search, of one step."""

    kind: Literal["ramp", "steady", "burst", "soak", "search"]
    users: Count
    seconds: Positive
    spawn_rate: Positive = 1.0
    burst_users: int = 0  # beside the others, for a tenth of the time, every third of it
    poll_p99_ms: Positive = 50.0  # what a step of a search must keep to
    longest_wait_s: Positive = 60.0


class Songs(Strict, frozen=True):
    """Lengths in seconds, and how often each is sent."""

    lengths: Annotated[list[Positive], Meta(min_length=1)]
    weights: Annotated[list[Weight], Meta(min_length=1)]


class Users(Strict, frozen=True):
    """How many of each kind there are, by weight."""

    partner: Share = 4
    webhook_partner: Share = 2
    pipeline: Share = 2
    browser: Share = 1
    bad: Share = 1


class Profile(Strict, frozen=True):
    """One kind of run. `settings`: of a server that is started for it."""

    shape: Shape
    songs: Songs
    users: Users
    pause_s: tuple[float, float] = (1.0, 4.0)  # between two things that a user does
    patience_s: Positive = 600.0  # for one job
    settings: dict[str, str | int | float | bool] = {}


class Thresholds(Strict, frozen=True):
    """What makes a run fail. Milliseconds are of the whole run; `ms` has routes as keys."""

    failed_share: float = 0.0
    jobs_failed: int = 0
    webhooks_unverified: int = 0
    webhooks_missing: int = 0
    least_jobs_a_minute: float = 0.0
    longest_wait_s: float = 1e9
    memory_growth_mb: float = 1e9
    handles_growth: float = 1e9
    p50_ms: dict[str, float] = {}
    p99_ms: dict[str, float] = {}


def load_profile(name: str) -> Profile:
    """A profile by its name, or by a file's path. Raises ValueError, saying what is wrong."""
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    profile = _load(path, Profile)
    if len(profile.songs.lengths) != len(profile.songs.weights):
        raise ValueError(f"{path}: songs.lengths and songs.weights are not equally many")
    return profile


def load_thresholds(path: Path) -> Thresholds:
    """Thresholds from a file. Raises ValueError, saying what is wrong."""
    return _load(path, Thresholds)


def _load(path: Path, kind: type[T]) -> T:
    try:
        return msgspec.toml.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        known = ", ".join(sorted(file.stem for file in FOLDER.glob("*.toml")))
        raise ValueError(f"{path}: there is no such file; profiles: {known}") from None
    except msgspec.DecodeError as error:
        raise ValueError(f"{path}: {error}") from None
