"""Recurrent networks: a cell, which makes one step in time, and the scan that repeats it.

The input's part of all gates is one matrix product for all time steps, made before the scan. A
step adds the part of the state before, ``a = h @ weight.T + bias``. The gradient goes back in
time, and the weight's is again one product for all steps.

A cell is two formulas, a step and its gradient, made of operators and of the functions in
``f``. So they mean the same for arrays, which is how they are computed, and for tensors, which
keep the graph where the gradient is itself to be differentiated.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import add
from typing import Any, NamedTuple

from ...autograd import Function, is_grad_enabled
from ...backend.quiet import quiet
from ...backend.reference.smooth import sigmoid as reference_sigmoid
from ..activations.piecewise import relu
from ..autocasting import autocasts
from ..elementwise.unary import sigmoid, tanh
from ..linalg.matmul import MatMul, linear, product
from ..shapes.joining import cat, stack, unbind


class _Arrays:
    """What cells are made of, for arrays on the device of a tensor."""

    def __init__(self, like: Any) -> None:
        self.like, self.xp, backend = like, like.xp, like.device.backend
        self.tanh = self.xp.tanh
        #: A step has few rows, for which the array library's own product starts sooner; but a GPU's
        #: cannot be recorded.
        self.product = backend.matmul if backend.records else self.xp.matmul

    def formula(self, function: Any, *args: Any) -> Any:
        return quiet(function, *args)

    def sigmoid(self, x: Any) -> Any:
        return reference_sigmoid(self.xp, x)

    def relu(self, x: Any) -> Any:
        return self.xp.maximum(x, self.xp.zeros_like(x))

    def positive(self, x: Any) -> Any:
        return self.xp.astype(x > 0, x.dtype)

    def cat(self, pieces: Sequence[Any], dim: int) -> Any:
        return self.xp.concat(pieces, axis=dim)

    def stack(self, pieces: Sequence[Any]) -> Any:
        return self.xp.stack(pieces)

    def unbind(self, x: Any) -> list[Any]:
        return [x[t, ...] for t in range(x.shape[0])]

    def product_of_all(self, a: Any, b: Any) -> Any:
        return product(self.like, a, b)

    def linear(self, x: Any, weight: Any, bias: Any) -> Any:
        y = self.product(x, weight.T)
        return y if bias is None else y + bias

    def sum_rows(self, x: Any) -> Any:
        return self.xp.sum(x, axis=0, dtype=x.dtype)


class _Tensors:
    """What cells are made of, for tensors."""

    @staticmethod
    def formula(function: Any, *args: Any) -> Any:
        return function(*args)

    sigmoid, tanh, relu = staticmethod(sigmoid), staticmethod(tanh), staticmethod(relu)
    cat, stack, unbind = staticmethod(cat), staticmethod(stack), staticmethod(unbind)
    linear = staticmethod(linear)
    product = product_of_all = MatMul.apply

    @staticmethod
    def positive(x: Any) -> Any:
        return (x > 0).to(x.dtype)

    @staticmethod
    def sum_rows(x: Any) -> Any:
        return x.sum(0)


class RnnTanh:
    """h' = tanh(x + a)."""

    @staticmethod
    def step(f: Any, x: Any, a: Any, h: Any, c: Any) -> tuple[Any, Any, Any]:
        """Return h', c' and what the gradient needs."""
        y = f.tanh(x + a)
        return y, None, y

    @staticmethod
    def back(f: Any, y: Any, dh: Any, dc: Any) -> tuple[Any, Any, Any, Any]:
        """Return the gradients of x, of a, and of h and c beside what goes through a."""
        dx = dh * (1 - y * y)
        return dx, dx, None, None


class RnnRelu:
    """h' = max(x + a, 0)."""

    @staticmethod
    def step(f: Any, x: Any, a: Any, h: Any, c: Any) -> tuple[Any, Any, Any]:
        """Return h', c' and what the gradient needs."""
        y = f.relu(x + a)
        return y, None, y

    @staticmethod
    def back(f: Any, y: Any, dh: Any, dc: Any) -> tuple[Any, Any, Any, Any]:
        """Return the gradients of x, of a, and of h and c beside what goes through a."""
        dx = dh * f.positive(y)
        return dx, dx, None, None


class Lstm:
    """c' = f * c + i * g; h' = o * tanh(c'), with the gates i, f, g, o side by side in x + a.

    Hochreiter and Schmidhuber, "Long short-term memory" (1997), with the forget gate f of Gers
    et al., "Learning to forget" (2000).
    """

    @staticmethod
    def step(f: Any, x: Any, a: Any, h: Any, c: Any) -> tuple[Any, Any, Any]:
        """Return h', c' and what the gradient needs."""
        x, n = x + a, c.shape[-1]
        # A slice of rows is not dense in memory, and a sigmoid of what is dense is faster.
        s, g = f.sigmoid(x), f.tanh(x[:, 2 * n : 3 * n])
        i, forget, o = s[:, :n], s[:, n : 2 * n], s[:, 3 * n :]
        new = forget * c + i * g
        t = f.tanh(new)
        return o * t, new, (i, forget, g, o, c, t)

    @staticmethod
    def back(f: Any, kept: Any, dh: Any, dc: Any) -> tuple[Any, Any, Any, Any]:
        """Return the gradients of x, of a, and of h and c beside what goes through a."""
        i, forget, g, o, c, t = kept
        dc = dc + dh * o * (1 - t * t)
        pieces = (
            dc * g * (i * (1 - i)),
            dc * c * (forget * (1 - forget)),
            dc * i * (1 - g * g),
            dh * t * (o * (1 - o)),
        )
        dx = f.cat(pieces, 1)
        return dx, dx, None, dc * forget


class Gru:
    """h' = (1 - z) * n + z * h with n = tanh(x_n + r * a_n); r, z, n side by side in x and a.

    Cho et al., "Learning phrase representations using RNN encoder-decoder" (2014); that r is
    multiplied after the matrix product is cuDNN's variant of it, and PyTorch's.
    """

    @staticmethod
    def step(f: Any, x: Any, a: Any, h: Any, c: Any) -> tuple[Any, Any, Any]:
        """Return h', c' and what the gradient needs."""
        m = h.shape[-1]
        s, a_n = f.sigmoid(x[:, : 2 * m] + a[:, : 2 * m]), a[:, 2 * m :]
        r, z = s[:, :m], s[:, m:]
        n = f.tanh(x[:, 2 * m :] + r * a_n)
        return n + z * (h - n), None, (r, z, n, a_n, h)

    @staticmethod
    def back(f: Any, kept: Any, dh: Any, dc: Any) -> tuple[Any, Any, Any, Any]:
        """Return the gradients of x, of a, and of h and c beside what goes through a."""
        r, z, n, a_n, h = kept
        d_n = dh * (1 - z) * (1 - n * n)
        gates = [d_n * a_n * (r * (1 - r)), dh * (h - n) * (z * (1 - z))]
        return f.cat([*gates, d_n], 1), f.cat([*gates, d_n * r], 1), dh * z, None


class Step(NamedTuple):
    """What going back through a step needs: the state before, what the cell kept, its output."""

    before: Any
    kept: Any
    full: Any


class Recurrence(Function):
    """The outputs y of a cell for x over time, and for an LSTM also the last c."""

    #: What each step kept, in the order in which they were made.
    steps: Any = None

    @staticmethod
    def forward(
        ctx: Any,
        cell: Any,
        x: Any,
        h: Any,
        c: Any,
        weight: Any,
        bias: Any,
        projection: Any,
        backwards: bool,
    ) -> Any:
        tensors = (x, h, c, weight, bias, projection)
        ctx.save_for_backward(*tensors)
        ctx.cell, ctx.backwards = cell, backwards
        arrays = [None if t is None else t.array for t in tensors]
        outputs, c_last, ctx.steps = _unroll(_Arrays(x), cell, backwards, *arrays)
        if not any(ctx.needs_input_grad):
            ctx.steps = None
        y = x.wrap(x.xp.stack(outputs))
        return y if c is None else (y, x.wrap(c_last))

    @staticmethod
    def backward(ctx: Any, dy: Any, dc: Any = None) -> Any:
        x, h, c, weight, bias, projection = ctx.saved_tensors
        needs = ctx.needs_input_grad
        if is_grad_enabled():  # what was kept is constant, and not a function of the arguments
            arguments = (x, h, c, weight, bias, projection)
            steps = _unroll(_Tensors, ctx.cell, ctx.backwards, *arguments)[2]
            operands = (dy, dc, weight, bias, projection)
            grads = _rewind(_Tensors, ctx.cell, ctx.backwards, steps, *operands)
        else:
            arrays = [None if t is None else t.array for t in (dy, dc, weight, bias, projection)]
            grads = _rewind(_Arrays(x), ctx.cell, ctx.backwards, ctx.steps, *arrays)
            grads = [None if g is None else x.wrap(g) for g in grads]
        grads = [g if need else None for g, need in zip(grads, needs[1:-1], strict=True)]
        return (None, *grads, None)

    def release(self) -> None:
        super().release()
        self.steps = None


def _unroll(
    f: Any,
    cell: Any,
    backwards: bool,
    x: Any,
    h: Any,
    c: Any,
    weight: Any,
    bias: Any,
    projection: Any,
) -> tuple[list[Any], Any, list[Step]]:
    """Return the outputs in the order of time, the last c, and the steps as they were made."""
    inputs, outputs, steps = f.unbind(x), [], []
    for x_t in reversed(inputs) if backwards else inputs:
        before = h
        full, c, kept = f.formula(cell.step, f, x_t, f.linear(h, weight, bias), h, c)
        h = full if projection is None else f.linear(full, projection, None)
        steps.append(Step(before, kept, full))
        outputs.append(h)
    return outputs[::-1] if backwards else outputs, c, steps


def _rewind(
    f: Any,
    cell: Any,
    backwards: bool,
    steps: list[Step],
    dy: Any,
    dc: Any,
    weight: Any,
    bias: Any,
    projection: Any,
) -> list[Any]:
    """Return the gradients of x, h, c, weight, bias and projection."""
    d_inputs, d_states, d_outputs = [], [], []
    d_after = None
    dy = f.unbind(dy)
    for step, dy_t in zip(reversed(steps), dy if backwards else reversed(dy), strict=True):
        dh = dy_t if d_after is None else f.formula(add, dy_t, d_after)
        d_outputs.append(dh)
        if projection is not None:
            dh = f.product(dh, projection)
        dx, da, d_beside, dc = f.formula(cell.back, f, step.kept, dh, dc)
        d_after = f.product(da, weight)
        if d_beside is not None:
            d_after = f.formula(add, d_after, d_beside)
        d_inputs.append(dx)
        d_states.append(da)
    d_rows, before = f.cat(d_states, 0), f.cat([step.before for step in reversed(steps)], 0)
    d_projection = None
    if projection is not None:
        full = f.cat([step.full for step in reversed(steps)], 0)
        d_projection = f.product_of_all(f.cat(d_outputs, 0).T, full)
    return [
        f.stack(d_inputs if backwards else d_inputs[::-1]),
        d_after,
        dc,
        f.product_of_all(d_rows.T, before),
        None if bias is None else f.sum_rows(d_rows),
        d_projection,
    ]


@autocasts
def recurrence(
    cell: Any,
    x: Any,
    state: tuple[Any, Any],
    weight: Any,
    bias: Any = None,
    projection: Any = None,
    backwards: bool = False,
) -> tuple[Any, tuple[Any, Any]]:
    """Return the outputs of a cell over time, and the last state.

    Parameters
    ----------
    cell : class
        :class:`RnnTanh`, :class:`RnnRelu`, :class:`Lstm` or :class:`Gru`.
    x : Tensor (L, N, gates * hidden)
        The input's part of the gates at L > 0 times.
    state : (Tensor, Tensor or None)
        The first h (N, out), and for an LSTM the first c (N, hidden).
    weight : Tensor (gates * hidden, out)
        Makes the state's part of the gates.
    bias : Tensor (gates * hidden,), optional
        Added to that.
    projection : Tensor (out, hidden), optional
        What the output is multiplied by; without one, ``out`` is ``hidden``.
    backwards : bool, default False
        Go from the last time to the first.

    Returns
    -------
    tuple of Tensor (L, N, out) and the last state
    """
    h, c = state
    result = Recurrence.apply(cell, x, h, c, weight, bias, projection, backwards)
    y, c = (result, None) if c is None else result
    return y, (y[0 if backwards else -1], c)
