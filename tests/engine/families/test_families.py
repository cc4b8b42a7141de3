"""How a model's folder finds its family, with or without the package that brings its network."""

import os
import pickle
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file

from server.config import Config, load
from server.engine.families import FAMILIES, family_named, family_of
from server.engine.families import family as family_module
from server.engine.forwards.fast import FastHTDemucs
from server.engine.library import catalog, choice
from server.engine.library.configuration import understood
from server.engine.loading import load_members
from server.engine.models import Separator
from server.errors import InvalidRequest, ModelError
from tests.engine.conftest import CPU, STEMS, noise, tiny
from tests.engine.families.conftest import MODELS, content
from tests.engine.families.parity import separated

DEMUCS: dict[str, Any] = {
    "audio": {"chunk_size": 44100}, "model": "htdemucs",
    "training": {"instruments": ["Kick", "Snare"], "samplerate": 44100, "channels": 2,
                 "segment": 1},
    "htdemucs": {"channels": 8, "depth": 4, "dconv_comp": 2, "t_layers": 1, "t_heads": 2,
                 "num_subbands": 1},
    "inference": {"num_overlap": 4, "batch_size": 1},
}  # fmt: skip


def drums() -> torch.nn.Module:
    """The network of DEMUCS."""
    return tiny(7, sources=["kick", "snare"])


@pytest.mark.parametrize("kind", MODELS)
def test_the_content_tells_the_family(kind: str) -> None:
    said = content(kind)
    assert family_of(understood(said)).name == kind
    said["family"] = kind
    assert family_of(understood(said)).name == kind
    names = {family.name for family in FAMILIES if family.recognises(understood(content(kind)))}
    assert names == {kind}, "and no other claims it"


@pytest.mark.parametrize("segment", ["11", "x", [1], 0, -3, 1e-9, float("nan"), 1e9, True])
def test_a_segment_that_is_none(segment: object) -> None:
    """Said where the model is listed: who loads it does not expect it any more."""
    said = DEMUCS | {"training": DEMUCS["training"] | {"segment": segment}}
    config = understood(said)
    with pytest.raises(ValueError, match=r"training\.segment"):
        family_of(config).blueprint(config)


@pytest.mark.parametrize(("segment", "seconds"), [(None, 1.0), (2, 2), (0.5, 0.5)])
def test_a_segment_that_is_one(segment: object, seconds: float) -> None:
    said = DEMUCS | {"training": DEMUCS["training"] | {"segment": segment}}
    config = understood(said)
    assert family_of(config).blueprint(config).kwargs["segment"] == seconds


def test_a_network_whose_own_segment_makes_no_sense(
    install: Callable[..., catalog.ModelFiles], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = install("drums", DEMUCS, drums())
    for segment in ("x", None, 0, -1):
        made = load_members(files)
        made.networks[0].segment = segment
        monkeypatch.setattr("server.engine.models.load_members", lambda _, made=made: made)
        with pytest.raises(ModelError, match="segment"):
            Separator(files, CPU)


def test_a_family_that_is_not_told() -> None:
    said = content("scnet") | {"model": {"sources": ["a"]}}
    with pytest.raises(ValueError, match=r"`family:` names one of demucs, bs_roformer"):
        family_of(understood(said))
    with pytest.raises(ValueError, match="not known"):
        family_of(understood(content("scnet") | {"family": "open_unmix"}))
    with pytest.raises(ValueError, match="no kind of model"):
        family_named("os.system")


@pytest.mark.parametrize("kind", MODELS)
def test_a_package_that_is_not_here(
    kind: str, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next in the list serves, and whoever asks is told what to install."""
    folder = config.data_dir / "models" / "htdemucs"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(content(kind, instruments=STEMS[:2])))
    (folder / "model.ckpt").write_bytes(b"")
    monkeypatch.setattr(family_module, "find_spec", lambda _: None)
    assert catalog.find("htdemucs", config) is None
    assert choice.serving("BALANCED", config).name == "starter"
    ((found, reason),) = catalog.refused(config)
    extra = "roformer" if "roformer" in kind else "msst"
    assert (found.name, reason) == ("htdemucs", f"it needs pip install 'stembox[{extra}]'")


@pytest.mark.parametrize("key", [
    {"skip_connection": True}, {"mlp_expansion_factor": 2}, {"linear_transformer_depth": 1},
    {"num_residual_streams": 4}, {"use_pope": True},
])  # fmt: skip
def test_what_a_package_does_not_know_is_not_left_out(key: dict[str, Any]) -> None:
    """A network that lacks a part would load where that part has no weights, and sound wrong."""
    said = content("bs_roformer")
    plan = family_of(understood(said)).blueprint(understood(said))
    assert plan.network.startswith("bs_roformer.")
    said["model"] |= key
    config = understood(said)
    plan = family_of(config).blueprint(config)
    assert plan.network.startswith("msst.") and key.items() <= plan.kwargs.items()


def test_demucs_by_the_convention(install: Callable, tmp_path: Path, config: Config) -> None:
    """It runs as one from the hub does: by demucs's own cuts, and its faster forward."""
    made = drums()
    files = install("drumsep", DEMUCS, made)
    model = Separator(files, CPU)
    assert model.sources == ("kick", "snare") == catalog.stems(files)
    assert catalog.family(files) == "demucs"
    assert isinstance(model.models[0][0], FastHTDemucs)
    assert catalog.overlap("drumsep", "BEST", config) == 0.25, "the tier's"
    from demucs.apply import apply_model

    frames = noise(2.3)
    mix = torch.from_numpy(frames.T.copy())[None]
    expected = apply_model(made, mix, shifts=0, overlap=0.25)[0].numpy()
    made = separated(tmp_path / "song", model, frames, 0.25)
    np.testing.assert_allclose(made, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("wrap", [None, "state", "state_dict", "model_state_dict", "model"])
@pytest.mark.parametrize("format", ["ckpt", "safetensors", "older"])
def test_formats_of_weights(format: str, wrap: str | None, install: Callable) -> None:
    made = drums()

    def save(state: dict[str, torch.Tensor], path: Path) -> None:
        if format == "safetensors":
            save_file(state, path.with_suffix(".safetensors"))
        else:
            torch.save({wrap: state, "epoch": 3} if wrap else state, path,
                       _use_new_zipfile_serialization=format != "older")

    if format == "safetensors" and wrap:
        pytest.skip("a safetensors file holds weights alone")
    (network,) = load_members(install("drumsep", DEMUCS, made, save)).networks
    for name, value in made.state_dict().items():
        torch.testing.assert_close(network.state_dict()[name], value)


class Trap:
    """Pickled, it is a call."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize("believed", ["false", "true"])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_checkpoint_runs_nothing(
    believed: str, zipped: bool, install: Callable, config: Config, tmp_path: Path
) -> None:
    """Not even where pickled models of the hub's older format are trusted."""
    trace = tmp_path / "trace"

    def save(state: dict[str, Any], path: Path) -> None:
        torch.save(state | {"extra": Trap(trace)}, path, _use_new_zipfile_serialization=zipped)

    install("drumsep", DEMUCS, drums(), save)
    trusting = load(environ={"STEMBOX_MODELS__ALLOW_PICKLE": believed},
                    flags={"server.data_dir": str(tmp_path)})
    files = catalog.find("drumsep", trusting)
    with pytest.raises(ModelError, match="holds more than numbers, which is not run"):
        load_members(files)
    assert not trace.exists()


def lacking(state: dict[str, Any], path: Path) -> None:
    torch.save(dict(list(state.items())[1:]), path)


def garbage(_: object, path: Path) -> None:
    path.write_bytes(b"no weights")


def numbers(_: object, path: Path) -> None:
    torch.save([1, 2, 3], path)


def bare_pickle(_: object, path: Path) -> None:
    path.write_bytes(pickle.dumps({"a": 1}))


def itself(_: object, path: Path) -> None:
    within: dict[str, Any] = {}
    within["model"] = within
    torch.save(within, path)


@pytest.mark.parametrize("save", [lacking, garbage, numbers, bare_pickle, itself])
def test_weights_that_do_not_fit(save: Callable, install: Callable) -> None:
    with pytest.raises(ModelError, match="model drumsep cannot be loaded"):
        Separator(install("drumsep", DEMUCS, drums(), save), CPU)


@pytest.mark.parametrize("change", [
    {"htdemucs": {"num_subbands": 4}}, {"model": "demucs5"}, {"model": ["htdemucs"]},
    {"model": None}, {"family": "demucs", "model": "x"},
])  # fmt: skip
def test_a_model_that_makes_no_sense_is_refused_with_the_reason(
    change: dict[str, Any], config: Config
) -> None:
    folder = config.data_dir / "models" / "drumsep"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(DEMUCS | change))
    (folder / "model.ckpt").write_bytes(b"")
    assert catalog.find("drumsep", config) is None
    ((found, reason),) = catalog.refused(config)
    assert found.name == "drumsep" and reason.startswith("config.yaml: ")


def test_a_folder_answers_to_its_own_name_alone(install: Callable, config: Config) -> None:
    files = install("drumsep", DEMUCS, drums())
    assert catalog.whole("drums", files.folder) is None
    configured = load(environ={"STEMBOX_MODELS__FOLDERS": str(files.folder)},
                      flags={"server.data_dir": str(config.data_dir / "elsewhere")})
    assert catalog.find("drumsep", configured).folder == files.folder
    assert {m.name for m in catalog.installed(configured)} == {"drumsep", "starter", "starter_fast"}
    (files.folder / "model.ckpt").unlink()
    assert catalog.find("drumsep", config) is None, "weights are missing"


def test_a_model_serves_what_it_makes(install: Callable, tmp_path: Path) -> None:
    """One that makes vocals alone may stand first in a tier."""
    said = DEMUCS | {"training": DEMUCS["training"] | {"instruments": ["vocals", "other"]}}
    install("voices", said, tiny(8, sources=["vocals", "other"]))
    config = load(environ={"STEMBOX_MODELS__BEST": "voices, starter"},
                  flags={"server.data_dir": str(tmp_path)})
    assert choice.serving("BEST", config, ("vocals", "instrumental")).name == "voices"
    assert choice.serving("BEST", config).name == "starter"
    assert choice.tiers(config)["best"] == {"wanted": "voices", "serving": "starter"}


def test_what_models_of_the_hub_make(config: Config) -> None:
    from tests.engine.conftest import GAINS, write_models

    write_models(config.data_dir / "models")
    made = {model.name: catalog.stems(model) for model in catalog.installed(config)}
    assert made["mixture"] == tuple(GAINS)
    assert made["htdemucs_6s"] == (*STEMS, "guitar", "piano")
    assert set(made["starter"]) >= set(STEMS)
    for model in catalog.installed(config):
        loaded = load_members(model)
        assert made[model.name] == tuple(loaded.recipe), model.name
        assert catalog.family(model) == loaded.family.name
    assert Fraction(1) == load_members(catalog.find("masks", config)).networks[0].segment


def test_nothing_of_torch_is_needed_to_choose_a_model() -> None:
    import subprocess
    import sys

    code = ("import sys, server.engine.library.choice, server.engine.families as f\n"
            "assert 'torch' not in sys.modules and len(f.FAMILIES) == 6")
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_overlap_is_the_publishers_unless_it_is_to_be_fast(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = config.data_dir / "models" / "voices"
    folder.mkdir(parents=True)
    said = content("mdx23c") | {"inference": {"num_overlap": 3}}
    (folder / "config.yaml").write_text(yaml.safe_dump(said))
    (folder / "model.ckpt").write_bytes(b"")
    monkeypatch.setattr(family_module, "find_spec", lambda _: True)
    assert catalog.overlap("voices", "BEST", config) == pytest.approx(2 / 3)
    assert catalog.overlap("voices", "FAST", config) == 0.1
    assert catalog.overlap("starter", "BEST", config) == 0.25


def test_the_model_that_makes_what_is_asked_for(install: Callable, config: Config) -> None:
    install("drumsep", DEMUCS, drums())
    said = DEMUCS | {"training": DEMUCS["training"] | {"instruments": ["Kick", "Toms"]}}
    install("another", said, tiny(8, sources=["kick", "toms"]))

    def chosen(*wanted: str, model: str | None = None) -> str:
        return choice.making(wanted, "BEST", config, model).name

    assert chosen("snare", "kick") == "drumsep"
    assert chosen("kick") == "another", "by name, where no tier knows any"
    assert chosen("kick", model="drumsep") == "drumsep"
    assert chosen("vocals") == chosen("guitar", "piano") == "starter", "of the tiers first"
    for wanted, model, said in (
        (("kick", "kazoo"), None, "No model here makes kazoo"),
        (("snare", "toms"), None, "No model here makes all of snare, toms"),
        (("snare",), "another", "another makes no snare"),
        (("kick",), "nowhere", "model 'nowhere' is not on this server"),
        (("kick",), "../another", "is not on this server"),
    ):
        with pytest.raises(InvalidRequest, match=said):
            chosen(*wanted, model=model)


def test_licences(install: Callable, config: Config) -> None:
    assert catalog.licence(install("drumsep", DEMUCS, drums())) is None
    assert catalog.licence(install("free", DEMUCS | {"license": "MIT"}, drums())) == "MIT"
    assert catalog.licence(catalog.starter(config)) == "MIT"


def test_names_of_other_tracks_are_not_taken() -> None:
    said = DEMUCS | {"training": {"instruments": ["mix", "Harmonic"]}}
    assert understood(said).instruments == ("mix_stem", "harmonic_stem")
