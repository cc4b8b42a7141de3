"""Which models are on this machine and which one serves a tier. Reads names and files, no torch.

A model is a folder in the format of demucs's hub: `<name>.yaml` lists the signatures of the
models in the bag, and each has its weights beside it (`.safetensors`, or the older `.th`).
"""

from collections.abc import Sequence
from pathlib import Path

import yaml
from msgspec import Struct

from server.config import Config, Quality
from server.errors import ModelError
from server.stems import FOUR, wants_six

STARTER = Path(__file__).resolve().parent.parent / "starter" / "weights"


class ModelFiles(Struct, frozen=True):
    """A model that is whole on this machine."""

    name: str
    folder: Path
    files: tuple[Path, ...]  # one per model of the bag


def search_path(config: Config) -> list[Path]:
    """Folders that may hold models: pulled ones, configured ones, the starter's."""
    configured = [Path(folder).expanduser().absolute() for folder in config.models.folders]
    return [config.data_dir / "models", *configured, STARTER]


def find(name: str, config: Config) -> ModelFiles | None:
    """The first whole copy of a model, or None."""
    for root in search_path(config):
        for folder in (root / name, root):
            if (found := whole(name, folder)) is not None:
                return found
    return None


def whole(name: str, folder: Path) -> ModelFiles | None:
    """The model `name` in a folder, if its listing and all its weights are there."""
    try:
        bag = yaml.safe_load((folder / f"{name}.yaml").read_text(encoding="utf-8"))
        files = tuple(_weights(folder, str(signature)) for signature in bag["models"])
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        return None
    return ModelFiles(name, folder, files)


def _weights(folder: Path, signature: str) -> Path:
    plain = folder / f"{signature}.safetensors"
    candidates = [plain, folder / f"{signature}.th", *folder.glob(f"{signature}-*.th")]
    for path in candidates:
        if path.is_file():
            return path
    raise FileNotFoundError(signature)


def starter(config: Config) -> ModelFiles:
    """The model that ships. Raises ModelError: somebody has removed it."""
    found = find("starter", config)
    if found is None:
        raise ModelError("the starter model is not on this machine")
    return found


def serving(quality: Quality, config: Config, stems: Sequence[str] = FOUR) -> ModelFiles:
    """The model that makes `stems` in a quality: the first of its tier's list that is here.

    Raises:
        ModelError: none of them is.
    """
    six = wants_six(stems)
    names = config.models.six_stems if six else config.models.tier(quality)[0]
    for name in names:
        if (found := find(name, config)) is not None:
            return found
    purpose = "six stems" if six else quality
    raise ModelError(
        f"none of the models for {purpose} is on this machine: {', '.join(names)}; "
        "`stembox models pull NAME` fetches one"
    )


def tiers(config: Config) -> dict[str, dict[str, str | None]]:
    """For people: each tier's wanted model and the one that serves it."""
    table: dict[str, dict[str, str | None]] = {}
    for tier in ("fast", "balanced", "best", "six_stems"):
        names: list[str] = getattr(config.models, tier)
        here = next((name for name in names if find(name, config) is not None), None)
        table[tier] = {"wanted": names[0] if names else None, "serving": here}
    return table


def installed(config: Config) -> list[ModelFiles]:
    """Every whole model on the search path, by name."""
    names: set[str] = set()
    for root in search_path(config):
        names |= {path.stem for pattern in ("*.yaml", "*/*.yaml") for path in root.glob(pattern)}
    return [found for name in sorted(names) if (found := find(name, config)) is not None]
