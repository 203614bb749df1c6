"""``explain``: which algorithm a convolution takes on this machine, and what each would take."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from .... import config
from ...reference.windows import output_size
from .. import conv
from ..layout import channels_first
from .choice import choose, estimate

#: Cycles in a millisecond of a core at 3.5 GHz: estimates are shown in the unit people know.
CYCLES_A_MILLISECOND = 3.5e6


def explain(
    x_shape: tuple[int, ...],
    w_shape: tuple[int, ...],
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    groups: int = 1,
    dtype: str = "float32",
    measure: bool = False,
) -> str:
    """Return a table of the algorithms that apply to a convolution; ``<-`` marks the chosen one.

    Parameters
    ----------
    x_shape, w_shape : tuple of int
        Shapes of the input (N, C, *S) and of the weights (O, C/groups, *K).
    stride, padding, dilation, groups : int
        As those of :func:`~tinyconv.nn.functional.conv2d`, the same for all dimensions.
    dtype : str, default "float32"
        ``"float32"`` or ``"float64"``.
    measure : bool, default False
        Run each algorithm and add the best of five times; estimates are for one core.

    Examples
    --------
    >>> import tinyconv as tc
    >>> print(tc.backend.cpu.explain((8, 64, 56, 56), (64, 64, 3, 3), padding=1))  # doctest: +SKIP
    part         algorithm   estimate
    forward      direct       17.7 ms
    forward      winograd      6.4 ms  <-
    ...
    """
    dims = len(x_shape) - 2
    geometry: Any = (
        (stride,) * dims, ((padding, padding),) * dims, (dilation,) * dims, groups,
    )  # fmt: skip
    out = output_size(x_shape[2:], w_shape[2:], *geometry[:3])
    before = (padding,) * dims
    shape = (x_shape, w_shape, out, geometry[0], before, geometry[2], groups, np.dtype(dtype))
    head = f"{'part':<13}{'algorithm':<12}{'estimate':>8}" + ("    measured" if measure else "")
    lines = [head]
    for part in ("forward", "input_grad", "weight_grad"):
        chosen = choose(part, *shape)
        for name, cycles in estimate(part, *shape).items():
            line = f"{part:<13}{name:<12}{cycles / CYCLES_A_MILLISECOND:5.2f} ms"
            if measure:
                line += f"{_measure(part, name, shape, geometry):9.2f} ms"
            lines.append(line + ("  <-" if name == chosen else ""))
    return "\n".join(lines)


def _measure(part: str, algorithm: str, shape: Any, geometry: Any) -> float:
    """Return the best of five times, in milliseconds."""
    x_shape, w_shape, out, *_, dtype = shape
    rng = np.random.default_rng(0)
    w = rng.standard_normal(w_shape).astype(dtype)
    x, dy = (
        channels_first(rng.standard_normal((batch, *size, channels)).astype(dtype))
        for batch, channels, *size in (x_shape, (x_shape[0], w_shape[0], *out))
    )
    call: Any = {
        "forward": lambda: conv.conv(np, x, w, None, *geometry),
        "input_grad": lambda: conv.conv_input_grad(np, dy, w, x_shape[2:], *geometry),
        "weight_grad": lambda: conv.conv_weight_grad(np, x, dy, w_shape[2:], *geometry),
    }[part]
    best = float("inf")
    with config.override(conv_algorithm=algorithm if algorithm != "pointwise" else "auto"):
        call()
        for _ in range(5):
            start = time.perf_counter()
            call()
            best = min(best, time.perf_counter() - start)
    return best * 1e3
