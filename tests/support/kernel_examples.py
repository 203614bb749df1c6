"""Arguments for one call of every kernel, as NumPy arrays."""

import operator

import numpy as np
from kernel_cases import random_array

ONES = ((1, 1), (1, 1))
GEOMETRY = ((2, 1), ((1, 0), (2, 1)), (1, 2))
#: Kernels that take lists of arrays, or write into their arguments; tested in test_optim.py,
#: test_scaling.py, test_norm.py and test_cpu_elementwise.py.
IN_PLACE = {
    "accumulate", "move_averages", "sgd", "adam", "rmsprop", "adagrad", "adadelta",
    "unscale", "next_scale", "total_norm", "clip_to_norm",
}  # fmt: skip
TARGET = np.array([1, -1, 0, 3])


def examples(dtype="float64"):
    """Return {kernel: arguments after xp}; arrays are of ``dtype`` where the kernel allows."""
    x, w = random_array((2, 4, 6, 7), dtype), random_array((6, 2, 3, 2), dtype)
    dy = random_array((2, 6, 3, 8), dtype)
    pool = ((3, 2), (2, 2), ONES, (1, 2))
    window = (np.arange(2 * 4 * 3 * 4) % 6).astype(np.uint8).reshape(2, 4, 3, 4)
    small = random_array((2, 4, 3, 4), dtype)
    channel, groups = random_array((4,), dtype), random_array((2, 2), dtype)
    p = np.full((4, 5), 0.2, dtype)
    rows = random_array((9, 3), dtype)
    return {
        "conv": (x, w, random_array((6,), dtype), *GEOMETRY, 2),
        "conv_with_statistics": (x, w, random_array((6,), dtype), *GEOMETRY, 2),
        "conv_input_grad": (dy, w, (6, 7), *GEOMETRY, 2, channel),
        "conv_weight_grad": (x, dy, (3, 2), *GEOMETRY, 2),
        "max_pool": (x, *pool, (4, 4)),
        "max_pool_grad": (small, window, (6, 7), *pool),
        "max_pool_take": (x, window, *pool),
        "sum_pool": (x, (3, 2), (2, 2), ONES, (4, 5)),
        "sum_pool_grad": (small, (6, 7), (3, 2), (2, 2), ONES),
        "relu": (x,),
        "relu_grad": (x + 1, x),
        "hardtanh": (x, -0.5, 0.75),
        "hardtanh_grad": (x + 1, x, -0.5, 0.75),
        "leaky_relu": (x, 0.1),
        "leaky_relu_grad": (x + 1, x, 0.1),
        "masked": (x, x > 0.3),
        "batch_statistics": (x,),
        "batch_norm": (x, channel, np.abs(channel), channel, channel, 1e-5, x + 1, (0.0, 6.0)),
        "batch_norm_grad": (
            x,
            x + 1,
            channel,
            np.abs(channel),
            channel,
            channel,
            1e-5,
            x - 1,
            (0.0, 6.0),
            True,
        ),
        "group_norm": (x, 2, channel, channel, 1e-5),
        "group_norm_grad": (x, x + 1, groups, np.abs(groups), channel, 1e-5),
        "layer_norm": (x, 2, x[0, 0], x[1, 1], 1e-5),
        "layer_norm_grad": (x, x + 1, small[..., 0, 0], np.abs(small[..., 0, 1]), x[0, 0], 1e-5),
        "softmax_cross_entropy": (random_array((4, 5), dtype), TARGET),
        "softmax_cross_entropy_grad": (p, TARGET, channel),
        "mean_cross_entropy": (random_array((4, 5), dtype), TARGET, -1, True),
        "softmax": (x, 1),
        "softmax_grad": (x + 1, x, 2),
        "log_softmax": (x, 3),
        "log_softmax_grad": (x + 1, x, 1),
        "sigmoid": (x,),
        "silu": (x,),
        "silu_grad": (x + 1, x),
        "gelu": (x,),
        "gelu_grad": (x + 1, x),
        "concat": (1, x, x[:, :3]),
        "split": (x, (1, 0, 3), 1),
        "resample": (x, 2, np.array([0, 2, 2, 3]), np.array([1, 0, 3]), random_array((3,), dtype)),
        "dropout": (x, 2**31, 2.0, (1, 2), (3, 4, 1)),
        "kept": (x, x > 0, 2.0),
        "copy": (x,),
        "reshape": (x, (2, 168)),
        "total": (x, (0, 2, 3)),
        "elementwise": (operator.sub, x, x[:, :1] + 1),
        "matmul": (
            random_array((4, 5), dtype),
            random_array((5, 3), dtype),
            channel[:3],
            (-0.5, 1.0),
        ),
        "wide_matmul": (random_array((2, 4, 5), dtype), random_array((5, 3), dtype)),
        "erf": (x,),
        "erfinv": (x / 4,),
        "scatter_add": (4, np.array([3, 0, 3, 1, 1, 3, 0, 0, 3]), rows),
        "distances": (x[..., 0], x[..., 1] + 0.1, 3.0),
        "distances_grad": (x[:, :, :4, 2], x[..., 0], x[..., 1], np.abs(x[:, :, :4, 3]), 3.0),
        "cumulative_extreme": (x, 2, False),
        "place_of_rank": (x, 2, np.arange(56).reshape(2, 4, 1, 7) % 6),
        "place_of_mode": (np.round(x * 2), 3),
        "scatter_reduce": (4, np.array([3, 0, 2, 1, 1, 3, 0, 0, 3]), rows, "amin"),
        "scatter_last": (5, np.array([3, 0, 3, 1, 1, 3, 0, 0, 3])),
        "philox": (11, (1, 2**32 - 1), (3, 2**31, 5)),
        "philox_rows": (3, (1, 2**32 - 1), np.array([7, 2**64 - 1, 2**32], np.uint64), 5),
    }
