"""The other families on a card: what reduced precision keeps, and whole songs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from server.engine.card import prepare_card
from server.engine.forwards.acceleration import LEAST_SNR
from server.engine.models import Separator
from server.errors import ModelError
from tests.engine.conftest import CPU, noise
from tests.engine.families.conftest import CHUNK, MODELS, content, network
from tests.engine.families.parity import separated

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA card"),
]
CARD = torch.device("cuda:0")


def snr_db(truth: np.ndarray, made: np.ndarray) -> float:
    error = np.square(truth - made, dtype=np.float64).sum()
    return float(10 * np.log10(np.square(truth, dtype=np.float64).sum() / error))


@pytest.mark.parametrize("precision", ["auto", "float32"])
@pytest.mark.parametrize("kind", MODELS)
def test_a_song_is_what_it_is_on_a_cpu(
    kind: str, precision: str, install: Callable, tmp_path: Path
) -> None:
    prepare_card(CARD)
    try:
        said = content(kind)
        files = install(kind, said, network(said))
    except (ModuleNotFoundError, ModelError) as missing:
        pytest.skip(str(missing))
    frames = noise(2.3)
    truth = separated(tmp_path / "cpu", Separator(files, CPU, "float32"), frames, 0.5)
    model = Separator(files, CARD, precision)  # type: ignore[arg-type]
    assert model.warm_up(4) > 0
    made = separated(tmp_path / "card", model, frames, 0.5)
    least = LEAST_SNR - 3 if precision == "auto" else 60  # of other sounds than it was proved on
    assert snr_db(truth, made) > least, f"reduced: {model.reduced}"
    full = model.in_full()
    mix = torch.from_numpy(noise(CHUNK / 44100)).T[None].contiguous()
    assert snr_db(model(mix.to(CARD)).cpu().numpy(), full(mix.to(CARD)).cpu().numpy()) > least
