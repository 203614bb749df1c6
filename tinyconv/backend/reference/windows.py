"""Window arithmetic shared by convolution and pooling: where each tap of a window reads.

A window of size ``k`` with stride ``s``, dilation ``d`` and ``b`` elements of padding in front
reads, for output position ``o`` and tap ``t`` (0 <= t < k), the input position

    i = o * s - b + t * d

In padded coordinates (``b`` added) all outputs of one tap read one regular slice,
``t*d, t*d + s, t*d + 2*s, ...``. So a loop over the few taps replaces the loops over the many
positions: each step is one array operation on a slice of the padded input.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

Ints = tuple[int, ...]
Padding = tuple[tuple[int, int], ...]


def output_size(
    spatial: Ints, kernel: Ints, stride: Ints, padding: Padding, dilation: Ints
) -> Ints:
    """Return the sizes ``floor((size + before + after - d*(k-1) - 1) / s) + 1``, at least 0."""
    return tuple(
        max((size + before + after - d * (k - 1) - 1) // s + 1, 0)
        for size, k, s, (before, after), d in zip(
            spatial, kernel, stride, padding, dilation, strict=True
        )
    )


def taps(kernel: Ints) -> Iterator[Ints]:
    """Iterate over the positions inside a window, row-major."""
    return product(*(range(k) for k in kernel))


def tap_slice(tap: Ints, stride: Ints, dilation: Ints, out: Ints) -> tuple[slice, ...]:
    """Return the index of an ``(N, C, *padded)`` array that gives ``tap`` of every window."""
    starts = (t * d for t, d in zip(tap, dilation, strict=True))
    spatial = (
        slice(start, start + max((o - 1) * s + 1, 0), s)
        for start, s, o in zip(starts, stride, out, strict=True)
    )
    return (slice(None), slice(None), *spatial)


def padded_size(
    spatial: Ints, kernel: Ints, stride: Ints, padding: Padding, dilation: Ints, out: Ints
) -> Ints:
    """Return the spatial sizes that hold the input, its padding and every window.

    A last window may hang over the end (``ceil_mode``), and the input may end behind it (a
    stride that does not divide), so either can be the larger one.
    """
    return tuple(
        max(size + before + after, (o - 1) * s + (k - 1) * d + 1)
        for size, k, s, (before, after), d, o in zip(
            spatial, kernel, stride, padding, dilation, out, strict=True
        )
    )


def interior(spatial: Ints, padding: Padding) -> tuple[slice, ...]:
    """Return the index of a padded array that gives the part that is not padding."""
    inside = (
        slice(before, before + size) for size, (before, _) in zip(spatial, padding, strict=True)
    )
    return (slice(None), slice(None), *inside)


def pad(xp: Any, x: Any, padding: Padding, size: Ints, value: float = 0) -> Any:
    """Return ``x`` of shape (N, C, *spatial) inside an (N, C, *size) array of ``value``."""
    if tuple(x.shape[2:]) == size:
        return x
    padded = xp.full((*x.shape[:2], *size), value, dtype=x.dtype, device=x.device)
    padded[interior(x.shape[2:], padding)] = x
    return padded
