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
    100: "FC", 101: "FL FR", 102: "FL FR", 103: "FL FR", 108: "FL FR BL BR",
    109: "FL FR BL BR FC", 110: "FL FR BL BR FC BC", 111: "FL FR BL BR FC BC WL WR",
    113: "FL FR FC", 114: "FC FL FR", 115: "FL FR FC BC", 116: "FC FL FR BC", 117: "FL FR FC BL BR",
    118: "FL FR BL BR FC", 119: "FL FC FR BL BR", 120: "FC FL FR BL BR", 131: "FL FR BC",
    121: "FL FR FC LFE BL BR", 122: "FL FR BL BR FC LFE", 123: "FL FC FR BL BR LFE",
    124: "FC FL FR BL BR LFE", 125: "FL FR FC LFE BL BR BC", 126: "FL FR FC LFE BL BR FLC FRC",
    127: "FC FLC FRC FL FR BL BR LFE", 128: "FL FR FC LFE SL SR BL BR",
    129: "FL FR BL BR FC LFE FLC FRC", 130: "FL FR FC LFE BL BR DL DR", 132: "FL FR BL BR",
    133: "FL FR LFE", 134: "FL FR LFE BC", 135: "FL FR LFE BL BR", 136: "FL FR FC LFE",
    137: "FL FR FC LFE BC", 138: "FL FR BL BR LFE",
    139: "FL FR BL BR FC BC", 140: "FL FR SL SR FC BL BR", 141: "FC FL FR BL BR BC",
    142: "FC FL FR BL BR BC LFE", 143: "FC FL FR SL SR BL BR", 144: "FC FL FR SL SR BL BR BC",
    148: "FL FR BL BR FC FLC FRC", 149: "FC LFE", 150: "FL FC FR", 151: "FL FC FR BC",
    152: "FL FC FR LFE", 153: "FL FR BC LFE", 154: "FL FC FR BC LFE", 155: "FL FC FR BL BR BC",
    156: "FL FC FR SL SR BL BR", 157: "FL FC FR BL BR LFE BC", 158: "FL FC FR BL BR LFE TC",
    159: "FL FC FR BL BR LFE TFC", 160: "FL FC FR SL SR LFE BL BR",
    161: "FL FC FR BL BR LFE FLC FRC", 162: "FL FC FR BL BR LFE SDL SDR",
    163: "FL FC FR BL BR LFE WL WR", 164: "FL FC FR BL BR LFE TFL TFR",
    165: "FL FC FR BL BR LFE BC TC", 166: "FL FC FR BL BR LFE BC TFC",
    167: "FL FC FR BL BR LFE TC TFC", 168: "FC FL FR LFE", 169: "FC FL FR BC LFE",
}
# Its labels of single channels: those of a mask, in the same order, and these.
_LABELS: Mapping[int, str] = {
    **dict(enumerate(_MASK, 1)), 33: "BL", 34: "BR", 35: "WL", 36: "WR", 37: "LFE2", 38: "DL",
    39: "DR", 42: "FC", 301: "FL", 302: "FR",
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
        names = tuple(_LABELS.get(label, UNKNOWN) for label in labels)
    return names if len(names) == channels else unknown(channels)
