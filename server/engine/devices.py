"""Which devices separation runs on, found without torch: the parent process must not import it."""

import os
import re
import runpy
import subprocess
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path

import structlog

from server.errors import ConfigError

log = structlog.get_logger()
SMI_SECONDS = 10.0
DRIVERS = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")  # NVIDIA's, that of WSL, AMD's
NAMES = re.compile(r"[0-9]+|(GPU|MIG)-.+")  # of cards


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
    """Cards that this process may use: those of the driver's own tool, as far as
    CUDA_VISIBLE_DEVICES names them. Where the tool is missing and a driver is here, that is
    believed."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    entries = None if visible is None else [entry.strip() for entry in visible.split(",")]
    try:
        told = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True,
                              timeout=SMI_SECONDS, check=False).stdout  # fmt: skip
    except FileNotFoundError:
        if not any(os.path.exists(place) for place in DRIVERS):
            return 0
        return sum(1 for _ in takewhile(NAMES.fullmatch, entries or ()))
    except (OSError, subprocess.TimeoutExpired) as error:
        log.warning("nvidia-smi does not answer: no card is used", error=str(error))
        return 0
    cards = sum(line.startswith("GPU ") for line in told.splitlines())
    if entries is None:
        return cards
    uuids = re.findall(r"UUID: ([\w-]+)", told)
    return _seen(entries, cards, uuids)


def _seen(entries: Sequence[str], cards: int, uuids: Sequence[str]) -> int:
    """How many of the entries CUDA takes: those in front of the first that is no card, and none
    where one is there twice (as torch.cuda reads the variable, too)."""
    taken: set[str] = set()
    for entry in entries:
        whole = next((uuid for uuid in uuids if entry and uuid.startswith(entry)), entry)
        if whole in taken:
            return 0
        if not (whole in uuids or (entry.isdigit() and int(entry) < cards)):
            break
        taken.add(whole)
    return len(taken)
