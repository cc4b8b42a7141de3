"""The engine on a CUDA card, against apply_model on the same card (`make test-gpu`)."""

from pathlib import Path

import numpy as np
import pytest
import torch
from demucs.apply import apply_model

from loadtests.compare import snr_db as sdr
from server.config import Config, load
from server.engine.card import prepare_card
from server.engine.engine import Engine
from server.engine.forwards.acceleration import LEAST_SNR, accelerate, snr_db
from server.engine.forwards.graphs import Graphed, Memory
from server.engine.library import catalog
from server.engine.loading import load_bag
from server.engine.models import Separator
from server.engine.worker import SeparationWorker
from server.errors import Cancelled
from server.stems import OUTPUTS
from tests.engine.conftest import noise, run, song, stems_of, tiny_masks
from tests.engine.forwards.test_fast import SHAPES, shaken

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA card"),
]
CARD = torch.device("cuda:0")


@pytest.fixture(scope="module", autouse=True)
def _float32_as_the_worker_has_it() -> None:
    prepare_card(CARD)


def expected_of(files: catalog.ModelFiles, frames: np.ndarray) -> np.ndarray:
    """What demucs's own `apply_model` makes of it on the card, in float32."""
    mix = torch.from_numpy(frames.T.copy())[None]
    made = apply_model(load_bag(files), mix, shifts=0, overlap=0.25, device=CARD)
    return made[0].cpu().numpy()


def least_snr(made: np.ndarray, truth: np.ndarray) -> float:
    """dB of the worst stem."""
    return min(sdr(*pair) for pair in zip(truth, made, strict=True))


@pytest.mark.parametrize("name", ["single", "weighted", "hybrid", "masks", "mixture", "shared"])
@pytest.mark.parametrize("batch", [1, 4, 16])
def test_float32_equals_apply_model(
    name: str, batch: int, config: Config, tmp_path: Path
) -> None:
    files = catalog.find(name, config)
    model, frames = Separator(files, CARD, "float32"), noise(9.3)
    engine = Engine(batch, CARD)
    engine.add(song(tmp_path / "a", frames, model))
    assert run(engine) == {"song": None}
    # Convolutions choose other algorithms for other batch sizes, hence not to the last bit.
    made, expected = stems_of(tmp_path / "a", model), expected_of(files, frames)
    np.testing.assert_allclose(made, expected, atol=2e-4)


@pytest.mark.parametrize("name", ["single", "weighted", "mixture", "htdemucs_ft", "starter"])
@pytest.mark.parametrize("batch", [1, 16])
def test_auto_keeps_40_db_of_apply_model(
    name: str, batch: int, config: Config, tmp_path: Path
) -> None:
    files = catalog.find(name, config)
    model, frames = Separator(files, CARD), noise(30 if name == "starter" else 9.3)
    engine = Engine(batch, CARD)
    engine.add(song(tmp_path / "a", frames, model))
    assert run(engine) == {"song": None}
    made = stems_of(tmp_path / "a", model)
    assert least_snr(made, expected_of(files, frames)) >= LEAST_SNR


def test_a_specialist_makes_the_same_alone(config: Config, tmp_path: Path) -> None:
    model, frames = Separator(catalog.find("starter", config), CARD), noise(9.0)
    engine = Engine(4, CARD)
    for output in ("VOCALS", "SIX_STEMS"):
        stems = OUTPUTS[output]
        engine.add(song(tmp_path / output, frames, model, name=output, stems=stems))
    assert run(engine) == {"VOCALS": None, "SIX_STEMS": None}
    alone = stems_of(tmp_path / "VOCALS", model, OUTPUTS["VOCALS"])[0]
    among = stems_of(tmp_path / "SIX_STEMS", model, OUTPUTS["SIX_STEMS"])[3]
    np.testing.assert_allclose(alone, among, atol=2e-4)


def test_songs_share_batches_and_stay_themselves(config: Config, tmp_path: Path) -> None:
    files = catalog.find("starter", config)
    model, lengths = Separator(files, CARD), {"a": 21.0, "b": 1.3, "c": 9.1, "d": 0.001}
    engine = Engine(8, CARD)
    songs = {name: noise(seconds, len(name)) for name, seconds in lengths.items()}
    for name, frames in songs.items():
        engine.add(song(tmp_path / name, frames, model, name=name))
    assert run(engine) == dict.fromkeys(lengths)
    for name, frames in songs.items():
        made = stems_of(tmp_path / name, model)
        assert made.shape[-1] == len(frames)
        assert np.abs(made - expected_of(files, frames)).max() <= 0.01 * np.abs(frames).max()


def test_a_song_thrown_out_under_way_leaves_the_others_whole(
    config: Config, tmp_path: Path
) -> None:
    model, engine = Separator(catalog.find("single", config), CARD), Engine(4, CARD)
    frames = noise(9.3)
    engine.add(song(tmp_path / "kept", frames, model, name="kept"))
    engine.add(song(tmp_path / "gone", noise(20, 1), model, name="gone"))
    list(engine.step())  # a batch with segments of both is on the card
    assert engine.remove("gone", Cancelled("enough"))
    assert run(engine) == {"kept": None}
    assert not list((tmp_path / "gone").glob("[!m]*.f32")), "nothing is left of its stems"
    made = stems_of(tmp_path / "kept", model)
    assert least_snr(made, expected_of(catalog.find("single", config), frames)) >= LEAST_SNR


def test_memory_stays_flat_over_many_songs(config: Config, tmp_path: Path) -> None:
    model = Separator(catalog.find("mixture", config), CARD)
    model.warm_up(16)  # all its graphs
    engine, held = Engine(16, CARD), []
    for number in range(24):
        engine.add(song(tmp_path / f"{number}", noise(3 + number % 5, number), model,
                        name=f"{number}"))
        if number % 4 == 3:
            run(engine)
            torch.cuda.empty_cache()  # also what only waited for a copy to end
            held.append((torch.cuda.memory_allocated(), torch.cuda.memory_reserved()))
    (allocated, reserved), (allocated_last, reserved_last) = held[2], held[-1]
    assert abs(allocated_last - allocated) < 2**20
    assert reserved_last <= 1.1 * reserved


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
    assert sorted(size for size, _ in graphed._graphs) == [1, 4, 8], "captured, not given up"


@torch.inference_mode()
def test_a_mask_networks_graphs_answer_as_it_does() -> None:
    model = tiny_masks(4).to(CARD)
    graphed = accelerate(model, CARD)
    assert isinstance(graphed, Graphed)
    for segments in (2, 5, 2):
        mix = 0.2 * torch.randn(segments, 2, 44100, device=CARD)
        torch.testing.assert_close(graphed(mix), model(mix), atol=1e-4, rtol=1e-3)
    assert sorted(size for size, _ in graphed._graphs) == [2, 8], "captured, not given up"


@torch.inference_mode()
def test_networks_that_share_memory_keep_their_answers() -> None:
    memory = Memory.on(CARD)
    models = [accelerate(shaken().to(CARD), CARD, "float32", memory),
              accelerate(tiny_masks(4).to(CARD), CARD, "float32", memory)]
    mixes = [0.2 * torch.randn(size, 2, 44100, device=CARD) for size in (1, 8, 3, 1)]
    made = [model(mix).clone() for mix in mixes for model in models]
    plain = [model.model(mix) for mix in mixes for model in models]
    for one, other in zip(made, plain, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)


def test_nan_in_one_song_leaves_the_others_bit_equal(config: Config, tmp_path: Path) -> None:
    model, made = Separator(catalog.find("single", config), CARD), []
    for poison in (0.1, np.nan):
        bad, engine = noise(3.0, 1), Engine(16, CARD)  # all of both fits into one batch
        bad[1000] = poison
        engine.add(song(tmp_path / f"good{poison}", noise(3.0, 2), model, name="good"))
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
    assert engine.most("starter") < 64
    del held


def test_a_card_too_small_for_the_largest_batch_gets_smaller_ones(tmp_path: Path) -> None:
    torch.cuda.empty_cache()
    free = torch.cuda.mem_get_info(CARD)[0]
    held = torch.empty(max(0, free - 3 * 2**30), dtype=torch.uint8, device=CARD)
    flags = {"server.data_dir": str(tmp_path), "separation.max_batch": 64}
    worker = SeparationWorker(load(environ={}, flags=flags), "cuda:0")
    assert 1 <= worker._engine.max_batch < 64
    del held


def test_starter_separates(tmp_path: Path, config: Config) -> None:
    model = Separator(catalog.find("starter", config), CARD)
    engine = Engine(8, CARD)
    engine.add(song(tmp_path / "a", noise(20), model))
    assert run(engine) == {"song": None}
    assert np.isfinite(stems_of(tmp_path / "a", model)).all()
