"""RoFormers against bs-roformer-infer and melband-roformer-infer, on the same random weights."""

import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from msgspec import structs

from server.config import Config
from server.engine import chains
from server.engine.engine import Engine
from server.engine.forwards.acceleration import accelerate
from server.engine.forwards.attend import Rotation, UnitNorm, quicken, undo
from server.engine.forwards.rotary import FeedForward, RotaryAttention
from server.engine.library import catalog, choice
from server.engine.models import Separator
from server.presets import Preset, Step
from server.work.messages import Options, Task
from server.work.scratch import FrameReader, FrameWriter
from tests.engine.conftest import CPU, noise, tiny
from tests.engine.families.conftest import CHUNK, content, network
from tests.engine.families.parity import check_batches, check_demix, check_forward, separated
from tests.engine.families.test_families import DEMUCS

KINDS = ("bs_roformer", "mel_band_roformer")
for package in KINDS:
    pytest.importorskip(package, reason="pip install 'stembox[roformer]'")

pytestmark = [
    pytest.mark.parametrize("kind", KINDS),
    pytest.mark.filterwarnings("ignore:.*sdp_kernel:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*autocast"),
    pytest.mark.filterwarnings("ignore:A window was not provided"),
]


def own_demix(
    kind: str, said: dict, made: torch.nn.Module, overlaps: int
) -> Callable[[torch.Tensor], dict[str, np.ndarray]]:
    """The package's own way to separate a song."""
    package = __import__(f"{kind}.utils", fromlist=["demix_track"])
    inference = SimpleNamespace(chunk_size=CHUNK, num_overlap=overlaps)
    config = SimpleNamespace(inference=inference, training=SimpleNamespace(**said["training"]))
    return lambda mix: package.demix_track(config, made, mix, CPU, 0.0)[0]


@pytest.mark.parametrize("flash", [True, False])
def test_forward(kind: str, flash: bool, install: Callable) -> None:
    said = content(kind)
    said["model"]["flash_attn"] = flash
    made = network(said)
    model = Separator(install("roformer", said, made), CPU, "float32")
    parts = {type(part) for part in model.models[0][0].modules()}
    assert {RotaryAttention, FeedForward, UnitNorm} <= parts
    check_forward(model, made, CHUNK)


@pytest.mark.parametrize(("seconds", "overlaps"), [
    (2.63, 2), (2.63, 4), (2.63, 3), (0.4, 2), (0.5, 2), (1.01, 2), (1.0, 1), (0.77, 4),
])  # fmt: skip
def test_overlap_add(
    kind: str, seconds: float, overlaps: int, install: Callable, tmp_path: Path
) -> None:
    said = content(kind)
    made = network(said)
    model = Separator(install("roformer", said, made), CPU, "float32")
    demix = own_demix(kind, said, made, overlaps)
    check_demix(tmp_path, model, seconds, 1 - 1 / overlaps, demix)


def test_a_batch_over_two_jobs(kind: str, install: Callable, tmp_path: Path) -> None:
    said = content(kind)
    check_batches(tmp_path, Separator(install("roformer", said, network(said)), CPU, "float32"))


def test_a_preset_of_families_that_cut_songs_differently(
    kind: str, install: Callable, config: Config, tmp_path: Path
) -> None:
    """The mean of one whose segments fade and one whose are triangles, and what follows it."""
    vocals = DEMUCS | {"training": DEMUCS["training"] | {"instruments": ["vocals", "other"]}}
    said = content(kind)
    files = {"fades": install("fades", said, network(said)),
             "triangles": install("triangles", vocals, tiny(8, sources=["vocals", "other"]))}
    mean = Step(model=list(files), weights=[2, 1], stems=["vocals"])
    after = Step(model="fades", input="vocals", stems={"lead": "vocals", "rest": "other"})
    preset = Preset(steps=[mean, after], stems=["vocals", "instrumental", "lead", "rest"])
    settings = structs.replace(config, presets={"both": preset})
    found, frames = choice.resolve("both", settings), noise(2.63)
    models = {name: Separator(one, CPU, "float32") for name, one in files.items()}
    made = chained(tmp_path / "preset", choice.work(found, found.stems, "BEST", settings), models,
                   found.stems, frames)  # fmt: skip
    overlaps = {name: catalog.overlap(name, "BEST", settings) for name in files}
    assert overlaps == {"fades": 0.5, "triangles": 0.25}
    parts = {name: separated(tmp_path / name, model, frames, overlaps[name])[0]
             for name, model in models.items()}  # fmt: skip
    np.testing.assert_allclose(made[0], (2 * parts["fades"] + parts["triangles"]) / 3, atol=1e-5)
    np.testing.assert_allclose(made[1], frames.T - made[0], atol=1e-6)
    expected = separated(tmp_path / "after", models["fades"], made[0].T.copy(), 0.5)
    np.testing.assert_allclose(made[2:], expected, atol=1e-5)


def chained(
    folder: Path, work: choice.Work, models: dict[str, Separator], stems: tuple[str, ...],
    frames: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """What a preset makes: (stems, 2, samples)."""
    folder.mkdir()
    with FrameWriter(folder / "mix.f32") as mix:
        mix.write(frames)
    options = Options(file_name="x", **work._asdict(), wav_format="FLOAT", target_lufs=-14,
                      true_peak_dbtp=-1, max_seconds=60, stems=stems)  # fmt: skip
    task = Task(id="x", job="x", stage="separate", source="", scratch=str(folder), outputs="",
                options=options)  # fmt: skip
    chains.run(chains.Chain(task), Engine(3), models.__getitem__, lambda done: None)
    parts = []
    for stem in stems:
        with FrameReader(folder / f"{stem}.f32") as reader:
            parts.append(reader.read(0, reader.frames).T)
    return np.stack(parts)


def test_one_target_leaves_the_rest(kind: str, install: Callable, tmp_path: Path) -> None:
    said = content(kind, target_instrument="vocals")
    said["model"]["num_stems"] = 1
    made = network(said)
    model = Separator(install("roformer", said, made), CPU, "float32")
    assert model.sources == ("vocals", "other")
    demix = own_demix(kind, said, made, 2)

    def both(mix: torch.Tensor) -> dict[str, np.ndarray]:
        vocals = demix(mix)["vocals"]
        return {"vocals": vocals, "other": mix.numpy() - vocals}

    check_demix(tmp_path, model, 1.9, 0.5, both)


def test_reduced_precision_that_does_not_work_is_left(
    kind: str, monkeypatch: pytest.MonkeyPatch, config: Config
) -> None:
    """On a CPU there are no complex numbers in bfloat16."""
    from server.engine.forwards import acceleration
    from server.engine.forwards.chunked import Chunked
    from server.engine.forwards.fast import Precision

    half = Precision(torch.bfloat16, torch.bfloat16)
    monkeypatch.setattr(acceleration, "precision_on", lambda *_: half)
    model = Chunked(network(content(kind)), ["vocals", "other"], CHUNK)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fast = accelerate(model, CPU)
    mix = torch.randn(1, 2, CHUNK)
    with torch.inference_mode():
        made, expected = fast(mix), model(mix)
    error = (made - expected).square().sum()
    assert float(10 * torch.log10(expected.square().sum() / error.clamp(min=1e-20))) > 40


def test_faster_parts_are_left_out_where_they_change_the_answer(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from server.engine.forwards.chunked import Chunked

    made = network(content(kind))
    mix = torch.randn(1, 2, CHUNK)
    with torch.inference_mode():
        expected = made(mix)
    for products in (None, torch.float32):
        swaps = quicken(made, products)
        assert swaps and not any(type(part).__name__ == "RMSNorm" for part in made.modules())
        with torch.inference_mode():
            torch.testing.assert_close(made(mix), expected, atol=1e-4, rtol=1e-4)
        undo(swaps)
    monkeypatch.setattr(UnitNorm, "forward", lambda self, x: x * 1.01)
    model = accelerate(Chunked(made, ["vocals", "other"], CHUNK), CPU)
    assert not any(isinstance(part, UnitNorm | Rotation) for part in model.modules())
    with torch.inference_mode():
        torch.testing.assert_close(model(mix), expected)


def test_the_lowest_bin_is_as_the_convention_has_it(kind: str, install: Callable) -> None:
    """Silenced in what a BS-RoFormer makes, unless its configuration keeps it."""
    if kind != "bs_roformer":
        pytest.skip("the other package has no choice")
    mix = torch.from_numpy(noise(CHUNK / 44100)).T[None] + 0.5
    choices = {"unsaid": {}, "without": {"zero_dc": True}, "kept": {"zero_dc": False}}
    made = {}
    for name, chosen in choices.items():
        said = content(kind)
        said["model"] |= chosen
        made[name] = Separator(install(name, said, network(said)), CPU, "float32")(mix)
    torch.testing.assert_close(made["unsaid"], made["without"], atol=1e-5, rtol=0)
    assert (made["kept"] - made["unsaid"]).abs().max() > 1e-2
