"""Neighbours in a chain of layers that are run as one op.

``Sequential(conv, norm, relu)`` computes what calling the three one after the other does. But
nobody sees what lies between them, so

- a layer clips its own result where ReLU comes next: the same bits, and one node of the graph;
- at inference, where no gradient will be asked for, a convolution also normalises its result by the
  running averages, which then is a scale of its weights.

Modules of other classes, derived ones too, and modules with hooks are called as they are.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from .. import config
from ..autograd.modes import state
from .activation import ReLU, ReLU6
from .batchnorm import BatchNorm1d, BatchNorm2d, BatchNorm3d, SyncBatchNorm
from .conv import Conv1d, Conv2d, Conv3d
from .linear import Linear
from .module import Module

#: What the layers call the activations that they can apply.
ACTIVATIONS: dict[type[Module], str] = {ReLU: "relu", ReLU6: "relu6"}
CONVOLUTIONS = frozenset({Conv1d, Conv2d, Conv3d})
NORMS = frozenset({BatchNorm1d, BatchNorm2d, BatchNorm3d})
#: The layers that can apply them.
LAYERS = CONVOLUTIONS | NORMS | {Linear, SyncBatchNorm}


class Link(NamedTuple):
    """A module, by its position, and what it is to do itself of the next ones."""

    layer: int
    norm: int | None = None
    clip: int | None = None
    activation: str | None = None


def run(modules: list[Any], input: Any) -> Any:
    """Pass ``input`` through modules, one after the other."""
    if state.observers or config.fusion.get() != "auto":
        for module in modules:
            input = module(input)
        return input
    inference = not state.grad_enabled and state.autocast is None
    for layer, norm, clip, activation in _links(tuple(map(type, modules)), inference):
        module = modules[layer]
        if norm is not None:
            following = modules[norm]
            plain = _is_plain(module) and _is_plain(following)
            if plain and (clip is None or _is_plain(modules[clip])):
                y = module.forward_normalised(following, activation, input)
                if y is not None:
                    input = y
                    continue
            input, module = module(input), following
        if clip is None:
            input = module(input)
        elif _is_plain(module) and _is_plain(modules[clip]):
            input = module.forward_with(activation, input)
        else:
            input = modules[clip](module(input))
    return input


@lru_cache(maxsize=1024)
def _links(kinds: tuple[type[Module], ...], inference: bool) -> tuple[Link, ...]:
    """Return what to call, for modules of these classes."""
    links: list[Link] = []
    for position, kind in enumerate(kinds):
        before = kinds[position - 1] if links else None
        if kind in ACTIVATIONS and before in LAYERS:
            links[-1] = links[-1]._replace(clip=position, activation=ACTIVATIONS[kind])
        elif inference and kind in NORMS and before in CONVOLUTIONS:
            links[-1] = links[-1]._replace(norm=position)
        else:
            links.append(Link(position))
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
