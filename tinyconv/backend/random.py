"""Random numbers from a counter: a generator is a seed and the number of draws made so far.

The bits of a draw are a function of four things: the 64-bit **seed** (Philox's key), what the
numbers are for (the **stream**), which **draw** it is (any number below 2**64, such as a step or
a sample's index) and the position inside the draw. Nothing depends on the thread, process or device
that computes them, nor on what was drawn before::

    mask = bernoulli(backend, x.shape, 0.9, seed, Stream.DROPOUT, step)

Draws of a batch are quicker made together: ``uniform`` and ``normal`` take a list of draws, too.

:class:`Generator` counts draws for those who just want the next numbers.
"""

from __future__ import annotations

import operator
from enum import IntEnum
from math import pi, prod
from typing import Any

from ..errors import ArgumentError
from .dtypes import as_dtype

Shape = tuple[int, ...]
WORD = (1 << 32) - 1
MASK = (1 << 64) - 1


class Stream(IntEnum):
    """What random numbers are for; equal seeds and draws of two streams are independent."""

    USER = 0
    DROPOUT = 1
    SHUFFLE = 2
    AUGMENT = 3
    INIT = 4
    SPLIT = 5
    ATTACK = 6


def words(backend: Any, count: int, seed: int, stream: int, draw: int | list[int]) -> Any:
    """Return ``count`` random 32-bit words.

    Parameters
    ----------
    backend : Backend
        Where the result lives; the bits do not depend on it.
    count : int
        Up to 2**34.
    seed : int
        Any integer; its lowest 64 bits count.
    stream : int
        A :class:`Stream`, or any number below 2**32.
    draw : int or list of int
        From 0 to 2**64 - 1.

    Returns
    -------
    uint32 array (count,), or (len(draw), count) for a list

    Raises
    ------
    ArgumentError
        If ``draw`` is out of range.
    """
    blocks = -(-count // 4)
    if not isinstance(draw, list):
        return backend.philox(blocks, *key_and_counter(seed, stream, draw))[:count]
    key = key_and_counter(seed, stream, 0)[0]
    for number in draw:
        check_draw(number)
    draws = backend.xp.asarray(draw, dtype=backend.xp.uint64)
    return backend.philox_rows(blocks, key, draws, int(stream))[:, :count]


def key_and_counter(seed: int, stream: int, draw: int) -> tuple[tuple[int, int], tuple[int, ...]]:
    """Return a draw's key and counter words for the kernels; arguments as for :func:`words`."""
    draw, key = check_draw(draw), operator.index(seed) & MASK
    return (key & WORD, key >> 32), (draw & WORD, draw >> 32, int(stream))


def check_draw(draw: int) -> int:
    """Return the number of a draw, or raise ``ArgumentError`` if it is out of range."""
    draw = operator.index(draw)
    if not 0 <= draw <= MASK:
        raise ArgumentError(f"random: draw must be from 0 to 2**64 - 1, got {draw}")
    return draw


def _words64(backend: Any, count: int, seed: int, stream: int, draw: int | list[int]) -> Any:
    """Return ``count`` random 64-bit words, each of two 32-bit words, low half first."""
    xp = backend.xp
    low, high = _pairs(xp, words(backend, 2 * count, seed, stream, draw))
    return xp.astype(low, xp.uint64) | (xp.astype(high, xp.uint64) << 32)


def _pairs(xp: Any, array: Any) -> tuple[Any, Any]:
    """Split rows of even length into their elements with even and with odd index."""
    pairs = xp.reshape(array, (*array.shape[:-1], array.shape[-1] // 2, 2))
    return pairs[..., 0], pairs[..., 1]


def uniform(
    backend: Any, shape: Shape, dtype_name: str, seed: int, stream: int, draw: int | list[int]
) -> Any:
    """Return numbers that are uniform on [0, 1), with all the bits that the dtype can resolve.

    Parameters
    ----------
    backend : Backend
        Where the result lives.
    shape : tuple of int
        Shape of the result; for a list of draws ``(len(draw), *shape)``.
    dtype_name : str
        ``"float32"`` (multiples of 2**-24), ``"float64"`` (2**-53), ``"float16"`` (2**-11) or
        ``"bfloat16"`` (2**-8).
    seed, stream, draw
        See :func:`words`.
    """
    xp, count = backend.xp, prod(shape)
    if dtype_name == "float64":
        top = _words64(backend, count, seed, stream, draw) >> 11
        return xp.reshape(xp.astype(top, xp.float64) * 2.0**-53, (*top.shape[:-1], *shape))
    bits = {"float32": 24, "float16": 11, "bfloat16": 8}[dtype_name]
    top = words(backend, count, seed, stream, draw) >> (32 - bits)
    numbers = xp.astype(top, xp.float32) * 2.0**-bits
    numbers = xp.astype(numbers, as_dtype(dtype_name).of(xp), copy=False)
    return xp.reshape(numbers, (*numbers.shape[:-1], *shape))


def normal(
    backend: Any, shape: Shape, dtype_name: str, seed: int, stream: int, draw: int | list[int]
) -> Any:
    """Return numbers of mean 0 and standard deviation 1.

    Box and Muller (1958): ``sqrt(-2 log u) * cos(2 pi v)`` and ``... * sin(2 pi v)`` are
    independent and normal, for ``u`` uniform on (0, 1] and ``v`` on [0, 1). Computed in float64
    and rounded once, so that backends differ by at most the last bit.

    Parameters
    ----------
    backend : Backend
        Where the result lives.
    shape : tuple of int
        Shape of the result; for a list of draws ``(len(draw), *shape)``.
    dtype_name : str
        ``"float16"``, ``"bfloat16"``, ``"float32"`` or ``"float64"``.
    seed, stream, draw
        See :func:`words`.
    """
    xp, count = backend.xp, prod(shape)
    even = count + count % 2
    u, v = _pairs(xp, uniform(backend, (even,), "float64", seed, stream, draw))
    radius, angle = xp.sqrt(-2 * xp.log(1 - u)), 2 * pi * v
    pairs = xp.stack((radius * xp.cos(angle), radius * xp.sin(angle)), axis=-1)
    lead = pairs.shape[:-2]
    numbers = xp.reshape(pairs, (*lead, even))[..., :count]
    numbers = xp.astype(numbers, as_dtype(dtype_name).of(xp), copy=False)
    return xp.reshape(numbers, (*lead, *shape))


def integers(
    backend: Any, low: int, high: int, shape: Shape, seed: int, stream: int, draw: int
) -> Any:
    """Return int64 numbers that are uniform on [low, high).

    A 64-bit word modulo the span: no number is favoured by more than ``(high - low) / 2**64``, one
    part in 10**13 for a span of a million.

    Parameters
    ----------
    backend : Backend
        Where the result lives.
    low, high : int
        The bounds, ``low < high <= low + 2**63``, both within int64.
    shape : tuple of int
        Shape of the result.
    seed, stream, draw
        See :func:`words`.

    Raises
    ------
    ArgumentError
        If the bounds are not as above.
    """
    low, high = operator.index(low), operator.index(high)
    if not -(2**63) <= low < high <= 2**63 or high - low > 2**63:
        raise ArgumentError(
            f"random integers: need low < high, within int64 and at most 2**63 apart, "
            f"got low={low} and high={high}"
        )
    xp = backend.xp
    offset = _words64(backend, prod(shape), seed, stream, draw) % (high - low)
    return xp.reshape(xp.astype(offset, xp.int64) + low, shape)


def permutation(backend: Any, n: int, seed: int, stream: int, draw: int) -> Any:
    """Return the numbers 0 ... n-1 in random order, an int64 array (n,).

    The order in which ``n`` random 64-bit keys would be sorted. Among a million keys two are
    equal with probability 3e-8, and then keep their order.

    Parameters
    ----------
    backend : Backend
        Where the result lives.
    n : int
        Length.
    seed, stream, draw
        See :func:`words`.
    """
    xp = backend.xp
    keys = _words64(backend, n, seed, stream, draw)
    return xp.astype(xp.argsort(keys, stable=True), xp.int64, copy=False)


def bernoulli(
    backend: Any, shape: Shape, keep_probability: float, seed: int, stream: int, draw: int
) -> Any:
    """Return a mask that is True with the given probability, in steps of 2**-32.

    Parameters
    ----------
    backend : Backend
        Where the result lives.
    shape : tuple of int
        Shape of the bool result.
    keep_probability : float
        From 0 (never) to 1 (always).
    seed, stream, draw
        See :func:`words`.

    Raises
    ------
    ArgumentError
        If the probability is not from 0 to 1.
    """
    if not 0 <= keep_probability <= 1:
        raise ArgumentError(
            f"random mask: keep_probability must be from 0 to 1, got {keep_probability}"
        )
    threshold = round(keep_probability * 2**32)
    if threshold > WORD:
        return backend.xp.ones(shape, dtype=backend.xp.bool)
    random = words(backend, prod(shape), seed, stream, draw)
    return backend.xp.reshape(random < threshold, shape)
