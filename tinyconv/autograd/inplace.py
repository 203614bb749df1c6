"""Writing into a tensor's memory, with the graph kept right.

``x.mul_(y)`` is computed out of place, copied into the memory of ``x``, and ``x`` takes over the
history of the result. Where ``x`` is a view (``x = base[0]``), ``base`` gets a new history too:
outside the view it is what it was, inside it is the new value; and any other view of ``base``
renews its own history from there when it is next used.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ..errors import DTypeError, GradientError, ShapeError
from . import references
from .function import Function
from .modes import state
from .pending import defer, held, promise_of, put, settle, settle_all
from .saved import SavedOutput
from .views import Steps, View, base_of, check_history, check_writable, replay


def write(op: str, x: Any, compute: Callable[[Any], Any], fresh: bool = False) -> Any:
    """Replace the contents of ``x`` by ``compute(x)``, in place, and return ``x``.

    Parameters
    ----------
    op : str
        Name for error messages, such as ``"add_"``.
    x : Tensor
        The tensor to modify.
    compute : callable
        An out-of-place function of differentiable ops; its result broadcasts to ``x``.
    fresh : bool, default False
        Whether the result is always a new tensor on new memory, of the shape and dtype of ``x``.
        A tensor that is still pending then takes it over, as it has no memory to write to.

    Raises
    ------
    GradientError
        If the graph is being recorded and ``x`` is a leaf that requires gradients, or a view of
        one; or if ``x`` was made in inference mode.
    DTypeError
        If the result is of a higher kind than ``x`` (a float cannot go into an integer tensor).
    ShapeError
        If the result does not fit the shape of ``x``.
    """
    check_writable(op, x)
    old = _snapshot(x)
    result = compute(old)
    if fresh and promise_of(x) is not None:
        return _take_over(op, x, result)
    _check_fits(op, x, result)
    if result.array.shape != x.array.shape:
        result = result.expand(x.array.shape)
    if result.array.dtype != x.array.dtype:
        result = result.to(x.dtype)
    recorded = state.grad_enabled and (result.requires_grad or x._requires_grad)
    if recorded:
        check_writable(op, x, value_requires_grad=True)
        if not result._requires_grad:
            result = _Overwrite.apply(result, old)
        elif result._grad_fn is None or references.count(result) > references.SOLE:
            result = _Overwrite.apply(result, None)  # someone else's tensor keeps its history
    version = old._version[0] if old._version is not None else 0
    reference = weakref.ref(old)
    del old
    _keep_old_values(reference, version)
    settle(x)
    x.array[...] = result.array
    x._bump_version()
    if recorded:
        if fresh:
            _share_saved(x, result)
        _set_history(x, result)
        if x._view is not None:
            rebase(x)
    return x


@contextmanager
def written(op: str, tensors: Sequence[Any]) -> Iterator[list[Any]]:
    """Give the arrays of some tensors to a kernel that writes to all of them, without a graph.

    Raises
    ------
    InPlaceError
        If the memory of one cannot be written.
    """
    for tensor in tensors:
        check_writable(op, tensor)
    settle_all()
    yield [tensor.array for tensor in tensors]
    for tensor in tensors:
        tensor._bump_version()


def reshape(op: str, x: Any, compute: Callable[[Any], Any]) -> Any:
    """Let ``x`` show its memory in another shape, that of ``compute(x)``, and return ``x``.

    ``x`` becomes a view of what it was: a twin of its own, which takes its place as the base of
    the views of ``x`` that there are (see ``views.base_of``).

    Parameters
    ----------
    op : str
        Name for error messages, such as ``"t_"``.
    x : Tensor
        The tensor to modify.
    compute : callable
        A function of view ops.

    Raises
    ------
    GradientError
        If the graph is being recorded and ``x`` is a leaf that requires gradients, or a view of
        one; or if ``x`` was made in inference mode.
    """
    check_history(op, x)
    if x.requires_grad and x._grad_fn is None:  # in no_grad(): a leaf stays a leaf
        x.array = compute(x.alias()).array
        x._bump_version()
        return x
    old = _snapshot(x)
    old._view = x._view
    before, state.grad_enabled = state.grad_enabled, True
    try:
        result = compute(old)
    finally:
        state.grad_enabled = before
    if result is old:
        return x
    x._bump_version()
    x.array = result.array
    _set_history(x, result)
    x._view = result._view
    if x._view is not None:
        x._view.version = None if x._version is None else x._version[0]
    return x


def _take_over(op: str, x: Any, result: Any) -> Any:
    """Make the pending tensor ``x`` what ``result`` is: array or promise, version and history."""
    if result._requires_grad:
        check_writable(op, x, value_requires_grad=True)
    promise = promise_of(result)
    if promise is None:
        x.array = result.array
    else:
        put(x, promise)
    x._bump_version()
    _share_saved(x, result)
    _set_history(x, result)
    return x


def _share_saved(x: Any, result: Any) -> None:
    """Let what the maker of ``result`` has saved of it be the memory of ``x``, which equals it."""
    node = result._grad_fn
    for saved in () if node is None or x._version is None else node._saved or ():
        if isinstance(saved, SavedOutput) and saved.counter is result._version:
            saved.held = held(x)
            saved.counter, saved.version = x._version, x._version[0]


def _snapshot(x: Any) -> Any:
    """Return ``x`` as it is now, as another object with the same history."""
    promise = promise_of(x)
    old = x.alias() if promise is None else defer(promise)
    old._grad_fn, old._output_index = x.grad_fn, x._output_index
    old._requires_grad = x._requires_grad
    return old


def _keep_old_values(reference: weakref.ref[Any], version: int) -> None:
    """Give ``old`` memory of its own before the values go, if a node has saved it."""
    old = reference()
    if old is not None:
        old.array = old.xp.asarray(old.array, copy=True)
        old._version = [version]


def _check_fits(op: str, x: Any, result: Any) -> None:
    if result.dtype.kind > x.dtype.kind:
        raise DTypeError(
            f"{op}: the result is {result.dtype}, which does not fit into a tensor of {x.dtype}"
        )
    shape, target = tuple(result.array.shape), tuple(x.array.shape)
    padded = (1,) * (len(target) - len(shape)) + shape
    fits = len(shape) <= len(target) and all(
        s in (1, t) for s, t in zip(padded, target, strict=True)
    )
    if not fits:
        raise ShapeError(f"{op}: the result has shape {shape}, the tensor has {target}")


def _set_history(x: Any, result: Any) -> None:
    """Give ``x`` the history of ``result``; a wish to retain its gradient goes with it."""
    before, after = x._grad_fn, result._grad_fn
    retained = before is not None and before.retains_grad(x)
    if retained:
        del before._retained[x._output_index]
    x._grad_fn, x._output_index = after, result._output_index
    x._requires_grad = result._requires_grad
    if retained and after is not None:
        after.retain_grad(x)


def rebase(x: Any) -> None:
    """Give the base of the view ``x``, just modified, a history that contains the write."""
    view = x._view
    base = base_of(view)
    if base is None:
        return
    _set_history(base, _WriteView.apply(_snapshot(base), x, view.steps))
    view.made_from, view.version = base._grad_fn, base._version[0]


def refresh_view(x: Any, view: View) -> None:
    """Renew the history of a view whose base was modified, if the base got a new history."""
    base = base_of(view)
    view.version = base._version[0]
    if base._grad_fn is view.made_from:
        return
    before = state.grad_enabled, state.observers, state.saving
    state.grad_enabled, state.observers, state.saving = True, (), None
    try:
        _set_history(x, replay(view.steps, base))
    finally:
        state.grad_enabled, state.observers, state.saving = before
    view.made_from = base._grad_fn


class _Overwrite(Function):
    """New contents: the value as it is, and no influence of the old contents."""

    takes_bfloat16 = True

    @staticmethod
    def forward(ctx: Any, value: Any, old: Any) -> Any:
        return value.alias()

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        return grad, grad * 0.0 if ctx.needs_input_grad[1] else None


class _WriteView(Function):
    """The base after a write into one of its views; the memory already holds the new values."""

    takes_bfloat16 = True

    @staticmethod
    def forward(ctx: Any, base: Any, value: Any, steps: Steps) -> Any:
        ctx.steps = steps
        return base.alias()

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        need_base, need_value, _ = ctx.needs_input_grad
        return (
            grad.masked_fill(_covered(grad, ctx.steps), 0.0) if need_base else None,
            replay(ctx.steps, grad) if need_value else None,
            None,
        )


def _covered(like: Any, steps: Steps) -> Any:
    """Return the mask of the elements of the base that the view shows."""
    xp, shape = like.xp, like.array.shape
    size = math.prod(shape)
    positions = like.wrap(xp.reshape(xp.arange(size, dtype=xp.int64), shape))
    shown = xp.reshape(replay(steps, positions).array, (-1,))
    ones = xp.ones((shown.shape[0], 1), dtype=xp.float32)
    hits = like.device.backend.scatter_add(size, shown, ones)
    return like.wrap(xp.reshape(hits[:, 0] > 0, shape))


def check_dirty(function: str, dirty: tuple[Any, ...], results: tuple[Any, ...]) -> None:
    """Check the tensors that a ``forward`` said it modified, and note that they changed."""
    for tensor in dirty:
        if not any(tensor is result for result in results):
            raise GradientError(
                f"{function}: a tensor given to mark_dirty must be returned by forward, as the "
                "same object"
            )
        check_writable(function, tensor)
    for tensor in dirty:
        tensor._bump_version()
