"""Sigmoid and GELU of one float32, written so that a loop around them becomes vector code.

Odd rational functions x P(x^2) / Q(x^2) in place of exp and erf, which a compiler can only call
for one number at a time. The coefficients are least-squares fits, reweighted towards equal
ripple, on the ranges below; beyond them the functions are constant to half a float32 step.
"""

import numpy as np
from numba import njit

f32 = np.float32
# No "nnan", no "ninf": a NaN must stay one.
FAST = {"contract", "reassoc", "nsz", "arcp"}
SIGMOID_RANGE = f32(17.0)
CDF_RANGE = f32(5.5)


@njit(cache=True, nogil=True, inline="always", fastmath=FAST, error_model="numpy")
def sigmoid(x):  # type: ignore[no-untyped-def]
    """1 / (1 + exp(-x)), to 2e-7 of the whole."""
    x = min(max(x, -SIGMOID_RANGE), SIGMOID_RANGE)
    u = x * x
    p = f32(1.3768791973381667e-11) * u + f32(8.2506104016027e-08)
    p = p * u + f32(5.509091405886353e-05)
    p = p * u + f32(8.378878301653545e-03)
    p = p * u + f32(0.24999998637591167)
    q = f32(3.1537564179223025e-09) * u + f32(5.212014480250444e-06)
    q = q * u + f32(1.6244457679064018e-03)
    q = q * u + f32(0.11684879165970398)
    q = q * u + f32(1.0)
    return f32(0.5) + x * p / q


@njit(cache=True, nogil=True, inline="always", fastmath=FAST, error_model="numpy")
def normal_cdf(x):  # type: ignore[no-untyped-def]
    """The standard normal distribution's share below x, to 2e-7; `x * normal_cdf(x)` is GELU."""
    x = min(max(x, -CDF_RANGE), CDF_RANGE)
    u = x * x
    p = f32(2.2749396186165167e-08) * u + f32(6.352127064282223e-06)
    p = p * u + f32(1.6882626479425208e-04)
    p = p * u + f32(4.677264296591436e-03)
    p = p * u + f32(0.03385269840141907)
    p = p * u + f32(0.3989422346267019)
    q = f32(1.1975055305982678e-06) * u + f32(7.364771915472794e-05)
    q = q * u + f32(1.8844481534255508e-03)
    q = q * u + f32(0.02864590246979293)
    q = q * u + f32(0.251522049355568)
    q = q * u + f32(1.0)
    return f32(0.5) + x * p / q
