"""Which models are on this machine and which one serves a tier. Reads names and files, no torch.

A model is a folder in the format of demucs's hub: `<name>.yaml` lists the signatures of the
models in the bag, and each has its weights beside it (`.safetensors`, or the older `.th`). Listings
come from strangers: they name files of their own folder alone.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml
from msgspec import Struct, structs

from server.config import Config, Quality
from server.errors import ModelError
from server.stems import FOUR, wants_six

SIGNATURE = re.compile(r"[A-Za-z0-9_-]{1,64}")
REFUSED = "pickled files may run code; models.allow_pickle = true says that they are trusted"
STARTER = Path(__file__).resolve().parent.parent / "starter" / "weights"


class ModelFiles(Struct, frozen=True):
    """A model that is whole on this machine."""

    name: str
    folder: Path
    files: tuple[Path, ...]  # one per model of the bag
    allow_pickle: bool = False  # whether they may run code when they are loaded

    @property
    def pickled(self) -> bool:
        """Whether loading runs what the files say."""
        return any(path.suffix != ".safetensors" for path in self.files)


def search_path(config: Config) -> list[Path]:
    """Folders that may hold models: pulled ones, configured ones, the starter's."""
    configured = [Path(folder).expanduser().absolute() for folder in config.models.folders]
    return [config.data_dir / "models", *configured, STARTER]


def find(name: str, config: Config) -> ModelFiles | None:
    """The first whole copy of a model that may be loaded, or None."""
    believed = config.models.allow_pickle
    for copy in _copies(name, config):
        if believed or not copy.pickled:
            return structs.replace(copy, allow_pickle=believed)
    return None


def _copies(name: str, config: Config) -> Iterator[ModelFiles]:
    for root in search_path(config):
        for folder in (root / name, root):
            if (found := whole(name, folder)) is not None:
                yield found


def whole(name: str, folder: Path) -> ModelFiles | None:
    """The model `name` in a folder, if its listing and all its weights are there."""
    try:
        bag = yaml.safe_load((folder / f"{name}.yaml").read_text(encoding="utf-8"))
        files = tuple(_weights(folder, signature) for signature in signatures(bag))
    except (OSError, yaml.YAMLError, ValueError, RecursionError):
        return None
    return ModelFiles(name, folder, files)


def signatures(listing: object) -> list[str]:
    """The models that a listing names. Raises ValueError: it is no listing, or a name could lead
    out of its folder."""
    named = listing.get("models") if isinstance(listing, dict) else None
    if not isinstance(named, list):
        raise ValueError("a listing has a list of models")
    if not all(isinstance(one, str | int) and SIGNATURE.fullmatch(str(one)) for one in named):
        raise ValueError("a model's signature is of letters, digits, - and _")
    return [str(one) for one in named]


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
    return [found for name in _names(config) if (found := find(name, config)) is not None]


def refused(config: Config) -> list[ModelFiles]:
    """The models that would be there, were pickled files allowed."""
    return [copy for name in _names(config) if find(name, config) is None
            for copy in _copies(name, config)]


def _names(config: Config) -> list[str]:
    return sorted({path.stem for root in search_path(config)
                   for pattern in ("*.yaml", "*/*.yaml") for path in root.glob(pattern)})
