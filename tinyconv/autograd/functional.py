"""Jacobians and Hessians of functions of tensors, and their products with vectors.

    tc.autograd.functional.jacobian(lambda x: x.exp(), tc.tensor([0.0, 1.0]))

``inputs`` is a tensor or a tuple of tensors, passed to ``func`` one by one; what comes back is
shaped alike. ``v`` is one tensor, or a tuple of them.

``create_graph=True`` makes results differentiable. Where a result does not depend on something,
it is zero; with ``strict=True`` that is a :class:`~tinyconv.errors.GradientError` instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import GradientError
from .function import Function
from .functional_parts import (
    Tensors,
    as_tensors,
    call,
    check_depends,
    detached,
    filled,
    first_derivative,
    fresh,
    gradients,
    independent,
    results,
    scalar_output,
    vector,
    zeros,
)
from .modes import enable_grad, is_grad_enabled, set_grad_enabled

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]


class Stack(Function):
    """Tensors of one shape behind each other along a new first dimension."""

    takes_bfloat16 = True

    @staticmethod
    def forward(ctx: Any, *rows: Any) -> Any:
        ctx.count = len(rows)
        return rows[0].wrap(rows[0].xp.stack([row.array for row in rows]))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return tuple(grad[i] for i in range(ctx.count))


def jacobian(
    func: Callable[..., Any], inputs: Any, create_graph: bool = False, strict: bool = False
) -> Any:
    """Return the derivatives of all elements of the outputs by all elements of the inputs.

    Parameters
    ----------
    func : callable
        Function of tensors that returns a tensor or a tuple of tensors.
    inputs : Tensor or tuple of Tensor
        Where to differentiate.
    create_graph : bool, default False
        Make the result differentiable.
    strict : bool, default False
        Raise where an output does not depend on an input.

    Returns
    -------
    Tensor, or tuple of these, or tuple of tuples
        Of shape ``(*output shape, *input shape)``; a tuple where ``func`` returns one, and in
        it a tuple where ``inputs`` is one.

    Raises
    ------
    GradientError
        If ``strict`` and there is no dependence.
    DTypeError
        If inputs or outputs are no tensors.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.autograd.functional.jacobian(lambda x: x * x, tc.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    with enable_grad():
        many_inputs, inputs = as_tensors("jacobian", "inputs", inputs)
        inputs = fresh(inputs, create_graph, True)
        many_outputs, outputs = call("jacobian", func, inputs, strict)
        rows = tuple(
            _jacobian_of(number, output, inputs, create_graph, strict)
            for number, output in enumerate(outputs)
        )
    if not create_graph:
        rows = tuple(detached(row) for row in rows)
    result = tuple(row if many_inputs else row[0] for row in rows)
    return result if many_outputs else result[0]


def _jacobian_of(
    number: int, output: Any, inputs: Tensors, create_graph: bool, strict: bool
) -> Tensors:
    """Return the Jacobians of one output, one an input, by a backward pass for each element."""
    shape, xp = tuple(output.array.shape), output.xp
    size = output.array.size
    rows: list[list[Any]] = [[] for _ in inputs]
    places = xp.reshape(xp.arange(size, device=output.array.device), shape)
    for j in range(size):
        direction = output.wrap(xp.astype(places == j, output.array.dtype))
        found = gradients((output,), inputs, (direction,), create_graph, retain_graph=True)
        for i, (row, x) in enumerate(zip(found, inputs, strict=True)):
            if row is None and strict:
                raise GradientError(
                    f"jacobian: output {number} of func does not depend on input {i}, which "
                    "strict=True forbids"
                )
            if row is not None and strict and create_graph and not row.requires_grad:
                raise independent("jacobian", "the Jacobian", f"input {i}")
            rows[i].append(zeros(x) if row is None else row)
    jacobians = []
    for x, parts in zip(inputs, rows, strict=True):
        target = (*shape, *x.array.shape)
        empty = x.wrap(xp.zeros(target, dtype=x.array.dtype))
        jacobians.append(Stack.apply(*parts).reshape(target) if parts else empty)
    return tuple(jacobians)


def hessian(
    func: Callable[..., Any], inputs: Any, create_graph: bool = False, strict: bool = False
) -> Any:
    """Return the second derivatives of a scalar function.

    Parameters
    ----------
    func : callable
        Function of tensors that returns one tensor of one element.
    inputs : Tensor or tuple of Tensor
        Where to differentiate.
    create_graph : bool, default False
        Make the result differentiable.
    strict : bool, default False
        Raise where the function or its Jacobian does not depend on an input.

    Returns
    -------
    Tensor, or tuple of tuple of Tensor
        Of shape ``(*shape of input i, *shape of input j)`` at ``[i][j]``.

    Raises
    ------
    GradientError
        If ``strict`` and there is no dependence.
    DTypeError
        If inputs or the output are no tensors.
    ShapeError
        If the output has not one element.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.autograd.functional.hessian(lambda x: (x ** 3).sum(), tc.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    many, inputs = as_tensors("hessian", "inputs", inputs)

    def scalar(*args: Any) -> Any:
        (output,) = scalar_output("hessian", func, args, strict)
        return output.reshape(())

    def first(*args: Any) -> Any:
        derivatives = jacobian(scalar, args, create_graph=True)
        if strict:
            check_depends("hessian", "the Jacobian of func by", derivatives)
        return derivatives

    result = jacobian(first, inputs, create_graph=create_graph, strict=strict)
    return result if many else result[0][0]


def vjp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """Return ``func(*inputs)`` and the product of ``v`` with its Jacobian, v^T J.

    Parameters
    ----------
    func : callable
        Function of tensors that returns a tensor or a tuple of tensors.
    inputs : Tensor or tuple of Tensor
        Where to differentiate.
    v : Tensor or tuple of Tensor, optional
        Shapes of the outputs; may be left out for one output of one element, and is 1 then.
    create_graph : bool, default False
        Make both results differentiable.
    strict : bool, default False
        Raise where the outputs do not depend on an input.

    Returns
    -------
    outputs, vjp
        What ``func`` returned; tensors of the shapes of the inputs.

    Raises
    ------
    GradientError
        If ``strict`` and there is no dependence.
    ShapeError
        If ``v`` does not have the shapes of the outputs.
    ArgumentError
        If ``v`` is needed and not given.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.autograd.functional.vjp(lambda x: x * x, tc.tensor([1.0, 2.0]), tc.ones(2))[1]
    tensor([2., 4.])
    """
    with enable_grad():
        many_inputs, inputs = as_tensors("vjp", "inputs", inputs)
        inputs = fresh(inputs, create_graph, True)
        many_outputs, outputs = call("vjp", func, inputs, strict)
        v = vector("vjp", v, outputs, many_outputs, "output of func", create_graph)
    with set_grad_enabled(create_graph or is_grad_enabled()):
        found = gradients(outputs, inputs, v, create_graph)
        product = filled("vjp", found, inputs, strict, create_graph, "the output of func", "input")
    return results(outputs, many_outputs, product, many_inputs, create_graph)


def jvp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """Return ``func(*inputs)`` and the product of its Jacobian with ``v``, J v.

    The backward pass is linear in the gradient that enters it, so its own derivative by that
    gradient is J: two backward passes, whatever the sizes.

    Parameters
    ----------
    func : callable
        Function of tensors that returns a tensor or a tuple of tensors.
    inputs : Tensor or tuple of Tensor
        Where to differentiate.
    v : Tensor or tuple of Tensor, optional
        Shapes of the inputs; may be left out for one input of one element, and is 1 then.
    create_graph : bool, default False
        Make both results differentiable.
    strict : bool, default False
        Raise where the outputs do not depend on an input.

    Returns
    -------
    outputs, jvp
        What ``func`` returned; tensors of the same shapes.

    Raises
    ------
    GradientError
        If ``strict`` and there is no dependence.
    ShapeError
        If ``v`` does not have the shapes of the inputs.
    ArgumentError
        If ``v`` is needed and not given.

    Examples
    --------
    >>> import tinyconv as tc
    >>> x, v = tc.tensor([1.0, 2.0]), tc.tensor([1.0, 10.0])
    >>> tc.autograd.functional.jvp(lambda x: x * x, x, v)[1]
    tensor([ 2., 40.])
    """
    with enable_grad():
        many_inputs, inputs = as_tensors("jvp", "inputs", inputs)
        inputs = fresh(inputs, create_graph, True)
        v = vector("jvp", v, inputs, many_inputs, "input", create_graph)
        many_outputs, outputs = call("jvp", func, inputs, strict)
        entering = tuple(zeros(y).requires_grad_() for y in outputs)
        backwards = gradients(outputs, inputs, entering, True)
        if strict:
            check_depends("jvp", "the gradient of func by", backwards)
    with set_grad_enabled(create_graph or is_grad_enabled()):
        found = gradients(backwards, entering, v, create_graph)
        product = filled(
            "jvp", found, outputs, strict, create_graph, "the gradient of func", "output gradient"
        )
    return results(outputs, many_outputs, product, many_outputs, create_graph)


def vhp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """Return ``func(*inputs)`` and the product of ``v`` with its Hessian, v^T H.

    Parameters
    ----------
    func : callable
        Function of tensors that returns one tensor of one element.
    inputs, v, create_graph, strict
        As for :func:`jvp`.

    Returns
    -------
    output, vhp
        What ``func`` returned; tensors of the shapes of the inputs.

    Examples
    --------
    >>> import tinyconv as tc
    >>> x, v = tc.tensor([1.0, 2.0]), tc.tensor([1.0, 10.0])
    >>> tc.autograd.functional.vhp(lambda x: (x ** 3).sum(), x, v)[1]
    tensor([  6., 120.])
    """
    with enable_grad():
        many, inputs, v, outputs, first = first_derivative(
            "vhp", func, inputs, v, create_graph, strict
        )
    with set_grad_enabled(create_graph or is_grad_enabled()):
        found = gradients(first, inputs, v, create_graph)
        product = filled("vhp", found, inputs, strict, create_graph, "the Jacobian", "input")
    return results(outputs, False, product, many, create_graph)


def hvp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """Return ``func(*inputs)`` and the product of its Hessian with ``v``, H v.

    Equal to :func:`vhp`, which is faster, where second derivatives are continuous.

    Parameters
    ----------
    func : callable
        Function of tensors that returns one tensor of one element.
    inputs, v, create_graph, strict
        As for :func:`jvp`.

    Returns
    -------
    output, hvp
        What ``func`` returned; tensors of the shapes of the inputs.

    Examples
    --------
    >>> import tinyconv as tc
    >>> x, v = tc.tensor([1.0, 2.0]), tc.tensor([1.0, 10.0])
    >>> tc.autograd.functional.hvp(lambda x: (x ** 3).sum(), x, v)[1]
    tensor([  6., 120.])
    """
    with enable_grad():
        many, inputs, v, outputs, first = first_derivative(
            "hvp", func, inputs, v, create_graph, strict
        )
        entering = tuple(zeros(x).requires_grad_() for x in inputs)
        backwards = gradients(first, inputs, entering, True)
        if strict:
            check_depends("hvp", "the Hessian of func by", backwards)
    with set_grad_enabled(create_graph or is_grad_enabled()):
        found = gradients(backwards, entering, v, create_graph)
        product = filled(
            "hvp", found, inputs, strict, create_graph, "the Hessian", "gradient of input"
        )
    return results(outputs, False, product, many, create_graph)
