"""Makes a differentiable function of each element out of a row: name, formula, gradient."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ...autograd import Function
from .._operands import as_floating, check_not_bool, check_tensor, zeros_like
from ._formulas import formula
from ._formulas import unary as elementwise

Unary = Callable[[Any], Any]
Rule = Callable[[Any, Any], Any]

_DOCSTRING = """Return {summary}

    Parameters
    ----------
    input : Tensor
        Any shape. {dtypes}

    Returns
    -------
    Tensor
        Shape of ``input``.

    Raises
    ------
    DTypeError
        If ``input`` is not a tensor{or_bools}.
    """


def unary_function(
    name: str,
    summary: str,
    *,
    x: Rule | None = None,
    y: Rule | None = None,
    array: Callable[[Any, Any], Any] | None = None,
    kernel: str | None = None,
    keeps_integers: bool = False,
) -> Unary:
    """Return the public function ``name``, described by ``summary``.

    ``array(xp, a)`` computes it for an array, or the backend's ``kernel``; default is the function
    of that name in ``xp``. A rule ``x=`` gets the gradient of the output and the input. A rule
    ``y=``, made of operators alone, gets the gradient and the output, which is then saved in place
    of the input. Without a rule the function is a staircase, with gradient 0.
    """
    node = _node(name, x, y, array, kernel)

    def function(input: Any) -> Any:
        if not keeps_integers:
            return node.apply(as_floating(name, input))
        check_not_bool(name, check_tensor(name, "input", input))
        return node.apply(input)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = _DOCSTRING.format(
        summary=summary,
        dtypes="Integers stay integers." if keeps_integers else
        "Integers and bools become the default float dtype.",
        or_bools=", or of bools" if keeps_integers else "",
    )  # fmt: skip
    return function


def _node(
    name: str,
    x: Rule | None,
    y: Rule | None,
    array: Callable[[Any, Any], Any] | None,
    kernel: str | None,
) -> type[Function]:
    """Return the differentiable function of a row of the table."""

    class Node(Function):
        @staticmethod
        def forward(ctx: Any, input: Any) -> Any:
            if kernel is not None:
                output = input.wrap(getattr(input.device.backend, kernel)(input.array))
            elif array is None:
                output = elementwise(getattr(input.xp, name), input)
            else:
                output = elementwise(partial(array, input.xp), input)
            if y is not None:
                ctx.save_for_backward(output)
            elif x is not None:
                ctx.save_for_backward(input)
            return output

        @staticmethod
        def backward(ctx: Any, grad: Any) -> Any:
            if y is not None:  # these rules are made of operators alone
                return formula(y, grad, *ctx.saved_tensors)
            return zeros_like(grad) if x is None else x(grad, *ctx.saved_tensors)

    Node.__name__ = Node.__qualname__ = name.capitalize()
    return Node
