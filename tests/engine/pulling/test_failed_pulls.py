"""Pulls that are cut off, go wrong, or meet what is here already: what is here stays whole."""

import os
from pathlib import Path

import pytest
from safetensors import SafetensorError

from server.config import Config
from server.engine.library import catalog
from server.engine.pulling import hub
from server.engine.pulling.adopting import pull_address, pull_entry, pull_folder
from server.engine.pulling.place import place
from server.engine.pulling.registry import Address, Entry
from server.errors import ModelError
from tests.engine.conftest import tiny
from tests.engine.families.test_families import drums
from tests.engine.pulling.conftest import Shelf, check_installed, entry, own, publish


@pytest.mark.parametrize("ranges", [True, False])
def test_what_was_cut_off_goes_on(
    ranges: bool, shelf: Shelf, config: Config, tmp_path: Path
) -> None:
    made = drums()
    publish(shelf, tmp_path, made)
    size, models = len(shelf.files["model.ckpt"]), config.data_dir / "models"
    shelf.cut, shelf.ranges = size // 2 + 1, True
    if ranges:
        pull_entry("drumsep", entry(shelf), models, False)
        assert ("model.ckpt", f"bytes={size // 2 + 1}-") in shelf.asked, "in one pull"
    else:
        shelf.ranges = False
        with pytest.raises(ModelError, match=r"drumsep cannot be fetched: 127\.0\.0\.1 cannot be"):
            pull_entry("drumsep", entry(shelf), models, False)
        assert catalog.find("drumsep", config) is None
        shelf.cut = None
        pull_entry("drumsep", entry(shelf), models, False)
    check_installed(config, made)


def test_the_next_pull_goes_on_where_the_last_was_cut_off(
    shelf: Shelf, config: Config, tmp_path: Path
) -> None:
    made = drums()
    publish(shelf, tmp_path, made)
    models, size = config.data_dir / "models", len(shelf.files["model.ckpt"])
    fresh = models / ".drumsep.part"
    fresh.mkdir(parents=True)
    (fresh / "fetched.ckpt.part").write_bytes(shelf.files["model.ckpt"][: size - 10])
    pull_entry("drumsep", entry(shelf), models, False)
    assert ("model.ckpt", f"bytes={size - 10}-") in shelf.asked
    check_installed(config, made)


@pytest.mark.parametrize("what", ["config.yaml", "model.ckpt"])
def test_other_bytes_than_published(
    what: str, shelf: Shelf, config: Config, tmp_path: Path
) -> None:
    publish(shelf, tmp_path, drums())
    wanted = entry(shelf)
    shelf.files[what] += b"\n"
    with pytest.raises(ModelError, match="is not what was published"):
        pull_entry("drumsep", wanted, config.data_dir / "models", False)
    assert catalog.find("drumsep", config) is None
    assert not list((config.data_dir / "models").rglob("*.part*.part"))


def test_sums_that_nobody_knew_are_pinned_by_the_first_pull(
    shelf: Shelf, config: Config, tmp_path: Path
) -> None:
    made = drums()
    publish(shelf, tmp_path, made)
    models = config.data_dir / "models"
    unknown = {name: Address(f"{shelf.url}/x/{file}")
               for name, file in (("config", "config.yaml"), ("weights", "model.ckpt"))}
    pull_entry("drumsep", entry(shelf, **unknown), models, False)
    pull_entry("drumsep", entry(shelf, **unknown), models, False)  # the same once more
    publish(shelf, tmp_path, tiny(9, sources=["kick", "snare"]))
    with pytest.raises(ModelError, match="gives other files than before"):
        pull_entry("drumsep", entry(shelf, **unknown), models, False)
    check_installed(config, made)


def test_without_a_network(config: Config) -> None:
    gone = Address("http://127.0.0.1:1/x/config.yaml")
    known = Entry(family="demucs", about="x", config=gone, weights=gone, licence="MIT")
    with pytest.raises(ModelError, match=r"cannot be fetched: 127\.0\.0\.1 cannot be reached"):
        pull_entry("drumsep", known, config.data_dir / "models", False)


def test_not_there(shelf: Shelf, config: Config, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"answers 404 for config\.yaml"):
        pull_address(f"{shelf.url}/drumsep", config.data_dir / "models", True)


def test_a_full_disk(shelf: Shelf, config: Config, tmp_path: Path) -> None:
    publish(shelf, tmp_path, drums())
    huge = Address(f"{shelf.url}/x/model.ckpt", None, 1 << 60)
    with pytest.raises(ModelError, match="MB are free"):
        pull_entry("drumsep", entry(shelf, weights=huge), config.data_dir / "models", False)


@pytest.mark.parametrize("error", [
    SafetensorError("I/O error: No space left on device"), OSError(28, "No space left on device"),
    MemoryError("out of memory"),
])  # fmt: skip
def test_a_disk_that_is_full_after_the_download_costs_no_second_one(
    error: Exception, shelf: Shelf, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, models = drums(), config.data_dir / "models"
    publish(shelf, tmp_path, made)

    def full(*_: object) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr("server.engine.pulling.adopting.save_file", full)
        with pytest.raises(ModelError, match=r"not taken in: .*(No space left|out of memory)"):
            pull_entry("drumsep", entry(shelf), models, False)
    asked = list(shelf.asked)
    pull_entry("drumsep", entry(shelf), models, False)
    assert shelf.asked == asked
    check_installed(config, made)


@pytest.mark.parametrize("by_hand", [True, False])
def test_another_model_is_not_replaced(
    by_hand: bool, shelf: Shelf, config: Config, tmp_path: Path
) -> None:
    made, models = drums(), config.data_dir / "models"
    publish(shelf, tmp_path, tiny(9, sources=["kick", "snare"]))
    if by_hand:
        own(models / "drumsep", made)
        before = "put there by hand"
    else:
        before = f"from {own(tmp_path / 'own' / 'drumsep', made)}"
        pull_folder(tmp_path / "own" / "drumsep", models, True)
    there = {path.name: path.read_bytes() for path in (models / "drumsep").iterdir()}
    elsewhere = own(tmp_path / "more" / "drumsep", made)
    for pull in (lambda: pull_address(f"{shelf.url}/other/drumsep", models, True),
                 lambda: pull_entry("drumsep", entry(shelf), models, True),
                 lambda: pull_folder(elsewhere, models, True),
                 lambda: hub.pull("drumsep", models)):  # fmt: skip
        with pytest.raises(ModelError, match=f"drumsep is here already, {before}: remove"):
            pull()
    assert not shelf.asked and {
        path.name: path.read_bytes() for path in (models / "drumsep").iterdir()} == there


def test_what_was_cut_off_while_it_was_put_there_is_ones_own(
    shelf: Shelf, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, models = drums(), config.data_dir / "models"
    publish(shelf, tmp_path, made)
    real = os.replace

    def cut_off(source: Path, target: Path) -> None:
        if Path(target) == models / "drumsep" / "model.safetensors":
            raise KeyboardInterrupt
        real(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", cut_off)
        with pytest.raises(KeyboardInterrupt):
            pull_entry("drumsep", entry(shelf), models, False)
    pull_entry("drumsep", entry(shelf), models, False)
    check_installed(config, made)


def test_what_is_here_is_not_fetched_again(
    shelf: Shelf, config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made, models = drums(), config.data_dir / "models"
    publish(shelf, tmp_path, made)
    wanted = entry(shelf)
    pull_entry("drumsep", wanted, models, False)
    shelf.asked.clear()
    assert pull_entry("drumsep", wanted, models, False) == models / "drumsep"
    assert not shelf.asked and capsys.readouterr().err.endswith("drumsep is here already\n")
    (models / "drumsep" / "model.safetensors").write_bytes(b"lost")
    pull_entry("drumsep", wanted, models, False)
    check_installed(config, made)


def test_two_pulls_of_one_model_do_not_meet(shelf: Shelf, config: Config, tmp_path: Path) -> None:
    made, models = drums(), config.data_dir / "models"
    publish(shelf, tmp_path, made)
    elsewhere = own(tmp_path / "own" / "drumsep", made)
    with place("drumsep", models, None):
        for pull in (lambda: pull_address(f"{shelf.url}/drumsep", models, True),
                     lambda: pull_entry("drumsep", entry(shelf), models, True),
                     lambda: pull_folder(elsewhere, models, True),
                     lambda: hub.pull("drumsep", models)):  # fmt: skip
            with pytest.raises(ModelError, match="drumsep is being pulled by another process"):
                pull()
    assert not shelf.asked
    assert catalog.names(config) == ["starter", "starter_fast"], "a lock is no model"
    pull_entry("drumsep", entry(shelf), models, False)
    check_installed(config, made)
