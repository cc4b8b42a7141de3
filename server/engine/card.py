"""How a process uses a CUDA card: which one is its own, and that float32 there is float32."""

from contextlib import suppress

import torch


def prepare_card(device: torch.device) -> None:
    """Sets this process up for work on one card.

    Convolutions would else round float32 to TF32's ten bits: what reduced precision is measured
    against, and what is fallen back to where it loses too much, must not be reduced itself.
    """
    torch.cuda.set_device(device)  # graphs are captured on the current device
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def check_device(device: torch.device) -> None:
    """Raises RuntimeError when the device does not even add two numbers any more."""
    with suppress(torch.OutOfMemoryError):  # full is not broken
        torch.zeros(1, device=device).add(1).cpu()
