"""Every CUDA kernel against the reference in float64 on the CPU, within bounds of rounding.

Inputs are random and fresh, in several orders of memory; fresh memory of the kernels is poisoned
with NaN, so that what they leave out is seen. Convolutions and matrix products are bounded element
by element, with ``d`` products in a sum and ``eps = 2**-23``:

    float32     2*d*eps * (|x| * |w|)
    TF32        (2**-10 + 2*d*eps) * (|x| * |w|)
    16 bits     as float32, and one rounding of the result

and all others by one rounding of the result and some of float32 before it.
"""

from __future__ import annotations

import contextlib
import importlib
import pkgutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from tinyconv import config
from tinyconv.backend import cuda
from tinyconv.backend.cuda.driver import launching
from tinyconv.backend.cuda.products import choice
from tinyconv.backend.reference import KERNELS

from . import cases
from .arrays import DTYPES, LAYOUTS, ROUNDING, Place, arrays_in, mapped, numpy_dtype
from .rows import Budget, Row, each

STAGE = "correctness"
#: float32 roundings before the last one of a result, of kernels that are no products.
ROUNDINGS = 32
#: A dtype and the setting of precision, and what each factor of a product then loses.
KINDS = {
    "tf32": ("float32", "high", 2.0**-10),
    "float32": ("float32", "highest", 0.0),
    "bfloat16": ("bfloat16", "high", 0.0),
    "float16": ("float16", "high", 0.0),
}
MATH = {"tf32": "TF32", "float32": "EXACT", "bfloat16": "HALF", "float16": "HALF"}


class Wrong(Exception):
    """A kernel's result is not what it should be."""


def check(place: Place, case: cases.Case, kind: str, layout: str = "contiguous") -> dict[str, Any]:
    """Run one call on the device; return its error as a part of the bound, or raise."""
    dtype, precision, loss = KINDS[kind]
    rounded = mapped(list(case.arguments), lambda a: _rounded(a, dtype))
    there = mapped(rounded, lambda a: place.put(a, layout))
    exact = mapped(rounded, _wide)
    kernel = KERNELS[case.kernel]
    with config.override(float32_precision=precision):
        results = cuda.override(case.kernel)(place.xp, *there)
    with np.errstate(all="ignore"):
        expected = kernel(np, *exact)
        sizes = kernel(np, *mapped(rounded, lambda a: abs(_wide(a)))) if case.depth else None
    if case.written:
        results, expected = there, exact
    pairs = list(zip(arrays_in(results), arrays_in(expected), strict=True))
    scales = arrays_in(sizes) if case.depth else [None] * len(pairs)
    if case.kernel == "conv_with_statistics":  # those of the map as it was rounded
        map_ = _wide(place.get(results[0]))
        right = map(np.asarray, KERNELS["batch_statistics"](np, map_))
        pairs[1:] = zip(arrays_in(results)[1:], right, strict=True)
        scales[1:] = [None, None]
    worst = 0.0
    for (result, value), scale in zip(pairs, scales, strict=True):
        loss_of = loss if case.kernel.startswith("conv") else 0.0
        apart = layout != "channels_last" and len(case.arguments) > 8
        if case.kernel == "conv_input_grad" and apart and dtype != "float32":
            loss_of = ROUNDING[dtype]  # a result that was rounded is added to the total
        worst = max(worst, _compare(place.get(result), value, dtype, scale, case.depth, loss_of))
    if worst > 1:
        raise Wrong(f"the error is {worst:.3g} times its bound")
    return {"error": round(worst, 4)}


def _rounded(array: np.ndarray, dtype: str) -> np.ndarray:
    return array.astype(numpy_dtype(dtype)) if array.dtype == np.float64 else array


def _wide(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float64) if array.dtype.kind not in "iub" else array.copy()


def _compare(
    result: np.ndarray, value: Any, dtype: str, scale: Any, depth: int, loss: float
) -> float:
    """Return the largest error as a part of its bound."""
    value = np.asarray(value)
    if result.shape != value.shape:
        raise Wrong(f"shape {result.shape} instead of {value.shape}")
    if value.dtype != np.float64:
        if result.dtype != value.dtype:
            raise Wrong(f"dtype {result.dtype} instead of {value.dtype}")
        if not np.array_equal(result, value):
            raise Wrong(f"{np.mean(result != value):.2%} of the integers differ")
        return 0.0
    if result.dtype.name not in (dtype, "float32", "float64"):
        raise Wrong(f"dtype {result.dtype} instead of {dtype}")
    if not value.size:
        return 0.0
    bound = ROUNDING[dtype] * 1.01 * np.abs(value) if dtype != "float32" or scale is None else 0.0
    if scale is None:
        bound = bound + ROUNDINGS * 2.0**-24 * max(np.abs(value).max(), 1.0)
    else:
        bound = bound + (loss + 2 * depth * 2.0**-23) * scale + np.finfo(np.float32).tiny
    if dtype == "float16":
        bound = bound + 2.0**-25  # numbers below the normal ones
    got = result.astype(np.float64)
    if not np.array_equal(np.isfinite(got), np.isfinite(value)):
        raise Wrong(f"{np.mean(~np.isfinite(got)):.2%} of the result is not finite")
    return float(np.max(np.abs(got - value) / bound, initial=0, where=np.isfinite(value)))


# -- the stage ----------------------------------------------------------------------------------

Piece = tuple[str, Callable[[], dict[str, Any]]]


def run(device: str, budget: Budget, seed: int, only: str = "") -> Iterator[Row]:
    """Yield a row for each call whose name contains ``only``; the most telling come first."""
    place = Place(device)
    pieces = (
        piece
        for group in (small, odd, sized, tiles, real)
        for piece in group(place, seed)
        if only in piece[0]
    )
    yield from each(STAGE, budget, pieces)


def _piece(place: Place, case: cases.Case, kind: str, layout: str = "contiguous") -> Piece:
    return f"{case.label} {kind} {layout}", lambda: check(place, case, kind, layout)


def small(place: Place, seed: int, layouts: tuple[str, ...] = tuple(LAYOUTS)) -> Iterator[Piece]:
    """Yield a call of every kernel, dtype and order of memory."""
    for case in cases.small(seed):
        for dtype in DTYPES:
            for layout in ("contiguous",) if case.written else layouts:
                yield _piece(place, case, "tf32" if dtype == "float32" else dtype, layout)


def odd(place: Place, seed: int) -> Iterator[Piece]:
    """Yield convolutions with strides, dilations, groups, paddings and few channels."""
    for number, case in enumerate(cases.directions(seed, cases.odd_geometries())):
        for kind in KINDS:
            yield _piece(place, case, kind, list(LAYOUTS)[number // 3 % len(LAYOUTS)])


def sized(place: Place, seed: int) -> Iterator[Piece]:
    """Yield calls of other sizes, of images channels-last as in networks."""
    for case in cases.sized(seed):
        for dtype in DTYPES:
            layout = "contiguous" if case.depth else "channels_last"
            yield _piece(place, case, dtype, layout)


def tiles(place: Place, seed: int) -> Iterator[Piece]:
    """Yield convolutions and products with every tile of the table."""
    some = list(cases.directions(seed, cases.aligned_geometries()))
    some += [case for case in cases.rows(np.random.default_rng(seed), 37) if case.depth]
    for kind, math in MATH.items():
        for tile in choice.TILES[math]:
            for case in some:
                if case.kernel == "matmul" and kind == "tf32":
                    continue  # float32 matrix products are never TF32
                name, work = _piece(place, case, kind)
                yield (
                    f"{name} tile {tile.rows}x{tile.columns}",
                    lambda work=work, tile=tile, math=math: _with_tile(work, math, tile),
                )


def _with_tile(work: Callable[[], dict[str, Any]], math: str, tile: Any) -> dict[str, Any]:
    with only_tile(math, tile):
        return work()


@contextlib.contextmanager
def only_tile(math: str, tile: Any) -> Iterator[None]:
    """Have every product of a kind of arithmetic take one tile."""
    before = choice.TILES[math]
    choice.TILES[math] = (tile, tile)  # also where operands are odd
    try:
        yield
    finally:
        choice.TILES[math] = before


def real(place: Place, seed: int) -> Iterator[Piece]:
    """Yield layers of networks."""
    for case in cases.directions(seed, cases.real_geometries()):
        for kind in KINDS:
            yield _piece(place, case, kind, "channels_last")


def sanitized(device: str, budget: Budget, seed: int, only: str = "") -> Iterator[Row]:
    """Yield rows for small calls of every kernel; for a process that a sanitizer watches."""
    if device == "cuda":
        import cupy

        cupy.cuda.set_allocator(None)  # a pool would hide what lies beyond an array
    place = Place(device)
    found = small(place, seed, ("contiguous",))
    yield from each("sanitizer", budget, (piece for piece in found if only in piece[0]))


# -- compiling ----------------------------------------------------------------------------------


def variants() -> list[launching.Variant]:
    """Return the kernels that the modules of the backend list, each once."""
    found: dict[tuple[str, str], launching.Variant] = {}
    for module in pkgutil.walk_packages(cuda.__path__, f"{cuda.__name__}."):
        if not module.name.startswith(f"{cuda.__name__}.driver."):  # these hold no kernels
            for variant in getattr(importlib.import_module(module.name), "VARIANTS", ()):
                found.setdefault((variant.source, variant.name), variant)
    return list(found.values())


def compiled(device: str, budget: Budget, seed: int, only: str = "") -> Iterator[Row]:
    """Yield a row for each source that is compiled and loaded, several at a time.

    CuPy keeps the results, so the stages after this one do not wait for the compiler.
    """
    Place(device)  # brings what kernels run on
    sources: dict[str, list[launching.Variant]] = {}
    for variant in variants():
        if only in variant.name:
            sources.setdefault(variant.source, []).append(variant)

    def work(group: list[launching.Variant]) -> Row:
        def load() -> None:
            for variant in group:
                launching.runner().function(variant)

        names = " ".join(variant.name for variant in group)
        defines = " ".join(f"{k}={v}" for k, v in group[0].defines.items())
        return next(each("compile", budget, [(f"{names} {defines}", load)]))

    with ThreadPoolExecutor(8) as pool:
        yield from pool.map(work, sources.values())
