"""The number of each parameter's step: on the host, or on the device where that may leave it out.

A step whose gradients turn out to be infinite must change nothing and does not count. Where the
device finds that out, it also has to do the counting: ``state["step"]`` is then a 0-d tensor there,
one for all parameters that take their steps together. Whoever wants to know the number reads it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from ..autograd import TensorBase
from ..backend.guard import Guard


class Counted(NamedTuple):
    """Parameters that are at the same step, and what belongs to them."""

    #: Its number; without meaning where there is a guard, which knows it.
    step: int
    guard: Guard | None
    params: list[Any]
    grads: list[Any]
    states: list[dict[str, Any]]


def counted(
    optimizer: Any, params: Sequence[Any], grads: Sequence[Any], states: Sequence[dict[str, Any]]
) -> Iterator[Counted]:
    """Count a step for all parameters, which are on one device; yield those at the same step.

    They all are, unless some had no gradient at times. Nothing is counted here if the optimizer has
    a flag: its kernels do that.
    """
    flag = optimizer.flag
    found: dict[Any, Counted] = {}
    for param, grad, state in zip(params, grads, states, strict=True):
        step = state["step"]
        if flag is None:
            step = state["step"] = step + 1
        key = id(step) if isinstance(step, TensorBase) else step
        at = found.get(key)
        if at is None:
            at = found[key] = Counted(step, None, [], [], [])
        at.params.append(param)
        at.grads.append(grad)
        at.states.append(state)
    for at in found.values():
        yield at if flag is None else at._replace(step=0, guard=_guard(optimizer, at, flag))


def _guard(optimizer: Any, at: Counted, flag: Any) -> Guard:
    """Return the guard of some parameters: their own count, on the device."""
    xp, steps = at.params[0].device.xp, at.step
    if not isinstance(steps, TensorBase):
        steps = at.params[0].wrap(xp.full((), int(steps), dtype=xp.int64))
    elif sum(1 for s in optimizer.state.values() if s.get("step") is steps) > len(at.states):
        steps = steps.wrap(xp.asarray(steps.array, copy=True))  # others stay where they are
    for state in at.states:
        state["step"] = steps
    optimizer.counts_on_device = True
    return Guard(flag, steps.array)


def plain_states(optimizer: Any) -> dict[Any, dict[str, Any]]:
    """Return what the optimizer remembers of each parameter, with numbers of the host.

    As it would be had the steps been left out by the host: one that was never taken has left
    nothing.
    """
    if not optimizer.counts_on_device:
        return dict(optimizer.state)
    numbers: dict[int, int] = {}
    found = {}
    for param, state in optimizer.state.items():
        steps = state.get("step")
        if isinstance(steps, TensorBase):
            number = numbers.get(id(steps))
            if number is None:
                number = numbers[id(steps)] = int(steps.item())
            state = optimizer.with_step(state, number) if number else {}
        found[param] = state
    return found


def count_on_host(optimizer: Any) -> None:
    """Take the counting back from the device."""
    for param, state in plain_states(optimizer).items():
        optimizer.state[param] = state
    optimizer.counts_on_device = False
