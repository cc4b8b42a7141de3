"""Models of the registry, of addresses and of folders: shown, verified, converted."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
import yaml

from server.cli import main
from server.config import Config
from server.engine.families import FAMILIES
from server.engine.library import catalog
from server.engine.loading import load_members
from server.engine.pulling import registry
from server.engine.pulling.adopting import describe, pull_address, pull_entry, pull_folder
from server.errors import ModelError
from server.presets import NAME
from tests.engine.families.test_families import Trap, drums
from tests.engine.pulling.conftest import Shelf, check_installed, entry, installed, own, publish


def test_the_registry_makes_sense() -> None:
    known = registry.read()
    assert {e.family for e in known.values()} <= {family.name for family in FAMILIES}
    for name, model in known.items():
        assert NAME.fullmatch(name)
        assert all(a.url.startswith("https://") for a in (model.config, model.weights)), name
        assert (model.sdr is None) == (model.sdr_source is None), "figures have a source"
    assert "not known: what comes first is pinned" in describe("x", known["scnet_large"])
    text = describe("bs_roformer_sw", known["bs_roformer_sw"])
    for said in ("six stems", "guitar", "licence  not known", "699 MB", "huggingface.co"):
        assert said in text
    assert "sums" not in text
    told = describe("k", known["mel_band_roformer_kim"])
    assert "vocals 10.98 dB (Multisong" in told


def test_a_registry_with_a_mistake(tmp_path: Path) -> None:
    path = tmp_path / "registry.yaml"
    for url, digest in (("ftp://x/y", "a" * 64), ("https://x/y", "short")):
        address = {"url": url, "sha256": digest}
        path.write_text(yaml.safe_dump({"m": {"family": "scnet", "about": "x", "config": address,
                                              "weights": address}}))
        with pytest.raises(msgspec.ValidationError):
            registry.read(path)


def test_by_name(shelf: Shelf, config: Config, tmp_path: Path) -> None:
    made = drums()
    publish(shelf, tmp_path, made)
    pull_entry("drumsep", entry(shelf), config.data_dir / "models", False)
    check_installed(config, made)
    assert catalog.licence(installed(config)) == "MIT"
    (installed(config).folder / "model.safetensors").write_bytes(b"changed")
    with pytest.raises(ModelError, match="is not what was pulled"):
        load_members(installed(config))


def test_an_unknown_licence_is_refused_before_anything_is_fetched(
    shelf: Shelf, config: Config, tmp_path: Path
) -> None:
    publish(shelf, tmp_path, drums())
    models = config.data_dir / "models"
    with pytest.raises(ModelError, match="--any-licence"):
        pull_entry("drumsep", entry(shelf, licence=None), models, False)
    assert not shelf.asked and catalog.find("drumsep", config) is None
    pull_entry("drumsep", entry(shelf, licence=None), models, True)
    assert catalog.licence(installed(config)) is None


def test_an_address_of_ones_own(shelf: Shelf, config: Config, tmp_path: Path) -> None:
    made, models = drums(), config.data_dir / "models"
    publish(shelf, tmp_path, made)
    with pytest.raises(ModelError, match="licence is not known"):
        pull_address(f"{shelf.url}/some/drumsep/", models, False)
    publish(shelf, tmp_path, made, licence="CC0")
    pull_address(f"{shelf.url}/some/drumsep/", models, False)
    check_installed(config, made)
    assert catalog.licence(installed(config)) == "CC0"
    for url, said in ((f"{shelf.url}/a%20b", "no name of a model"), (shelf.url, "no name")):
        with pytest.raises(ModelError, match=said):
            pull_address(url, models, True)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/модель/x", "http://[::1/x", "http://я/x"])
def test_what_is_no_address(url: str, config: Config) -> None:
    with pytest.raises(ModelError, match="is no address"):
        pull_address(url, config.data_dir / "models", True)


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


@pytest.mark.parametrize("content", [POINTER, b"<!doctype html>", b""])
def test_what_is_no_checkpoint(content: bytes, config: Config, tmp_path: Path) -> None:
    (own(tmp_path / "mine", drums()) / "model.ckpt").write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.ckpt is no checkpoint \(a Git LFS pointer"):
        pull_folder(tmp_path / "mine", config.data_dir / "models", True)


@pytest.mark.parametrize(("status", "said"), [
    (404, None), (403, None), (500, "answers 500 for model.safetensors"),
])  # fmt: skip
def test_a_checkpoint_is_taken_only_where_there_are_no_other_weights(
    status: int, said: str | None, shelf: Shelf, config: Config, tmp_path: Path
) -> None:
    made, models = drums(), config.data_dir / "models"
    publish(shelf, tmp_path, made)
    shelf.statuses["model.safetensors"] = status
    if said is None:
        pull_address(f"{shelf.url}/drumsep", models, True)
        check_installed(config, made)
        return
    with pytest.raises(ModelError, match=said):
        pull_address(f"{shelf.url}/drumsep", models, True)
    assert "model.ckpt" not in [name for name, _ in shelf.asked]


def test_of_two_that_are_not_there_the_last_is_told(
    shelf: Shelf, config: Config, tmp_path: Path
) -> None:
    publish(shelf, tmp_path, drums())
    shelf.statuses = {"model.safetensors": 403, "model.ckpt": 410}
    with pytest.raises(ModelError, match=r"answers 410 for model\.ckpt"):
        pull_address(f"{shelf.url}/drumsep", config.data_dir / "models", True)


def test_a_folder_of_ones_own(shelf: Shelf, config: Config, tmp_path: Path) -> None:
    made, own = drums(), tmp_path / "own" / "mine"
    publish(shelf, tmp_path, made)
    own.mkdir(parents=True)
    with pytest.raises(ModelError, match=r"has no config\.yaml with"):
        pull_folder(own, config.data_dir / "models", True)
    for name, content in shelf.files.items():
        (own / name).write_bytes(content)
    pull_folder(own, config.data_dir / "models", True)
    check_installed(config, made, "mine")
    assert (own / "model.ckpt").exists(), "what is copied stays"
    with pytest.raises(ModelError, match="there already"):
        pull_folder(config.data_dir / "models" / "mine", config.data_dir / "models", True)


def trapped(network: torch.nn.Module, trace: Path) -> dict[str, Any]:
    return {"state_dict": network.state_dict(), "more": Trap(trace)}


def wrong(network: torch.nn.Module, _: Path) -> dict[str, Any]:
    return dict(list(network.state_dict().items())[1:])


@pytest.mark.parametrize(("make", "said"), [
    (trapped, "more than numbers"), (wrong, "Missing key"), (lambda *_: [1], "no weights"),
])  # fmt: skip
def test_what_is_no_model_is_not_taken_in(
    make: Callable[..., Any], said: str, shelf: Shelf, config: Config, tmp_path: Path
) -> None:
    publish(shelf, tmp_path, drums())
    path = tmp_path / "bad.ckpt"
    torch.save(make(drums(), tmp_path / "trace"), path)
    shelf.files["model.ckpt"] = path.read_bytes()
    with pytest.raises(ModelError, match=f"drumsep was not taken in: .*{said}"):
        pull_entry("drumsep", entry(shelf), config.data_dir / "models", False)
    assert not (tmp_path / "trace").exists()
    assert [path.name for path in (config.data_dir / "models").iterdir()] == [".drumsep.lock"]


@pytest.mark.parametrize("text", ["x: !!bool q", 'x: !!int ""', "licence: [[a]]"])
def test_a_configuration_that_makes_no_sense_is_not_taken_in(text: str, tmp_path: Path) -> None:
    folder, models = tmp_path / "odd", tmp_path / "models"
    folder.mkdir()
    sections = "audio: {chunk_size: 9}\ntraining: {instruments: [a]}\n"
    (folder / "config.yaml").write_text(sections + text)
    (folder / "model.ckpt").write_bytes(b"")
    with pytest.raises(ModelError, match=r"^config\.yaml: "):
        pull_folder(folder, models, any_licence=True)


def test_a_name_that_is_a_folder_here(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    own(tmp_path / "dereverb", made := drums())
    monkeypatch.chdir(tmp_path)
    assert main(["models", "pull", "dereverb", "--any-licence", "--data-dir", str(tmp_path)]) == 0
    check_installed(config, made, "dereverb")
    capsys.readouterr()
    assert main(["models", "pull", "no name", "--data-dir", str(tmp_path)]) == 1
    told = capsys.readouterr()
    assert told.out == "" and "'no name' is no model name" in told.err
