"""A module's state as a flat dict of named tensors, and back.

Loading is a transaction: everything is checked and brought to the right dtype and device first,
so an error leaves the module as it was.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ..autograd import TensorBase
from ..autograd.pending import settle
from ..backend import as_dtype
from ..errors import DTypeError, StateDictError
from .parameter import Parameter


class IncompatibleKeys(NamedTuple):
    """Names that were on one side only; what ``load_state_dict`` returns."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return (
            f"IncompatibleKeys(missing_keys={self.missing_keys}, "
            f"unexpected_keys={self.unexpected_keys})"
        )


class _Entry(NamedTuple):
    """One place in a module where a state dict has a tensor."""

    key: str  # dotted name in the state dict
    owner: Any  # the module it belongs to
    table: str  # "_parameters" or "_buffers"
    name: str

    @property
    def tensor(self) -> Any:
        return getattr(self.owner, self.table)[self.name]


def own_entries(module: Any, prefix: str) -> Iterator[_Entry]:
    """Yield the places of a module's own state: its parameters, then its buffers."""
    for name, parameter in module._parameters.items():
        if parameter is not None:
            yield _Entry(prefix + name, module, "_parameters", name)
    for name, buffer in module._buffers.items():
        if buffer is not None and name not in module._non_persistent_buffers:
            yield _Entry(prefix + name, module, "_buffers", name)


def walk(module: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (prefix of its names, module) for a module and all below it, parents first."""
    yield prefix, module
    for name, child in module._modules.items():
        if child is not None:
            yield from walk(child, f"{prefix}{name}.")


def collect(
    module: Any, destination: dict[str, Any] | None, prefix: str, keep_vars: bool
) -> dict[str, Any]:
    """Return the state of ``module``; see ``Module.state_dict``."""
    destination = OrderedDict() if destination is None else destination
    for hook in list(module._state_dict_pre_hooks.values()):
        hook(module, prefix, keep_vars)
    for entry in own_entries(module, prefix):
        destination[entry.key] = entry.tensor if keep_vars else entry.tensor.detach()
    for name, child in module._modules.items():
        if child is not None:
            collect(child, destination, f"{prefix}{name}.", keep_vars)
    for hook in list(module._state_dict_hooks.values()):
        hook(module, destination, prefix, {})
    return destination


def load(
    module: Any, state_dict: Mapping[str, Any], strict: bool, assign: bool
) -> IncompatibleKeys:
    """Bring ``state_dict`` into ``module``; see ``Module.load_state_dict``."""
    if not isinstance(state_dict, Mapping):
        raise DTypeError(
            f"load_state_dict: expected a dict of tensors, got {type(state_dict).__name__}"
        )
    keys, errors = IncompatibleKeys([], []), list[str]()
    state_dict = _after_pre_hooks(module, state_dict, strict, keys, errors)
    places = [entry for prefix, owner in walk(module) for entry in own_entries(owner, prefix)]
    known = {entry.key for entry in places}
    keys.unexpected_keys.extend(key for key in state_dict if key not in known)
    keys.missing_keys.extend(
        e.key for e in places if e.key not in state_dict and e.name not in e.owner.optional_state
    )
    present = [entry for entry in places if entry.key in state_dict]
    errors += [e for entry in present if (e := _complaint(entry, state_dict[entry.key]))]
    post_hooks = list(_post_hooks(module))
    if errors or not post_hooks:
        _check(module, strict, keys, errors)
    before = _Copies(present) if post_hooks and strict and any(keys) else None
    if assign:
        _assign(present, state_dict)
    else:
        _copy(present, state_dict)
    for owner, hook in post_hooks:
        hook(owner, keys)
    try:
        _check(module, strict, keys, [])
    except StateDictError:
        if before is not None:
            before.restore()
        raise
    return keys


def _after_pre_hooks(
    module: Any,
    state_dict: Mapping[str, Any],
    strict: bool,
    keys: IncompatibleKeys,
    errors: list[str],
) -> Mapping[str, Any]:
    """Return what the hooks that are called before loading made of the state."""
    if not any(owner._load_state_dict_pre_hooks for _, owner in walk(module)):
        return state_dict
    metadata = getattr(state_dict, "_metadata", None) or {}
    state = OrderedDict(state_dict)

    def call(module: Any, state: dict[str, Any], prefix: str) -> None:
        local = metadata.get(prefix[:-1], {})
        for hook in list(module._load_state_dict_pre_hooks.values()):
            hook(module, state, prefix, local, strict, *keys, errors)
        for name, child in module._modules.items():
            below = f"{prefix}{name}."
            part = OrderedDict((k, state.pop(k)) for k in list(state) if k.startswith(below))
            if child is not None:
                call(child, part, below)
            state.update(part)

    call(module, state, "")
    return state


def _post_hooks(module: Any) -> Iterator[tuple[Any, Any]]:
    """Yield (module, hook) for the hooks that are called after loading, children first."""
    for child in module._modules.values():
        if child is not None:
            yield from _post_hooks(child)
    for hook in module._load_state_dict_post_hooks.values():
        yield module, hook


def _check(module: Any, strict: bool, keys: IncompatibleKeys, errors: list[str]) -> None:
    """Raise if there are errors, or names on one side only that are to be errors."""
    found = []
    if strict and keys.missing_keys:
        found.append(f"Missing key(s) in state_dict: {_quoted(keys.missing_keys)}. ")
    if strict and keys.unexpected_keys:
        found.append(f"Unexpected key(s) in state_dict: {_quoted(keys.unexpected_keys)}. ")
    if found or errors:
        raise StateDictError(
            f"Error(s) in loading state_dict for {type(module).__name__}:\n\t"
            + "\n\t".join([*found, *errors])
        )


class _Copies:
    """The tensors at some places and their values, to be put back."""

    def __init__(self, places: list[_Entry]) -> None:
        self.places = places
        self.tensors = [entry.tensor for entry in places]
        for tensor in self.tensors:
            settle(tensor)
        self.arrays = [tensor.xp.asarray(tensor.array, copy=True) for tensor in self.tensors]

    def restore(self) -> None:
        """Put tensors and values back."""
        for entry, tensor, array in zip(self.places, self.tensors, self.arrays, strict=True):
            settle(tensor)
            tensor.array[...] = array
            tensor._bump_version()
            getattr(entry.owner, entry.table)[entry.name] = tensor


def _quoted(keys: list[str]) -> str:
    return ", ".join(f'"{key}"' for key in keys)


def _complaint(entry: _Entry, value: Any) -> str | None:
    """Return why ``value`` cannot be loaded at ``entry``, or ``None``."""
    if not hasattr(value, "shape") or not hasattr(value, "dtype"):
        return (
            f'While copying the parameter named "{entry.key}", expected a Tensor or an array '
            f"from checkpoint but received {type(value).__name__}."
        )
    try:
        as_dtype(value.dtype)
    except DTypeError as error:
        return f'While copying the parameter named "{entry.key}": {error}.'
    shape, found = tuple(entry.tensor.array.shape), tuple(value.shape)
    if found != shape and not (shape == () and found == (1,)):  # files of PyTorch 0.3: no 0-d
        return (
            f"size mismatch for {entry.key}: copying a param with shape {found} from "
            f"checkpoint, the shape in current model is {shape}."
        )
    return None


def _on_device(value: Any, device: Any, dtype: Any) -> Any:
    """Return an array of ``device`` with the contents of a tensor or host array."""
    array = value
    if isinstance(value, TensorBase):
        array = value.array
        if value.device is not device:
            array = value.device.backend.to_host(array)
    array = device.backend.asarray(array)
    native = dtype.of(device.xp)
    return array if array.dtype == native else device.xp.astype(array, native)


def _copy(places: list[_Entry], state_dict: Mapping[str, Any]) -> None:
    """Write the values into the tensors of the module."""
    counters = {id(entry.tensor._version) for entry in places}
    prepared = []
    for entry in places:
        target, value = entry.tensor, state_dict[entry.key]
        array = _on_device(value, target.device, target.dtype)
        if id(getattr(value, "_version", None)) in counters and array is not target.array:
            array = target.xp.asarray(array, copy=True)  # it may be overwritten before its turn
        prepared.append((target, target.xp.reshape(array, target.array.shape)))
    for target, array in prepared:
        settle(target)
        target.array[...] = array
        target._bump_version()


def _assign(places: list[_Entry], state_dict: Mapping[str, Any]) -> None:
    """Put the values themselves in place of the module's tensors; tied ones stay tied."""
    made: dict[int, Any] = {}
    prepared = []
    for entry in places:
        target, value = entry.tensor, state_dict[entry.key]
        if id(target) not in made:
            if not isinstance(value, TensorBase):
                value = target.wrap(_on_device(value, target.device, as_dtype(value.dtype)))
            if value.array.shape != target.array.shape:
                value = value.detach().reshape(target.array.shape)
            if isinstance(target, Parameter) and not isinstance(value, Parameter):
                value = Parameter(value, target.requires_grad)
            value.requires_grad_(target.requires_grad)
            made[id(target)] = value
        prepared.append((entry, made[id(target)]))
    for entry, value in prepared:
        getattr(entry.owner, entry.table)[entry.name] = value
