"""Neighbours in a chain of layers that are run as one op: a layer and the ReLU behind it.

``Sequential(conv, norm, relu)`` computes what calling the three one after the other does, the same
bits. But nobody sees what lies between ``norm`` and ``relu``, so the result of the one is clipped
while it is written, and the graph has one node for both. Modules of other classes, derived ones
too, and modules with hooks are called as they are.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from .. import config
from ..autograd.modes import state
from .activation import ReLU, ReLU6
from .batchnorm import BatchNorm1d, BatchNorm2d, BatchNorm3d, SyncBatchNorm
from .conv import Conv1d, Conv2d, Conv3d
from .linear import Linear
from .module import Module

#: What the layers call the activations that they can apply.
ACTIVATIONS: dict[type[Module], str] = {ReLU: "relu", ReLU6: "relu6"}
#: The layers that can.
LAYERS = frozenset(
    {Conv1d, Conv2d, Conv3d, Linear, BatchNorm1d, BatchNorm2d, BatchNorm3d, SyncBatchNorm}
)

#: Position of a module; the activation that it is to apply itself, which is that of the next one.
Link = tuple[int, str | None]


def run(modules: list[Any], input: Any) -> Any:
    """Pass ``input`` through modules, one after the other."""
    if state.observers or config.fusion.get() != "auto":
        for module in modules:
            input = module(input)
        return input
    for position, activation in _links(tuple(map(type, modules))):
        module = modules[position]
        if activation is None:
            input = module(input)
        elif _is_plain(module) and _is_plain(modules[position + 1]):
            input = module.forward_with(activation, input)
        else:
            input = modules[position + 1](module(input))
    return input


@lru_cache(maxsize=1024)
def _links(kinds: tuple[type[Module], ...]) -> tuple[Link, ...]:
    """Return what to call, for modules of these classes."""
    links: list[Link] = []
    for position, kind in enumerate(kinds):
        if links and kind in ACTIVATIONS and kinds[position - 1] in LAYERS:
            links[-1] = position - 1, ACTIVATIONS[kind]
        else:
            links.append((position, None))
    return tuple(links)


def _is_plain(module: Any) -> bool:
    """Return whether calling a module does no more than its class says."""
    return not (
        module._forward_pre_hooks
        or module._forward_hooks
        or module._backward_pre_hooks
        or module._backward_hooks
        or "forward" in module.__dict__
    )
