"""Softmax and cross-entropy in one kernel, and their gradient in another.

A few neighbours in a warp share a row: the fewer classes, the more rows a warp has. The mean over
the rows is found on the way: each block adds up its own, and a second launch the blocks, if there
are several.
"""

from __future__ import annotations

from typing import Any

from .. import reference
from .driver.launching import Kernel, blocks_for, name_of
from .layout import Array, is_fast, plain
from .loops.tiling import power

THREADS = 256
#: Classes of a row that a thread takes, if there are few, and numbers that a block has at least.
CLASSES, PIECE = 4, 4096


def _kernel(name: str, fields: str) -> Kernel:
    return Kernel("loss.cu", name, fields, ("reduce.cuh",), threads=THREADS)


FORWARD = _kernel(
    "softmax_cross_entropy",
    "logits target loss probabilities rows:int64 classes:int32 lanes:int32",
)
MEAN, MERGE = (
    _kernel(
        name,
        "logits labels probabilities target parts loss count rows:int64 ignored:int64 "
        "classes:int32 lanes:int32 mean:int32 blocks:int32",
    )
    for name in ("mean_cross_entropy", "merge_losses")
)
BACKWARD = _kernel(
    "softmax_cross_entropy_grad", "probabilities target g count out rows:int64 classes:int32"
)
#: Whether each row has a gradient of its own, or one serves all: the stride of ``g``. One
#: compilation makes what a step takes.
OF_EACH, OF_ALL = {"STEP": 1}, {"STEP": 0}
VARIANTS = [
    *[v for kernel in (FORWARD, BACKWARD) for v in kernel.of_each(**OF_EACH)],
    *[v for kernel in (MEAN, MERGE, BACKWARD) for v in kernel.of_each(**OF_ALL)],
]


def softmax_cross_entropy(xp: Any, logits: Array, target: Array) -> tuple[Array, Array]:
    """Return the loss of each row, and the probabilities."""
    if not is_fast(logits) or not logits.size:
        return reference.softmax_cross_entropy(xp, logits, target)
    logits, target = plain(xp, logits), plain(xp, target)
    rows, classes = logits.shape
    loss, probabilities = xp.empty((rows,), dtype=logits.dtype), xp.empty_like(logits)
    lanes = _lanes(classes)
    FORWARD.of(logits.dtype, **OF_EACH)(
        blocks_for(rows, THREADS // lanes), THREADS,
        logits, target, loss, probabilities, rows, classes, lanes,
    )  # fmt: skip
    return loss, probabilities


def mean_cross_entropy(
    xp: Any, logits: Array, labels: Array, ignored: int, mean: bool
) -> tuple[Array, Array, Array, Array]:
    """Return loss, probabilities, labels and their number; see the reference kernel."""
    if not is_fast(logits) or not logits.size:
        return reference.mean_cross_entropy(xp, logits, labels, ignored, mean)
    if name_of(labels.dtype) != "int64":
        labels = labels.astype(xp.int64)
    logits, labels = plain(xp, logits), plain(xp, labels)
    rows, classes = logits.shape
    probabilities, target = xp.empty_like(logits), xp.empty_like(labels)
    loss, count = xp.empty((), dtype=logits.dtype), xp.empty((), dtype=xp.int64)
    lanes = _lanes(classes)
    blocks = blocks_for(rows, max(THREADS // lanes, PIECE // classes))
    parts = xp.empty((blocks, 2), dtype=xp.float64) if blocks > 1 else None
    arguments = (
        logits, labels, probabilities, target, parts, loss, count, rows, ignored, classes, lanes,
        mean, blocks,
    )  # fmt: skip
    MEAN.of(logits.dtype, **OF_ALL)(blocks, THREADS, *arguments)
    if blocks > 1:
        MERGE.of(logits.dtype, **OF_ALL)(1, THREADS, *arguments)
    return loss, probabilities, target, count


def softmax_cross_entropy_grad(
    xp: Any, probabilities: Array, target: Array, g: Array, count: Array | None = None
) -> Array:
    """Return the gradient with respect to the logits; see the reference kernel."""
    if not is_fast(probabilities, g) or not probabilities.size:
        return reference.softmax_cross_entropy_grad(xp, probabilities, target, g, count)
    probabilities, target = plain(xp, probabilities), plain(xp, target)
    same = g.strides == (0,) or g.shape == (1,)  # what the gradient of a mean is
    if not same:
        g = plain(xp, g)
    rows, classes = probabilities.shape
    out = xp.empty_like(probabilities)
    BACKWARD.of(out.dtype, **(OF_ALL if same else OF_EACH))(
        blocks_for(out.size, THREADS), THREADS,
        probabilities, target, g, count, out, rows, classes,
    )  # fmt: skip
    return out


def _lanes(classes: int) -> int:
    """Return how many threads share a row: a power of two, a warp at most."""
    return min(power(-(-classes // CLASSES)), 32)
