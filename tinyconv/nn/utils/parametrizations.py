"""Ways to parametrize weights: orthogonal ones, by length and direction, by noise.

Each function changes a layer, and returns it; see :mod:`tinyconv.nn.utils.parametrize` for how to
look inside, and how to undo it.
"""

from __future__ import annotations

from typing import Any

from ...autograd import TensorBase, is_recomputing, no_grad
from ...errors import ArgumentError, IndexRangeError
from .. import functional as F
from .. import init
from .._arguments import positive
from ..conv_transpose import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from ..dropout import GaussianNoise
from ..module import Module
from .orthogonal import orthogonal
from .parametrize import register_parametrization, remove_parametrizations

__all__ = [
    "orthogonal",
    "remove_spectral_norm",
    "remove_weight_norm",
    "spectral_norm",
    "weight_noise",
    "weight_norm",
]


class _WeightNorm(Module):
    """``g * v / |v|``, the norm taken over all dimensions but one, or over all."""

    def __init__(self, dim: int | None, ndim: int) -> None:
        super().__init__()
        whole = dim is None or dim == -1
        kept = None if whole else _checked_dim("weight_norm", dim, ndim)
        self.dims = None if whole else tuple(d for d in range(ndim) if d != kept)

    def forward(self, weight_g: Any, weight_v: Any) -> Any:
        """Return the weight of length ``weight_g`` in the direction of ``weight_v``."""
        return weight_v * (weight_g / self.length(weight_v))

    def right_inverse(self, weight: Any) -> Any:
        """Return the length of a weight, and the weight itself."""
        return self.length(weight), weight

    def length(self, weight: Any) -> Any:
        """Return the norms; of the shape of the weight with 1 in the dimensions summed over."""
        if self.dims is None:
            return weight.norm()
        return weight.norm(dim=self.dims, keepdim=True) if self.dims else weight.abs()


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Train the length and the direction of a weight apart: ``w = g * v / |v|``.

    Parameters
    ----------
    module : Module
        Gets the parameters ``parametrizations.weight.original0``, which is g, and ``original1``,
        which is v, in place of its weight.
    name : str, default "weight"
        Name of the weight.
    dim : int or None, default 0
        Dimension along which each slice has a length of its own, by default the output channels
        of a convolution or linear layer. ``None`` (or, as in PyTorch, -1) takes the weight as one
        vector.

    Returns
    -------
    Module
        ``module`` itself.

    Raises
    ------
    ArgumentError
        If there is no such weight.
    IndexRangeError
        If the weight has no such dimension.

    References
    ----------
    Salimans and Kingma, "Weight normalization: a simple reparameterization to accelerate training
    of deep neural networks", NeurIPS 2016, arXiv:1602.07868.

    Examples
    --------
    >>> from tinyconv import nn
    >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(20, 40))
    >>> layer.parametrizations.weight.original0.shape
    tinyconv.Size([40, 1])

    Notes
    -----
    State dicts that have ``weight_g`` and ``weight_v``, as those of PyTorch's older function of
    this name, can be loaded.
    """
    weight = _tensor_of("weight_norm", module, name)
    register_parametrization(module, name, _WeightNorm(dim, weight.ndim), unsafe=True)
    _accept_old_names(module, name, {"_g": "original0", "_v": "original1"})
    return module


class _SpectralNorm(Module):
    """A weight divided by its largest singular value, which a power iteration follows."""

    def __init__(self, weight: Any, n_power_iterations: int, dim: int, eps: float) -> None:
        super().__init__()
        op = "spectral_norm"
        self.dim = _checked_dim(op, dim, weight.ndim)
        self.eps, self.is_vector = eps, weight.ndim == 1
        self.n_power_iterations = positive(op, "n_power_iterations", n_power_iterations)
        if self.is_vector:
            return
        matrix = self.matrix(weight.detach())
        for key, size in zip(("_u", "_v"), matrix.shape, strict=True):
            vector = init.normal_(matrix.new_zeros(size))
            self.register_buffer(key, F.normalize(vector, dim=0, eps=eps))
        self.iterate(matrix, 15)

    def matrix(self, weight: Any) -> Any:
        """Return the weight with ``dim`` as rows, and all other dimensions as columns."""
        return weight.movedim(self.dim, 0).flatten(1)

    @no_grad()
    def iterate(self, matrix: Any, number: int) -> None:
        """Bring ``_u`` and ``_v`` closer to the first singular vectors."""
        for _ in range(number):
            self._u.copy_(F.normalize(matrix @ self._v, dim=0, eps=self.eps))
            self._v.copy_(F.normalize(matrix.T @ self._u, dim=0, eps=self.eps))

    def forward(self, weight: Any) -> Any:
        """Return the weight over its norm; in training the vectors move first."""
        if self.is_vector:
            return F.normalize(weight, dim=0, eps=self.eps)
        matrix = self.matrix(weight)
        if self.training and not is_recomputing():
            self.iterate(matrix.detach(), self.n_power_iterations)
        # Copies: the next call in training writes to the vectors, before the backward pass perhaps.
        u, v = self._u.clone(), self._v.clone()
        return weight / u.dot(matrix @ v)

    def right_inverse(self, value: Any) -> Any:
        """Return the weight itself."""
        return value


def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """Divide a weight by its spectral norm, so that the layer stretches no vector by more than 1.

    The norm of the weight as a matrix, outputs by all else, is estimated by the power method,
    which goes on whenever the weight is read in training mode, and rests in evaluation mode.

    Parameters
    ----------
    module : Module
        Gets the parameter ``parametrizations.weight.original`` in place of its weight.
    name : str, default "weight"
        Name of the weight; one of one dimension is divided by its length.
    n_power_iterations : int, default 1
        Iterations at every reading, at least 1; 15 are made at the start.
    eps : float, default 1e-12
        Least length to divide by.
    dim : int, optional
        Dimension of the outputs; default 0, and 1 for transposed convolutions.

    Returns
    -------
    Module
        ``module`` itself.

    Raises
    ------
    ArgumentError
        If there is no such weight, or an option is out of range.
    IndexRangeError
        If the weight has no such dimension.

    References
    ----------
    Miyato, Kataoka, Koyama and Yoshida, "Spectral normalization for generative adversarial
    networks", ICLR 2018, arXiv:1802.05957.

    Examples
    --------
    >>> import numpy as np
    >>> from tinyconv import nn
    >>> layer = nn.utils.parametrizations.spectral_norm(nn.Linear(8, 8), n_power_iterations=50)
    >>> bool(abs(np.linalg.norm(layer.weight.detach().numpy(), 2) - 1) < 0.05)
    True

    Notes
    -----
    State dicts that have ``weight_orig``, ``weight_u`` and ``weight_v``, as those of PyTorch's
    older function of this name, can be loaded.
    """
    weight = _tensor_of("spectral_norm", module, name)
    if dim is None:
        transposed = (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)
        dim = 1 if isinstance(module, transposed) else 0
    norm = _SpectralNorm(weight, n_power_iterations, dim, eps)
    register_parametrization(module, name, norm)
    number = len(module.parametrizations[name]) - 1
    names = {"_orig": "original", "_u": f"{number}._u", "_v": f"{number}._v"}
    _accept_old_names(module, name, names)
    return module


class _WeightNoise(GaussianNoise):
    """Normal noise on a weight in training."""

    def right_inverse(self, value: Any) -> Any:
        """Return the weight itself."""
        return value


def weight_noise(module: Module, name: str = "weight", std: float = 0.1) -> Module:
    """Add normal noise to a weight whenever it is read in training mode.

    Gradients go to the weight without noise, ``parametrizations.weight.original``, which alone is
    read in evaluation mode.

    Parameters
    ----------
    module : Module
        Whose weight it is.
    name : str, default "weight"
        Name of the weight.
    std : float, default 0.1
        Standard deviation of the noise, at least 0.

    Returns
    -------
    Module
        ``module`` itself.

    Raises
    ------
    ArgumentError
        If there is no such weight, or ``std`` is negative or not finite.

    References
    ----------
    Graves, "Practical variational inference for neural networks", NeurIPS 2011.

    Examples
    --------
    >>> from tinyconv import nn
    >>> layer = nn.utils.parametrizations.weight_noise(nn.Linear(3, 2), std=0.05)
    >>> layer.weight.equal(layer.weight)
    False
    >>> layer.eval().weight.equal(layer.weight)
    True

    Notes
    -----
    ``remove_parametrizations(module, name, leave_parametrized=False)`` takes it out without
    leaving noise behind.
    """
    _tensor_of("weight_noise", module, name)
    return register_parametrization(module, name, _WeightNoise(std))


def remove_weight_norm(module: Module, name: str = "weight") -> Module:
    """Make a weight one parameter again after :func:`weight_norm`; return the module."""
    return _removed("remove_weight_norm", module, name, _WeightNorm)


def remove_spectral_norm(module: Module, name: str = "weight") -> Module:
    """Leave a weight divided by its norm after :func:`spectral_norm`; return the module."""
    return _removed("remove_spectral_norm", module, name, _SpectralNorm)


def _removed(op: str, module: Module, name: str, kind: type[Module]) -> Module:
    present = getattr(module, "parametrizations", {})
    present = list(present[name]) if name in present else []
    if len(present) != 1 or not isinstance(present[0], kind):
        raise ArgumentError(
            f"{op}: '{name}' of {type(module).__name__} has the parametrizations "
            f"{[type(p).__name__ for p in present]}, not {kind.__name__} alone"
        )
    present[0].eval()  # the weight stays what the last call used
    return remove_parametrizations(module, name)


def _tensor_of(op: str, module: Module, name: str) -> Any:
    tensor = getattr(module, name, None)
    if not isinstance(tensor, TensorBase):
        raise ArgumentError(f"{op}: {type(module).__name__} has no parameter or buffer '{name}'")
    return tensor


def _checked_dim(op: str, dim: Any, ndim: int) -> int:
    """Return a dimension counted from the front."""
    if not -ndim <= dim < ndim:
        raise IndexRangeError(
            f"{op}: argument 'dim' must be from {-ndim} to {ndim - 1} for a weight of {ndim} "
            f"dimensions, got {dim}"
        )
    return dim % ndim


def _accept_old_names(module: Module, name: str, new: dict[str, str]) -> None:
    """Let ``weight_g`` and the like in a state dict be loaded under their names of today."""

    def rename(module: Any, state: Any, prefix: str, *_: Any) -> None:
        old = [prefix + name + ending for ending in new]
        if all(key in state for key in old):
            for key, today in zip(old, new.values(), strict=True):
                state[f"{prefix}parametrizations.{name}.{today}"] = state.pop(key)

    module.register_load_state_dict_pre_hook(rename)
