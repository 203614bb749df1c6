"""Evaluating element-wise formulas: small arrays at once, large ones as the backend sees fit.

A formula made of operators alone means the same for arrays and for tensors. So the gradient of an
op is written once: as differentiable tensor operations where the backward pass itself is recorded,
and in one pass over memory, by the backend's ``elementwise`` kernel, where it is not.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import FunctionType
from typing import Any

from ...autograd import TensorBase, is_grad_enabled
from ...backend.quiet import quiet
from ...backend.reference.half import is_bfloat16

#: Elements from which the backend is asked; below, that would cost more than it saves. It is always
#: asked of bfloat16, which array libraries know but partly, and on a GPU of formulas, where each
#: operator would be a launch.
LARGE = 1 << 17
#: What formulas are, and `operator.add` and an array library's own functions are not.
WRITTEN = (FunctionType, partial)


def _is_worth_asking(like: Any, size: int, function: Callable[..., Any]) -> bool:
    """Return whether the backend is asked about ``size`` elements of a tensor's dtype."""
    return (
        size >= LARGE
        or is_bfloat16(like.xp, like.array)
        or (isinstance(function, WRITTEN) and like.device.backend.records)
    )


def unary(function: Callable[[Any], Any], x: Any) -> Any:
    """Return the tensor ``function(x)``, without history."""
    array = x.array
    if _is_worth_asking(x, array.size, function):
        return x.wrap(x.device.backend.elementwise(function, array))
    return x.wrap(quiet(function, array))


def binary(function: Callable[[Any, Any], Any], a: Any, b: Any) -> Any:
    """Return the tensor ``function(a, b)``, without history; one operand may be a number."""
    if isinstance(a, TensorBase):
        like, x = a, a.array
        y = b.array if isinstance(b, TensorBase) else b
        size = max(x.size, getattr(y, "size", 0))
    else:
        like, x, y = b, a, b.array
        size = y.size
    if _is_worth_asking(like, size, function):
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
    if is_grad_enabled() or not _is_worth_asking(first, first.array.size, function):
        return function(*operands)
    arrays = [o.array if isinstance(o, TensorBase) else o for o in operands]
    return first.wrap(first.device.backend.elementwise(function, *arrays))
