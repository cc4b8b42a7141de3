"""Which model serves: found by its files, the next in the list where one is missing."""

from pathlib import Path

import pytest
import torch
import yaml

from server.config import Config, load
from server.engine import catalog
from server.engine.devices import count_gpus, devices
from server.engine.loading import load_bag
from server.engine.models import Separator
from server.engine.pulling import pull
from server.errors import ConfigError, InvalidRequest, ModelError
from server.starter.store import save_bag, save_hub_model
from tests.engine.conftest import tiny


def test_the_first_that_is_here_serves(tmp_path: Path) -> None:
    config = load(environ={"STEMBOX_MODELS__BALANCED": "htdemucs, mine, starter"},
                  flags={"server.data_dir": str(tmp_path)})
    assert catalog.serving("BALANCED", config).name == "starter"
    folder = tmp_path / "models" / "mine"
    folder.mkdir(parents=True)
    save_bag(folder, "mine", ["abcd"])
    assert catalog.serving("BALANCED", config).name == "starter", "weights are missing"
    save_hub_model(tiny(0), folder, "abcd")
    assert catalog.serving("BALANCED", config).name == "mine"
    assert catalog.tiers(config)["balanced"] == {"wanted": "htdemucs", "serving": "mine"}
    found = {model.name for model in catalog.installed(config)}
    assert found == {"mine", "starter", "starter_fast"}


def test_none_is_here(tmp_path: Path) -> None:
    config = load(environ={"STEMBOX_MODELS__BEST": "htdemucs_ft"},
                  flags={"server.data_dir": str(tmp_path)})
    with pytest.raises(ModelError, match="htdemucs_ft"):
        catalog.serving("BEST", config)


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


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    count_gpus.cache_clear()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,3")
    assert devices("auto") == ("cuda:0", "cuda:1")
    assert devices("cpu") == ("cpu",)
    assert devices("cuda:1") == ("cuda:1",)
    assert devices("cuda") == ("cuda:0", "cuda:1")
    with pytest.raises(ConfigError, match="cuda:2"):
        devices("cuda:2")
    count_gpus.cache_clear()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert devices("auto") == ("cpu",)
    count_gpus.cache_clear()


def by_convention(folder: Path, content: str = "", **more: object) -> Path:
    """A whole model of the convention, by name of its folder; `content` in place of its text."""
    folder.mkdir(parents=True)
    said = {
        "model": "htdemucs", "training": {"instruments": ["kick", "snare"]},
        "audio": {"chunk_size": 44100}, "htdemucs": {"depth": 4}, **more,
    }  # fmt: skip
    (folder / "config.yaml").write_text(content or yaml.safe_dump(said))
    (folder / "model.safetensors").write_bytes(b"")
    return folder


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load(environ={}, flags={"server.data_dir": str(tmp_path)})


def names(config: Config) -> set[str]:
    return {model.name for model in catalog.installed(config)} - {"starter", "starter_fast"}


def test_what_is_only_half_fetched_is_no_model(config: Config) -> None:
    by_convention(config.data_dir / "models" / ".drums.part")
    assert names(config) == set() and catalog.refused(config) == []
    with pytest.raises(InvalidRequest, match="kick"):
        catalog.making(["kick"], "BEST", config)
    by_convention(config.data_dir / "models" / "drums")
    assert names(config) == {"drums"}
    assert catalog.making(["kick"], "BEST", config).name == "drums"


@pytest.mark.parametrize("name", ["model.v1", "two words", "x" * 65])
def test_a_name_that_nobody_can_ask_for_is_told_of(name: str, config: Config) -> None:
    folder = by_convention(config.data_dir / "models" / name)
    assert names(config) == set()
    ((found, reason),) = catalog.refused(config)
    assert (found.folder, reason) == (folder, "its name may have letters, digits, - and _")
    with pytest.raises(InvalidRequest, match="kick"):
        catalog.making(["kick"], "BEST", config)
