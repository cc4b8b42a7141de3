"""Attention that is not ours, where its package allows too few kernels."""

from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from server.engine.forwards import acceleration
from server.engine.forwards.acceleration import accelerate
from server.engine.forwards.chunked import Chunked

SAMPLES = 4410
CPU = torch.device("cpu")


class Kernels(NamedTuple):
    """The packages' own setting."""

    enable_flash: bool
    enable_math: bool
    enable_mem_efficient: bool


class Attend(nn.Module):
    """As the packages' own on a card of capability 8.0, and torch's words there."""

    scale = None

    def __init__(self) -> None:
        super().__init__()
        self.cuda_config = Kernels(True, False, False)

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        if not (self.cuda_config.enable_math or self.cuda_config.enable_mem_efficient):
            raise RuntimeError("No available kernel. Aborting execution.")
        weights = (queries @ keys.mT * queries.shape[-1] ** -0.5).softmax(-1)
        return weights @ values


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attend = Attend()
        self.widen = nn.Linear(2, 8)
        self.narrow = nn.Linear(8, 2)

    def forward(self, mix: Tensor) -> Tensor:
        tokens = self.widen(mix.mT[:, ::49])
        heard = self.narrow(self.attend(tokens, tokens, tokens))
        return (mix.mT[:, : 49 * heard.shape[1]] * heard.repeat_interleave(49, 1)).mT


@pytest.mark.parametrize("faster", [True, False])
@torch.inference_mode()
def test_flash_kernels_alone_do_not_keep_a_model_from_float32(
    faster: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither where it is proved by its own forward, nor where that is all that it has."""
    if not faster:
        monkeypatch.setattr(acceleration, "quicken", lambda *_: [])
    network = Network()
    model = accelerate(Chunked(network, ["vocals"], SAMPLES), CPU, "float32")
    assert isinstance(network.attend, Attend) != faster
    assert model(torch.randn(1, 2, SAMPLES)).isfinite().all()
