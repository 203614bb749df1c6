"""Evaluation mode for a while, and every module as it was afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..nn import Module


@contextmanager
def evaluating(model: Module) -> Iterator[None]:
    """Put all of ``model`` into eval mode: a context that gives each module its own mode back.

    ``model.train(before)`` would give all modules that of the outermost one, and wake those that
    are kept in eval mode on purpose, such as the batch normalisation of a frozen backbone.
    """
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        yield
    finally:
        for module, mode in modes:
            module.training = mode
