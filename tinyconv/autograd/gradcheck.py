"""Check of gradients against finite differences.

Autograd computes products with the Jacobian J of a function. By default a few random numbers
u^T J v are compared, each for one input and one output: the direction v moves all elements of the
input at once, so the cost does not grow with their number, and a wrong element of J changes
u^T J v with probability one. ``elementwise=True`` compares J itself.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import ArgumentError, GradientError
from .engine import grad
from .tensor_base import TensorBase

Array = np.ndarray[Any, Any]
#: Up to this many elements of input and output, a failure is traced to an element of J.
LOCATE_LIMIT = 1000


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    *,
    elementwise: bool = False,
    raise_exception: bool = True,
    seed: int = 0,
    directions: int = 2,
    nondet_tol: float = 0.0,
) -> bool:
    """Compare the gradients of ``func`` with central differences.

    Also checked: ``func`` and its backward pass leave the inputs alone, both are deterministic,
    and the gradient of each output alone works (that of the others is then undefined).

    Parameters
    ----------
    func : callable
        Function of ``inputs`` that returns a tensor or a sequence of them. Outputs that are not
        floating point are left out.
    inputs : Tensor or sequence
        Arguments of ``func``; those that require gradients are checked and should be float64,
        because the differences are too coarse otherwise.
    eps : float, default 1e-6
        Size of the step.
    atol, rtol : float
        The difference may be ``atol + rtol * |numerical|``. The defaults are PyTorch's.
    elementwise : bool, default False
        Compare the full Jacobian, at two calls of ``func`` an input element and one backward
        pass an output element.
    raise_exception : bool, default True
        Raise on a mismatch; ``False`` returns ``False`` instead.
    seed : int, default 0
        Seed of the random directions.
    directions : int, default 2
        Number of random directions a pair of input and output.
    nondet_tol : float, default 0.0
        How far two runs of the same computation may differ.

    Returns
    -------
    bool
        Whether the gradients agree.

    Raises
    ------
    GradientError
        If they do not; the message names input, output and both numbers.
    ArgumentError
        If no input requires gradients.

    Examples
    --------
    >>> import tinyconv as tc
    >>> x = tc.tensor([0.5, 2.0], dtype=tc.float64, requires_grad=True)
    >>> tc.autograd.gradcheck(lambda x: x.exp(), x)
    True
    """
    check = _Check("gradcheck", func, inputs, eps, atol, rtol, seed, nondet_tol)
    return check.run(elementwise, directions, raise_exception)


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Any,
    grad_outputs: Any = None,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    *,
    elementwise: bool = False,
    raise_exception: bool = True,
    seed: int = 0,
    directions: int = 2,
    nondet_tol: float = 0.0,
) -> bool:
    """Compare second derivatives of ``func`` with central differences of its first ones.

    Parameters
    ----------
    func, inputs, eps, atol, rtol, elementwise, raise_exception, seed, directions, nondet_tol
        As in :func:`gradcheck`.
    grad_outputs : Tensor or sequence of Tensor, optional
        A gradient for each differentiable output; default random. The dependence on them is
        checked too where they require gradients.

    Returns
    -------
    bool
        Whether the derivatives agree.

    Raises
    ------
    GradientError
        If they do not. The first inputs of the message are those of ``func``, then come
        ``grad_outputs``; its outputs are the gradients of the inputs.
    """
    inputs = _as_tuple(inputs)
    if grad_outputs is None:
        grad_outputs = _random_gradients(func, inputs, seed)
    grad_outputs = _as_tuple(grad_outputs)
    count = len(inputs)

    def first_gradients(*args: Any) -> tuple[Any, ...]:
        wanted = [a for a in args[:count] if isinstance(a, TensorBase) and a._requires_grad]
        outputs = _differentiable(func(*args[:count]))
        if not outputs:
            return ()
        results = grad(outputs, wanted, args[count:], create_graph=True, allow_unused=True)
        return tuple(r for r in results if r is not None)

    everything = (*inputs, *grad_outputs)
    check = _Check("gradgradcheck", first_gradients, everything, eps, atol, rtol, seed, nondet_tol)
    return check.run(elementwise, directions, raise_exception)


class _Check:
    """A function at a point, its numerical and its analytical derivatives."""

    def __init__(
        self, op: str, func: Callable[..., Any], inputs: Any, eps: float, atol: float,
        rtol: float, seed: int, nondet_tol: float,
    ) -> None:  # fmt: skip
        self.op, self.func, self.inputs = op, func, _as_tuple(inputs)
        self.eps, self.atol, self.rtol, self.nondet_tol = eps, atol, rtol, nondet_tol
        self.rng = np.random.default_rng(seed)
        #: Positions of the inputs to check.
        self.checked = [
            i for i, x in enumerate(self.inputs) if isinstance(x, TensorBase) and x._requires_grad
        ]
        if not self.checked:
            raise ArgumentError(f"{op}: at least one input must be a tensor with requires_grad")
        for i in self.checked:
            if self.inputs[i].dtype.name != "float64":
                warnings.warn(
                    f"{op}: inputs[{i}] is {self.inputs[i].dtype}; finite differences need "
                    "float64 to be exact enough",
                    stacklevel=3,
                )
        self.originals = [_copy(x) if isinstance(x, TensorBase) else x for x in self.inputs]
        self.values: list[Array] = []

    def run(self, elementwise: bool, directions: int, raise_exception: bool) -> bool:
        """Do all checks; raise or return False at the first that fails."""
        try:
            self.check_forward()
            if elementwise:
                self.compare_jacobians()
            else:
                self.compare_projections(directions)
        except GradientError:
            if raise_exception:
                raise
            return False
        return True

    # -- evaluation -------------------------------------------------------------------------

    def outputs(self) -> list[Any]:
        """Call ``func`` and return its floating-point outputs."""
        results = _as_tuple(self.func(*self.inputs))
        for j, result in enumerate(results):
            if not isinstance(result, TensorBase):
                raise ArgumentError(
                    f"{self.op}: func must return tensors, output {j} is {type(result).__name__}"
                )
        return [r for r in results if r.dtype.is_floating_point]

    def check_forward(self) -> None:
        """Evaluate twice: same values, inputs untouched."""
        self.values = [_copy(y) for y in self.outputs()]
        self._check_inputs_unchanged("func")
        for j, (first, second) in enumerate(zip(self.values, self.outputs(), strict=True)):
            self._check_deterministic(f"func: output {j}", first, _host(second))

    def shifted(self, i: int, step: Array) -> list[Array]:
        """Return the outputs with ``step`` added to input ``i``."""
        x, original = self.inputs[i], self.inputs[i].array
        # The tensor object stays the same, so a func that closes over it sees the step too.
        x.array = x.device.backend.asarray(np.asarray(self.originals[i] + step), x.dtype)
        try:
            return [_copy(y) for y in self.outputs()]
        finally:
            x.array = original

    def numerical(self, i: int, direction: Array) -> list[Array]:
        """Return J v of every output, for input ``i``, by central differences."""
        above = self.shifted(i, self.eps * direction)
        below = self.shifted(i, -self.eps * direction)
        return [(a - b) / (2 * self.eps) for a, b in zip(above, below, strict=True)]

    def analytical(self, j: int, u: Array) -> list[Array]:
        """Return u^T J of output ``j`` for every checked input, by a backward pass."""
        output = self.outputs()[j]
        wanted = [self.inputs[i] for i in self.checked]
        if not output._requires_grad:
            return [np.zeros(self.originals[i].shape) for i in self.checked]
        u_tensor = output.wrap(output.device.backend.asarray(u, output.dtype))
        before = _copy(u_tensor)
        first = grad(output, wanted, u_tensor, retain_graph=True, allow_unused=True)
        results = [_copy(g, like=x) for g, x in zip(first, wanted, strict=True)]
        if not np.array_equal(before, _host(u_tensor), equal_nan=True):
            raise GradientError(f"{self.op}: backward modified the gradient of output {j}")
        self._check_inputs_unchanged("backward")
        again = grad(output, wanted, u_tensor, allow_unused=True)
        for i, result, g in zip(self.checked, results, again, strict=True):
            x = self.inputs[i]
            self._check_deterministic(f"gradient of input {i}", result, _copy(g, like=x))
        return results

    # -- comparison -------------------------------------------------------------------------

    def compare_projections(self, directions: int) -> None:
        """Compare u^T J v for random u and v."""
        for number in range(directions):
            # Odd ones arrive in another memory layout, which a backward must be able to read.
            order = "F" if number % 2 else "C"
            us = [self._random(y.shape, order) for y in self.values]
            vs = [self._random(self.originals[i].shape, order) for i in self.checked]
            numerical = [self.numerical(i, v) for i, v in zip(self.checked, vs, strict=True)]
            for j, u in enumerate(us):
                rows = self.analytical(j, u)
                for position, (row, v) in enumerate(zip(rows, vs, strict=True)):
                    expected = float(np.sum(u * numerical[position][j]))
                    found = float(np.sum(row * v))
                    if not self._close(found, expected):
                        self._fail(self.checked[position], j, expected, found, u, v)

    def compare_jacobians(self) -> None:
        """Compare every element of the Jacobian of every pair of input and output."""
        for j in range(len(self.values)):
            for i in self.checked:
                expected, found = self._jacobians(i, j)
                if not np.all(self._close(found, expected)):
                    raise GradientError(self._message(i, j) + self._worst(i, j, expected, found))

    def _jacobians(self, i: int, j: int) -> tuple[Array, Array]:
        """Return the numerical and the analytical Jacobian, (input size, output size)."""
        position, shape = self.checked.index(i), self.originals[i].shape
        y = self.values[j]
        expected = np.zeros((self.originals[i].size, y.size))
        for n in range(expected.shape[0]):
            expected[n] = self.numerical(i, _one_hot(shape, n))[j].reshape(-1)
        found = np.zeros_like(expected)
        for m in range(y.size):
            found[:, m] = self.analytical(j, _one_hot(y.shape, m))[position].reshape(-1)
        return expected, found

    def _random(self, shape: tuple[int, ...], order: Any) -> Array:
        """Return numbers of random sign and of a size near 1, so that no element is missed."""
        signs = self.rng.choice([-1.0, 1.0], size=shape)
        return np.asarray(signs * self.rng.uniform(0.5, 1.5, size=shape), order=order)

    def _close(self, found: Any, expected: Any) -> Any:
        return np.isclose(found, expected, rtol=self.rtol, atol=self.atol)

    # -- what can be wrong ------------------------------------------------------------------

    def _check_deterministic(self, what: str, first: Array, second: Array) -> None:
        difference = np.abs(first - second)
        if np.any(difference > self.nondet_tol):
            raise GradientError(
                f"{self.op}: two runs of the same computation differ by {difference.max():.3g} "
                f"({what}); is there randomness in func? nondet_tol allows {self.nondet_tol:g}"
            )

    def _check_inputs_unchanged(self, who: str) -> None:
        for i, (x, original) in enumerate(zip(self.inputs, self.originals, strict=True)):
            if isinstance(x, TensorBase) and not np.array_equal(
                _host(x), original, equal_nan=x.dtype.is_floating_point
            ):
                raise GradientError(f"{self.op}: {who} modified inputs[{i}] in place")

    def _fail(self, i: int, j: int, expected: float, found: float, u: Array, v: Array) -> None:
        text = self._message(i, j) + (
            f"u^T J v is {expected:.8g} numerically, {found:.8g} by autograd "
            f"(atol={self.atol:g}, rtol={self.rtol:g})"
        )
        above, below = self.shifted(i, self.eps * v)[j], self.shifted(i, -self.eps * v)[j]
        right = float(np.sum(u * (above - self.values[j]))) / self.eps
        left = float(np.sum(u * (self.values[j] - below))) / self.eps
        if not np.isclose(left, right, rtol=0.01, atol=max(self.atol, 1e-3)):
            text += (
                f"; the one-sided differences {left:.6g} and {right:.6g} disagree, so func has a "
                "kink or a jump here: check it at another point"
            )
        if max(v.size, u.size) <= LOCATE_LIMIT:
            text += "; " + self._worst(i, j, *self._jacobians(i, j))
        raise GradientError(text)

    def _message(self, i: int, j: int) -> str:
        return (
            f"{self.op}: wrong gradient of output {j} (shape {self.values[j].shape}) with respect "
            f"to input {i} (shape {self.originals[i].shape}): "
        )

    def _worst(self, i: int, j: int, expected: Array, found: Array) -> str:
        """Name the element of the Jacobian that is most wrong."""
        if expected.size == 0:
            return "the Jacobian is empty"
        error = np.abs(found - expected) - self.rtol * np.abs(expected)
        worst = np.nanargmax(np.where(np.isnan(error), np.inf, error))
        n, m = np.unravel_index(worst, error.shape)
        x_index = _index(n, self.originals[i].shape)
        y_index = _index(m, self.values[j].shape)
        return (
            f"d output{y_index} / d input{x_index} is {expected[n, m]:.8g} numerically, "
            f"{found[n, m]:.8g} by autograd"
        )


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, Sequence) else (value,)


def _host(tensor: Any) -> Array:
    return np.asarray(tensor.device.backend.to_host(tensor.array))


def _copy(tensor: Any, like: Any = None) -> Array:
    """Return the contents on the host, a copy; zeros like ``like`` for ``None``."""
    if tensor is None:
        return np.zeros(like.array.shape)
    return np.array(_host(tensor), copy=True)


def _one_hot(shape: tuple[int, ...], position: int) -> Array:
    array = np.zeros(shape)
    array.reshape(-1)[position] = 1.0
    return array


def _index(position: Any, shape: tuple[int, ...]) -> list[int]:
    return [int(n) for n in np.unravel_index(position, shape)]


def _differentiable(outputs: Any) -> list[Any]:
    return [y for y in _as_tuple(outputs) if isinstance(y, TensorBase) and y._requires_grad]


def _random_gradients(func: Callable[..., Any], inputs: tuple[Any, ...], seed: int) -> list[Any]:
    """Return a random gradient for each differentiable output of ``func``."""
    rng = np.random.default_rng([seed, 1])
    gradients = []
    for y in _differentiable(func(*inputs)):
        values = y.device.backend.asarray(rng.uniform(-1.5, 1.5, size=y.array.shape), y.dtype)
        gradients.append(y.wrap(values).requires_grad_(True))
    return gradients
