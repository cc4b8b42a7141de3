"""Which devices separation runs on, found without torch: the parent process must not import it."""

import os
import subprocess
from functools import cache

from server.errors import ConfigError


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
        return tuple(f"cuda:{index}" for index in range(cards)) or ("cpu",)
    index = int(setting.partition(":")[2] or 0)
    if index >= cards:
        raise ConfigError(f"separation.device = {setting}: {cards} CUDA card(s) on this machine")
    return (setting,) if ":" in setting else tuple(f"cuda:{i}" for i in range(cards))


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
