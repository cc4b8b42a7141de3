"""Which forward a model gets on a device: the fastest that proves itself equal to demucs's own."""

from typing import Any

import structlog
import torch
from torch import Tensor, nn

from server.config import PrecisionSetting
from server.engine.cpu import multiplies_bfloat16, multiplies_int8
from server.engine.forwards.attend import Autocast, allow_all_kernels, quicken, undo
from server.engine.forwards.chunked import Chunked
from server.engine.forwards.fast import FULL, FastHTDemucs, Precision, has_fast_forward
from server.engine.forwards.fastmask import FastMaskBag
from server.engine.forwards.graphs import Graphed, Memory
from server.engine.forwards.passes import CompiledPasses, TorchPasses
from server.engine.maskbag import MaskBag
from server.engine.masknet import MaskNet

log = structlog.get_logger()
PARTS = 8  # of a chunk, one of which proves other parts of a network
LEAST_FULL_SNR = 80.0  # dB of all sources, of other operations in float32
LEAST_SNR = 40.0  # dB of the worst source, against demucs's own forward in float32
# What noise must keep for any sound to keep LEAST_SNR, where a network is not ours: a source
# far below the mix loses a few dB more of one noise than of another.
LEAST_OF_NOISE = LEAST_SNR + 5


def precision_on(
    device: torch.device, setting: PrecisionSetting, integers: bool = True
) -> Precision:
    """What forwards compute in: less than float32 where the device is faster, unless forbidden.

    Without `integers`, for networks so deep that 8 bits would lose too much.
    """
    if setting == "float32":
        return FULL
    if device.type == "cuda":
        return Precision(torch.float16, torch.float16)
    if integers:
        return Precision(tokens=torch.int8) if multiplies_int8() else FULL
    return Precision(tokens=torch.bfloat16) if multiplies_bfloat16() else FULL


def accelerate(
    model: nn.Module, device: torch.device, setting: PrecisionSetting = "auto",
    memory: Memory | None = None,
) -> nn.Module:  # fmt: skip
    """A forward of the same weights on `device`: demucs's own for kinds without a faster one.

    A forward in reduced precision is compared with demucs's own on noise; where it loses too
    much, it is made in float32. Models of one bag may share the memory of their CUDA graphs.
    """
    model = model.to(device).eval()
    if isinstance(model, Chunked):
        return _chunked(model, precision_on(device, setting, False))
    if isinstance(model, MaskNet):
        model = MaskBag.of(model).to(device).eval()
    if isinstance(model, MaskBag):
        if device.type == "cuda":
            return _graphed(model, device, memory)
        return _masking(model, precision_on(device, setting, False))
    if not has_fast_forward(model):
        return model
    precision = precision_on(device, setting)
    fast = _fast(model, precision, memory)
    if precision != FULL and not (found := snr_db(model, fast)) >= LEAST_SNR:  # may be NaN
        log.warning("reduced precision loses too much: back to float32", snr_db=round(found, 1))
        fast = _fast(model, FULL, memory)
    return fast


def _chunked(model: Chunked, precision: Precision) -> nn.Module:
    """A network that is not ours: with faster parts, and in reduced precision where it holds."""
    allow_all_kernels(model)
    model.precision = Precision(tokens=_quickened(model, precision.tokens))
    if precision.convolutions == torch.float32:
        return model
    half = Autocast(model, precision.convolutions)
    try:
        found = snr_db(model, half)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:  # an operation that its type does not have
        log.warning("no reduced precision: back to float32", error=str(error))
        return model
    if found >= LEAST_OF_NOISE:
        return half
    log.warning("reduced precision loses too much: back to float32", snr_db=round(found, 1))
    return model


@torch.inference_mode()
def _masking(model: MaskBag, precision: Precision) -> nn.Module:
    """Mask networks' faster forward on a CPU, if it still answers noises as the plain one does;
    in float32 where nothing less is wanted, or where bfloat16 loses too much."""
    mix = _noises(model, model.valid_length(1) // PARTS)
    truth = model(mix)
    for kind in dict.fromkeys((precision.tokens, torch.float32)):
        least = LEAST_FULL_SNR if kind == torch.float32 else LEAST_SNR
        fast = FastMaskBag(model, kind).eval()
        if (found := _worst(truth, fast(mix))) >= least:  # may be NaN
            return fast
        log.warning("a faster forward changes the answer: left out", products=str(kind),
                    snr_db=round(found, 1))  # fmt: skip
    return model


@torch.inference_mode()
def _quickened(model: Chunked, products: torch.dtype) -> torch.dtype:
    """Gives it faster parts, if with them it still answers noises as it did. Returns what their
    inner products are of. On parts of a chunk, since whoever waits for the model waits for these
    forwards."""
    on_cpu = next(model.parameters()).device.type == "cpu"
    mix = _noises(model, model.valid_length(1) // PARTS)
    try:
        truth = model(mix)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError:  # of so few frames it makes nothing
        truth = model(mix := _noises(model, model.valid_length(1)))
    for kind in dict.fromkeys((products, torch.float32)) if on_cpu else (None,):
        if not (swaps := quicken(model, kind)):
            break
        found = _worst(truth, model(mix))
        if found >= (LEAST_OF_NOISE if kind == torch.bfloat16 else LEAST_FULL_SNR):  # may be NaN
            return kind or torch.float32
        undo(swaps)
        log.warning("faster parts change the answer: left out", products=str(kind),
                    snr_db=round(found, 1))  # fmt: skip
    return torch.float32


def _fast(model: nn.Module, precision: Precision, memory: Memory | None) -> nn.Module:
    device = next(model.parameters()).device
    if device.type == "cpu":
        return FastHTDemucs(model, CompiledPasses(torch.get_num_threads()), precision).eval()
    # What it makes for itself (windows, for one) is on the CPU.
    return _graphed(FastHTDemucs(model, TorchPasses(), precision).eval().to(device), device, memory)


def _graphed(model: Any, device: torch.device, memory: Memory | None) -> nn.Module:
    """On a card, its forward as CUDA graphs; for models whose segments have but one length."""
    if device.type != "cuda":
        return model  # type: ignore[no-any-return]
    return Graphed(model, model.valid_length(0), memory or Memory.on(device))


@torch.inference_mode()
def snr_db(model: nn.Module, other: nn.Module) -> float:
    """How far `other` is from `model` on noise at the level of music: of the worst source."""
    noise = _noise(model, model.valid_length(1))  # type: ignore[operator]
    return _worst(model(noise), other(noise))


def _noise(model: nn.Module, samples: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    device = next(model.parameters()).device
    return 0.1 * torch.randn(1, 2, samples, generator=generator).to(device)


def _noises(model: nn.Module, samples: int) -> Tensor:
    """White noise, and noise with as much more below as any music has."""
    white = _noise(model, samples)
    return torch.cat((white, white.cumsum(2) / 30))


def _worst(truth: Tensor, made: Tensor) -> float:
    """Of (segments, sources, 2, samples): dB of the segment's source that lost most."""
    truth = truth.double()
    error = (truth - made).square().sum((2, 3))
    return float((10 * torch.log10(truth.square().sum((2, 3)) / error)).min())
