"""Inner products of bfloat16 on a CPU: what they keep, when they are refused, and what follows."""

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any
from weakref import ref

import numpy as np
import pytest
import torch
from torch import nn

from server.engine.engine import Engine
from server.engine.forwards import acceleration
from server.engine.forwards.acceleration import LEAST_SNR
from server.engine.forwards.packed import PackedLinear
from server.engine.forwards.rotary import FeedForward, RotaryAttention
from server.engine.models import Separator
from server.starter.songs import synthesise
from tests.engine.conftest import CPU, noise, run, song, stems_of
from tests.engine.families.conftest import CHUNK, content, network
from tests.engine.families.parity import separated

KINDS = ("bs_roformer", "mel_band_roformer")
for package in KINDS:
    pytest.importorskip(package, reason="pip install 'stembox[roformer]'")

pytestmark = [
    pytest.mark.parametrize("kind", KINDS),
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(not torch.ops.mkldnn._is_mkldnn_bf16_supported(),
                       reason="no bfloat16 in this processor"),
]  # fmt: skip


@pytest.fixture(autouse=True)
def multiplies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceleration, "multiplies_bfloat16", lambda: True)


def snr_db(truth: Any, made: Any) -> list[float]:
    """Of each stem: (…, stems, 2, samples)."""
    truth, made = (np.asarray(x, np.float64) for x in (truth, made))
    error = np.square(truth - made).sum((-2, -1))
    return list(10 * np.log10(np.square(truth).sum((-2, -1)) / error).ravel())


@pytest.mark.parametrize("seed", range(8))
def test_every_stem_of_music_and_of_noise_keeps_40_db(
    kind: str, seed: int, install: Callable
) -> None:
    """Of some random networks bfloat16 keeps too little of a quiet stem: those stay in float32."""
    said = content(kind)
    made = network(said, seed)
    model = Separator(install("roformer", said, made), CPU)
    assert model.precision == ("float32/bfloat16" if model.reduced else "float32")
    assert model.reduced or seed > 0
    assert {RotaryAttention, FeedForward} <= {type(part) for part in model.models[0][0].modules()}
    music = sum(synthesise(2_000_003 + seed, 8.0).values())[:, 4 * 44100 :][:, :CHUNK]
    for mix in (music, noise(CHUNK / 44100, seed).T, 1e-3 * music):
        given = torch.from_numpy(np.ascontiguousarray(mix, np.float32))[None]
        with torch.inference_mode():
            assert min(snr_db(made(given), model(given))) > LEAST_SNR


@pytest.mark.parametrize("spoil", [lambda out: out * float("nan"), lambda out: out * 1.03])
def test_products_that_lose_too_much_are_not_used(
    kind: str, spoil: Callable, install: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = content(kind)
    made = network(said)
    files = install("roformer", said, made)
    forward = PackedLinear.forward
    monkeypatch.setattr(PackedLinear, "forward", lambda self, x: (
        spoil(forward(self, x)) if self.dtype == torch.bfloat16 else forward(self, x)
    ))  # fmt: skip
    model = Separator(files, CPU)
    assert not model.reduced and model.precision == "float32"
    assert any(isinstance(part, RotaryAttention) for part in model.models[0][0].modules())
    mix = torch.from_numpy(noise(CHUNK / 44100)).T[None]
    with torch.inference_mode():
        torch.testing.assert_close(model(mix), made(mix), atol=1e-4, rtol=1e-4)


def test_whole_layers_that_change_the_answer_are_left_out(
    kind: str, monkeypatch: pytest.MonkeyPatch, install: Callable
) -> None:
    said = content(kind)
    made = network(said)
    forward = FeedForward.forward
    monkeypatch.setattr(FeedForward, "forward", lambda self, x: 1.03 * forward(self, x))
    model = Separator(install("roformer", said, made), CPU)
    assert not model.reduced
    names = {type(part).__name__ for part in model.models[0][0].modules()}
    assert not names & {"RotaryAttention", "PackedLinear", "UnitNorm"}
    mix = torch.from_numpy(noise(CHUNK / 44100)).T[None]
    with torch.inference_mode():
        torch.testing.assert_close(model(mix), made(mix))


def test_a_setting_forbids_it(kind: str, install: Callable) -> None:
    said = content(kind)
    model = Separator(install("roformer", said, network(said)), CPU, "float32")
    assert not model.reduced and model.precision == "float32"


def test_a_batch_over_two_jobs(kind: str, install: Callable, tmp_path: Path) -> None:
    """Each is what it is alone, to what a product of other sizes rounds otherwise."""
    said = content(kind)
    model = Separator(install("roformer", said, network(said)), CPU)
    songs = {"a": noise(1.3, 1), "b": noise(1.9, 2)}
    engine = Engine(4)
    for name, frames in songs.items():
        engine.add(song(tmp_path / name, frames, model, 0.5, name=name))
    assert run(engine) == {"a": None, "b": None}
    for name, frames in songs.items():
        alone = separated(tmp_path / f"{name} alone", model, frames, 0.5)
        assert min(snr_db(alone, stems_of(tmp_path / name, model))) > LEAST_SNR + 10


def test_a_song_that_comes_out_broken_begins_again_in_float32(
    kind: str, install: Callable, tmp_path: Path
) -> None:
    said = content(kind)
    made = network(said)
    model = Separator(install("roformer", said, made), CPU)
    frames = noise(1.3)
    expected = separated(tmp_path / "full", model.in_full(), frames, 0.5)
    model.models[0][0].register_forward_hook(overflowed)
    engine = Engine(2)
    engine.add(song(tmp_path / "song", frames, model, 0.5))
    assert run(engine) == {"song": None}
    made_anew = stems_of(tmp_path / "song", model)
    np.testing.assert_allclose(made_anew, expected, atol=1e-6)


def test_what_is_in_float32_stays_as_long_as_somebody_has_it(
    kind: str, install: Callable
) -> None:
    said = content(kind)
    model = Separator(install("roformer", said, network(said)), CPU)
    full = model.in_full()
    assert full is model.in_full() is full.in_full() and not full.reduced
    gone = ref(full)
    del full
    gc.collect()
    assert gone() is None and not model.in_full().reduced


def overflowed(_: nn.Module, __: Any, out: torch.Tensor) -> torch.Tensor:
    """What comes of numbers too large for a type."""
    return out * torch.inf
