"""What functions of matrices do with their arguments first, and when a computation fails."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from ...backend.dtypes import Half
from ...backend.quiet import quiet
from ...errors import DTypeError, LinAlgError, ShapeError
from .._operands import check_floating, check_same_device, check_tensor


def check_matrices(op: str, name: str, value: Any) -> Any:
    """Return ``value`` if it is a tensor of at least 2 dimensions, else raise."""
    if check_tensor(op, name, value).array.ndim < 2:
        raise ShapeError(
            f"{op}: '{name}' must be a matrix or a batch of matrices, got shape "
            f"{tuple(value.array.shape)}"
        )
    return value


def check_precise(op: str, name: str, value: Any) -> Any:
    """Return ``value`` if it is of float32 or float64, else raise ``DTypeError``."""
    dtype = check_floating(op, name, value).dtype
    if isinstance(dtype, Half):
        raise DTypeError(
            f"{op}: '{name}' is {dtype.name}, too coarse to decompose a matrix in; use .float()"
        )
    return value


def check_square(op: str, name: str, value: Any) -> Any:
    """Return ``value`` if it holds square matrices, else raise ``ShapeError``."""
    shape = check_matrices(op, name, value).array.shape
    if shape[-1] != shape[-2]:
        raise ShapeError(f"{op}: '{name}' must hold square matrices, got shape {tuple(shape)}")
    return value


def check_alike(op: str, a: Any, b: Any, names: tuple[str, str]) -> None:
    """Raise unless both are tensors of one dtype and one device."""
    check_tensor(op, names[0], a)
    check_tensor(op, names[1], b)
    check_same_device(op, a, b)
    if a.array.dtype != b.array.dtype:
        raise DTypeError(
            f"{op}: '{names[0]}' is {a.dtype} but '{names[1]}' is {b.dtype}; convert one with .to()"
        )


def identity_mask(x: Any, size: int) -> Any:
    """Return a bool tensor (size, size), true on the diagonal, on the device of ``x``."""
    places = x.xp.arange(size, device=x.array.device)
    return x.wrap(x.xp.reshape(places, (-1, 1)) == places)


def decompose(
    op: str,
    trouble: str,
    function: Callable[..., Any],
    matrices: Any,
    *others: Any,
    probe: Callable[[Any], Any] | None = None,
) -> Any:
    """Return ``function(matrices, *others)``, arrays, or raise ``LinAlgError``.

    Parameters
    ----------
    op, trouble : str
        Name of the op; what a failure means, such as "is singular".
    function : callable
        Function of the array library, which signals failure with a ``LinAlgError`` of its own.
    matrices, *others : array
        Its arguments.
    probe : callable, optional
        Function of one matrix that fails where ``function`` does; default ``function``.
    """
    try:
        return quiet(function, matrices, *others)
    except Exception as error:
        if type(error).__name__ != "LinAlgError":
            raise
        where = _first_bad(probe or function, matrices)
        raise LinAlgError(f"{op}: the matrix{where} {trouble}") from None


def _first_bad(probe: Callable[[Any], Any], matrices: Any) -> str:
    """Name the first matrix of a batch on which ``probe`` fails."""
    if matrices.ndim == 2:
        return ""
    for index in itertools.product(*map(range, matrices.shape[:-2])):
        try:
            quiet(probe, matrices[(*index, slice(None), slice(None))])
        except Exception as error:
            if type(error).__name__ != "LinAlgError":
                raise
            return f" at batch index {index if len(index) > 1 else index[0]}"
    return ""
