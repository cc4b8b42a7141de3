"""Makes a model's folder of files by the convention, wherever they come from: what they say is
understood, what they hold is read as numbers and kept as safetensors, and all of it is pinned.
"""

import os
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import yaml
from safetensors import SafetensorError
from safetensors.torch import save_file

from server.engine.families import family_of
from server.engine.library import configuration, pins
from server.engine.library.catalog import WEIGHTS
from server.engine.library.pins import Pins
from server.engine.pulling.downloading import NotThere, download
from server.engine.pulling.place import here, is_sound, move, place
from server.engine.pulling.registry import Address, Entry
from server.engine.weights import build, load_state
from server.errors import ModelError
from server.presets import NAME

SAFE, CHECKPOINT = WEIGHTS
MOST_REASON = 500  # characters: a network may lack a thousand weights
UNLICENSED = "its licence is not known; --any-licence pulls it all the same"


def describe(name: str, entry: Entry) -> str:
    """What somebody wants to know before a model is fetched."""
    size = entry.weights.bytes
    lines = [f"{name}: {entry.about} ({entry.family})",
             f"  stems    {', '.join(entry.stems or ['as its configuration says'])}",
             f"  licence  {entry.licence or 'not known'}",
             f"  size     {'not known' if size is None else f'{size / 1e6:.0f} MB'}",
             f"  from     {entry.weights.url}"]  # fmt: skip
    if entry.sdr:
        values = ", ".join(f"{stem} {value:g}" for stem, value in entry.sdr.items())
        lines.append(f"  SDR      {values} dB ({entry.sdr_source})")
    if entry.weights.sha256 is None or entry.config.sha256 is None:
        lines.append("  sums     not known: what comes first is pinned")
    return "\n".join(lines)


def pull_entry(name: str, entry: Entry, models: Path, any_licence: bool) -> Path:
    """Fetches a model of the registry into `models/<name>`.

    Raises ModelError: its licence is not known, it cannot be fetched, or is not what it was.
    """
    if entry.licence is None and not any_licence:
        raise ModelError(f"model {name}: {UNLICENSED}")
    with place(name, models, entry.weights.url) as before:
        if _is_here(before, entry) and is_sound(name, models):
            return here(name, models)
        fresh = _fresh(models, name)
        suffix = ".safetensors" if entry.weights.url.endswith(".safetensors") else ".ckpt"
        weights = fresh / f"fetched{suffix}"
        try:
            download(entry.config, fresh / configuration.NAME)
            found = download(entry.weights, weights)
        except ModelError as error:
            raise ModelError(f"model {name} cannot be fetched: {error.message}") from None
        pinned = Pins(found, {}, entry.licence, entry.weights.url)
        return _adopt(name, fresh, weights, models, before, pinned)


def pull_address(url: str, models: Path, any_licence: bool) -> Path:
    """Fetches a model that lies below an address of one's own, as a folder of the convention.

    Raises ModelError, as `pull_entry`.
    """
    base = url.rstrip("/")
    try:
        name = urlsplit(base).path.rpartition("/")[2]
        base.encode("ascii")
    except ValueError:
        raise ModelError(f"{url!r:.200} is no address: [ ] are for IPv6, and what is not ASCII is "
                         "written with percent signs") from None
    _named(name)
    with place(name, models, base) as before:
        fresh = _fresh(models, name)
        try:
            download(Address(f"{base}/{configuration.NAME}"), fresh / configuration.NAME)
            licence = _licensed(fresh, any_licence)
            try:
                weights = fresh / SAFE
                found = download(Address(f"{base}/{SAFE}"), weights)
            except NotThere:
                weights = fresh / CHECKPOINT
                found = download(Address(f"{base}/{CHECKPOINT}"), weights)
        except ModelError as error:
            raise ModelError(f"model {name} cannot be fetched: {error.message}") from None
        return _adopt(name, fresh, weights, models, before, Pins(found, {}, licence, base))


def pull_folder(folder: Path, models: Path, any_licence: bool) -> Path:
    """Takes in a model from a folder of the convention. Raises ModelError, as `pull_entry`."""
    name = _named(folder.resolve().name)
    found = next((folder / file for file in WEIGHTS if (folder / file).is_file()), None)
    if found is None or not (folder / configuration.NAME).is_file():
        raise ModelError(f"{folder} has no {configuration.NAME} with {' or '.join(WEIGHTS)}")
    if folder.resolve() == (models / name).resolve():
        raise ModelError(f"{folder} is where models are kept: it is there already")
    source = str(folder.resolve())
    with place(name, models, source) as before:
        fresh = _fresh(models, name)
        shutil.copyfile(folder / configuration.NAME, fresh / configuration.NAME)
        licence = _licensed(fresh, any_licence)
        pinned = Pins(pins.digest(found), {}, licence, source)
        return _adopt(name, fresh, found, models, before, pinned)


def _named(name: str) -> str:
    if not NAME.fullmatch(name):
        raise ModelError(f"{name!r:.80} is no name of a model: letters, digits, - and _")
    return name


def _is_here(before: Pins | None, entry: Entry) -> bool:
    """Whether what was pulled before is what the registry names."""
    return (
        before is not None
        and before.revision == entry.weights.sha256
        and entry.config.sha256 in (None, before.sha256.get(configuration.NAME))
    )


def _fresh(models: Path, name: str) -> Path:
    fresh = models / f".{name}.part"
    fresh.mkdir(exist_ok=True)
    return fresh


def _licensed(fresh: Path, any_licence: bool) -> str | None:
    """The licence that a configuration names. Raises ModelError: none, and that is not enough."""
    try:
        licence = configuration.read(fresh / configuration.NAME).licence
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ModelError(f"{configuration.NAME}: {error}") from None
    if licence is None and not any_licence:
        raise ModelError(f"{UNLICENSED}; a line `licence:` in {configuration.NAME} would say it")
    return licence


def _adopt(
    name: str, fresh: Path, weights: Path, models: Path, before: Pins | None, pinned: Pins
) -> Path:
    """The folder, once the model is known to be one. Nothing is changed where it is not, or where
    the same address gives other files than before."""
    target = models / name
    try:
        _convert(fresh, weights)
        sums = {file: pins.digest(fresh / file) for file in (configuration.NAME, SAFE)}
        if before is not None and before.source == pinned.source and (
            before.revision, before.sha256.get(configuration.NAME)
        ) != (pinned.revision, sums[configuration.NAME]):
            raise ValueError("the same address gives other files than before")
    except Exception as error:
        if not isinstance(error, OSError | MemoryError):  # with room for it, it goes on from here
            shutil.rmtree(fresh, ignore_errors=True)
        reason = " ".join(str(error).split())[:MOST_REASON]
        raise ModelError(f"model {name} was not taken in: {reason}") from error
    return move(fresh, target, name, msgspec.structs.replace(pinned, sha256=sums))


def _convert(fresh: Path, weights: Path) -> None:
    """Weights as safetensors. Raises whatever is wrong with them, or their configuration."""
    config = configuration.read(fresh / configuration.NAME)
    plan = family_of(config).blueprint(config)
    config.recipe(plan.outputs)
    state = {name: value.detach().clone().contiguous()
             for name, value in load_state(weights).items()}  # fmt: skip
    part = fresh / f"{SAFE}.converted"
    try:
        save_file(state, str(part))
    except SafetensorError as error:  # numbers can be written, where there is room for them
        raise OSError(f"{part.name}: {error}") from None
    part.chmod(0o644)  # safetensors makes its files readable by their owner alone
    del state
    os.replace(part, fresh / SAFE)
    try:
        plan.check()
    except ModelError:  # the list of models will say what it needs
        return
    build(plan, fresh / SAFE)  # they fit the network
