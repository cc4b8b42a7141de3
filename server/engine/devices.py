"""Which devices separation runs on, found without torch: the parent process must not import it."""

import os
import runpy
import subprocess
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import structlog

from server.errors import ConfigError

log = structlog.get_logger()


def devices(setting: str) -> tuple[str, ...]:
    """One device per separation worker: ("cuda:0", "cuda:1") or ("cpu",).

    Args:
        setting: `separation.device`: "auto", "cpu", "cuda" (every card) or "cuda:1".

    Raises:
        ConfigError: a card is asked for that is not here.
    """
    if setting == "cpu":
        return ("cpu",)
    cards = count_gpus()
    if setting == "auto":
        if cards and not has_cuda():
            log.warning("a card is here, but torch is installed for CPUs alone: using the CPU")
            return ("cpu",)
        return tuple(f"cuda:{index}" for index in range(cards)) or ("cpu",)
    index = int(setting.partition(":")[2] or 0)
    if index < cards and not has_cuda():
        raise ConfigError(f"separation.device = {setting}: torch is installed for CPUs alone")
    if index >= cards:
        raise ConfigError(f"separation.device = {setting}: {cards} CUDA card(s) on this machine")
    return (setting,) if ":" in setting else tuple(f"cuda:{i}" for i in range(cards))


@cache
def has_cuda() -> bool:
    """Whether the torch that is installed here can use cards at all, as a file of it says."""
    found = find_spec("torch")
    if found is None or not found.submodule_search_locations:
        return False
    told = runpy.run_path(str(Path(found.submodule_search_locations[0]) / "version.py"))
    return any(told.get(name) is not None for name in ("cuda", "hip"))


@cache
def count_gpus() -> int:
    """NVIDIA cards that this process may use, as the driver's own tool tells."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        chosen = [entry for entry in visible.split(",") if entry.strip()]
        return 0 if not chosen or chosen[0].strip() == "-1" else len(chosen)
    try:
        listing = subprocess.run(
            ["nvidia-smi", "--list-gpus"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return sum(line.startswith("GPU ") for line in listing.stdout.splitlines())
