"""The engine on a CUDA card, against apply_model on the same card (`make test-gpu`)."""

from pathlib import Path

import numpy as np
import pytest
import torch
from demucs.apply import apply_model

from server.config import Config
from server.engine import catalog
from server.engine.acceleration import LEAST_SNR, accelerate, snr_db
from server.engine.engine import Engine
from server.engine.graphs import Graphed
from server.engine.models import Separator, load_bag
from tests.engine.test_fast import SHAPES, shaken
from tests.engine.test_separation import noise, run, song, stems_of

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA card"),
]
CARD = torch.device("cuda:0")


@pytest.mark.parametrize("name", ["single", "weighted", "hybrid", "masks", "mixture"])
@pytest.mark.parametrize("batch", [1, 4, 16])
def test_float32_equals_apply_model(
    name: str, batch: int, config: Config, tmp_path: Path
) -> None:
    files = catalog.find(name, config)
    model, frames = Separator(files, CARD, "float32"), noise(9.3)
    engine = Engine(batch, CARD)
    engine.add(song(tmp_path / "a", frames, model))
    assert run(engine) == {"song": None}
    mix = torch.from_numpy(frames.T.copy())[None]
    expected = apply_model(load_bag(files), mix, shifts=0, overlap=0.25, device=CARD)[0].cpu()
    # Convolutions choose other algorithms for other batch sizes, hence not to the last bit.
    np.testing.assert_allclose(stems_of(tmp_path / "a", model), expected.numpy(), atol=2e-4)


@pytest.mark.parametrize("shape", ["defaults", "htdemucs"])
def test_half_precision_is_used_and_keeps_40_db(shape: str) -> None:
    model = shaken(**SHAPES[shape]).to(CARD)
    fast = accelerate(model, CARD)
    assert isinstance(fast, Graphed)
    assert next(fast.model.encoder.parameters()).dtype == torch.float16
    assert snr_db(model, fast) >= LEAST_SNR


@torch.inference_mode()
def test_graphs_answer_as_the_model_does() -> None:
    graphed = accelerate(shaken().to(CARD), CARD, "float32")
    assert isinstance(graphed, Graphed)
    for segments in (1, 3, 8, 3, 1):
        mix = 0.2 * torch.randn(segments, 2, 44100, device=CARD)
        torch.testing.assert_close(graphed(mix), graphed.model(mix), atol=1e-4, rtol=1e-3)
    assert sorted(graphed._graphs) == [1, 4, 8], "captured, not given up"


def test_nan_in_one_song_leaves_the_others_bit_equal(config: Config, tmp_path: Path) -> None:
    model, made = Separator(catalog.find("single", config), CARD), []
    for poison in (0.1, np.nan):
        bad, engine = noise(5.0, 1), Engine(4, CARD)
        bad[1000] = poison
        engine.add(song(tmp_path / f"good{poison}", noise(5.0, 2), model, name="good"))
        engine.add(song(tmp_path / f"bad{poison}", bad, model, name="bad"))
        ends = run(engine)
        made.append(stems_of(tmp_path / f"good{poison}", model))
    assert ends["good"] is None and ends["bad"] is not None
    np.testing.assert_array_equal(*made)


def test_out_of_memory_halves_the_batch(config: Config, tmp_path: Path) -> None:
    model, engine = Separator(catalog.find("starter", config), CARD), Engine(64, CARD)
    model.warm_up(1)
    engine.add(song(tmp_path / "a", noise(290), model))  # 65 segments and more
    free = torch.cuda.mem_get_info(CARD)[0]
    held = torch.empty(max(0, free - 3 * 2**30), dtype=torch.uint8, device=CARD)
    assert run(engine) == {"song": None}
    assert engine.max_batch < 64
    del held


def test_starter_separates(tmp_path: Path, config: Config) -> None:
    model = Separator(catalog.find("starter", config), CARD)
    engine = Engine(8, CARD)
    engine.add(song(tmp_path / "a", noise(20), model))
    assert run(engine) == {"song": None}
    assert np.isfinite(stems_of(tmp_path / "a", model)).all()
