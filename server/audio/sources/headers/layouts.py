"""Which speaker each channel of a file is for, in FFmpeg's names."""

from collections.abc import Mapping

UNKNOWN = "NONE"

# The bits of a WAVE channel mask (Microsoft, WAVEFORMATEXTENSIBLE), in their order.
_MASK = (
    "FL", "FR", "FC", "LFE", "BL", "BR", "FLC", "FRC", "BC", "SL", "SR",
    "TC", "TFL", "TFC", "TFR", "TBL", "TBC", "TBR",
)  # fmt: skip

# Core Audio's layouts (CoreAudioTypes.h) by the upper half of their tags.
_TAGS: Mapping[int, str] = {
    100: "FC", 101: "FL FR", 102: "FL FR", 103: "FL FR", 108: "FL FR BL BR", 113: "FL FR FC",
    114: "FC FL FR", 115: "FL FR FC BC", 116: "FC FL FR BC", 117: "FL FR FC BL BR",
    118: "FL FR BL BR FC", 119: "FL FC FR BL BR", 120: "FC FL FR BL BR", 131: "FL FR BC",
    121: "FL FR FC LFE BL BR", 122: "FL FR BL BR FC LFE", 123: "FL FC FR BL BR LFE",
    124: "FC FL FR BL BR LFE", 125: "FL FR FC LFE BL BR BC", 126: "FL FR FC LFE BL BR FLC FRC",
    127: "FC FLC FRC FL FR BL BR LFE", 128: "FL FR FC LFE SL SR BL BR", 132: "FL FR BL BR",
    133: "FL FR LFE", 134: "FL FR LFE BC", 135: "FL FR LFE BL BR", 136: "FL FR FC LFE",
    137: "FL FR FC LFE BC", 138: "FL FR BL BR LFE",
}  # fmt: skip
_BY_LABELS, _BY_MASK = 0, 0x10000
_HEAD_BYTES, _LABEL_BYTES = 12, 20  # of a layout, and of the description of each channel
CORE_AUDIO_BYTES = _HEAD_BYTES + _LABEL_BYTES * 8  # of the longest layout that counts


def unknown(channels: int) -> tuple[str, ...]:
    """The names of channels of which the file says nothing."""
    return (UNKNOWN,) * channels


def by_mask(mask: int, channels: int) -> tuple[str, ...]:
    """The names by a WAVE channel mask; one that names another number of channels says nothing."""
    names = tuple(name for bit, name in enumerate(_MASK) if mask >> bit & 1)
    return names if mask.bit_count() == len(names) == channels else unknown(channels)


def by_core_audio(data: bytes, channels: int) -> tuple[str, ...]:
    """The names by an AudioChannelLayout, as CAF and AIFF hold it. Unknown where
    it names another number of channels."""

    def number(start: int) -> int:
        return int.from_bytes(data[start : start + 4], "big")

    tag, count = number(0), number(8)
    if tag == _BY_MASK:
        return by_mask(number(4), channels)
    names = tuple(_TAGS.get(tag >> 16, "").split())
    if tag == _BY_LABELS:
        starts = (_HEAD_BYTES + _LABEL_BYTES * index for index in range(min(count, channels)))
        labels = (number(start) for start in starts)
        names = tuple(_MASK[label - 1] if 0 < label <= len(_MASK) else UNKNOWN for label in labels)
    return names if len(names) == channels else unknown(channels)
