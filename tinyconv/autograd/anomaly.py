"""Finding the op that made the first NaN or infinity, and the line of code that called it."""

from __future__ import annotations

import linecache
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import AnomalyError
from .modes import state
from .observer import Observer, install, module_path, note, uninstall
from .tensor_base import TensorBase

PACKAGE = str(Path(__file__).parents[1]) + "/"
FRAMES = 4


class Origin:
    """Where an op was called: the innermost lines outside tinyconv, and the module."""

    __slots__ = ("lines", "modules")

    def __init__(self) -> None:
        self.modules = state.module_stack
        self.lines: list[tuple[str, int, str]] = []
        frame: Any = sys._getframe(1)
        while frame is not None and len(self.lines) < FRAMES:
            code = frame.f_code
            if not code.co_filename.startswith(PACKAGE):
                self.lines.append((code.co_filename, frame.f_lineno, code.co_name))
            frame = frame.f_back

    def __str__(self) -> str:
        text = []
        if self.modules:
            text.append(f"  in module {module_path(self.modules)}")
        for name, number, function in reversed(self.lines):
            text.append(f'  File "{name}", line {number}, in {function}')
            line = linecache.getline(name, number).strip()
            if line:
                text.append(f"    {line}")
        return "\n".join(text)


class Origins(Observer):
    """Notes where each op was called, and adds that to errors raised inside an op."""

    def before_forward(self, node: Any, args: tuple[Any, ...]) -> None:
        """Note the caller."""
        node.created = Origin()

    def on_error(self, node: Any, args: Sequence[Any], error: Exception, in_backward: bool) -> None:
        """Say where the failed op was called."""
        name = node.name() if in_backward else type(node).__name__
        note(error, f"in op {name}({', '.join(_brief(arg) for arg in args)})")
        if node.created is not None:
            if node.created.modules:
                note(error, f"in module {module_path(node.created.modules)}")
            note(error, f"called here:\n{node.created}")


class _Depth(threading.local):
    backwards = 0


class NanCheck(Observer):
    """Raises ``AnomalyError`` at the first NaN or infinity that an op makes.

    Ops that a ``backward`` is made of are not looked at, but its results are: so the error names
    the op of the forward pass, and what is masked out again is no anomaly.
    """

    def __init__(self) -> None:
        self._depth = _Depth()

    def before_backward(self, node: Any, grads: Sequence[Any]) -> None:
        """Count the backwards in progress."""
        self._depth.backwards += 1

    def on_error(self, node: Any, args: Sequence[Any], error: Exception, in_backward: bool) -> None:
        """Count the backwards in progress."""
        self._depth.backwards -= in_backward

    def after_forward(self, node: Any, args: tuple[Any, ...], outputs: Any) -> None:
        """Check the outputs."""
        if self._depth.backwards:
            return
        for index, output in enumerate(outputs if isinstance(outputs, tuple) else (outputs,)):
            bad = _new_anomaly(output, args)
            if bad:
                _raise(node, f"forward made {bad} in output {index}", "argument", args)

    def after_backward(self, node: Any, grads: Sequence[Any], results: tuple[Any, ...]) -> None:
        """Check the gradients."""
        self._depth.backwards -= 1
        for index, result in enumerate(results):
            bad = None if result is None else _new_anomaly(result, grads)
            if bad:
                saved = [s.array for s in node._saved or () if s is not None]
                what = f"backward made {bad} in the gradient of argument {index}"
                _raise(node, what, "gradient of output", grads, saved)


class detect_anomaly:
    """Raise at the first NaN or infinity, and say where it was made; for debugging, as it is slow.

    Inside the block each op notes the line that called it, so an error in the backward pass, or
    a tensor modified in place, points at a line of the forward pass.

    Parameters
    ----------
    check_nan : bool, default True
        Check all results and gradients for NaN, and for infinities that no argument had.

    Raises
    ------
    AnomalyError
        At the first anomaly; it names the op, the module, the line, and the operands' statistics.

    Examples
    --------
    >>> import tinyconv as tc
    >>> try:
    ...     with tc.autograd.detect_anomaly():
    ...         y = tc.tensor([1.0, 0.0]).log()
    ... except tc.errors.AnomalyError as error:
    ...     print(str(error).splitlines()[0])
    Log: forward made 1 Inf in output 0
    """

    def __init__(self, check_nan: bool = True) -> None:
        self._mode, self._check_nan = True, check_nan
        self._before: list[tuple[Any, ...]] = []

    def __enter__(self) -> None:
        self._before.append(state.observers)
        uninstall(*[o for o in state.observers if isinstance(o, Origins | NanCheck)])
        if self._mode:
            install(Origins(), *([NanCheck()] if self._check_nan else []))

    def __exit__(self, *exc: Any) -> None:
        uninstall(*state.observers)
        install(*self._before.pop())


class set_detect_anomaly(detect_anomaly):
    """Turn :class:`detect_anomaly` on or off at once, for this thread.

    Parameters
    ----------
    mode : bool
        On or off.
    check_nan : bool, default True
        As in :class:`detect_anomaly`.
    """

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        super().__init__(check_nan)
        self._mode = mode
        super().__enter__()

    def __enter__(self) -> None:
        """Entering changes nothing: the mode is in force since the call."""


def is_anomaly_enabled() -> bool:
    """Return whether this thread notes where ops were called."""
    return any(isinstance(o, Origins) for o in state.observers)


def statistics(array: Any, backend: Any) -> str:
    """Return shape, dtype and what values an array has, in one line."""
    host = np.asarray(backend.to_host(array))
    text = f"shape {tuple(host.shape)}, {host.dtype}"
    floating = backend.dtype_of(array).is_floating_point
    if not floating or host.size == 0:
        return text
    if host.dtype.kind != "f":  # bfloat16, of which NumPy knows little
        host = host.astype(np.float32)
    finite = host[np.isfinite(host)].astype(np.float64)
    if finite.size:
        text += f", min {finite.min():.4g}, max {finite.max():.4g}, mean {finite.mean():.4g}"
    return f"{text}, {np.isnan(host).sum()} NaN, {np.isinf(host).sum()} Inf"


def _new_anomaly(tensor: Any, sources: Sequence[Any]) -> str | None:
    """Say what is wrong with ``tensor``; an infinity that a source has too is meant."""
    if not tensor.dtype.is_floating_point:
        return None
    xp = tensor.xp
    if bool(xp.all(xp.isfinite(tensor.array))):
        return None
    nans = int(xp.count_nonzero(xp.isnan(tensor.array)))
    infinities = int(xp.count_nonzero(xp.isinf(tensor.array)))
    if not nans and any(_has_infinity(source) for source in sources):
        return None
    return " and ".join(f"{n} {name}" for n, name in ((nans, "NaN"), (infinities, "Inf")) if n)


def _has_infinity(value: Any) -> bool:
    if isinstance(value, TensorBase):
        floating = value.dtype.is_floating_point
        return floating and bool(value.xp.any(value.xp.isinf(value.array)))
    return isinstance(value, float) and value in (float("inf"), float("-inf"))


def _raise(
    node: Any, what: str, role: str, tensors: Sequence[Any], saved: Sequence[Any] = ()
) -> None:
    text = [f"{type(node).__name__}: {what}"]
    backend = None
    for index, tensor in enumerate(tensors):
        if isinstance(tensor, TensorBase):
            backend = tensor.device.backend
            text.append(f"  {role} {index}: {statistics(tensor.array, backend)}")
        elif tensor is not None:
            text.append(f"  {role} {index}: {tensor!r}")
    for index, array in enumerate(saved):
        if array is not None and backend is not None:
            text.append(f"  saved tensor {index}: {statistics(array, backend)}")
    if node.created is not None:
        text.append(f"called here:\n{node.created}")
    raise AnomalyError("\n".join(text))


def _brief(value: Any) -> str:
    if isinstance(value, TensorBase):
        return f"{value.dtype.name}{list(value.array.shape)}"
    return repr(value)[:60]
