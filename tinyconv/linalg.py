"""Linear algebra: norms, solvers, inverses and factorizations, under PyTorch's names.

Matrices are the last two dimensions, of float32 or float64; dimensions before them are batches.
What is told of one triangle only, or of signs and equal singular values, stands at each function.
"""

from __future__ import annotations

from .errors import LinAlgError  # noqa: F401 (PyTorch has the name here, too)
from .ops.autocasting import apply_to
from .ops.linalg.determinant import det, slogdet
from .ops.linalg.exponential import matrix_exp
from .ops.linalg.factorization import cholesky, qr
from .ops.linalg.householder import householder_product
from .ops.linalg.inverse import inv, matrix_power, solve, solve_triangular
from .ops.linalg.least_squares import lstsq, matrix_rank, pinv
from .ops.linalg.matmul import matmul
from .ops.linalg.matrix_norm import matrix_norm, norm, vector_norm
from .ops.linalg.products import cross, diagonal, multi_dot, vecdot
from .ops.linalg.spectral import eigh, eigvalsh, svd, svdvals

__all__ = [
    "cholesky",
    "cross",
    "det",
    "diagonal",
    "eigh",
    "eigvalsh",
    "householder_product",
    "inv",
    "lstsq",
    "matmul",
    "matrix_exp",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "multi_dot",
    "norm",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "solve_triangular",
    "svd",
    "svdvals",
    "vecdot",
    "vector_norm",
]

apply_to(globals())
