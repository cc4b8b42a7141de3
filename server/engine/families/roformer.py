"""BS-RoFormer (Lu et al., 2023) and Mel-Band RoFormer (Wang et al., 2023).

Their modules are those of bs-roformer-infer and melband-roformer-infer, and for what these do not
know, of msst.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

from server.engine.families.family import Blueprint, ChunkedFamily
from server.engine.library.configuration import Configuration

# Keys of `model` that change nothing, or nothing once a network is trained.
IGNORED = ("use_torch_checkpoint", "sage_attention")
NEUTRAL = {"linear_transformer_depth": 0, "skip_connection": False, "use_pope": False,
           "mlp_expansion_factor": 4}  # fmt: skip
COMMON = frozenset((
    "dim", "depth", "stereo", "num_stems", "time_transformer_depth", "freq_transformer_depth",
    "dim_head", "heads", "attn_dropout", "ff_dropout", "flash_attn", "dim_freqs_in", "stft_n_fft",
    "stft_hop_length", "stft_win_length", "stft_normalized", "mask_estimator_depth",
    "multi_stft_resolution_loss_weight", "multi_stft_resolutions_window_sizes",
    "multi_stft_hop_size", "multi_stft_normalized",
))  # fmt: skip


class RoFormerFamily(ChunkedFamily):
    """What both kinds have in common."""

    package: ClassVar[str]
    fallback: ClassVar[str]
    own: ClassVar[frozenset[str]]
    defaults: ClassVar[Mapping[str, Any]] = MappingProxyType({})  # of the convention's own code

    def blueprint(self, config: Configuration) -> Blueprint:
        model = {key: value for key, value in config.section("model").items()
                 if key not in IGNORED and NEUTRAL.get(key, object()) != value}  # fmt: skip
        if not model.get("stereo", False):
            raise ValueError("model.stereo: want true")
        kwargs: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value
                                  for key, value in model.items()}  # fmt: skip
        kwargs = {**self.defaults, **kwargs}
        outputs = int(model.get("num_stems", 1))
        if model.keys() <= COMMON | self.own:
            return Blueprint(self.package, outputs, kwargs=kwargs, extra="roformer")
        return Blueprint(self.fallback, outputs, kwargs=kwargs, extra="msst")


class BSRoFormerFamily(RoFormerFamily):
    """Bands of neighbouring bins."""

    name = "bs_roformer"
    package = "bs_roformer.bs_roformer.BSRoformer"
    fallback = "msst.models.bs_roformer.bs_roformer.BSRoformer"
    own = frozenset(("freqs_per_bands", "freq_range", "zero_dc"))
    # Without it the package keeps a bin that the models had not when they were trained.
    defaults = MappingProxyType({"zero_dc": True})

    def recognises(self, config: Configuration) -> bool:
        model = config.section("model")
        return "freqs_per_bands" in model or (
            {"dim", "depth", "heads"} <= model.keys() and "num_bands" not in model
        )


class MelBandRoFormerFamily(RoFormerFamily):
    """Overlapping bands on the mel scale."""

    name = "mel_band_roformer"
    package = "mel_band_roformer.mel_band_roformer.MelBandRoformer"
    fallback = "msst.models.bs_roformer.mel_band_roformer.MelBandRoformer"
    own = frozenset(("num_bands", "sample_rate", "match_input_audio_length"))

    def recognises(self, config: Configuration) -> bool:
        model = config.section("model")
        return {"dim", "depth", "num_bands"} <= model.keys()
