"""One step of an optimizer for all parameters of a group, in one pass over memory.

Each number is read, changed and written once, without temporary arrays; and one call does dozens of
parameters, see :mod:`.optim_loops`. Ranges of the line on which all parameters lie are the tasks.

A gradient whose memory is ordered otherwise than its parameter's is copied into that order first.
What the loops cannot do (other dtypes, views with gaps) goes to the reference, by the parameter.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np

from .. import reference
from ..guard import Guard
from .layout import FAST, Array
from .loops import optim_loops
from .parallel.threads import NO_BOARD, share

#: Elements of a task, at least: fewer take less time than waking another thread does.
TASK = 1 << 19
#: Most tasks of one call.
MOST_TASKS = 64
#: An empty array of each dtype, which tells a loop the dtype.
_KINDS = {dtype: np.empty(0, dtype) for dtype in FAST}

Arrays = Sequence[Array]


def unguarded(kernel: Callable[..., None]) -> Callable[..., None]:
    """Let the reference do a step whose last argument is a :class:`Guard`.

    On a CPU nobody waits for a number, so there are no loops for it.
    """

    @wraps(kernel)
    def wrapper(*args: Any) -> None:
        chosen = getattr(reference, kernel.__name__) if isinstance(args[-1], Guard) else kernel
        chosen(*args)

    return wrapper


@unguarded
def sgd(
    xp: Any,
    params: Arrays,
    grads: Arrays,
    velocities: Arrays | None,
    lr: float,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
    maximize: bool,
    guard: Guard | None = None,
) -> None:
    """Gradient descent; see the reference kernel."""
    _update(
        "sgd_range", (params, grads, velocities),
        (lr, momentum, 1 - dampening, weight_decay, float(nesterov), _sign(maximize)),
        lambda p, g, v: reference.sgd(
            xp, p, g, v, lr, momentum, dampening, weight_decay, nesterov, maximize
        ),
    )  # fmt: skip


@unguarded
def adam(
    xp: Any,
    params: Arrays,
    grads: Arrays,
    means: Arrays,
    squares: Arrays,
    largest: Arrays | None,
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
    maximize: bool,
    guard: Guard | None = None,
) -> None:
    """Adam; see the reference kernel."""
    rate, root = lr / (1 - beta1**step), 1 / math.sqrt(1 - beta2**step)
    decay, shrink = (0, 1 - lr * weight_decay) if decoupled else (weight_decay, 1)
    _update(
        "adam_range", (params, grads, means, squares, largest),
        (rate, beta1, beta2, root, eps, decay, shrink, _sign(maximize)),
        lambda p, g, m, v, top: reference.adam(
            xp, p, g, m, v, top, step, lr, beta1, beta2, eps, weight_decay, decoupled, maximize
        ),
    )  # fmt: skip


@unguarded
def rmsprop(
    xp: Any,
    params: Arrays,
    grads: Arrays,
    squares: Arrays,
    means: Arrays | None,
    velocities: Arrays | None,
    lr: float,
    alpha: float,
    eps: float,
    weight_decay: float,
    momentum: float,
    maximize: bool,
    guard: Guard | None = None,
) -> None:
    """RMSprop; see the reference kernel."""
    form = (float(means is not None), float(velocities is not None))
    _update(
        "rmsprop_range", (params, grads, squares, means, velocities),
        (lr, alpha, eps, weight_decay, momentum, *form, _sign(maximize)),
        lambda p, g, v, m, u: reference.rmsprop(
            xp, p, g, v, m, u, lr, alpha, eps, weight_decay, momentum, maximize
        ),
    )  # fmt: skip


@unguarded
def adagrad(
    xp: Any,
    params: Arrays,
    grads: Arrays,
    totals: Arrays,
    step: int,
    lr: float,
    lr_decay: float,
    eps: float,
    weight_decay: float,
    maximize: bool,
    guard: Guard | None = None,
) -> None:
    """Adagrad; see the reference kernel."""
    _update(
        "adagrad_range", (params, grads, totals),
        (lr / (1 + (step - 1) * lr_decay), eps, weight_decay, _sign(maximize)),
        lambda p, g, s: reference.adagrad(
            xp, p, g, s, step, lr, lr_decay, eps, weight_decay, maximize
        ),
    )  # fmt: skip


@unguarded
def adadelta(
    xp: Any,
    params: Arrays,
    grads: Arrays,
    squares: Arrays,
    step_squares: Arrays,
    lr: float,
    rho: float,
    eps: float,
    weight_decay: float,
    maximize: bool,
    guard: Guard | None = None,
) -> None:
    """Adadelta; see the reference kernel."""
    _update(
        "adadelta_range", (params, grads, squares, step_squares),
        (lr, rho, eps, weight_decay, _sign(maximize)),
        lambda p, g, v, s: reference.adadelta(
            xp, p, g, v, s, lr, rho, eps, weight_decay, maximize
        ),
    )  # fmt: skip


def _sign(maximize: bool) -> float:
    return -1.0 if maximize else 1.0


def _update(
    name: str,
    lists: tuple[Arrays | None, ...],
    options: tuple[float, ...],
    fallback: Callable[..., None],
) -> None:
    """Run the loop ``name`` over lists of arrays: parameters, gradients, what is remembered.

    Parameters
    ----------
    name : str
        A function of :mod:`.optim_loops`.
    lists : tuple of sequences of arrays
        ``None`` for what the optimizer does not remember.
    options : tuple of float
        The loop's last arguments.
    fallback : callable
        Takes lists like ``lists`` and does the same by the reference.
    """
    used = [arrays for arrays in lists if arrays is not None]
    if not used[0]:
        return
    kind = _KINDS.get(used[0][0].dtype)
    table = None if kind is None else optim_loops.table_of(used, kind)
    if table is None and kind is not None:
        used[1] = [_in_order_of(p, g) for p, g in zip(used[0], used[1], strict=True)]
        table = optim_loops.table_of(used, kind)
    if table is not None:
        _run(getattr(optim_loops, name), kind, table, tuple(map(float, options)))
    elif len(used[0]) > 1:
        for i in range(len(used[0])):
            one = tuple(None if arrays is None else arrays[i : i + 1] for arrays in lists)
            _update(name, one, options, fallback)
    else:
        fallback(*lists)


def _run(loop: Callable[..., None], kind: Any, table: Array, options: tuple[float, ...]) -> None:
    """Run a loop over the whole line, in tasks if it is long enough."""
    total = int(table[0, -1])
    step = max(TASK, -(-total // MOST_TASKS))
    if total <= step or _overlap(table, kind.itemsize):
        loop(NO_BOARD, 0, 0, total, kind, table, *options)
    else:
        share(loop, total, step, kind, table, *options)


def _overlap(table: Array, itemsize: int) -> bool:
    """Return whether any two arrays share memory, so that tasks would not be independent."""
    sizes = np.diff(table[0], prepend=0) * itemsize
    starts = table[1:].ravel()
    order = np.argsort(starts, kind="stable")
    ends = (starts + np.tile(sizes, len(table) - 1))[order]
    return bool((ends[:-1] > starts[order][1:]).any())


def _in_order_of(param: Array, grad: Array) -> Array:
    """Return the gradient in the memory order of its parameter."""
    if grad.strides == param.strides and grad.flags.aligned:
        return grad
    ordered = np.empty_like(param)
    ordered[...] = grad
    return ordered
