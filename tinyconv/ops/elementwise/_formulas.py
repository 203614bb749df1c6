"""Evaluating element-wise formulas: small arrays at once, large ones as the backend sees fit.

A formula made of operators alone means the same for arrays and for tensors. So the gradient of an
op is written once: as differentiable tensor operations where the backward pass itself is recorded,
and in one pass over memory, by the backend's ``elementwise`` kernel, where it is not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...autograd import TensorBase, is_grad_enabled
from ...backend.quiet import quiet
from ...backend.reference.half import is_bfloat16

#: Elements from which the backend is asked; below, that would cost more than it saves. Of bfloat16
#: it is always asked: array libraries know that but partly.
LARGE = 1 << 17


def unary(function: Callable[[Any], Any], x: Any) -> Any:
    """Return the tensor ``function(x)``, without history."""
    array = x.array
    if array.size < LARGE and not is_bfloat16(x.xp, array):
        return x.wrap(quiet(function, array))
    return x.wrap(x.device.backend.elementwise(function, array))


def binary(function: Callable[[Any, Any], Any], a: Any, b: Any) -> Any:
    """Return the tensor ``function(a, b)``, without history; one operand may be a number."""
    if isinstance(a, TensorBase):
        like, x = a, a.array
        y = b.array if isinstance(b, TensorBase) else b
        large = x.size >= LARGE or getattr(y, "size", 0) >= LARGE
    else:
        like, x, y = b, a, b.array
        large = y.size >= LARGE
    if large or is_bfloat16(like.xp, like.array):
        return like.wrap(like.device.backend.elementwise(function, x, y))
    return like.wrap(quiet(function, x, y))


def formula(function: Callable[..., Any], *operands: Any) -> Any:
    """Return a function of tensors and numbers that is made of operators alone.

    Parameters
    ----------
    function : callable
        Its operations keep the graph where gradients are enabled.
    *operands : Tensor or number
        The first is a tensor of the shape of the result.
    """
    first = operands[0]
    if is_grad_enabled() or (first.array.size < LARGE and not is_bfloat16(first.xp, first.array)):
        return function(*operands)
    arrays = [o.array if isinstance(o, TensorBase) else o for o in operands]
    return first.wrap(first.device.backend.elementwise(function, *arrays))
