"""The sides of a comparison: a library in one mode, and how arrays enter and leave it."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import numpy as np


def channels_last(array: np.ndarray) -> np.ndarray:
    """Return a copy in which the channels of one pixel lie side by side; same indices."""
    axes = (0, *range(2, array.ndim), 1)
    return np.ascontiguousarray(array.transpose(axes)).transpose(np.argsort(axes))


class Side:
    """A library with PyTorch's names: :class:`Tinyconv`, :class:`Torch`."""

    name: str
    lib: Any

    def tensor(self, array: np.ndarray, first: bool = True) -> Any:
        """Return an array as a tensor of this side.

        Parameters
        ----------
        array : ndarray
            The values, copied.
        first : bool
            Whether it is an input of the whole network. Else it stands for what the layer before
            would have given, and lies in memory as that does.
        """
        raise NotImplementedError

    def place(self, module: Any) -> Any:
        """Return a module in the mode of this side."""
        return module

    def suits(self, dims: int) -> bool:
        """Return whether this mode differs from the default for inputs with ``dims`` axes."""
        return True

    def release(self) -> None:
        """Give memory that the library keeps for later arrays back to the system."""

    def load(self, module: Any, weights: dict[str, np.ndarray] | None) -> Any:
        """Put arrays into a module, if there are any, and return the module."""
        if weights is not None:
            module.load_state_dict(
                {name: self.lib.from_numpy(array.copy()) for name, array in weights.items()}
            )
        return self.place(module)

    def weights(self, module: Any) -> dict[str, np.ndarray]:
        """Return copies of the parameters and buffers."""
        return {name: np.array(value.numpy()) for name, value in module.state_dict().items()}


class Tinyconv(Side):
    """The library of this repository."""

    name = "tinyconv"

    def __init__(self, threads: int) -> None:
        import tinyconv
        import tinyconv.config

        tinyconv.config.num_threads.set(threads)
        self.lib = tinyconv

    def release(self) -> None:
        """Give back what no array uses."""
        from tinyconv.backend.cpu import memory

        memory.release()

    def tensor(self, array: np.ndarray, first: bool = True) -> Any:
        """Return a tensor; inside a network images are channels-last."""
        inside = not first and array.ndim > 2 and array.dtype.kind == "f"
        return self.lib.from_numpy(channels_last(array) if inside else array.copy())


class Torch(Side):
    """PyTorch eager, in its default memory format or in channels-last."""

    def __init__(self, threads: int, mode: str = "") -> None:
        import torch

        torch.set_num_threads(threads)
        self.lib = torch
        self.channels_last = mode == "channels_last"
        self.name = f"torch:{mode}" if mode else "torch"
        self._formats = {4: torch.channels_last, 5: torch.channels_last_3d}

    def tensor(self, array: np.ndarray, first: bool = True) -> Any:
        """Return a tensor in the memory format of this mode."""
        tensor = self.lib.from_numpy(array.copy())
        return tensor.contiguous(memory_format=self._format(array.ndim))

    def place(self, module: Any) -> Any:
        """Convert the parameters of a module to the memory format of this mode."""
        for parameter in module.parameters():
            form = self._format(parameter.ndim)
            parameter.data = parameter.data.contiguous(memory_format=form)
        return module

    def suits(self, dims: int) -> bool:
        """Return whether there is such a memory format for ``dims`` axes."""
        return not self.channels_last or dims in self._formats

    def _format(self, dims: int) -> Any:
        default = self.lib.contiguous_format
        return self._formats.get(dims, default) if self.channels_last else default


#: Libraries with names of their own, which train the networks without branches.
PEERS = ("jax", "dezero", "tinygrad")


def installed(spec: str) -> bool:
    """Return whether the library of a side is there."""
    return importlib.util.find_spec(spec.partition(":")[0]) is not None


def default_sides(torch: bool = True, peers: bool = True) -> list[str]:
    """Return this library, its rivals and the peers, without those that are not installed."""
    specs = ["tinyconv"]
    if torch:
        specs += ["torch", "torch:channels_last"]
    if peers:
        specs += PEERS
    return [spec for spec in specs if installed(spec)]


def make_side(spec: str, threads: int) -> Any:
    """Return the side named ``tinyconv``, ``torch``, ``torch:channels_last`` or a peer."""
    name, _, mode = spec.partition(":")
    if name == "tinyconv":
        return Tinyconv(threads)
    if name == "torch" and mode in ("", "channels_last"):
        return Torch(threads, mode)
    if name in PEERS:
        return importlib.import_module(f".{name}_side", __package__).Peer(threads)
    raise ValueError(f"unknown side {spec!r}; choose tinyconv, torch, torch:channels_last or "
                     f"{', '.join(PEERS)}")  # fmt: skip
