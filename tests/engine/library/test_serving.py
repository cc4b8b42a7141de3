"""Which model serves: found by its files, the next in the list where one is missing."""

from pathlib import Path

import pytest
import torch

from server.config import load
from server.engine.library import catalog, choice
from server.engine.loading import load_bag
from server.engine.models import Separator
from server.engine.pulling.hub import pull
from server.errors import ModelError
from server.starter.store import save_bag, save_hub_model
from tests.engine.conftest import tiny


def test_the_first_that_is_here_serves(tmp_path: Path) -> None:
    config = load(environ={"STEMBOX_MODELS__BALANCED": "htdemucs, mine, starter"},
                  flags={"server.data_dir": str(tmp_path)})
    assert choice.serving("BALANCED", config).name == "starter"
    folder = tmp_path / "models" / "mine"
    folder.mkdir(parents=True)
    save_bag(folder, "mine", ["abcd"])
    assert choice.serving("BALANCED", config).name == "starter", "weights are missing"
    save_hub_model(tiny(0), folder, "abcd")
    assert choice.serving("BALANCED", config).name == "mine"
    assert choice.tiers(config)["balanced"] == {"wanted": "htdemucs", "serving": "mine"}
    found = {model.name for model in catalog.installed(config)}
    assert found == {"mine", "starter", "starter_fast"}


def test_none_is_here(tmp_path: Path) -> None:
    config = load(environ={"STEMBOX_MODELS__BEST": "htdemucs_ft"},
                  flags={"server.data_dir": str(tmp_path)})
    with pytest.raises(ModelError, match="htdemucs_ft"):
        choice.serving("BEST", config)


def test_a_configured_folder(tmp_path: Path) -> None:
    save_hub_model(tiny(0), tmp_path, "abcd")
    save_bag(tmp_path, "other", ["abcd"])
    config = load(environ={"STEMBOX_MODELS__FOLDERS": str(tmp_path)},
                  flags={"server.data_dir": str(tmp_path / "data")})
    assert catalog.find("other", config).folder == tmp_path


def test_older_format(tmp_path: Path) -> None:
    model = tiny(4)
    args, kwargs = model._init_args_kwargs
    torch.save({"klass": type(model), "args": args, "kwargs": kwargs,
                "state": model.state_dict()}, tmp_path / "abcd.th")
    save_bag(tmp_path, "old", ["abcd"])
    config = load(environ={"STEMBOX_MODELS__FOLDERS": str(tmp_path),
                           "STEMBOX_MODELS__ALLOW_PICKLE": "true"},
                  flags={"server.data_dir": str(tmp_path / "data")})
    loaded = load_bag(catalog.find("old", config)).models[0]
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], tensor)


def test_damaged_weights(tmp_path: Path) -> None:
    (tmp_path / "abcd.safetensors").write_bytes(b"no weights")
    save_bag(tmp_path, "bad", ["abcd"])
    config = load(environ={"STEMBOX_MODELS__FOLDERS": str(tmp_path)},
                  flags={"server.data_dir": str(tmp_path / "data")})
    with pytest.raises(ModelError, match="bad cannot be loaded"):
        Separator(catalog.find("bad", config), torch.device("cpu"))


def test_a_wrong_rate_is_refused(tmp_path: Path) -> None:
    save_hub_model(tiny(0, samplerate=22050), tmp_path, "abcd")
    save_bag(tmp_path, "slow", ["abcd"])
    config = load(environ={"STEMBOX_MODELS__FOLDERS": str(tmp_path)},
                  flags={"server.data_dir": str(tmp_path / "data")})
    with pytest.raises(ModelError, match="44100"):
        Separator(catalog.find("slow", config), torch.device("cpu"))


@pytest.mark.parametrize("name", ["../x", "a/b", "", "x" * 65, "x@", "x@../y", "x@a/b"])
def test_pull_refuses_what_is_no_name(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model name"):
        pull(name, tmp_path)


@pytest.mark.parametrize("part", [0.5, 0.999])
def test_weights_that_are_cut_off_do_not_serve(tmp_path: Path, part: float) -> None:
    """The header of such a file is whole: loading it alone would tell."""
    config = load(environ={"STEMBOX_MODELS__FAST": "htdemucs, starter"},
                  flags={"server.data_dir": str(tmp_path)})  # fmt: skip
    folder = tmp_path / "models" / "htdemucs"
    folder.mkdir(parents=True)
    save_hub_model(tiny(0), folder, "one")
    save_bag(folder, "htdemucs", ["one"])
    assert choice.serving("FAST", config).name == "htdemucs"
    weights = folder / "one.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: int(len(whole) * part)])
    assert choice.serving("FAST", config).name == "starter"
    (found,) = choice.refused(config)
    assert "one.safetensors is cut off" in found.reason
    weights.write_bytes(whole)
    assert choice.serving("FAST", config).name == "htdemucs"
