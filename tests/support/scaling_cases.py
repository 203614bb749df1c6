"""Calls of the kernels that take all gradients at once."""

import math

import numpy as np
from kernel_cases import random_array

SHAPES = [(3, 4), (), (2, 3, 5, 2), (0, 3), (5000,), (1, 7, 1), (4096,), (4097,)]


def calls(dtype="float64", shapes=SHAPES):
    """Return {name: (kernel, arguments after xp)}; all but ``total_norm`` write into them."""
    arrays = [random_array(shape, dtype, seed) for seed, shape in enumerate(shapes)]
    single = np.asarray(3.0, "float32")

    def fresh():
        return [array.copy() for array in arrays]

    found = {"unscale": ("unscale", (fresh(), single.copy()))}
    for order in (1.0, 2.0, math.inf):
        found[f"total_norm {order}"] = ("total_norm", (fresh(), order))
    for limit in (0.5, 1e9):
        found[f"clip_to_norm {limit}"] = (
            "clip_to_norm", (fresh(), np.asarray(100.0, dtype), limit)
        )  # fmt: skip
    for steps, bad in ((0, 0.0), (4, 0.0), (4, 1.0), (3, 1.0)):
        found[f"next_scale {steps} {bad}"] = (
            "next_scale",
            (
                single.copy(), np.asarray(steps, "int64"), np.asarray(bad, "float32"),
                2.0, 0.25, 5,
            ),
        )  # fmt: skip
    return found
