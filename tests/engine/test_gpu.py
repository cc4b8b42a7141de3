"""The engine on a CUDA card, against apply_model on the same card (`make test-gpu`)."""

from pathlib import Path

import numpy as np
import pytest
import torch
from demucs.apply import apply_model

from server.config import Config
from server.engine import catalog
from server.engine.engine import Engine
from server.engine.models import Separator, load_bag
from tests.engine.test_separation import noise, run, song, stems_of

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA card"),
]


@pytest.mark.parametrize("name", ["single", "weighted", "hybrid"])
@pytest.mark.parametrize("batch", [1, 4, 16])
def test_equals_apply_model(name: str, batch: int, config: Config, tmp_path: Path) -> None:
    card = torch.device("cuda:0")
    files = catalog.find(name, config)
    model, frames = Separator(files, card), noise(9.3)
    engine = Engine(batch, card)
    engine.add(song(tmp_path / "a", frames, model))
    assert run(engine) == {"song": None}
    mix = torch.from_numpy(frames.T.copy())[None]
    expected = apply_model(load_bag(files), mix, shifts=0, overlap=0.25, device=card)[0].numpy()
    # Convolutions choose other algorithms for other batch sizes, hence not to the last bit.
    np.testing.assert_allclose(stems_of(tmp_path / "a", model), expected, atol=2e-4)


def test_starter_separates(tmp_path: Path, config: Config) -> None:
    model = Separator(catalog.find("starter", config), torch.device("cuda:0"))
    engine = Engine(8, "cuda:0")
    engine.add(song(tmp_path / "a", noise(20), model))
    assert run(engine) == {"song": None}
    assert np.isfinite(stems_of(tmp_path / "a", model)).all()
