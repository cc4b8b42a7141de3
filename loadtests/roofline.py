"""What a segment asks of a device: its operations, and the numbers that they move."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from loadtests.separate_bench import full_size_model
from server.engine.forwards.fast import FastHTDemucs
from server.engine.forwards.passes import TorchPasses


class Traffic(TorchDispatchMode):
    """Counts the numbers that operations read and write, each operand once."""

    numbers = 0

    def __torch_dispatch__(self, function: Any, _: Any, given: Any = (), named: Any = None) -> Any:
        made = function(*given, **(named or {}))
        if not function.is_view:
            both = [*given, *(made if isinstance(made, tuple | list) else [made])]
            self.numbers += sum(part.numel() for part in both if isinstance(part, Tensor))
        return made


@torch.inference_mode()
def counted() -> tuple[float, float]:
    """Floating-point operations of one segment, and numbers moved if nothing stayed in a cache."""
    fast = FastHTDemucs(full_size_model(), TorchPasses()).eval()
    mix = torch.zeros(1, 2, fast.valid_length(1))
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as flops:
        fast(mix)
    with Traffic() as traffic:
        fast(mix)
    return float(flops.get_total_flops()), float(traffic.numbers)
