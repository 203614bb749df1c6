"""Calls of kernels to check: one small call of each, calls of other sizes, convolutions.

The small calls are those of the tests (``tests/support``), so that no kernel is without one; their
numbers are shuffled anew for each seed.
"""

from __future__ import annotations

import dataclasses
import operator
import sys
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from tinyconv.backend import cuda
from tinyconv.backend.reference import KERNELS

SUPPORT = Path(__file__).parent.parent.parent / "tests" / "support"
if str(SUPPORT) not in sys.path:
    sys.path.append(str(SUPPORT))

ONES = ((1, 1), (1, 1))


@dataclasses.dataclass
class Case:
    """A call of a kernel, its floating-point arrays in float64.

    ``depth`` is the number of products in each sum of a convolution or matrix product, else 0.
    ``written`` says that results are what the arguments hold afterwards.
    """

    kernel: str
    label: str
    arguments: tuple[Any, ...]
    depth: int = 0
    written: bool = False


def small(seed: int) -> list[Case]:
    """Return a small call of every overridden kernel."""
    from kernel_examples import IN_PLACE, examples
    from optim_cases import CALLS, arguments
    from scaling_cases import calls

    generator = np.random.default_rng(seed)

    def shuffle(value: Any) -> Any:
        if isinstance(value, np.ndarray) and value.dtype == np.float64:
            return generator.permutation(value.ravel()).reshape(value.shape)
        return value

    found = []
    for name, plain in examples("float64").items():
        if name in cuda.OVERRIDES:
            new = tuple(shuffle(value) for value in plain)
            found.append(Case(name, name, new, depth_of(name, new)))
    for name in CALLS:
        kernel, lists, options = arguments(name)
        new = [None if part is None else [shuffle(np.array(a)) for a in part] for part in lists]
        found.append(Case(kernel, f"optimizer {name}", (*new, *options), written=True))
    for label, (kernel, new) in calls().items():
        found.append(Case(kernel, label, new, written=kernel != "total_norm"))
    x = generator.standard_normal((2, 5, 7))
    found.append(Case("accumulate", "accumulate", (x, x + 1), written=True))
    averages, values = [x[0, 0].copy(), x[0, 1].copy()], [x[1, 0].copy(), np.abs(x[1, 1])]
    found.append(Case("move_averages", "move_averages", (averages, values, 0.1), written=True))
    missing = set(cuda.OVERRIDES) - {case.kernel for case in found}
    if missing or not {case.kernel for case in found if case.written} <= IN_PLACE:
        raise LookupError(f"tests/support has no example for {sorted(missing)}")
    return found


def depth_of(kernel: str, arguments: tuple[Any, ...]) -> int:
    """Return how many products each sum of a call has; 0 for kernels of another kind."""
    first, second = (*arguments, None, None)[:2]
    if kernel in ("conv", "conv_with_statistics"):
        return prod(second.shape[1:])
    if kernel == "conv_input_grad":
        return second.shape[0] // arguments[6] * prod(second.shape[2:])
    if kernel == "conv_weight_grad":
        return second.shape[0] * prod(second.shape[2:])
    return first.shape[-1] if kernel in ("matmul", "wide_matmul") else 0


# -- other sizes --------------------------------------------------------------------------------

#: Images: prime sizes, whole vectors of 16 bytes, more channels than a tile of columns has.
IMAGES = ((5, 37, 19, 23), (4, 64, 32, 32), (3, 264, 7, 9), (1, 1, 129, 67))
PAIRWISE = ("relu_grad", "silu_grad", "gelu_grad")
UNARY = ("relu", "sigmoid", "silu", "gelu", "erf")


def softsign_grad(dy: Any, x: Any) -> Any:
    """Return a formula of several operators."""
    return dy / (abs(x) + 1) / (abs(x) + 1)


def sized(seed: int, images: tuple[tuple[int, ...], ...] = IMAGES) -> Iterator[Case]:
    """Yield calls of larger and odder sizes of the kernels for which size matters."""
    generator = np.random.default_rng(seed)
    normal = generator.standard_normal
    for shape in images:
        x, dy = normal(shape), normal(shape)
        n, c, h, w = shape
        channel, spread = normal(c), np.abs(normal(c)) + 0.5
        calls: dict[str, list[tuple[Any, ...]]] = {name: [(x,)] for name in UNARY}
        calls |= {name: [(dy, x)] for name in PAIRWISE}
        groups = next(g for g in (8, 3, 1) if c % g == 0)
        of_group, apart = normal((n, groups)), np.abs(normal((n, groups))) + 0.5
        pool, out = ((3, 3), (2, 2), ONES), ((h - 1) // 2 + 1, (w - 1) // 2 + 1)
        window = generator.integers(0, 9, (n, c, *out)).astype(np.uint8)
        calls |= {
            "erfinv": [(np.tanh(x) * 0.99,)],
            "cumulative_extreme": [(x, 3, True), (x, 1, False)],
            "elementwise": [(operator.add, x, dy), (softsign_grad, dy, x)],
            "leaky_relu": [(x, 0.1)],
            "hardtanh": [(x, -0.5, 0.75)],
            "masked": [(x, x > 0.3)],
            "dropout": [(x, 2**31, 2.0, (1, 2), (3, 4, 1))],
            "kept": [(x, dy > 0, 2.0)],
            "total": [(x, axes) for axes in ((0, 2, 3), (2, 3), (1,), (0, 1, 2, 3), (3,))],
            "batch_statistics": [(x,), (x + 100,)],
            "batch_norm": [(x, channel, spread, channel, channel, 1e-5, dy, (0.0, 6.0))],
            "batch_norm_grad": [
                (x, dy, channel, spread, channel, channel, 1e-5, dy, (0.0, 6.0), True)
            ],
            "group_norm": [(x, groups, channel, channel, 1e-5)],
            "group_norm_grad": [(x, dy, of_group, apart, channel, 1e-5)],
            "layer_norm": [(x, 2, x[0, 0], dy[0, 0], 1e-5)],
            "softmax": [(x, 1), (x, 3)],
            "softmax_grad": [(dy, np.abs(x) / (h * w), 1)],
            "log_softmax": [(x, 1), (x, 3)],
            "concat": [(1, x, dy[:, : c // 2 + 1])],
            "max_pool": [(x, *pool, (1, 1), out)],
            "max_pool_grad": [(normal((n, c, *out)), window, (h, w), *pool, (1, 1))],
            "sum_pool": [(x, *pool, out)],
            "sum_pool_grad": [(normal((n, c, *out)), (h, w), *pool)],
        }
        for name, several in calls.items():
            for number, arguments in enumerate(several):
                label = f"{name} {'x'.join(map(str, shape))}" + (f" #{number}" if number else "")
                yield Case(name, label, arguments)
    yield from rows(generator, 257 if images is IMAGES else 9)


def rows(generator: np.random.Generator, count: int) -> Iterator[Case]:
    """Yield calls on rows: losses, softmax, scattering, matrix products."""
    normal = generator.standard_normal
    for classes in (1, 10, 33, 1000):
        logits, target = normal((count, classes)) * 10, generator.integers(0, classes, count)
        target[::5] = -100
        yield Case("softmax_cross_entropy", f"loss {count}x{classes}", (logits, target))
        for mean, word in ((True, "mean"), (False, "sum")):
            label = f"loss {count}x{classes} {word}"
            yield Case("mean_cross_entropy", label, (logits, target, -100, mean))
        p, number = np.abs(logits) / 40, np.array(count - len(target[::5]))
        yield Case(
            "softmax_cross_entropy_grad", f"loss_grad {count}x{classes}",
            (p, target, normal(1), number),
        )  # fmt: skip
        yield Case("log_softmax", f"log_softmax {count}x{classes}", (logits, 1))
    index, source = generator.integers(0, 50, count), normal((count, 31))
    yield Case("scatter_add", f"scatter_add {count}x31", (50, index, source))
    yield Case("scatter_last", f"scatter_last {count}", (50, index))
    a, b, grad = normal((2, count, 37)), normal((2, 50, 37)), normal((2, count, 50))
    for p in (0.0, 1.0, 2.0, 3.0, np.inf):
        yield Case("distances", f"distances {count}x50x37 p={p}", (a, b, p))
        if p:
            apart = KERNELS["distances"](np, a, b, p)
            label = f"distances_grad {count}x50x37 p={p}"
            yield Case("distances_grad", label, (grad, a, b, apart, p))
    yield Case("philox", "philox 100003", (100003, (2**32 - 1, 7), (3, 2**31, 5)))
    for m, k, n in ((count, 129, 70), (64, 40 * count, 24), (1, 512, 1000), (40, 72, 256)):
        for order in "CF":
            a, b = np.array(normal((m, k)), order="C"), np.array(normal((k, n)), order=order)
            label = f"matmul {m}x{k}x{n} {order}"
            yield Case("matmul", label, (a, b, normal(n)), k)


# -- convolutions -------------------------------------------------------------------------------


def directions(seed: int, geometries: Any) -> Iterator[Case]:
    """Yield convolutions, given as ``kernel_cases.Geometry``, in three directions, two twice."""
    generator = np.random.default_rng(seed)
    normal = generator.standard_normal
    for g in geometries:
        x, w = (
            normal((g.batch, g.channels, *g.spatial)),
            normal((g.out_channels, g.channels // g.groups, *g.kernel)),
        )
        dy, bias = normal((g.batch, g.out_channels, *g.out)), normal(g.out_channels)
        total = normal(x.shape)
        rest = (g.stride, g.padding, g.dilation, g.groups)
        sizes = f"{g.batch}x{g.channels}x{'x'.join(map(str, g.spatial))}"
        label = f"{sizes} {g.out_channels}x{'x'.join(map(str, g.kernel))} /{g.stride[0]}"
        label += f" g{g.groups}" if g.groups > 1 else ""
        for kernel, arguments in (
            ("conv", (x, w, bias, *rest)),
            ("conv_with_statistics", (x, w, bias, *rest)),
            ("conv_input_grad", (dy, w, g.spatial, *rest)),
            ("conv_input_grad", (dy, w, g.spatial, *rest, None, total)),
            ("conv_weight_grad", (x, dy, g.kernel, *rest)),
        ):
            name = f"{kernel} onto a total" if arguments[-1] is total else kernel
            yield Case(kernel, f"{name} {label}", arguments, depth_of(kernel, arguments))


def odd_geometries() -> list[Any]:
    """Return the geometries of the tests: strides, dilations, groups, paddings, few channels."""
    from kernel_cases import GEOMETRIES

    return list(GEOMETRIES)


def aligned_geometries() -> list[Any]:
    """Return convolutions whose channels fill vectors, to be run with every tile."""
    from kernel_cases import geometry

    none, one = ((0, 0), (0, 0)), ONES
    return [
        geometry(2, 40, 72, (7, 6), (3, 3), (1, 1), one, (1, 1)),
        geometry(2, 40, 72, (9, 7), (3, 3), (2, 2), one, (1, 1)),
        geometry(2, 64, 96, (5, 6), (3, 3), (1, 1), one, (1, 1), 2),
        geometry(3, 40, 72, (7, 6), (1, 1), (1, 1), none, (1, 1)),
    ]


def real_geometries() -> list[Any]:
    """Return layers of networks, on few images: the tiles and slices that they take."""
    from kernel_cases import geometry

    none, one, three = ((0, 0), (0, 0)), ONES, ((3, 3), (3, 3))
    return [
        geometry(4, 64, 64, (28, 28), (3, 3), (1, 1), one, (1, 1)),
        geometry(4, 256, 256, (14, 14), (3, 3), (1, 1), one, (1, 1)),
        geometry(4, 128, 128, (28, 28), (3, 3), (2, 2), one, (1, 1)),
        geometry(8, 256, 64, (28, 28), (1, 1), (1, 1), none, (1, 1)),
        geometry(4, 256, 512, (28, 28), (1, 1), (2, 2), none, (1, 1)),
        geometry(2, 3, 64, (112, 112), (7, 7), (2, 2), three, (1, 1)),
        geometry(64, 1, 6, (28, 28), (5, 5), (1, 1), ((2, 2), (2, 2)), (1, 1)),
        geometry(64, 6, 16, (14, 14), (5, 5), (1, 1), none, (1, 1)),
        geometry(4, 96, 96, (28, 28), (3, 3), (1, 1), one, (1, 1), 96),
    ]
