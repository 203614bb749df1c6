"""Max pooling to a given output size, with the windows of :mod:`.adaptive_pool`."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from ...errors import ShapeError
from .._operands import check_floating
from .._tables import table
from ..convolution._windows import Ints, as_batch, sizes
from ..indexing.gather import IndexSelect
from .adaptive_pool import output_size_of
from .pool import MaxPool, Window, flat_indices


def adaptive_max_pool1d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """Largest elements of a sequence (N, C, L); as :func:`adaptive_max_pool2d`."""
    return _adaptive_max_pool("adaptive_max_pool1d", 1, input, output_size, return_indices)


def adaptive_max_pool2d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """Return the largest elements of windows that give a wanted size, whatever that of the input.

    Parameters
    ----------
    input : Tensor
        (N, C, H, W), or (C, H, W) without a batch; floating point.
    output_size : int, None or pair of these
        Size of the output; ``None`` keeps that of the input.
    return_indices : bool, default False
        Also return where each winner is, as :func:`max_pool2d` does.

    Returns
    -------
    Tensor, or (Tensor, Tensor) with ``return_indices``
        (N, C, *output_size) or (C, *output_size).

    Raises
    ------
    ShapeError
        If the input has another number of dimensions, or an empty one.
    ArgumentError
        If the output size is negative or has another number of dimensions.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.nn.functional.adaptive_max_pool1d(tc.tensor([[[1.0, 4.0, 2.0]]]), 2)
    tensor([[[4., 4.]]])
    """
    return _adaptive_max_pool("adaptive_max_pool2d", 2, input, output_size, return_indices)


def adaptive_max_pool3d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    """Largest elements of a volume (N, C, D, H, W); as :func:`adaptive_max_pool2d`."""
    return _adaptive_max_pool("adaptive_max_pool3d", 3, input, output_size, return_indices)


def _adaptive_max_pool(
    op: str, dims: int, input: Any, output_size: Any, return_indices: bool
) -> Any:
    input, added = as_batch(op, input, dims)
    check_floating(op, "input", input)
    spatial = sizes(input.array.shape)
    if 0 in spatial:
        raise ShapeError(f"{op}: argument 'input' has no elements along a dimension: {spatial}")
    out = output_size_of(op, output_size, spatial)
    # Windows may overlap, and differ by one in length: they are laid out one behind the other, and
    # filled up with their last element, which changes no maximum and is never the first winner.
    tables = [_places(n, m) for n, m in zip(spatial, out, strict=True)]
    x, kernel = input, tuple(len(t) // max(m, 1) for t, m in zip(tables, out, strict=True))
    for axis, (places, n) in enumerate(zip(tables, spatial, strict=True), start=2):
        if places != tuple(range(n)):
            x = IndexSelect.apply(x, _index(x, places), axis)
    window = Window(kernel, kernel, ((0, 0),) * dims, (1,) * dims)
    y, winner = MaxPool.apply(x, window, out)
    if not return_indices:
        return y.squeeze(0) if added else y
    laid_out = sizes(x.array.shape)
    flat = flat_indices(winner.xp, winner.array, laid_out, window)
    indices = winner.wrap(_original(x, flat, laid_out, tables, spatial))
    return (y.squeeze(0), indices.squeeze(0)) if added else (y, indices)


@lru_cache(maxsize=256)
def _places(inputs: int, outputs: int) -> Ints:
    """Return the inputs of each window, as many for each."""
    starts = [o * inputs // outputs for o in range(outputs)]
    ends = [-(-(o + 1) * inputs // outputs) for o in range(outputs)]
    longest = max((end - start for start, end in zip(starts, ends, strict=True)), default=1)
    return tuple(
        min(start + i, end - 1)
        for start, end in zip(starts, ends, strict=True)
        for i in range(longest)
    )


def _index(x: Any, places: Ints) -> Any:
    return x.wrap(table(x.device, places))


def _original(x: Any, flat: Any, laid_out: Ints, tables: list[Ints], spatial: Ints) -> Any:
    """Return indices into what was laid out as indices into the input."""
    xp, step, result = x.xp, 1, 0
    for size, places, n in reversed(list(zip(laid_out, tables, spatial, strict=True))):
        place = xp.take(_index(x, places).array, xp.reshape(flat % size, (-1,)))
        result = result + xp.reshape(place, flat.shape) * step
        flat, step = flat // size, step * n
    return result
