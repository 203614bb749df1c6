"""Numbers of other distributions than uniform and normal: counts, waiting times, integers.

All are computed in float64 from the generator's numbers, and rounded once to the dtype wanted.
"""

from __future__ import annotations

import operator
from math import inf, log, log1p, pi
from typing import Any

from ...autograd.inplace import write
from ...backend.dtypes import finfo, iinfo
from ...backend.generator import Generator, default_generator
from ...backend.quiet import quiet
from ...errors import ArgumentError, DTypeError
from .._operands import check_floating, check_tensor

#: Rate from which a Poisson number is found by rejection, not by adding up probabilities.
LARGE = 10.0


def poisson(input: Any, generator: Generator | None = None) -> Any:
    """Return Poisson numbers: how many events there are where ``input`` are expected.

    Parameters
    ----------
    input : Tensor
        The rates, at least 0 and finite; floating point.
    generator : Generator, optional
        Source of random numbers; default is that of :func:`manual_seed`.

    Returns
    -------
    Tensor
        Whole numbers in the shape and dtype of ``input``, without gradient.

    Raises
    ------
    ArgumentError
        If a rate is negative or not finite.

    References
    ----------
    Hoermann, "The transformed rejection method for generating Poisson random variables",
    Insurance: Mathematics and Economics 12 (1993), method PTRS, for rates from 10.
    """
    xp = check_floating("poisson", "input", input).xp
    rates = xp.reshape(xp.astype(input.array, xp.float64), (-1,))
    if not bool(xp.all((rates >= 0) & (rates < inf))):
        raise ArgumentError("poisson: rates must be finite and at least 0")
    source = default_generator() if generator is None else generator
    backend = input.device.backend
    places, drawn = [], []
    for group, draw in ((rates < LARGE, _by_adding_up), (rates >= LARGE, _by_rejection)):
        where = xp.nonzero(group)[0]
        if where.shape[0]:
            places.append(where)
            drawn.append(quiet(draw, xp, backend, xp.take(rates, where), source))
    numbers = _in_order(xp, places, drawn) if places else rates
    return input.wrap(xp.reshape(xp.astype(numbers, input.array.dtype), input.array.shape))


def _in_order(xp: Any, places: list[Any], values: list[Any]) -> Any:
    """Return values in the order of their places, which are 0 to n - 1."""
    return xp.take(xp.concat(values), xp.argsort(xp.concat(places)))


def _by_adding_up(xp: Any, backend: Any, rates: Any, source: Generator) -> Any:
    """Count the sums of probabilities P(0) + P(1) + ... that a uniform number reaches."""
    uniform = source.uniform(backend, tuple(rates.shape), "float64")
    probability = xp.exp(-rates)
    total, count, k = probability, xp.zeros_like(rates), 0
    beyond = uniform >= total
    while k < 100 and bool(xp.any(beyond)):  # P(k > 100) is below 1e-60 for any rate here
        k += 1
        count = count + xp.astype(beyond, xp.float64)
        probability = probability * rates / k
        total = total + probability
        beyond = uniform >= total
    return count


def _by_rejection(xp: Any, backend: Any, rates: Any, source: Generator) -> Any:
    """Propose numbers near the rate, a draw at a time, until each is accepted."""
    waiting = xp.arange(rates.shape[0], dtype=xp.int64)
    places, values = [], []
    while waiting.shape[0]:
        uniform = source.uniform(backend, (2, waiting.shape[0]), "float64")
        proposed, accepted = _propose(xp, rates, uniform[0, :] - 0.5, 1 - uniform[1, :])
        done = xp.nonzero(accepted)[0]
        places.append(xp.take(waiting, done))
        values.append(xp.take(proposed, done))
        left = xp.nonzero(~accepted)[0]
        waiting, rates = xp.take(waiting, left), xp.take(rates, left)
    return _in_order(xp, places, values)


def _propose(xp: Any, rates: Any, u: Any, v: Any) -> tuple[Any, Any]:
    """Return a number for each rate, and whether it is accepted; the constants are PTRS's."""
    b = 0.931 + 2.53 * xp.sqrt(rates)
    a = -0.059 + 0.02483 * b
    height = 1.1239 + 1.1328 / (b - 3.4)
    us = 0.5 - xp.abs(u)
    k = xp.floor((2 * a / us + b) * u + rates + 0.43)
    surely = (us >= 0.07) & (v <= 0.9277 - 3.6224 / (b - 2))
    possible = (k >= 0) & ((us >= 0.013) | (v <= us))
    known = xp.where(possible, k, xp.zeros_like(k))
    density = known * xp.log(rates) - rates - _log_factorial(xp, known)
    accepted = xp.log(v) + xp.log(height) - xp.log(a / (us * us) + b) <= density
    return k, surely | (possible & accepted)


def _log_factorial(xp: Any, k: Any) -> Any:
    """Return log(k!) by Stirling's series for (k + 8)!, to twelve digits."""
    shifted, factor = k + 9, xp.ones_like(k)
    for i in range(1, 9):
        factor = factor * (k + i)
    series = (1 / 12 - (1 / 360 - 1 / 1260 / shifted**2) / shifted**2) / shifted
    return (shifted - 0.5) * xp.log(shifted) - shifted + 0.5 * log(2 * pi) + series - xp.log(factor)


# -- in place -----------------------------------------------------------------------------------


def _fill(op: str, input: Any, generator: Generator | None, transform: Any) -> Any:
    """Fill ``input`` with a function of numbers uniform on (0, 1)."""
    source = default_generator() if generator is None else generator

    def draw(x: Any) -> Any:
        xp = x.xp
        uniform = source.uniform(x.device.backend, tuple(x.array.shape), "float64")
        uniform = xp.where(uniform == 0, xp.full_like(uniform, 2.0**-54), uniform)
        return x.wrap(quiet(xp.astype, quiet(transform, xp, uniform), x.array.dtype))

    return write(op, input, draw)


def exponential_(input: Any, lambd: float = 1, *, generator: Generator | None = None) -> Any:
    """Fill ``input`` with exponential numbers of rate ``lambd``, in place, and return it.

    Their density is ``lambd * exp(-lambd * x)`` for x > 0.

    Raises
    ------
    ArgumentError
        If ``lambd`` is not above 0.
    """
    check_floating("exponential_", "input", input)
    if not lambd > 0:
        raise ArgumentError(f"exponential_: lambd must be above 0, got {lambd}")
    return _fill("exponential_", input, generator, lambda xp, u: -xp.log1p(-u) / lambd)


def geometric_(input: Any, p: float, *, generator: Generator | None = None) -> Any:
    """Fill ``input`` with the number of trials until one succeeds, in place, and return it.

    The probability of k = 1, 2, 3 ... is ``(1 - p)**(k - 1) * p``. ``input`` may hold integers.

    Raises
    ------
    ArgumentError
        If ``p`` is not above 0 and below 1.
    """
    if check_tensor("geometric_", "input", input).dtype.kind == 0:
        raise DTypeError("geometric_: a bool tensor cannot count trials; use .int()")
    if not 0 < p < 1:
        raise ArgumentError(f"geometric_: p must be above 0 and below 1, got {p}")

    def trials(xp: Any, u: Any) -> Any:
        number = xp.ceil(xp.log1p(-u) / log1p(-p))
        return xp.where(number < 1, xp.ones_like(number), number)

    return _fill("geometric_", input, generator, trials)


def log_normal_(
    input: Any, mean: float = 1, std: float = 2, *, generator: Generator | None = None
) -> Any:
    """Fill ``input`` with numbers whose logarithms are normal, in place, and return it.

    ``mean`` and ``std`` are those of the logarithms.

    Raises
    ------
    ArgumentError
        If ``std`` is not above 0.
    """
    check_floating("log_normal_", "input", input)
    if not std > 0:
        raise ArgumentError(f"log_normal_: std must be above 0, got {std}")
    source = default_generator() if generator is None else generator

    def draw(x: Any) -> Any:
        normal = source.normal(x.device.backend, tuple(x.array.shape), "float64")
        numbers = quiet(x.xp.exp, normal * std + mean)
        return x.wrap(quiet(x.xp.astype, numbers, x.array.dtype))

    return write("log_normal_", input, draw)


def cauchy_(
    input: Any, median: float = 0, sigma: float = 1, *, generator: Generator | None = None
) -> Any:
    """Fill ``input`` with Cauchy numbers, in place, and return it.

    Their density is ``sigma / (pi * (sigma**2 + (x - median)**2))``.

    Raises
    ------
    ArgumentError
        If ``sigma`` is not above 0.
    """
    check_floating("cauchy_", "input", input)
    if not sigma > 0:
        raise ArgumentError(f"cauchy_: sigma must be above 0, got {sigma}")
    return _fill("cauchy_", input, generator, lambda xp, u: median + sigma * xp.tan(pi * (u - 0.5)))


def random_(input: Any, *bounds: Any, generator: Generator | None = None, **named: Any) -> Any:
    """Fill ``input`` with random integers, in place, and return it.

    Parameters
    ----------
    input : Tensor
        Any shape and dtype.
    from, to : int
        Called as ``random_(to)``, ``random_(from, to)`` or ``random_()``. Numbers are uniform on
        [from, to). ``from`` is 0 by default. Without ``to`` they go up to, and include, the
        largest integer of the dtype; of a floating dtype, the largest up to which all integers are
        exact (2**24 for float32).
    generator : Generator, optional
        Source of random numbers; default is that of :func:`manual_seed`.

    Raises
    ------
    ArgumentError
        If the range is empty, or leaves that of the dtype.
    """
    low, high = _bounds_of(check_tensor("random_", "input", input).dtype, bounds, named)
    source = default_generator() if generator is None else generator

    def draw(x: Any) -> Any:
        numbers = source.integers(x.device.backend, low, high, tuple(x.array.shape))
        return x.wrap(x.xp.astype(numbers, x.array.dtype))

    return write("random_", input, draw)


def _bounds_of(dtype: Any, bounds: tuple[Any, ...], named: dict[str, Any]) -> tuple[int, int]:
    """Return the bounds that the arguments of :func:`random_` mean."""
    if len(bounds) == 1 and not named:
        bounds = (0, *bounds)
    given = dict(zip(("from", "to"), bounds, strict=False))
    if len(bounds) > 2 or set(named) - {"from", "to"} or set(named) & set(given):
        raise ArgumentError("random_: call it as random_(), random_(to) or random_(from, to)")
    given.update(named)
    low, to = given.get("from", 0), given.get("to")
    if dtype.is_floating_point:
        least, largest = -int(finfo(dtype).max), int(finfo(dtype).max)
        exact = int(2 / finfo(dtype).eps)
    elif dtype.kind:
        least, largest = iinfo(dtype).min, iinfo(dtype).max
        exact = largest
    else:
        least, largest = 0, 1
        exact = largest
    try:
        low, high = operator.index(low), exact + 1 if to is None else operator.index(to)
    except TypeError:
        raise DTypeError(f"random_: bounds must be integers, got {low} and {to}") from None
    if low >= high:
        raise ArgumentError(f"random_: from={low} must be less than to={high}")
    if low < least or high - 1 > largest:
        raise ArgumentError(
            f"random_: bounds {low} to {high} leave the range of {dtype}, {least} to {largest}"
        )
    return low, high
