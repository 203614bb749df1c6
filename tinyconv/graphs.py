"""``tc.graphed(step)``: a training step recorded once on the GPU and run again as one graph.

Python needs some ten microseconds to launch a kernel, the kernel of a small layer takes two. A
recorded step costs Python next to nothing: the inputs are copied into place, a few changing numbers
are written (see ``backend/cuda/driver/graphs.py``), and the GPU runs the rest by itself.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from . import config
from .amp.grad_scaler import alive
from .autograd import TensorBase, is_grad_enabled, no_grad
from .autograd.modes import state
from .autograd.pending import settle_all
from .backend.cuda.driver.graphs import NotRecordable, Recorded
from .errors import ArgumentError
from .nn import Module
from .optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)


def graphed(step: Callable[..., Any] | None = None, *, warmup: int = 3) -> Any:
    """Return a function that does what ``step`` does, on a GPU as one graph.

    The first calls run line by line; they compile kernels and create what an optimizer remembers.
    The next call is recorded, and from then on the recording runs. Results are the same bits as
    line by line, learning rate schedules and random masks included. A graph is kept for each set
    of input shapes and dtypes, train flags, precision and autocast; a last, smaller batch runs
    line by line until it has been seen often enough.

    Parameters
    ----------
    step : callable
        Takes tensors, returns tensors (or a tuple, list, dict of them). It should do a whole step:
        ``zero_grad``, forward, ``backward``, ``optimizer.step()``. Without it, ``graphed`` is a
        decorator with options.
    warmup : int, default 3
        Calls that run line by line before one is recorded; at least 1.

    Returns
    -------
    callable
        Results are new tensors, cut off from the graph of gradients. Gradients stay in ``.grad``
        and are overwritten by the next call.

    Raises
    ------
    ArgumentError
        If ``warmup`` is below 1, or an argument of a call is neither a tensor nor hashable.

    Notes
    -----
    What Python does besides, such as printing or counting, happens only while a step runs line
    by line. A step that reads a value (``loss.item()``, ``if loss > 1``), or whose optimizer has no
    kernel of its own, cannot be recorded: it then runs line by line, after a warning that says why.
    A ``GradScaler`` is part of the step, with the factors it has when that is recorded. Labels and
    indices are checked in steps that run line by line only.
    On a CPU every call runs line by line. Schedulers are stepped outside.

    Examples
    --------
    >>> import tinyconv as tc
    >>> model = tc.nn.Linear(4, 2)
    >>> optimizer = tc.optim.SGD(model.parameters(), lr=0.1)
    >>> @tc.graphed
    ... def step(x, y):
    ...     optimizer.zero_grad()
    ...     loss = tc.nn.functional.cross_entropy(model(x), y)
    ...     loss.backward()
    ...     optimizer.step()
    ...     return loss
    >>> step(tc.randn(8, 4), tc.zeros(8, dtype=tc.int64)).shape
    tinyconv.Size([])
    """
    if step is None:
        return functools.partial(graphed, warmup=warmup)
    if warmup < 1:
        raise ArgumentError(f"graphed: warmup must be at least 1, got {warmup}")
    return functools.wraps(step)(_Graphed(step, warmup))


class _Graphed:
    """What :func:`graphed` returns."""

    def __init__(self, step: Callable[..., Any], warmup: int) -> None:
        self._step, self._warmup = step, warmup
        self._calls: dict[Any, int] = {}
        self._recordings: dict[Any, _Recording] = {}
        self._refused = False

    def __call__(self, *inputs: Any) -> Any:
        tensors = [x for x in inputs if isinstance(x, TensorBase)]
        if self._refused or not any(t.device.backend.records for t in tensors):
            return self._line_by_line(inputs)
        modules = list(_modules_of(self._step))
        key = self._key(inputs, modules)
        recording = self._recordings.get(key)
        if recording is not None and recording.fits(modules):
            return recording.run(tensors)
        calls = self._calls[key] = self._calls.get(key, 0) + 1
        if calls <= self._warmup:
            return self._line_by_line(inputs)
        try:
            recording = _Recording(self._step, inputs, modules)
        except Exception as error:
            self._refused = True
            warnings.warn(
                f"graphed: {getattr(self._step, '__name__', 'the step')} runs line by line, since "
                f"it cannot be recorded: {error}",
                stacklevel=2,
            )
            return self._line_by_line(inputs)
        self._recordings[key] = recording
        return recording.run(tensors)

    def _line_by_line(self, inputs: tuple[Any, ...]) -> Any:
        return _each(self._step(*inputs), TensorBase.detach)

    def _key(self, inputs: tuple[Any, ...], modules: list[Module]) -> Any:
        parts: list[Any] = [
            (tuple(x.shape), x.dtype, x.device, x.requires_grad) if isinstance(x, TensorBase) else x
            for x in inputs
        ]
        parts += [part.training for module in modules for part in module.modules()]
        parts += [is_grad_enabled(), config.float32_precision.get(), config.fusion.get()]
        parts += (state.autocast or {}).values()
        try:
            hash(tuple(parts))
        except TypeError:
            raise ArgumentError(
                "graphed: arguments of a step must be tensors, or hashable as what a graph is kept "
                f"for; got {[type(x).__name__ for x in inputs]}"
            ) from None
        return tuple(parts)


class _Recording:
    """A step that has been recorded, with the places of its inputs and results."""

    def __init__(
        self, step: Callable[..., Any], inputs: tuple[Any, ...], modules: list[Module]
    ) -> None:
        places = [_copy(x) if isinstance(x, TensorBase) else x for x in inputs]
        self._places = [x for x in places if isinstance(x, TensorBase)]
        #: The optimizers in the order of their steps, each with its flag, if it has one.
        self._optimizers: list[tuple[Any, Any]] = []
        gradients = [(p, p.grad) for module in modules for p in module.parameters()]
        buffers = _arrays(b for module in modules for b in module.buffers())
        remembered: list[tuple[Any, dict[Any, dict[str, Any]]]] = []
        scalers = [(scaler, scaler.progress()) for scaler in alive]

        def before_step(optimizer: Any, args: Any, kwargs: Any) -> None:
            if not optimizer.is_one_kernel:
                raise NotRecordable(
                    f"{type(optimizer).__name__} computes with numbers that would never change "
                    "again; SGD, Adam, AdamW, RMSprop, Adagrad and Adadelta can be recorded"
                )
            remembered.append((optimizer, {p: dict(s) for p, s in optimizer.state.items()}))

        def after_step(optimizer: Any, args: Any, kwargs: Any) -> None:
            self._optimizers.append((optimizer, getattr(optimizer, "found_inf", None)))

        def whole() -> Any:
            result = _each(step(*places), TensorBase.detach)
            settle_all()
            return result

        handles = [
            register_optimizer_step_pre_hook(before_step),
            register_optimizer_step_post_hook(after_step),
        ]
        try:
            self._recorded = Recorded(whole, self._step_again)
            self._check(buffers, modules, remembered)
        except BaseException:
            for optimizer, before in reversed(remembered):
                optimizer.state.clear()
                optimizer.state.update(before)
            for scaler, progress in scalers:
                scaler.go_back(progress)
            for optimizer, _ in self._optimizers:
                optimizer.step_count -= 1
                optimizer.zero_grad()  # what was recorded there has never been computed
            for parameter, gradient in gradients:
                parameter.grad = gradient
            raise
        finally:
            for handle in handles:
                handle.remove()
        self._parameters = _arrays(p for module in modules for p in module.parameters())

    def _check(self, buffers: list[int], modules: list[Module], remembered: Any) -> None:
        """Raise if the recording would not do what the step does."""
        if any(_tensors(before) != _tensors(optimizer.state) for optimizer, before in remembered):
            raise NotRecordable(
                "it creates what an optimizer remembers of a parameter, and would do so each time; "
                "more steps of warmup do that before"
            )
        if buffers != _arrays(b for module in modules for b in module.buffers()):
            raise NotRecordable("it replaces a buffer of a module instead of writing into it")

    def fits(self, modules: list[Module]) -> bool:
        """Return whether the parameters still lie where they were when this was recorded."""
        return self._parameters == _arrays(p for module in modules for p in module.parameters())

    def run(self, tensors: list[Any]) -> Any:
        """Copy the inputs into place, run the recording and return copies of the results."""
        with no_grad():
            for place, tensor in zip(self._places, tensors, strict=True):
                place.detach().copy_(tensor)
            self._recorded.replay()
            return _each(self._recorded.result, lambda tensor: tensor.clone())

    def _step_again(self) -> None:
        """Let the optimizers go on by a step, on the host: their kernels launch nothing now."""
        for optimizer, flag in self._optimizers:
            optimizer._inside_step = True  # what its hooks did is in the recording
            if flag is not None:
                optimizer.found_inf = flag
            try:
                optimizer.step()
            finally:
                optimizer._inside_step = False
                if flag is not None:
                    del optimizer.found_inf


def _copy(tensor: Any) -> Any:
    return tensor.detach().clone().requires_grad_(tensor.requires_grad)


def _tensors(states: dict[Any, dict[str, Any]]) -> dict[tuple[int, str], int]:
    """Return which tensors an optimizer remembers of each parameter."""
    return {
        (id(param), key): id(value)
        for param, state in states.items()
        for key, value in state.items()
        if isinstance(value, TensorBase)
    }


def _arrays(tensors: Iterable[Any]) -> list[int]:
    return [id(tensor.array) for tensor in tensors]


def _each(result: Any, change: Callable[[Any], Any]) -> Any:
    """Return a result with all its tensors changed."""
    if isinstance(result, TensorBase):
        return change(result)
    if isinstance(result, dict):
        return {key: _each(value, change) for key, value in result.items()}
    if isinstance(result, tuple | list):
        return type(result)([_each(value, change) for value in result])
    return result


def _modules_of(step: Callable[..., Any]) -> Iterator[Module]:
    """Yield the modules that a function uses: of its closure, its globals, its object."""
    seen: set[int] = set()
    if isinstance(step, functools.partial):
        yield from _modules_of(step.func)
        found = [*step.args, *step.keywords.values()]
    elif isinstance(step, Module):
        found = [step]
    else:
        found = [getattr(step, "__self__", None), *_free_variables(inspect.unwrap(step))]
    found += [part for value in found for part in _parts(value)]
    for value in found:
        if isinstance(value, Module) and id(value) not in seen:
            seen.add(id(value))
            yield value


def _free_variables(function: Callable[..., Any]) -> Iterator[Any]:
    """Yield what the free names of a Python function stand for at present.

    ``inspect.getclosurevars`` finds the same in tens of microseconds, too many for each step.
    """
    function = getattr(function, "__func__", function)
    code = getattr(function, "__code__", None)
    if code is None:
        return
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # not assigned yet
            yield cell.cell_contents
    for name in code.co_names:
        if name in function.__globals__:
            yield function.__globals__[name]


def _parts(value: Any) -> list[Any]:
    """Return what an object of the user holds, such as a trainer its model."""
    if isinstance(value, Module | type) or inspect.ismodule(value) or inspect.isroutine(value):
        return []
    return list(getattr(value, "__dict__", {}).values())
