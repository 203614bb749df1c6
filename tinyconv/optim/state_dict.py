"""An optimizer's state as plain dicts and lists, and back."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from ..autograd import TensorBase
from ..errors import StateDictError
from .counting import plain_states


def collect(optimizer: Any) -> dict[str, Any]:
    """Return the state with parameters replaced by their numbers."""
    params = [p for group in optimizer.param_groups for p in group["params"]]
    number: dict[int, int] = {}
    for index, param in enumerate(params):
        number.setdefault(id(param), index)
    groups = [
        {**{k: v for k, v in group.items() if k != "params"},
         "params": [number[id(p)] for p in group["params"]]}
        for group in optimizer.param_groups
    ]  # fmt: skip
    states = plain_states(optimizer)
    state = {number[id(p)]: dict(s) for p, s in states.items() if id(p) in number}
    return {"state": state, "param_groups": groups}


def load(optimizer: Any, state_dict: Mapping[str, Any]) -> None:
    """Check ``state_dict``, then put it in place of the optimizer's state and options."""
    name = type(optimizer).__name__
    if not isinstance(state_dict, Mapping) or not {"state", "param_groups"} <= set(state_dict):
        raise StateDictError(f"{name}: a state dict has the keys 'state' and 'param_groups'")
    own, saved = optimizer.param_groups, state_dict["param_groups"]
    if len(own) != len(saved):
        raise StateDictError(
            f"{name}: the loaded state dict has a different number of parameter groups: "
            f"{len(saved)}, the optimizer has {len(own)}"
        )
    params: dict[int, Any] = {}
    for index, (group, other) in enumerate(zip(own, saved, strict=True)):
        if len(group["params"]) != len(other["params"]):
            raise StateDictError(
                f"{name}: group {index} of the loaded state dict has {len(other['params'])} "
                f"parameters, that of the optimizer {len(group['params'])}"
            )
        params.update(zip(other["params"], group["params"], strict=True))
    state: dict[Any, dict[str, Any]] = defaultdict(dict)
    for number, values in state_dict["state"].items():
        if number not in params:
            raise StateDictError(f"{name}: the state of parameter {number} belongs to no group")
        param = params[number]
        state[param] = {k: _fitted(optimizer, number, k, v, param) for k, v in values.items()}
    groups = [
        {**group, **copy.deepcopy({k: v for k, v in other.items() if k != "params"})}
        for group, other in zip(own, saved, strict=True)
    ]
    for group in groups:
        optimizer.check_options(group)
    optimizer.state, optimizer.param_groups = state, groups


def _fitted(optimizer: Any, number: int, key: str, value: Any, param: Any) -> Any:
    """Return a copy of a tensor or array on the parameter's device and dtype; a number as it is.

    Lists of them, which some optimizers remember, too.
    """
    if isinstance(value, list):
        return [_fitted(optimizer, number, key, v, param) for v in value]
    array, device = value, param.device
    if isinstance(value, TensorBase):
        array = value.array if value.device is device else (
            value.device.backend.to_host(value.array)
        )  # fmt: skip
    to_number = optimizer.state_numbers.get(key)
    if to_number is not None and array is not None:
        return to_number(array)  # PyTorch keeps these as tensors
    if not hasattr(value, "shape"):
        return copy.deepcopy(value)
    wanted = optimizer.state_shape(param)
    if tuple(array.shape) != wanted:
        raise StateDictError(
            f"{type(optimizer).__name__}: '{key}' of parameter {number} has shape "
            f"{tuple(array.shape)}, the parameter has {wanted}"
        )
    array = device.xp.astype(device.backend.asarray(array), param.array.dtype, copy=True)
    return param.wrap(array)
