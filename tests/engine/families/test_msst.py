"""SCNet and MDX23C, and RoFormers that only msst has, against msst on the same random weights."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from server.engine.forwards import acceleration, packed
from server.engine.forwards.acceleration import LEAST_SNR
from server.engine.models import Separator
from tests.engine.conftest import CPU, noise
from tests.engine.families.conftest import CHUNK, content, network
from tests.engine.families.parity import check_batches, check_demix, check_forward

pytest.importorskip("msst", reason="pip install 'stembox[msst]'")
pytest.importorskip("ml_collections", reason="msst needs it")

KINDS = ("scnet", "mdx23c", "bs_roformer", "mel_band_roformer")
pytestmark = [
    pytest.mark.parametrize("kind", KINDS),
    pytest.mark.filterwarnings("ignore"),
]


def written(kind: str, **training: Any) -> dict[str, Any]:
    """A configuration whose network comes from msst."""
    said = content(kind, **training)
    if "roformer" in kind:
        said["model"] |= {"mlp_expansion_factor": 2, "skip_connection": True}
    return said


def own_demix(
    kind: str, said: dict[str, Any], made: torch.nn.Module, overlaps: int
) -> Callable[[torch.Tensor], dict[str, np.ndarray]]:
    from ml_collections import ConfigDict
    from msst.utils.model_utils import demix

    config = ConfigDict(said | {"inference": {"batch_size": 1, "num_overlap": overlaps}})
    return lambda mix: demix(config, made, mix, CPU, kind)


def test_forward(kind: str, install: Callable) -> None:
    said = written(kind)
    made = network(said)
    assert type(made).__module__.startswith("msst.")
    check_forward(Separator(install("model", said, made), CPU, "float32"), made, CHUNK)


def test_packed_layers_of_any_size(
    kind: str, install: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed, "FEWEST", 1)
    said = written(kind)
    made = network(said)
    model = Separator(install("model", said, made), CPU, "float32")
    parts = {type(part) for part in model.models[0][0].modules()}
    assert packed.PackedLinear in parts
    assert (packed.NormGELU in parts) == (kind == "mdx23c")
    check_forward(model, made, CHUNK)


def test_all_layers_share_their_threads(
    kind: str, install: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network has a hundred layers, and a machine dozens of cores."""
    monkeypatch.setattr(packed, "FEWEST", 1)
    made, before = network(written(kind)), threading.active_count()
    model = Separator(install("model", written(kind), made), CPU, "float32")
    for _ in range(3):
        model(torch.zeros(1, 2, CHUNK))
    assert threading.active_count() < before + torch.get_num_threads()


@pytest.mark.skipif(not torch.ops.mkldnn._is_mkldnn_bf16_supported(),
                    reason="no bfloat16 in this processor")  # fmt: skip
@pytest.mark.parametrize("seed", range(3))
def test_shorter_layers_keep_40_db_or_are_not_used(
    kind: str, seed: int, install: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed, "FEWEST", 1)
    monkeypatch.setattr(acceleration, "multiplies_bfloat16", lambda: True)
    said = written(kind)
    made = network(said, seed)
    model = Separator(install("model", said, made), CPU)
    if kind == "scnet":
        assert model.precision == "float32/bfloat16"
        assert packed.Short in {type(part) for part in model.models[0][0].modules()}
    mix = torch.from_numpy(noise(CHUNK / 44100, seed)).T[None].contiguous()
    with torch.inference_mode():
        truth = made(mix).view(model(mix).shape).double()
    error = (truth - model(mix)).square().sum((0, 2, 3))
    found = 10 * torch.log10(truth.square().sum((0, 2, 3)) / error)
    assert float(found.min()) > LEAST_SNR - 3  # of another sound than it was proved on


@pytest.mark.parametrize(("seconds", "overlaps"), [
    (2.63, 2), (2.63, 4), (0.4, 2), (1.01, 2), (1.0, 1), (0.77, 4),
])  # fmt: skip
def test_overlap_add(
    kind: str, seconds: float, overlaps: int, install: Callable, tmp_path: Path
) -> None:
    said = written(kind)
    made = network(said)
    model = Separator(install("model", said, made), CPU, "float32")
    demix = own_demix(kind, said, made, overlaps)
    check_demix(tmp_path, model, seconds, 1 - 1 / overlaps, demix)


def test_songs_at_one_level(kind: str, install: Callable, tmp_path: Path) -> None:
    from msst.utils.audio_utils import denormalize_audio, normalize_audio

    said = written(kind)
    said["inference"]["normalize"] = True
    made = network(said)
    model = Separator(install("model", said, made), CPU, "float32")
    demix = own_demix(kind, said, made, 2)

    def levelled(mix: torch.Tensor) -> dict[str, np.ndarray]:
        heard, level = normalize_audio(mix.numpy())
        stems = demix(torch.from_numpy(heard))
        return {stem: denormalize_audio(made, level) for stem, made in stems.items()}

    check_demix(tmp_path, model, 1.9, 0.5, levelled)


def test_a_batch_over_two_jobs(kind: str, install: Callable, tmp_path: Path) -> None:
    said = written(kind)
    check_batches(tmp_path, Separator(install("model", said, network(said)), CPU, "float32"))


def test_one_target_of_many(kind: str, install: Callable, tmp_path: Path) -> None:
    """A network with all its outputs, of which only one was trained."""
    said = written(kind, target_instrument="vocals")
    if "roformer" in kind:
        said["model"]["num_stems"] = 1
    made = network(said)
    model = Separator(install("model", said, made), CPU, "float32")
    demix = own_demix(kind, said, made, 2)

    def both(mix: torch.Tensor) -> dict[str, np.ndarray]:
        vocals = demix(mix)["vocals"]
        return {"vocals": vocals, "other": mix.numpy() - vocals}

    check_demix(tmp_path, model, 1.9, 0.5, both)
