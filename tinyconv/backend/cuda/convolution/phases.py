"""The input gradient of a convolution with a stride: one convolution of stride 1 for each phase.

Pixel i is read by tap t of window o where  i = o*stride - before + t*dilation.  So pixels
i = j*stride + shift of one shift, a phase, are read by the taps with

    (shift + before - t*dilation) divisible by stride,

which are first, first + step, first + 2*step ... with step = stride / gcd(stride, dilation): one
class of taps modulo step. As j grows by one, so does o; from one of these taps to the next, o
falls by dilation / gcd. With the taps in the opposite order that is a convolution of stride 1.
"""

from __future__ import annotations

from functools import lru_cache
from math import gcd, prod
from typing import NamedTuple

from ...reference.windows import Ints


class Phase(NamedTuple):
    """One axis of the pixels of one shift, as a convolution of stride 1 over dy."""

    shift: int
    length: int
    first: int
    step: int
    taps: int
    before: int
    dilation: int


@lru_cache(maxsize=4096)
def phases_of(kernel: int, size: int, stride: int, before: int, dilation: int) -> tuple[Phase, ...]:
    """Return the phases of one axis of the pixels, in the order of their shifts."""
    common = gcd(stride, dilation)
    step, apart = stride // common, dilation // common
    phases = []
    for shift in range(min(stride, size)):
        reach = shift + before
        fitting = [t for t in range(min(step, kernel)) if (reach - t * dilation) % stride == 0]
        first = fitting[0] if fitting else 0
        taps = -(-(kernel - first) // step) if fitting else 0
        at = (reach - first * dilation) // stride
        phases.append(
            Phase(
                shift, -(-(size - shift) // stride), first, step, taps,
                (taps - 1) * apart - at, apart,
            )
        )  # fmt: skip
    return tuple(phases)


def taps_before(kernel: Ints, part: tuple[Phase, ...]) -> int:
    """Return how many taps lie before those of these phases; turn.cu puts them there."""
    total, inner = 0, prod(kernel)
    lead = 1
    for size, phase in zip(kernel, part, strict=True):
        inner //= size
        total += (
            lead
            * inner
            * (phase.first * (size // phase.step) + min(phase.first, size % phase.step))
        )
        lead *= phase.taps
    return total
