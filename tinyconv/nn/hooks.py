"""Calling a module with its hooks.

A backward hook sees the gradient that enters a module from behind and the one that leaves it in
front. Both are gradients of identity functions put around the call: ``_Enter`` on its inputs and
``_Leave`` on its outputs.
"""

from __future__ import annotations

import warnings
from typing import Any

from ..autograd import Function, TensorBase, is_grad_enabled
from ..errors import GradientError


def call_with_hooks(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run ``module.forward`` between its forward pre-hooks, forward hooks and backward hooks."""
    call = _Call(module, args, kwargs)
    try:
        return call.run()
    except Exception:
        call.finish()
        raise


class _Call:
    """One call of a module, as far as it has come."""

    def __init__(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.module, self.args, self.kwargs = module, args, kwargs
        self.result: Any = None
        self.called: set[int] = set()  # forward hooks

    def run(self) -> Any:
        """Return the output after all hooks."""
        module = self.module
        for hook, with_kwargs in list(module._forward_pre_hooks.values()):
            if with_kwargs:
                replaced = hook(module, self.args, self.kwargs)
                if replaced is not None:
                    self.args, self.kwargs = replaced
            else:
                replaced = hook(module, self.args)
                if replaced is not None:
                    self.args = replaced if isinstance(replaced, tuple) else (replaced,)
        around = None
        if (module._backward_hooks or module._backward_pre_hooks) and is_grad_enabled():
            around = _BackwardHooks(module, len(self.args))
            self.args = around.enter(self.args)
        self.result = module.forward(*self.args, **self.kwargs)
        for number, (hook, with_kwargs, _) in list(module._forward_hooks.items()):
            self._show(number, hook, with_kwargs)
        return self.result if around is None else around.leave(self.result)

    def finish(self) -> None:
        """Call the forward hooks that want it after an error, and have not been called."""
        for number, (hook, with_kwargs, always) in list(self.module._forward_hooks.items()):
            if not always or number in self.called:
                continue
            try:
                self._show(number, hook, with_kwargs)
            except Exception as error:
                warnings.warn(
                    f"{type(self.module).__name__}: a forward hook with always_call=True raised "
                    f"{type(error).__name__}: {error}; it is silenced, since another error was "
                    "raised before",
                    stacklevel=5,
                )

    def _show(self, number: int, hook: Any, with_kwargs: bool) -> None:
        """Call a forward hook, and take over the output that it returns."""
        self.called.add(number)
        seen = (self.args, self.kwargs) if with_kwargs else (self.args,)
        replaced = hook(self.module, *seen, self.result)
        if replaced is not None:
            self.result = replaced


class _BackwardHooks:
    """The backward hooks of one call of a module.

    Parameters
    ----------
    module : Module
        Whose hooks to call.
    n_inputs : int
        Number of positional arguments of the call, hence of input gradients.
    """

    def __init__(self, module: Any, n_inputs: int) -> None:
        self.module, self.n_inputs = module, n_inputs
        self.inputs: list[int] = []  # positions of the tensors that require gradients
        self.outputs: list[int] = []
        self.n_outputs = 1
        self.grad_output: tuple[Any, ...] | None = None

    def enter(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Put the front boundary on the arguments of the call."""
        self.inputs = _differentiable(args)
        return _through(_Enter, self, args, self.inputs)

    def leave(self, result: Any) -> Any:
        """Put the back boundary on what the module returned."""
        if isinstance(result, TensorBase):
            return self.leave((result,))[0]
        if not isinstance(result, tuple):
            warnings.warn(
                f"{type(self.module).__name__}: backward hooks are called only where forward() "
                f"returns a Tensor or a tuple of Tensors, it returned {type(result).__name__}",
                stacklevel=4,
            )
            return result
        self.n_outputs = len(result)
        self.outputs = _differentiable(result)
        return _through(_Leave, self, result, self.outputs)

    def behind(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        """Call the pre-hooks; return the gradients that enter the module."""
        full = _spread(grads, self.outputs, self.n_outputs)
        for hook in list(self.module._backward_pre_hooks.values()):
            full = self._replace(full, hook(self.module, full))
        self.grad_output = full
        if not self.inputs:  # there is no front boundary that would call the hooks
            self.in_front(())
        return tuple(full[i] for i in self.outputs)

    def in_front(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        """Call the hooks; return the gradients that leave the module."""
        if self.grad_output is None:
            return grads  # a second derivative: it reaches the inputs past the outputs
        full = _spread(grads, self.inputs, self.n_inputs)
        for hook in list(self.module._backward_hooks.values()):
            replaced = hook(self.module, full, self.grad_output)
            if replaced is not None and not self.inputs:
                raise GradientError(
                    f"{type(self.module).__name__}: a backward hook returned a gradient, but no "
                    "input of the module requires one"
                )
            full = self._replace(full, replaced)
        self.grad_output = None
        return tuple(full[i] for i in self.inputs)

    def _replace(self, grads: tuple[Any, ...], replaced: Any) -> tuple[Any, ...]:
        if replaced is None:
            return grads
        replaced = tuple(replaced) if isinstance(replaced, list | tuple) else (replaced,)
        if len(replaced) != len(grads):
            raise GradientError(
                f"{type(self.module).__name__}: a backward hook returned {len(replaced)} "
                f"gradients, expected {len(grads)}"
            )
        return replaced


class _Enter(Function):
    """Identity on the inputs of a module."""

    takes_bfloat16 = True

    @staticmethod
    def forward(ctx: Any, hooks: _BackwardHooks, *tensors: Any) -> Any:
        ctx.hooks = hooks
        ctx.set_materialize_grads(False)
        return tuple(t.alias() for t in tensors)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return None, *ctx.hooks.in_front(grads)


class _Leave(Function):
    """Identity on the outputs of a module."""

    takes_bfloat16 = True

    @staticmethod
    def forward(ctx: Any, hooks: _BackwardHooks, *tensors: Any) -> Any:
        ctx.hooks = hooks
        ctx.set_materialize_grads(False)
        return tuple(t.alias() for t in tensors)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return None, *ctx.hooks.behind(grads)


def _differentiable(values: tuple[Any, ...]) -> list[int]:
    return [i for i, v in enumerate(values) if isinstance(v, TensorBase) and v.requires_grad]


def _through(
    boundary: type[Function], hooks: _BackwardHooks, values: tuple[Any, ...], positions: list[int]
) -> tuple[Any, ...]:
    """Return ``values`` with those at ``positions`` passed through a boundary."""
    if not positions:
        return values
    passed = list(values)
    results = boundary.apply(hooks, *(values[i] for i in positions))
    for position, result in zip(positions, results, strict=True):
        passed[position] = result
    return tuple(passed)


def _spread(grads: tuple[Any, ...], positions: list[int], size: int) -> tuple[Any, ...]:
    """Put gradients at their positions among ``size`` values, ``None`` elsewhere."""
    full: list[Any] = [None] * size
    for position, gradient in zip(positions, grads, strict=True):
        full[position] = gradient
    return tuple(full)
