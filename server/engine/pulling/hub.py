"""Fetches models from demucs's hub. What came once is pinned: a name then stands for the same
bytes, until its operator names another revision.
"""

import re
import shutil
from pathlib import Path
from typing import Any

import yaml
from demucs.hf import DEFAULT_NAMESPACE, hf_repo_name

from server.engine.library import pins
from server.engine.library.catalog import HUB_LICENCE, signatures
from server.engine.library.pins import Pins
from server.engine.pulling.place import HUB, here, is_sound, move, place
from server.errors import ModelError

NAME = re.compile(r"([A-Za-z0-9_]{1,64})(?:@([A-Za-z0-9._-]{1,64}))?")


def pull(wanted: str, folder: Path) -> Path:
    """Fetches a model from demucs's hub into `folder/<name>`, with a progress bar.

    Args:
        wanted: `name`, in the revision that came before, or else the newest; or `name@revision`.

    Raises:
        ModelError: no such model, the hub cannot be reached, or its files are not what they were.
    """
    match = NAME.fullmatch(wanted)
    if match is None:
        raise ModelError(f"{wanted!r} is no model name")
    name, revision = match.groups()
    with place(name, folder, None) as known:
        return _pull(name, revision, folder, known)


def _pull(name: str, revision: str | None, folder: Path, known: Pins | None) -> Path:
    target, fresh = folder / name, folder / f".{name}.part"
    if known is not None and revision in (None, known.revision):
        if is_sound(name, folder):
            return here(name, folder)
        revision = known.revision
    else:
        known = None
    try:
        got = _download(name, revision, fresh)
        _compare(known, got)
        return move(fresh, target, name, got)
    except ModelError:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    except Exception as error:  # what has come so far stays: the next attempt goes on from there
        raise ModelError(f"model {name} cannot be fetched: {error}") from error


def _download(name: str, revision: str | None, fresh: Path) -> Pins:
    """All of a model's files, of one commit."""
    from huggingface_hub import HfApi, hf_hub_download

    repository = f"{DEFAULT_NAMESPACE}/{hf_repo_name(name)}"
    info = HfApi().model_info(repository, revision=revision, files_metadata=True)
    if info.sha is None:
        raise ModelError(f"model {name}: the hub names no revision")

    def fetch(file: str) -> str:
        path = Path(hf_hub_download(repository, file, revision=info.sha, local_dir=fresh))
        found, said = pins.digest(path), _said_of(info, file)
        if said not in (None, found):
            raise ModelError(f"model {name}: {file} did not arrive as the hub describes it")
        return found

    listing = f"{name}.yaml"
    sums = {listing: fetch(listing)}
    bag = yaml.safe_load((fresh / listing).read_text(encoding="utf-8"))
    files = [f"{signature}.safetensors" for signature in signatures(bag)]
    size = sum(one.size or 0 for one in info.siblings or () if one.rfilename in files)
    print(f"{name}: from {HUB}, licence {HUB_LICENCE}")
    print(f"  size     {size / 1e6:.0f} MB" if size else "  size     not known", flush=True)
    return Pins(info.sha, sums | {file: fetch(file) for file in files})


def _said_of(info: Any, file: str) -> str | None:
    """A file's SHA-256 by the hub's word, which it gives of large ones."""
    for sibling in info.siblings or ():
        if sibling.rfilename == file and sibling.lfs is not None:
            return str(sibling.lfs.sha256)
    return None


def _compare(known: Pins | None, got: Pins) -> None:
    if known is not None and known != got:
        changed = sorted(file for file, found in got.sha256.items()
                         if known.sha256.get(file) != found)
        raise ModelError(f"the hub gives other files for revision {known.revision} than before: "
                         f"{', '.join(changed) or got.revision}; nothing was changed")
