"""Owns the tables of presets: General MIDI programs by role, and what fonts have beyond them."""

from __future__ import annotations

from types import MappingProxyType

# General MIDI programs by role; those named twice are drawn twice as often. Left out: what
# sounds like another stem, such as choirs among the pads and timpani among the strings.
PROGRAMS = MappingProxyType({
    "bass": (32, 33, 33, 33, 34, 34, 35, 36, 37, 38, 39),
    "guitar": (24, 24, 25, 25, 25, 26, 27, 27, 28, 29, 29, 30, 30),
    "piano": (0, 0, 0, 0, 1, 1, 1, 2, 3, 4, 4, 5),
    "strings": (40, 41, 42, 44, 45, 46, 48, 48, 48, 49, 49, 50, 51),
    "brass": (56, 57, 58, 59, 60, 61, 61, 61, 62, 63),
    "winds": (22, 64, 65, 65, 66, 66, 67, 68, 69, 70, 71, 72, 73, 73, 74, 75, 77, 78, 79),
    "organ": (16, 16, 17, 18, 18, 19, 20, 21, 23),
    "pad": (50, 51, 88, 89, 89, 90, 92, 93, 95),
    "lead": (80, 81, 81, 82, 83, 84, 86, 87),
    "mallets": (8, 9, 10, 11, 11, 12, 12, 13, 14, 15),
})  # fmt: skip
CHOIRS = (52, 53, 53, 54, 91)
# (bank, program) pairs that FluidR3 has besides
FLUID_VARIATIONS = MappingProxyType({
    "bass": ((8, 38), (8, 39)),
    "guitar": ((8, 25), (8, 26), (8, 28), (8, 28)),
    "piano": ((8, 4), (8, 5)),
    "strings": ((8, 40), (8, 48), (8, 50)),
    "brass": ((8, 61), (8, 62), (8, 63)),
    "organ": ((8, 16), (8, 17), (8, 19), (8, 21)),
    "lead": ((8, 80),),
})  # fmt: skip
FLUID_KITS = (*range(20), 24, 24, 25, 25, *range(32, 37), 40, 41, 42)
MUSESCORE_VARIATIONS = MappingProxyType({
    "guitar": ((8, 24), (8, 25), (8, 26), (8, 28), (8, 30), (16, 25)),
    "piano": ((8, 0), (8, 0), (8, 4), (8, 5)),
    "strings": ((20, 45), (20, 48), (20, 49), (25, 48), (30, 48), (40, 48), (40, 49)),
    "brass": ((8, 61),),
})  # fmt: skip
# and GeneralUser, in the roles that play nothing of TimGM6mb's: that one is kept unheard, and they
# share a tuba, choirs and bells
GENERALUSER_VARIATIONS = MappingProxyType({
    "bass": ((1, 38), (8, 38), (8, 39), (11, 38), (11, 39), (12, 38)),
    "guitar": ((8, 24), (8, 25), (8, 26), (8, 27), (8, 28), (8, 28), (8, 30), (12, 27), (16, 25)),
    "piano": ((8, 4), (8, 5), (11, 4), (12, 0), (12, 4)),
})  # fmt: skip
MUSESCORE_KITS = (0, 0, 1, 2, 3, 8, 9, 16, 17, 24, 25, 32, 33, 40, 41)
TIM_KITS = (0, 8, 16, 24, 25, 32, 40)
