"""Which speaker each channel of a file is for, in FFmpeg's names."""

UNKNOWN = "NONE"

# The bits of a WAVE channel mask (Microsoft, WAVEFORMATEXTENSIBLE), in their order.
_MASK = (
    "FL", "FR", "FC", "LFE", "BL", "BR", "FLC", "FRC", "BC", "SL", "SR",
    "TC", "TFL", "TFC", "TFR", "TBL", "TBC", "TBR",
)  # fmt: skip


def unknown(channels: int) -> tuple[str, ...]:
    """The names of channels of which the file says nothing."""
    return (UNKNOWN,) * channels


def by_mask(mask: int, channels: int) -> tuple[str, ...]:
    """The names by a WAVE channel mask; one that names another number of channels says nothing."""
    names = tuple(name for bit, name in enumerate(_MASK) if mask >> bit & 1)
    return names if mask.bit_count() == len(names) == channels else unknown(channels)
