"""Drawing outcomes with given probabilities: yes or no, one of several, and nearly one."""

from __future__ import annotations

import warnings
from typing import Any

from ...autograd import TensorBase
from ...autograd.inplace import write
from ...backend.cuda.driver.graphs import recording
from ...backend.generator import Generator, default_generator
from ...backend.quiet import quiet
from ...errors import ArgumentError, ShapeError
from .._operands import cast, check_floating, check_tensor, dimension
from ..activations.softmax import softmax
from ..creation.filled import zeros_like
from ..indexing.scatter import scatter


def bernoulli(input: Any, p: float | None = None, *, generator: Generator | None = None) -> Any:
    """Return 1 with a given probability for each element, else 0.

    Parameters
    ----------
    input : Tensor
        The probabilities, floating point; with ``p``, only shape and dtype count.
    p : float, optional
        One probability for all.
    generator : Generator, optional
        Source of random numbers; default is that of :func:`manual_seed`.

    Returns
    -------
    Tensor
        Shape and dtype of ``input``.

    Raises
    ------
    ArgumentError
        If a probability is not from 0 to 1.
    """
    x, xp = check_tensor("bernoulli", "input", input).array, input.xp
    source = default_generator() if generator is None else generator
    backend = input.device.backend
    if p is not None:
        if not 0 <= p <= 1:
            raise ArgumentError(f"bernoulli: p must be from 0 to 1, got {p}")
        return input.wrap(xp.astype(source.bernoulli(backend, tuple(x.shape), p), x.dtype))
    check_floating("bernoulli", "input", input)
    if not recording() and not bool(xp.all((x >= 0) & (x <= 1))):
        raise ArgumentError("bernoulli: probabilities must be from 0 to 1")
    uniform = source.uniform(backend, tuple(x.shape), "float64")
    return input.wrap(xp.astype(uniform < xp.astype(x, xp.float64), x.dtype))


def bernoulli_(input: Any, p: Any = 0.5, *, generator: Generator | None = None) -> Any:
    """Fill ``input`` with 1, with probability ``p``, and 0, in place, and return it.

    ``p`` is a number, or a tensor of probabilities that broadcasts to ``input``.
    """

    def draw(x: Any) -> Any:
        if not isinstance(p, TensorBase):
            return bernoulli(x, p, generator=generator)
        return cast(bernoulli(p.expand(x.array.shape), generator=generator), x.dtype)

    return write("bernoulli_", check_tensor("bernoulli_", "input", input), draw)


def multinomial(
    input: Any,
    num_samples: int,
    replacement: bool = False,
    *,
    generator: Generator | None = None,
) -> Any:
    """Draw indices with probabilities in proportion to weights.

    Parameters
    ----------
    input : Tensor
        (K,) or (M, K): weights, at least 0, of each index; rows are drawn from on their own.
    num_samples : int
        Draws a row.
    replacement : bool, default False
        Whether an index may be drawn again.
    generator : Generator, optional
        Source of random numbers; default is that of :func:`manual_seed`.

    Returns
    -------
    int64 Tensor
        (num_samples,) or (M, num_samples). An index of weight 0 is never drawn.

    Raises
    ------
    ShapeError
        If the input does not have 1 or 2 dimensions.
    ArgumentError
        If a weight is negative or not finite, or too few of a row are above 0.
    """
    shape = tuple(check_floating("multinomial", "input", input).array.shape)
    if len(shape) not in (1, 2):
        raise ShapeError(f"multinomial: argument 'input' must be (K,) or (M, K), got {shape}")
    xp = input.xp
    weights = xp.reshape(xp.astype(input.array, xp.float64), (-1, shape[-1]))
    needed = 1 if replacement else num_samples
    if num_samples < 1 or not bool(xp.all(xp.isfinite(weights) & (weights >= 0))):
        raise ArgumentError("multinomial: weights must be finite and >= 0, num_samples at least 1")
    if bool(xp.any(xp.count_nonzero(weights, axis=1) < needed)):
        raise ArgumentError(
            f"multinomial: {num_samples} samples need at least {needed} weights above 0 in each row"
        )
    source = default_generator() if generator is None else generator
    draw = _with_replacement if replacement else _without_replacement
    picked = draw(xp, input.device.backend, weights, num_samples, source)
    return input.wrap(xp.reshape(picked, (*shape[:-1], num_samples)))


def gumbel_softmax(
    logits: Any,
    tau: float = 1,
    hard: bool = False,
    eps: float = 1e-10,
    dim: int = -1,
    *,
    generator: Generator | None = None,
) -> Any:
    """Draw one of several outcomes in a way that has a gradient: softmax of noisy logits.

    Parameters
    ----------
    logits : Tensor
        Logarithms of probabilities, up to a constant along ``dim``; floating point.
    tau : float, default 1
        Temperature, above 0: the lower, the closer is the result to one outcome, and the larger
        are the gradients.
    hard : bool, default False
        Return exactly 1 for the largest and 0 for the others, with the gradient of the softmax.
    eps : float, default 1e-10
        Of no use any more, as in PyTorch, and warned of where it is given.
    dim : int, default -1
        The dimension of the outcomes.
    generator : Generator, optional
        Source of random numbers; default is that of :func:`manual_seed`.

    Returns
    -------
    Tensor
        Shape and dtype of ``logits``; its sum along ``dim`` is 1, and its largest element is at k
        with the probability that ``softmax(logits, dim)`` gives to k.

    Raises
    ------
    ArgumentError
        If ``tau`` is not above 0.

    References
    ----------
    Jang, Gu and Poole, "Categorical reparameterization with Gumbel-softmax", ICLR 2017,
    arXiv:1611.01144.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.nn.functional.gumbel_softmax(tc.tensor([0.0, 50.0]), hard=True)
    tensor([0., 1.])
    """
    xp = check_floating("gumbel_softmax", "logits", logits).xp
    if not tau > 0:
        raise ArgumentError(f"gumbel_softmax: tau must be above 0, got {tau}")
    if eps != 1e-10:
        warnings.warn("gumbel_softmax: `eps` has no effect", stacklevel=2)
    axis = dimension("gumbel_softmax", dim, logits.array.ndim)
    source = default_generator() if generator is None else generator
    uniform = source.uniform(logits.device.backend, tuple(logits.array.shape), "float64")
    uniform = xp.where(uniform == 0, xp.full_like(uniform, 2.0**-54), uniform)
    noise = quiet(lambda: xp.astype(-xp.log(-xp.log1p(-uniform)), logits.array.dtype))
    soft = softmax((logits + logits.wrap(noise)) / tau, axis)
    if not hard:
        return soft
    constant = soft.detach()
    one_hot = scatter(zeros_like(constant), axis, constant.argmax(axis, keepdim=True), 1.0)
    return one_hot + (soft - constant)


def _with_replacement(xp: Any, backend: Any, weights: Any, count: int, source: Generator) -> Any:
    """Look up uniform numbers in the running sums of the weights."""
    rows = weights.shape[0]
    uniform = source.uniform(backend, (rows, count), "float64")
    total = xp.cumulative_sum(weights, axis=1)
    picked = []
    for row in range(rows):
        # The sum up to the last weight above 0 is the whole sum: behind it nothing is picked.
        last = xp.searchsorted(total[row, :], total[row, -1:], side="left")
        index = xp.searchsorted(total[row, :], uniform[row, :] * total[row, -1], side="right")
        picked.append(xp.minimum(xp.astype(index, xp.int64), xp.astype(last, xp.int64)))
    return xp.stack(picked, axis=0) if picked else xp.zeros((0, count), dtype=xp.int64)


def _without_replacement(xp: Any, backend: Any, weights: Any, count: int, source: Generator) -> Any:
    """Order by waiting times: index k comes after an exponential time of rate ``weights[k]``.

    The earliest of several is k with probability in proportion to its weight (Efraimidis and
    Spirakis, "Weighted random sampling with a reservoir", 2006).
    """
    uniform = source.uniform(backend, tuple(weights.shape), "float64")
    possible = weights > 0
    rate = xp.where(possible, weights, xp.ones_like(weights))
    waiting = -xp.log(1 - uniform) / rate
    waiting = xp.where(possible, waiting, xp.full_like(waiting, float("inf")))
    return xp.astype(xp.argsort(waiting, axis=1, stable=True)[:, :count], xp.int64)
