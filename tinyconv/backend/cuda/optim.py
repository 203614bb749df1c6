"""One step of an optimizer for all parameters of a group: one launch for dozens of them.

A launch takes a table of parameters, so that the number of launches does not grow with the number
of layers. What the kernels cannot do (float64, parameters that are views with gaps) goes to the
reference, by the parameter.

A step with a :class:`~tinyconv.backend.guard.Guard` takes one launch more, of one thread: it counts
the step, and computes from the count what else is computed here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from .. import reference
from ..guard import Guard
from .driver.graphs import REFRESHED, NotRecordable, live_numbers
from .driver.launching import Kernel
from .layout import Array, is_dense, is_fast

THREADS = 256
#: Elements that a block changes.
PIECE = 4096
#: Parameters of one launch: their table has to fit the 4 KB that a kernel's arguments may take.
MOST = 64
#: Numbers an optimizer may have.
NUMBERS = 10
LISTS = ("param", "grad", "a", "b", "c")
FIELDS = " ".join(
    [
        "live found",
        *(f"{name}:pointer*{MOST}" for name in LISTS),
        f"size:int64*{MOST} first:int32*{MOST} count:int32 numbers:float32*{NUMBERS}",
    ]
)
KERNELS = {
    name: Kernel("optim.cu", name, FIELDS, ("reduce.cuh",), threads=THREADS)
    for name in ("sgd", "adam", "rmsprop", "adagrad", "adadelta")
}
PREPARE = Kernel(
    "optim.cu", "prepare", f"live found steps out rule:int32 numbers:float64*{NUMBERS}",
    ("reduce.cuh",), threads=THREADS,
)  # fmt: skip
#: What `prepare` makes of the numbers of a step that the device counts.
RULES = {"sgd": 1, "adam": 2, "adagrad": 3}
VARIANTS = [
    *[v for kernel in KERNELS.values() for v in kernel.of_each(PIECE=PIECE)],
    PREPARE.variant(T="float", PIECE=PIECE),
]

Arrays = Sequence[Array]


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
        xp, "sgd", (params, grads, velocities),
        (lr, momentum, 1 - dampening, weight_decay, float(nesterov), _sign(maximize)),
        lambda p, g, v: reference.sgd(
            xp, p, g, v, lr, momentum, dampening, weight_decay, nesterov, maximize, guard
        ),
        guard,
    )  # fmt: skip


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
    rate, root = lr, 0.0
    if guard is None:
        rate, root = lr / (1 - beta1**step), 1 / math.sqrt(1 - beta2**step)
    decay, shrink = (0.0, 1 - lr * weight_decay) if decoupled else (weight_decay, 1.0)
    _update(
        xp, "adam", (params, grads, means, squares, largest),
        (rate, beta2, 1 - beta1, 1 - beta2, root, eps, decay, shrink, _sign(maximize), beta1),
        lambda p, g, m, v, top: reference.adam(
            xp, p, g, m, v, top, step, lr, beta1, beta2, eps, weight_decay, decoupled, maximize,
            guard,
        ),
        guard,
    )  # fmt: skip


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
    _update(
        xp, "rmsprop", (params, grads, squares, means, velocities),
        (lr, alpha, 1 - alpha, eps, weight_decay, momentum, _sign(maximize)),
        lambda p, g, s, m, v: reference.rmsprop(
            xp, p, g, s, m, v, lr, alpha, eps, weight_decay, momentum, maximize, guard
        ),
        guard,
    )  # fmt: skip


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
    rate = lr if guard is not None else lr / (1 + (step - 1) * lr_decay)
    _update(
        xp, "adagrad", (params, grads, totals),
        (rate, eps, weight_decay, _sign(maximize), lr_decay),
        lambda p, g, t: reference.adagrad(
            xp, p, g, t, step, lr, lr_decay, eps, weight_decay, maximize, guard
        ),
        guard,
    )  # fmt: skip


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
        xp, "adadelta", (params, grads, squares, step_squares),
        (lr, rho, 1 - rho, eps, weight_decay, _sign(maximize)),
        lambda p, g, s, d: reference.adadelta(
            xp, p, g, s, d, lr, rho, eps, weight_decay, maximize, guard
        ),
        guard,
    )  # fmt: skip


def _sign(maximize: bool) -> float:
    return -1.0 if maximize else 1.0


def _update(
    xp: Any,
    name: str,
    lists: tuple[Arrays | None, ...],
    numbers: tuple[float, ...],
    plainly: Callable[..., None],
    guard: Guard | None,
) -> None:
    """Launch a kernel for all parameters it can do; call ``plainly(*lists)`` for the others."""
    live = live_numbers(numbers, "float32" if guard is None else "float64")
    if live is REFRESHED:
        return
    tables, others = _sorted(xp, lists)
    if others and live is not None:
        raise NotRecordable(f"{name} of a parameter of dtype {others[0][0].dtype}, or with gaps")
    found = None
    if guard is not None:
        if others:  # a guard counts one step for all
            plainly(*lists)
            return
        found, live = guard.found, _prepared(xp, name, numbers, live, guard)
    for row in others:
        plainly(*[None if a is None else [a] for a in row])
    for dtype, rows in tables.items():
        kernel = KERNELS[name].of(dtype, PIECE=PIECE)
        for start in range(0, len(rows), MOST):
            _launch(kernel, rows[start : start + MOST], live, found, numbers)


def _sorted(
    xp: Any, lists: tuple[Arrays | None, ...]
) -> tuple[dict[Any, list[list[Any]]], list[list[Any]]]:
    """Return the arrays of each parameter: of those that kernels can do by dtype, and others."""
    tables: dict[Any, list[list[Any]]] = {}
    others = []
    for i in range(len(lists[0] or ())):
        row: list[Any] = [None if arrays is None else arrays[i] for arrays in lists]
        param, grad, *kept = row
        if not param.size:
            continue
        known = [a for a in kept if a is not None]
        if is_fast(param, grad, *known) and is_dense(param) and _alike(param, *known):
            if grad.strides != param.strides:
                ordered = xp.empty_like(param)
                ordered[...] = grad
                row[1] = ordered
            tables.setdefault(param.dtype, []).append(row)
        else:
            others.append(row)
    return tables, others


def _prepared(xp: Any, name: str, numbers: tuple[float, ...], live: Any, guard: Guard) -> Array:
    """Count the step on the device, and return where its numbers are then."""
    out = xp.empty((NUMBERS,), dtype=xp.float32)
    PREPARE.variant(T="float", PIECE=PIECE)(
        1, 1, live, guard.found, guard.steps, out, RULES.get(name, 0), _padded(numbers)
    )
    return out


def _launch(
    kernel: Any, rows: list[list[Any]], live: Any, found: Any, numbers: tuple[float, ...]
) -> None:
    """Launch a kernel for at most ``MOST`` parameters; a row holds the arrays of one."""
    unused = MOST - len(rows)
    width = len(rows[0])
    columns = [[row[k] if k < width else None for row in rows] for k in range(len(LISTS))]
    sizes = [row[0].size for row in rows]
    first, blocks = [], 0
    for size in sizes:
        first.append(blocks)
        blocks += -(-size // PIECE)
    kernel(
        blocks, THREADS, live, found,
        *[column + [None] * unused for column in columns],
        sizes + [0] * unused, first + [0] * unused, len(rows),
        _padded(numbers),
    )  # fmt: skip


def _padded(numbers: tuple[float, ...]) -> list[float]:
    return [*numbers, *[0.0] * (NUMBERS - len(numbers))]


def _alike(param: Array, *others: Array) -> bool:
    """Return whether all arrays lie in memory as the parameter does."""
    return all(other.strides == param.strides for other in others)
