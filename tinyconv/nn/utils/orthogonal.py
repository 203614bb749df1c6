"""A weight that stays orthogonal while it is trained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...autograd import TensorBase, no_grad
from ...backend.dtypes import finfo
from ...errors import ArgumentError, ShapeError
from ...ops import allclose, cat, eye, geqrf, matrix_exp, where
from ...ops.linalg._matrices import check_precise
from ...ops.linalg.factorization import qr
from ...ops.linalg.householder import householder_product
from ...ops.linalg.inverse import solve
from ..module import Module
from .parametrize import register_parametrization

MAPS = ("matrix_exp", "cayley", "householder")


class _Orthogonal(Module):
    """Orthonormal columns, or rows where there are fewer of them, from a matrix of any numbers."""

    def __init__(self, weight: Any, orthogonal_map: str, use_trivialization: bool) -> None:
        super().__init__()
        self.shape, self.orthogonal_map = weight.shape, orthogonal_map
        self.use_trivialization = use_trivialization
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, X: Any) -> Any:
        """Return the orthogonal matrix that belongs to ``X``."""
        is_wide = X.shape[-2] < X.shape[-1]
        Q = self.map(X.mT if is_wide else X)
        if self.use_trivialization:
            Q = self.base @ Q
        return Q.mT if is_wide else Q

    def map(self, X: Any) -> Any:
        """Return the orthogonal matrix that belongs to ``X``, which is not wider than high."""
        rows, columns = X.shape[-2:]
        if self.orthogonal_map == "householder":
            V = X.tril(-1)
            Q = householder_product(V, 2 / (1 + (V * V).sum(-2)))
            return Q * _signs(X).unsqueeze(-2)
        X = X.tril()
        if rows != columns:
            X = cat([X, X.new_zeros((*X.shape[:-1], rows - columns))], -1)
        skew = X - X.mT
        if self.orthogonal_map == "matrix_exp":
            return matrix_exp(skew)[..., :columns]
        identity = _identity(skew)
        return solve(identity - skew / 2, identity + skew / 2)[..., :columns]

    @property
    def right_inverse(self) -> Callable[[Any], Any]:
        """The function that finds the original for a matrix, where there is one."""
        if self.orthogonal_map != "householder" and not self.use_trivialization:
            raise AttributeError(f"{self.orthogonal_map} of a matrix is not inverted")
        return self.inverse

    @no_grad()
    def inverse(self, Q: Any) -> Any:
        """Return the original for the orthogonal factor of ``Q``, and set ``base``."""
        if Q.shape != self.shape:
            raise ShapeError(
                f"orthogonal: the parametrized tensor has shape {tuple(self.shape)}, but "
                f"{tuple(Q.shape)} was assigned to it"
            )
        is_wide = Q.shape[-2] < Q.shape[-1]
        high = Q.mT if is_wide else Q
        rows, columns = high.shape[-2:]
        if self.use_trivialization:
            known = rows == columns and _is_orthogonal(high)
            self.base = high.clone() if known else _completed(high)
            original = -_identity(high)[:, :columns].expand(high.shape)
        else:
            original, tau = geqrf(high)
            # R is to have a positive diagonal. The map reflects always, LAPACK not if tau is 0.
            tau = tau.unsqueeze(-2)
            signs = where(tau == 0, -1, 1) * _signs(original).unsqueeze(-2)
            diagonal = _identity(high)[:, :columns]
            original = where(diagonal == 1, signs, original)
        return (original.mT if is_wide else original).contiguous()


def _identity(matrix: Any) -> Any:
    """Return the identity of as many rows, of the dtype and device."""
    return eye(matrix.shape[-2], dtype=matrix.dtype, device=matrix.device)


def _signs(matrix: Any) -> Any:
    """Return 1 or -1 for the diagonal elements; they have no gradient."""
    diagonal = matrix.detach().diagonal(dim1=-2, dim2=-1)
    return where(diagonal < 0, -1, 1).to(matrix.dtype)


def _is_orthogonal(Q: Any) -> bool:
    """Return whether square matrices are orthogonal, to rounding."""
    product = Q.mT @ Q
    limit = 10 * Q.shape[-1] * finfo(Q.dtype).eps
    return allclose(product, _identity(Q).expand(product.shape), atol=limit)


def _completed(matrix: Any) -> Any:
    """Return square orthogonal matrices, of which the first columns are those of QR, R > 0."""
    Q, R = qr(matrix, "complete")
    columns = matrix.shape[-1]
    return cat([Q[..., :columns] * _signs(R).unsqueeze(-2), Q[..., columns:]], -1)


def orthogonal(
    module: Module,
    name: str = "weight",
    orthogonal_map: str | None = None,
    *,
    use_trivialization: bool = True,
) -> Module:
    """Keep the columns of a weight orthonormal, or its rows if it is wider than high.

    Parameters
    ----------
    module : Module
        Whose weight it is. ``parametrizations.weight.original`` is trained in its place; what is
        computed from it is orthogonal for any numbers in it.
    name : str, default "weight"
        Name of the weight, of shape (..., m, n): all but the last two dimensions are batches, so
        that each kernel slice of a convolution is a matrix of its own.
    orthogonal_map : {"matrix_exp", "cayley", "householder"}, optional
        How it is computed: ``exp(A)`` or ``(I - A/2)^-1 (I + A/2)`` of a skew-symmetric A of the
        larger of the two sizes, or a product of Householder reflections, which is cheaper where m
        and n differ much. Default ``"matrix_exp"`` for square matrices, else ``"householder"``.
    use_trivialization : bool, default True
        Multiply by an orthogonal matrix ``parametrizations.weight[0].base``, which is set when a
        weight is assigned, so that training starts from an original that is close to zero.

    Returns
    -------
    Module
        ``module`` itself. The weight becomes the orthogonal factor of what it was, with a positive
        diagonal of R in its QR factorization, which is the weight itself if that is orthogonal.
        The same happens when something is assigned to it. Only ``"matrix_exp"`` and ``"cayley"``
        without ``use_trivialization`` have no such inverse: the weight becomes the map of what it
        was, and nothing can be assigned.

    Raises
    ------
    ArgumentError
        If there is no such weight, or no such map.
    ShapeError
        If the weight is a vector.
    DTypeError
        If the weight is neither float32 nor float64.

    References
    ----------
    Lezcano-Casado, "Trivializations for gradient-based optimization on manifolds", NeurIPS 2019,
    arXiv:1909.09501.

    Examples
    --------
    >>> import tinyconv as tc
    >>> from tinyconv import nn
    >>> Q = nn.utils.parametrizations.orthogonal(nn.Linear(20, 40)).weight
    >>> tc.allclose(Q.T @ Q, tc.eye(20), atol=1e-5)
    True
    """
    weight = getattr(module, name, None)
    if not isinstance(weight, TensorBase):
        raise ArgumentError(
            f"orthogonal: {type(module).__name__} has no parameter or buffer '{name}'"
        )
    if weight.ndim < 2:
        raise ShapeError(
            f"orthogonal: '{name}' must be a matrix or a batch of matrices, got shape "
            f"{tuple(weight.shape)}"
        )
    check_precise("orthogonal", name, weight)
    if orthogonal_map is None:
        is_square = weight.shape[-2] == weight.shape[-1]
        orthogonal_map = "matrix_exp" if is_square else "householder"
    if orthogonal_map not in MAPS:
        raise ArgumentError(
            f"orthogonal: orthogonal_map={orthogonal_map!r} is not legal; choose "
            f"{', '.join(map(repr, MAPS))}"
        )
    orthogonal = _Orthogonal(weight, orthogonal_map, bool(use_trivialization))
    return register_parametrization(module, name, orthogonal, unsafe=True)
