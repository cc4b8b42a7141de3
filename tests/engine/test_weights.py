"""Model files come from strangers: none of them may run code, whatever it says of itself."""

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from server.config import Config, load
from server.engine.library import catalog, choice
from server.engine.loading import load_members
from server.engine.models import Separator
from server.errors import ModelError
from server.starter.store import save_bag, save_hub_model
from tests.engine.conftest import STEMS, tiny

HARMLESS = {"klass": "demucs.htdemucs.HTDemucs", "args": json.dumps([STEMS]), "kwargs": "{}"}


def settings(folder: Path, **more: str) -> Config:
    return load(environ={"STEMBOX_MODELS__FOLDERS": str(folder), **more},
                flags={"server.data_dir": str(folder / "data")})


def write(folder: Path, metadata: dict[str, str]) -> catalog.ModelFiles:
    """A model of one file with this metadata, as the catalogue finds it."""
    save_file({"x": torch.zeros(1)}, str(folder / "abcd.safetensors"), metadata)
    save_bag(folder, "bad", ["abcd"])
    found = catalog.find("bad", settings(folder))
    assert found is not None
    return found


def test_no_class_but_a_models_is_made(tmp_path: Path) -> None:
    """subprocess.Popen has the shape of a model: it is called with arguments from the file."""
    trace = tmp_path / "trace"
    for klass in ("subprocess.Popen", "subprocess.run", "os.system", "demucs.htdemucs.nn.Module"):
        arguments = [f"touch {trace}"] if klass == "os.system" else [["touch", str(trace)]]
        files = write(tmp_path, {**HARMLESS, "klass": klass, "args": json.dumps(arguments)})
        with pytest.raises(ModelError, match="is no kind of model"):
            load_members(files)
    assert not trace.exists()


def test_no_module_is_imported_that_a_file_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module runs when it is imported, before anybody looks for the class in it."""
    (tmp_path / "lurking.py").write_text(f"open({str(tmp_path / 'trace')!r}, 'w')")
    monkeypatch.syspath_prepend(str(tmp_path))
    structure = json.dumps({"_dict": [["x", {"_class": "lurking.Thing"}]]})
    for metadata in ({"klass": "lurking.Thing"}, {"structure": structure}):
        with pytest.raises(ModelError):
            load_members(write(tmp_path, HARMLESS | metadata))
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("metadata", [
    {"klass": ""}, {"args": "["}, {"args": "{}"}, {"kwargs": "[]"}, {"args": "3"},
    {"kwargs": '{"segment": {"_type": "fraction", "numerator": 1, "denominator": 0}}'},
    {"kwargs": '{"segment": {"_type": "fraction"}}'},
    {"args": "[" * 100_000}, {"kwargs": '{"no_such_argument": 1}'},
])  # fmt: skip
def test_damaged_metadata_is_said(metadata: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="model bad cannot be loaded"):
        load_members(write(tmp_path, HARMLESS | metadata))


def test_a_file_without_metadata(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(1)}, str(tmp_path / "abcd.safetensors"))
    save_bag(tmp_path, "bad", ["abcd"])
    with pytest.raises(ModelError, match="model bad cannot be loaded"):
        load_members(catalog.find("bad", settings(tmp_path)))


class Trap:
    """Pickled, it is a call."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.trace),)


def test_a_pickled_model_is_not_even_opened(tmp_path: Path) -> None:
    (tmp_path / "abcd.th").write_bytes(pickle.dumps(Trap(tmp_path / "trace")))
    save_bag(tmp_path, "old", ["abcd"])
    assert catalog.find("old", settings(tmp_path)) is None
    assert [model.name for model, _ in catalog.refused(settings(tmp_path))] == ["old"]
    with pytest.raises(ModelError, match=r"models\.allow_pickle"):
        load_members(catalog.whole("old", tmp_path))
    assert not (tmp_path / "trace").exists()


def test_the_next_in_the_list_serves_in_place_of_a_pickled_one(tmp_path: Path) -> None:
    (tmp_path / "abcd.th").write_bytes(b"")
    save_bag(tmp_path, "htdemucs", ["abcd"])
    assert choice.serving("BALANCED", settings(tmp_path)).name == "starter"
    believing = settings(tmp_path, STEMBOX_MODELS__ALLOW_PICKLE="true")
    assert choice.serving("BALANCED", believing).name == "htdemucs"
    assert not catalog.refused(believing)


def test_a_pickled_file_holds_a_known_class_even_where_pickles_are_allowed(tmp_path: Path) -> None:
    torch.save({"klass": torch.nn.Linear, "args": (1, 1), "kwargs": {}, "state": {}},
               tmp_path / "abcd.th")
    save_bag(tmp_path, "old", ["abcd"])
    believing = settings(tmp_path, STEMBOX_MODELS__ALLOW_PICKLE="true")
    with pytest.raises(ModelError, match="is no kind of model"):
        Separator(catalog.find("old", believing), torch.device("cpu"))


@pytest.mark.parametrize("signature", [
    "../secret/abcd", "/etc/abcd", "..", "a*", "", "a/b", "x" * 100,
])  # fmt: skip
def test_a_listing_names_files_of_its_own_folder_alone(signature: str, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "models").mkdir()
    save_hub_model(tiny(0), tmp_path / "secret", "abcd")
    save_hub_model(tiny(0), tmp_path / "models", "abcd")
    save_bag(tmp_path / "models", "sly", [signature])
    assert catalog.whole("sly", tmp_path / "models") is None


def test_a_listing_that_grows_by_aliases(tmp_path: Path) -> None:
    """A kilobyte of YAML that would be gigabytes as text."""
    rows = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]"
             for a, b in zip("abcdefgh", "bcdefghi", strict=True)]
    (tmp_path / "bomb.yaml").write_text("\n".join([*rows, "models: [*i]"]))
    assert catalog.whole("bomb", tmp_path) is None
    (tmp_path / "list.yaml").write_text("- x")
    (tmp_path / "text.yaml").write_text("x")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    assert not [name for name in ("list", "text", "bytes") if catalog.whole(name, tmp_path)]
