"""Matrix products."""

from __future__ import annotations

from typing import Any

from ...autograd import Function
from ...autograd.modes import is_followed
from ...backend.dtypes import Half
from ...backend.quiet import quiet
from ...backend.reference.activation import Limits
from ...errors import DTypeError, ShapeError
from .._operands import cast, check_tensor, raw
from ..activations.piecewise import limits_of
from ..masks import masked_gradient
from ..reductions.sums import total
from ..shapes.broadcasting import broadcast_shapes

#: Multiplications below which the array library's own product is called: it starts sooner. But a
#: GPU's cannot be recorded.
FEW = 1 << 13


def product(x: Any, a: Any, b: Any) -> Any:
    """Return the product of two arrays, on the device of x."""
    backend = x.device.backend
    if a.size * b.shape[-1] < FEW and not backend.records and not isinstance(x.dtype, Half):
        return quiet(x.xp.matmul, a, b)
    return backend.matmul(a, b)


class MatMul(Function):
    """a @ b of matrices, or of stacks of matrices that broadcast."""

    takes_bfloat16 = True

    @staticmethod
    def forward(ctx: Any, a: Any, b: Any) -> Any:
        ctx.save_for_backward(a, b)
        return a.wrap(product(a, a.array, b.array))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        # The engine sums over the dimensions along which a stack was broadcast.
        a, b = ctx.saved_tensors
        need_a, need_b = ctx.needs_input_grad
        if is_followed():
            return (
                MatMul.apply(grad, b.transpose(-2, -1)) if need_a else None,
                MatMul.apply(a.transpose(-2, -1), grad) if need_b else None,
            )
        dy, turned = grad.array, grad.xp.matrix_transpose
        return (
            grad.wrap(product(grad, dy, turned(b.array))) if need_a else None,
            grad.wrap(product(grad, turned(a.array), dy)) if need_b else None,
        )


class WideMatMul(Function):
    """a @ b of half-precision matrices in float32; gradients are rounded to half precision."""

    takes_bfloat16 = True

    @staticmethod
    def forward(ctx: Any, a: Any, b: Any) -> Any:
        ctx.save_for_backward(a, b)
        return a.wrap(a.device.backend.wide_matmul(a.array, b.array))

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        a, b = ctx.saved_tensors
        need_a, need_b = ctx.needs_input_grad
        grad = cast(grad, a.dtype)
        return (
            MatMul.apply(grad, b.transpose(-2, -1)) if need_a else None,
            MatMul.apply(a.transpose(-2, -1), grad) if need_b else None,
        )


class Linear(Function):
    """x @ weight.T + bias, with x seen as a matrix: all its dimensions but the last are rows.

    Clipped to ``limits``, if there are any.

    A sample, and its gradient, have the same bits alone and in a batch: both are the backend's
    product, whatever the size.
    """

    takes_bfloat16 = True

    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any, bias: Any, limits: Limits | None = None) -> Any:
        xp, shape = x.xp, x.array.shape
        rows = x.array if len(shape) == 2 else xp.reshape(x.array, (-1, shape[-1]))
        y = x.device.backend.matmul(rows, weight.array.T, raw(bias), limits)
        y = x.wrap(y if len(shape) == 2 else xp.reshape(y, (*shape[:-1], y.shape[1])))
        ctx.limits, ctx.is_exact = limits, weight.dtype.itemsize > 2
        ctx.save_for_backward(x, weight, None if limits is None else y)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        x, weight, clipped = ctx.saved_tensors
        need_x, need_weight, need_bias, *_ = ctx.needs_input_grad
        if clipped is not None:
            grad = masked_gradient(grad, clipped, ctx.limits)
            clipped = None
            ctx.free_saved()
        if not is_followed():
            return *_linear_gradients(grad, x, weight, need_x, need_weight, need_bias), None
        dx = Linear.apply(grad, weight.transpose(0, 1), None) if need_x else None
        if x.array.ndim != 2:
            x, grad = x.reshape(-1, x.array.shape[-1]), grad.reshape(-1, grad.array.shape[-1])
        return (
            dx,
            MatMul.apply(grad.transpose(0, 1), x) if need_weight else None,
            grad.sum(0) if need_bias else None,
            None,
        )


def _linear_gradients(
    grad: Any, x: Any, weight: Any, need_x: bool, need_weight: bool, need_bias: bool
) -> tuple[Any, ...]:
    """Return the gradients of :class:`Linear` without history."""
    xp, dy, rows, shape = grad.xp, grad.array, x.array, x.array.shape
    if len(shape) != 2:
        dy, rows = xp.reshape(dy, (-1, dy.shape[-1])), xp.reshape(rows, (-1, shape[-1]))
    dx = dw = db = None
    if need_x:
        dx = grad.device.backend.matmul(dy, weight.array)
        dx = grad.wrap(dx if len(shape) == 2 else xp.reshape(dx, shape))
    if need_weight:
        dw = grad.wrap(product(grad, dy.T, rows))
    if need_bias:
        db = grad.wrap(total(grad, dy, (0,)))
    return dx, dw, db


def _same_dtype(op: str, a: Any, b: Any, names: tuple[str, str] = ("input", "other")) -> None:
    """Raise ``DTypeError`` if the two differ: products, as in PyTorch, do not promote."""
    check_tensor(op, names[0], a)
    check_tensor(op, names[1], b)
    if a.device is b.device and a.array.dtype != b.array.dtype:
        raise DTypeError(
            f"{op}: '{names[0]}' is {a.dtype} but '{names[1]}' is {b.dtype}; convert one with .to()"
        )


def _no_fit(op: str, a: Any, b: Any, what: str) -> ShapeError:
    return ShapeError(
        f"{op}: shapes {tuple(a.array.shape)} and {tuple(b.array.shape)} do not fit: {what}"
    )


def _check_ranks(op: str, a: Any, b: Any, ranks: tuple[int, int], names: tuple[str, str]) -> None:
    """Raise if dtypes differ, or the numbers of dimensions are not ``ranks``."""
    _same_dtype(op, a, b, names)
    if (a.array.ndim, b.array.ndim) != ranks:
        raise _no_fit(op, a, b, f"expected {ranks[0]} and {ranks[1]} dimensions")


def matmul(input: Any, other: Any) -> Any:
    """Return the matrix product ``input @ other``.

    Parameters
    ----------
    input, other : Tensor
        Of equal dtype. Two dimensions are a matrix, more are stacks of matrices that broadcast;
        one dimension is a row on the left and a column on the right, and vanishes in the result.

    Returns
    -------
    Tensor
        ``(n,) (n,) -> ()``; ``(..., n, m) (..., m, p) -> (..., n, p)``.

    Raises
    ------
    ShapeError
        If the inner sizes differ, or the stacks do not broadcast.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.matmul(tc.ones(2, 3), tc.ones(3))
    tensor([3., 3.])
    """
    _same_dtype("matmul", input, other)
    a, b = input.array.shape, other.array.shape
    if not a or not b:
        raise _no_fit("matmul", input, other, "a scalar has no matrix product; use *")
    inner = b[-2] if len(b) > 1 else b[0]
    if a[-1] != inner:
        raise _no_fit("matmul", input, other, f"the inner sizes {a[-1]} and {inner} differ")
    if len(a) == len(b) == 2:
        return MatMul.apply(input, other)
    if len(a) == 1:
        product = matmul(input.reshape(1, -1), other if len(b) > 1 else other.reshape(-1, 1))
        shape = product.array.shape
        return product.reshape(*shape[:-2], *(shape[-1:] if len(b) > 1 else ()))
    if len(b) == 1:
        product = matmul(input, other.reshape(-1, 1))
        return product.reshape(product.array.shape[:-1])
    if len(b) == 2 and inner:  # one large product instead of a stack of small ones
        return MatMul.apply(input.reshape(-1, inner), other).reshape(*a[:-1], b[-1])
    try:
        broadcast_shapes(a[:-2], b[:-2])
    except ShapeError:
        raise _no_fit("matmul", input, other, "the stacks do not broadcast") from None
    return MatMul.apply(input, other)


def mm(input: Any, mat2: Any) -> Any:
    """Return the product of two matrices, ``(n, m) (m, p) -> (n, p)``."""
    _check_ranks("mm", input, mat2, (2, 2), ("input", "mat2"))
    return matmul(input, mat2)


def bmm(input: Any, mat2: Any) -> Any:
    """Return the products of two stacks of matrices, ``(b, n, m) (b, m, p) -> (b, n, p)``."""
    _check_ranks("bmm", input, mat2, (3, 3), ("input", "mat2"))
    if input.array.shape[0] != mat2.array.shape[0]:
        raise _no_fit("bmm", input, mat2, "the first sizes differ")
    return matmul(input, mat2)


def mv(input: Any, vec: Any) -> Any:
    """Return the product of a matrix and a vector, ``(n, m) (m,) -> (n,)``."""
    _check_ranks("mv", input, vec, (2, 1), ("input", "vec"))
    return matmul(input, vec)


def dot(input: Any, tensor: Any) -> Any:
    """Return the inner product of two vectors, ``(n,) (n,) -> ()``."""
    _check_ranks("dot", input, tensor, (1, 1), ("input", "tensor"))
    return matmul(input, tensor)


def outer(input: Any, vec2: Any) -> Any:
    """Return all products of the elements of two vectors, ``(n,) (m,) -> (n, m)``."""
    for name, value in (("input", input), ("vec2", vec2)):
        if check_tensor("outer", name, value).array.ndim != 1:
            raise _no_fit("outer", input, vec2, "expected two vectors")
    return input.reshape(-1, 1) * vec2


def linear(input: Any, weight: Any, bias: Any = None, *, activation: str | None = None) -> Any:
    """Return ``input @ weight.T + bias``.

    Parameters
    ----------
    input : Tensor (..., in_features)
        Any number of dimensions before the last.
    weight : Tensor (out_features, in_features)
        Of the same dtype.
    bias : Tensor (out_features,), optional
        Added to each row.
    activation : {None, "relu", "relu6"}
        What to apply to the result in the same pass, as one op.

    Returns
    -------
    Tensor (..., out_features)

    Raises
    ------
    ShapeError
        If the sizes do not fit.
    DTypeError
        If the dtypes differ.
    ArgumentError
        If there is no such activation.
    """
    limits = limits_of("linear", activation)
    _same_dtype("linear", input, weight, ("input", "weight"))
    x, w = input.array.shape, weight.array.shape
    if len(w) != 2 or not x or x[-1] != w[1]:
        raise ShapeError(
            f"linear: weight of shape {tuple(w)} must be (out_features, in_features) with "
            f"in_features equal to the last size of input, got input of shape {tuple(x)}"
        )
    if bias is not None:
        _same_dtype("linear", input, bias, ("input", "bias"))
        if bias.array.shape != w[:1]:
            raise ShapeError(
                f"linear: bias must have shape ({w[0]},) to fit weight of shape {tuple(w)}, "
                f"got {tuple(bias.array.shape)}"
            )
    return Linear.apply(input, weight, bias, limits)


def bilinear(input1: Any, input2: Any, weight: Any, bias: Any = None) -> Any:
    """Return ``input1 @ weight[o] @ input2 + bias[o]`` for each output feature ``o``.

    Parameters
    ----------
    input1 : Tensor (..., in1_features)
        Any number of dimensions before the last.
    input2 : Tensor (..., in2_features)
        The same sizes before the last, and the same dtype.
    weight : Tensor (out_features, in1_features, in2_features)
        Of the same dtype.
    bias : Tensor (out_features,), optional
        Added to each row.

    Returns
    -------
    Tensor (..., out_features)

    Raises
    ------
    ShapeError
        If the sizes do not fit.
    DTypeError
        If the dtypes differ.
    """
    _same_dtype("bilinear", input1, input2, ("input1", "input2"))
    _same_dtype("bilinear", input1, weight, ("input1", "weight"))
    a, b, w = input1.array.shape, input2.array.shape, weight.array.shape
    if not a or a[:-1] != b[:-1] or len(w) != 3 or (a[-1], b[-1]) != w[1:]:
        raise ShapeError(
            "bilinear: needs input1 (..., in1_features), input2 (..., in2_features) and weight "
            f"(out_features, in1_features, in2_features), got shapes {tuple(a)}, {tuple(b)} and "
            f"{tuple(w)}"
        )
    pairs = input1.unsqueeze(-1) * input2.unsqueeze(-2)
    count = w[1] * w[2]
    return linear(pairs.reshape(*a[:-1], count), weight.reshape(w[0], count), bias)
