"""A model is left as it was found: modes, buffers, gradients, and the random numbers of others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..autograd import no_grad
from ..errors import ArgumentError
from ..nn import Module
from ..ops import equal, get_rng_state, set_rng_state

MODEL_MODES = ("eval", "as_is")


@contextmanager
def isolated(model: Any, seed: int, mode: str = "eval") -> Iterator[None]:
    """Use ``model`` without a trace: a context that undoes on leaving what it, or a use, changes.

    Inside, every module is in eval mode (or, with ``mode="as_is"``, in the mode it was in), no
    parameter asks for a gradient, which saves their half of the backward pass, and random layers
    draw from ``seed``. On leaving, also through an exception, each module's own ``training`` flag,
    each ``requires_grad``, every buffer and the global random state are as before.

    Parameters
    ----------
    model : Module or callable
        Other callables than modules have nothing to set; only the random state is kept.
    seed : int
        For the random numbers of the model itself.
    mode : str, default "eval"
        Or ``"as_is"``.
    """
    if mode not in MODEL_MODES:
        names = " or ".join(map(repr, MODEL_MODES))
        raise ArgumentError(f"argument 'model_mode' must be {names}, got {mode!r}")
    modules = list(model.modules()) if isinstance(model, Module) else []
    parameters = list(model.parameters()) if isinstance(model, Module) else []
    buffers = list(model.buffers()) if isinstance(model, Module) else []
    training = [module.training for module in modules]
    wanted = [parameter.requires_grad for parameter in parameters]
    contents = [buffer.clone() for buffer in buffers]
    state = get_rng_state()
    try:
        if mode == "eval" and modules:
            model.eval()
        for parameter in parameters:
            parameter.requires_grad_(False)
        set_rng_state((seed, 0))
        yield
    finally:
        set_rng_state(state)
        for module, flag in zip(modules, training, strict=True):
            module.training = flag
        for parameter, flag in zip(parameters, wanted, strict=True):
            parameter.requires_grad_(flag)
        with no_grad():
            for buffer, content in zip(buffers, contents, strict=True):
                if not equal(buffer, content):
                    buffer.copy_(content)
