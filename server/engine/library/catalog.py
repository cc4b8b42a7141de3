"""Which models are on this machine. Reads names and files, no torch.

A model is a folder in one of two formats. Demucs's hub has it that `<name>.yaml` lists the
signatures of the models in the bag, and each has its weights beside it (`.safetensors`, or the
older `.th`). By the convention of Music-Source-Separation-Training a folder `<name>/` has a
`config.yaml`, and `model.safetensors` or `model.ckpt`. Both come from strangers: they name files of
their own folder alone.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import yaml
from msgspec import Struct, structs

from server.config import Config, Quality, path_of
from server.engine.families import family_named, family_of
from server.engine.library import configuration
from server.engine.library.configuration import MALFORMED, Configuration
from server.engine.library.weight_files import damage_of, metadata_of
from server.errors import ModelError
from server.presets import NAME

MISNAMED = "its name may have letters, digits, - and _"
REFUSED = "pickled files may run code; models.allow_pickle = true says that they are trusted"
WEIGHTS = ("model.safetensors", "model.ckpt")
# Their author's word: https://github.com/facebookresearch/demucs/issues/327. demucs itself is MIT.
HUB_LICENCE = "none stated; for scientific purposes only, says their author"
MOST_REASON = 300  # characters
STARTER = Path(__file__).resolve().parents[2] / "starter" / "weights"


class ModelFiles(Struct, frozen=True):
    """A model that is whole on this machine."""

    name: str
    folder: Path
    files: tuple[Path, ...]  # one per model of the bag
    allow_pickle: bool = False  # whether they may run code when they are loaded
    config: Configuration | None = None  # of a model by the convention
    problem: str | None = None  # of a model by the convention whose configuration is not understood
    size: int = 0  # bytes of its weights

    @property
    def pickled(self) -> bool:
        """Whether loading runs what the files say. Of a `.ckpt` only numbers are read."""
        return self._of_hub and any(path.suffix != ".safetensors" for path in self.files)

    @property
    def listing(self) -> Path:
        """The file that says what the model is."""
        return self.folder / (f"{self.name}.yaml" if self._of_hub else configuration.NAME)

    @property
    def _of_hub(self) -> bool:
        return self.config is None and self.problem is None


def search_path(config: Config) -> list[Path]:
    """Folders that may hold models: pulled ones, configured ones, the starter's."""
    return [config.data_dir / "models", *configured(config), STARTER]


def configured(config: Config) -> list[Path]:
    """The folders that the settings name."""
    return [path_of(folder) for folder in config.models.folders]


def find(name: str, config: Config) -> ModelFiles | None:
    """The first whole copy of a model that may be loaded, or None."""
    believed = config.models.allow_pickle
    for copy in _copies(name, config):
        if obstacle(copy, believed) is None:
            return structs.replace(copy, allow_pickle=believed)
    return None


def why_not(name: str, config: Config) -> str:
    """Why `find` finds no model of this name."""
    reasons = [reason for copy in _copies(name, config)
               if (reason := obstacle(copy, config.models.allow_pickle)) is not None]
    return f"model {name} is not used: {reasons[0]}" if reasons else \
        f"model {name} is not on this machine"


def obstacle(copy: ModelFiles, believed: bool) -> str | None:
    """Why a whole model cannot be loaded here, None if it can. `believed`: pickled ones may be."""
    if copy.problem is not None:
        return copy.problem
    if copy.pickled and not believed:
        return REFUSED
    try:
        if damage := next(filter(None, map(damage_of, copy.files)), None):
            return damage
    except OSError as error:
        return f"its weights cannot be read: {error.strerror}"
    if copy.pickled:
        return None
    if copy.config is None:
        return None
    try:
        plan = family_of(copy.config).blueprint(copy.config)
        copy.config.recipe(plan.outputs)
        plan.check()
    except ModelError as error:
        return error.message
    except MALFORMED as error:
        return _told(error)
    return None


def _told(error: Exception) -> str:
    """What is wrong with a configuration, in one line: it quotes what a stranger wrote."""
    text = "".join(letter if letter.isprintable() else "?" for letter in
                   " ".join(str(error).split()))  # fmt: skip
    return f"{configuration.NAME}: {text[:MOST_REASON]}"


def family(files: ModelFiles) -> str | None:
    """The name of a model's family, None where it cannot be told without loading it."""
    try:
        if files.config is not None:
            return family_of(files.config).name
        return family_named(str(metadata_of(files.files[0])["klass"])).name
    except MALFORMED:
        return None


def stems(files: ModelFiles) -> tuple[str, ...] | None:
    """What a model makes, None where that cannot be told without loading it."""
    try:
        if files.config is not None:
            outputs = family_of(files.config).blueprint(files.config).outputs
            return tuple(files.config.recipe(outputs))
        listing = configuration.read_yaml(files.listing)
        if listing.get("gains") is not None:
            return tuple(configuration.scalar(name, "gains") for name in listing["gains"])
        header = metadata_of(files.files[0])
        args, kwargs = (msgspec.json.decode(header[name]) for name in ("args", "kwargs"))
        return tuple(map(str, args[0] if args else kwargs["sources"]))
    except MALFORMED:
        return None


def overlap(model: str, quality: Quality, config: Config) -> float:
    """The part of a segment that neighbours share, by the tier and the model's family."""
    wanted = config.models.tier(quality)[1]
    files = find(model, config)
    if files is None or files.config is None:
        return wanted
    return family_of(files.config).overlap(files.config, wanted, quality == "FAST")


def _copies(name: str, config: Config) -> Iterator[ModelFiles]:
    for root in search_path(config):
        for folder in (root / name, root):
            if (found := whole(name, folder)) is not None:
                yield found


def whole(name: str, folder: Path) -> ModelFiles | None:
    """The model `name` in a folder, if its listing and all its weights are there. What a
    `config.yaml` says need not be understood: its `obstacle` tells."""
    return _by_hub(name, folder) or _by_convention(name, folder)


def _by_convention(name: str, folder: Path) -> ModelFiles | None:
    if folder.name != name:
        return None
    try:
        known = (folder / configuration.NAME).is_file()
        weights = next((folder / file for file in WEIGHTS if (folder / file).is_file()), None)
        if not known or weights is None:
            return None
        size = weights.stat().st_size
    except OSError:
        return None
    found = ModelFiles(name, folder, (weights,), size=size)
    try:
        return structs.replace(found, config=configuration.read(folder / configuration.NAME))
    except MALFORMED as error:
        return structs.replace(found, problem=_told(error))


def _by_hub(name: str, folder: Path) -> ModelFiles | None:
    try:
        bag = configuration.read_yaml(folder / f"{name}.yaml")
        files = tuple(_weights(folder, signature) for signature in signatures(bag))
        size = sum(path.stat().st_size for path in files)
    except (OSError, yaml.YAMLError, ValueError):
        return None
    return ModelFiles(name, folder, files, size=size)


def signatures(listing: object) -> list[str]:
    """The models that a listing names. Raises ValueError: it is no listing, or a name could lead
    out of its folder."""
    named = listing.get("models") if isinstance(listing, dict) else None
    if not isinstance(named, list):
        raise ValueError("a listing has a list of models")
    if not all(isinstance(one, str | int) and NAME.fullmatch(str(one)) for one in named):
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


def licence(files: ModelFiles) -> str | None:
    """The licence of a model's weights, None where nothing on this machine says it."""
    if files.folder == STARTER:
        return "MIT"
    try:
        pulled = (files.folder / f"{files.name}.pins.json").read_bytes()
        pinned = msgspec.json.decode(pulled, type=dict[str, Any])
    except (OSError, msgspec.MsgspecError):
        pinned = {}
    if files.config is not None:
        return files.config.licence or pinned.get("licence")
    if pinned:
        return HUB_LICENCE
    try:
        said = configuration.read_yaml(files.listing).get("licence")
        return None if said is None else configuration.scalar(said, "licence")
    except MALFORMED:
        return None


def installed(config: Config) -> list[ModelFiles]:
    """Every whole model on the search path, by name."""
    return [found for name in names(config)
            if (found := find(name, config)) is not None]


def refused(config: Config) -> list[tuple[ModelFiles, str]]:
    """The models that are whole and cannot be loaded, or asked for by their name, and why."""
    believed = config.models.allow_pickle
    unusable = [(copy, reason) for name in names(config) if find(name, config) is None
                for copy in _copies(name, config)
                if (reason := obstacle(copy, believed)) is not None]
    misnamed = [(copy, MISNAMED) for name in sorted(_listed(config))
                if name.isprintable() and not NAME.fullmatch(name)
                for copy in _copies(name, config)]  # fmt: skip
    return unusable + misnamed + list(_with_other_names(config))


def _with_other_names(config: Config) -> Iterator[tuple[ModelFiles, str]]:
    """Folders with a configuration by the convention and weights, but not as it calls its files."""
    roots = search_path(config)
    folders = [*roots, *(path.parent for root in roots for path in root.glob("*/*.yaml"))]
    for folder in dict.fromkeys(folder for folder in folders if not folder.name.startswith(".")):
        files = [name for path in sorted(folder.glob("*")) for name in WEIGHTS
                 if path.suffix == Path(name).suffix and path.is_file()]  # fmt: skip
        if files and whole(folder.name, folder) is None and \
                any(map(_is_configuration, folder.glob("*.yaml"))):  # fmt: skip
            yield (ModelFiles(folder.name, folder, ()),
                   f"rename its files to {configuration.NAME} and {files[0]}")


def _is_configuration(path: Path) -> bool:
    try:
        configuration.read(path)
    except MALFORMED:
        return False
    return True


def names(config: Config) -> list[str]:
    """What models on the search path are called, whether or not they are whole."""
    return sorted(name for name in _listed(config) if NAME.fullmatch(name))


def _listed(config: Config) -> set[str]:
    """Whatever has a listing, but for what is hidden: a model that is only half fetched."""
    names = {path.parent.name if path.name == configuration.NAME else path.stem
             for root in search_path(config)
             for pattern in ("*.yaml", "*/*.yaml") for path in root.glob(pattern)
             if not path.relative_to(root).parts[0].startswith(".")}  # fmt: skip
    return {name for name in names if not name.startswith(".")}
