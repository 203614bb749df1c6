"""Softmax and cross-entropy in one kernel, and their gradient in another."""

from __future__ import annotations

from typing import Any

from .. import reference
from .launching import Kernel, blocks_for
from .layout import Array, is_fast, plain

THREADS = 256
FORWARD = Kernel(
    "loss.cu",
    "softmax_cross_entropy",
    "logits target loss probabilities rows:int64 classes:int32",
    ("reduce.cuh",),
    threads=THREADS,
)
BACKWARD = Kernel(
    "loss.cu",
    "softmax_cross_entropy_grad",
    "probabilities target g out rows:int64 classes:int32",
    ("reduce.cuh",),
    threads=THREADS,
)
#: Whether each row has a gradient of its own, or one serves all: the stride of ``g``.
STEPS = (0, 1)
VARIANTS = [
    v for kernel in (FORWARD, BACKWARD) for step in STEPS for v in kernel.of_each(STEP=step)
]


def softmax_cross_entropy(xp: Any, logits: Array, target: Array) -> tuple[Array, Array]:
    """Return the loss of each row, and the probabilities."""
    if not is_fast(logits) or not logits.size:
        return reference.softmax_cross_entropy(xp, logits, target)
    logits, target = plain(xp, logits), plain(xp, target)
    rows, classes = logits.shape
    loss, probabilities = xp.empty((rows,), dtype=logits.dtype), xp.empty_like(logits)
    FORWARD.of(logits.dtype, STEP=1)(
        blocks_for(rows, THREADS // 32), THREADS,
        logits, target, loss, probabilities, rows, classes,
    )  # fmt: skip
    return loss, probabilities


def softmax_cross_entropy_grad(xp: Any, probabilities: Array, target: Array, g: Array) -> Array:
    """Return the gradient with respect to the logits, ``(p - onehot(target)) * g``."""
    if not is_fast(probabilities, g) or not probabilities.size:
        return reference.softmax_cross_entropy_grad(xp, probabilities, target, g)
    probabilities, target = plain(xp, probabilities), plain(xp, target)
    same = g.strides == (0,) or g.shape == (1,)  # what the gradient of a mean is
    if not same:
        g = plain(xp, g)
    rows, classes = probabilities.shape
    out = xp.empty_like(probabilities)
    BACKWARD.of(out.dtype, STEP=int(not same))(
        blocks_for(out.size, THREADS), THREADS, probabilities, target, g, out, rows, classes
    )
    return out
