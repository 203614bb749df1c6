"""What an attack works on: a model, the samples, where it may look, and what it has cost so far."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import prod
from typing import Any
from zlib import crc32

import numpy as np

from ..autograd import enable_grad, grad, no_grad
from ..backend import random
from ..errors import ArgumentError, GradientError
from ..ops import as_tensor, cat, stack, where
from ..train.progress import progress_bar
from . import geometry
from .losses import Loss, margin

DRAWN = 1 << 14  # random numbers that are made at a time: what fits into a cache
TOGETHER = 1024  # images in a pass where an attack tries many a sample


class Problem:
    """A batch of samples under attack.

    Attributes
    ----------
    model : callable
        From images ``(N, ...)`` to logits ``(N, K)``.
    x : Tensor
        The clean images.
    y : int64 Tensor (N,)
        Where to come from: the true classes. If ``targeted``, where to go.
    attack : str
        Name, for messages, and for the random numbers.
    targeted : bool, default False
        Which of the two ``y`` is.
    eps : Tensor or None
        Radius, in a shape that broadcasts over ``x``; ``None``, the default, for a least
        perturbation.
    norm : str, default "linf"
        ``"linf"``, ``"l2"``, ``"l1"`` or ``"l0"``.
    bounds : (float, float), default (0, 1)
        Legal values of ``x``.
    mask : bool Tensor or None
        Which values may change, in the shape of ``x``; ``None``, the default, for all.
    eot : int, default 1
        Passes of which a gradient is the mean.
    seed : int, default 0
        From which the random numbers follow.
    initial : Tensor or None
        Images in the shape of ``x`` that the user gave to start from; default none.
    most : int or None
        Images that the model gets at a time in :meth:`logits`; ``None``, the default, for all.
    index : int64 array (N,)
        Number of each sample in the whole data set, from which its random numbers follow; default
        0 to N-1.
    """

    def __init__(
        self,
        model: Callable[[Any], Any],
        x: Any,
        y: Any,
        *,
        attack: str,
        norm: str = "linf",
        eps: Any = None,
        bounds: tuple[float, float] = (0, 1),
        targeted: bool = False,
        mask: Any = None,
        eot: int = 1,
        seed: int = 0,
        index: np.ndarray | None = None,
        initial: Any = None,
        most: int | None = None,
    ) -> None:
        self.model, self.x, self.y = model, x, y
        self.attack, self.norm, self.eps, self.bounds = attack, norm, eps, bounds
        self.targeted, self.mask, self.eot, self.seed = targeted, mask, eot, seed
        self.index = np.arange(len(x)) if index is None else index
        self.initial, self.most = initial, most
        self.queries = np.zeros((len(x), 2), np.int64)
        self._rows = np.arange(len(x))  # where the samples are in ``queries``

    def __len__(self) -> int:
        return len(self.x)

    def take(self, rows: np.ndarray) -> Problem:
        """Return the problem of some of the samples; what they cost counts here, too."""
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        part = object.__new__(Problem)
        part.__dict__.update(self.__dict__)
        part.index, part._rows = self.index[rows], self._rows[rows]
        for name in ("x", "y", "eps", "mask", "initial"):
            values = getattr(self, name)
            setattr(part, name, None if values is None else values[as_tensor(rows)])
        return part

    def aimed(self, target: Any) -> Problem:
        """Return the problem of reaching the classes ``target``, int64 ``(N,)``, instead."""
        part = self.take(np.arange(len(self)))
        part.y, part.targeted = target, True
        return part

    def through(self, transform: Callable[[Any], Any]) -> Problem:
        """Return the problem with the images transformed before the model sees them."""
        part, model = self.take(np.arange(len(self))), self.model
        part.model = lambda x: model(transform(x))
        return part

    # -- the model --------------------------------------------------------------------------

    def logits(self, x: Any) -> Any:
        """Return the logits, without a graph. One forward pass."""
        self._count(1, 0)
        size = len(x) if self.most is None else self.most
        with no_grad():
            if len(x) <= size:
                return self.model(x)
            parts = [self.model(x[i : i + size]) for i in range(0, len(x), size)]
            return cat(parts)

    def trials(self, points: Any, loss: Loss = margin) -> tuple[Any, np.ndarray]:
        """Return the loss and the success of several images a sample, ``(N, P, ...)``, as (N, P).

        P forward passes a sample; the model gets as many images at a time as the batch has, or
        1,024 if that is more.
        """
        n, count = points.shape[:2]
        size = max(1, TOGETHER // max(n, 1))
        values, success = [], []
        for start in range(0, count, size):
            part = points[:, start : start + size]
            many = self.take(np.repeat(np.arange(n), part.shape[1]))
            logits = many.logits(part.reshape(len(many), *self.x.shape[1:]))
            values.append(loss(logits, many.y).detach().reshape(n, -1))
            success.append(many.succeeds(logits).reshape(n, -1))
        return cat(values, 1), np.concatenate(success, 1)

    def _count(self, forward: int, backward: int) -> None:
        # A sample may be in the batch more than once, so ``queries[rows] += 1`` would not do.
        np.add.at(self.queries, self._rows, (forward, backward))

    def gradient(self, x: Any, loss: Loss) -> tuple[Any, Any, Any]:
        """Return loss ``(N,)``, its gradient in the shape of ``x``, and the logits.

        With ``eot`` above 1 the means over as many passes, for a model that is random itself
        (Athalye et al., 2018, "Synthesizing robust adversarial examples", arXiv 1707.07397). What
        the mask protects has gradient 0.

        Raises
        ------
        GradientError
            If the logits do not depend on the images through differentiable functions.
        """
        value, slopes, logits = self.gradients(x, [loss])
        return value[:, 0], slopes[:, 0], logits

    def gradients(self, x: Any, losses: Sequence[Loss]) -> tuple[Any, Any, Any]:
        """Return several losses ``(N, C)``, their gradients ``(N, C, ...)``, and the logits.

        One forward pass, and a backward pass for each loss; otherwise as :meth:`gradient`.
        """
        sums: list[Any] = []
        for _ in range(self.eot):
            parts = self._gradients(x.detach().requires_grad_(), losses)
            sums = [a + b for a, b in zip(sums, parts, strict=True)] if sums else parts
        values, slopes, logits = (s / self.eot if self.eot > 1 else s for s in sums)
        return (
            values,
            slopes if self.mask is None else where(self.mask[:, None], slopes, 0.0),
            logits,
        )

    def _gradients(self, x: Any, losses: Sequence[Loss]) -> list[Any]:
        self._count(1, len(losses))
        values, slopes = [], []
        with enable_grad():
            logits = self.model(x)
            for number, loss in enumerate(losses):
                value = loss(logits, self.y)
                if not value.requires_grad:
                    raise GradientError(
                        f"{self.attack}: the logits do not depend on the images through "
                        "differentiable functions, so there is no gradient to follow; attack with "
                        "scores (square) or labels (hop_skip_jump) alone, or give the blocking "
                        "part a stand-in gradient (BPDA)"
                    )
                (slope,) = grad(
                    value.sum(), x, materialize_grads=True, retain_graph=number + 1 < len(losses)
                )
                values.append(value.detach())
                slopes.append(slope)
        return [stack(values, 1), stack(slopes, 1), logits.detach()]

    def succeeds(self, logits: Any) -> np.ndarray:
        """Return for which samples these logits are a success, by a strict margin."""
        wrong = (-margin(logits, self.y) if self.targeted else margin(logits, self.y)) > 0
        return wrong.numpy(force=True)

    def likeliest_others(self, count: int | None = None) -> Any:
        """Return the classes besides y with the largest logits at the clean images, ``(N, count)``.

        One forward pass; all other classes if ``count`` is None or too large.
        """
        ranked = self.logits(self.x).argsort(1, descending=True, stable=True).numpy(force=True)
        y = self.y.numpy(force=True)
        others = np.stack([row[row != label] for row, label in zip(ranked, y, strict=True)])
        return as_tensor(others[:, :count], device=self.x.device)

    # -- where it may look ------------------------------------------------------------------

    def project(self, x: Any) -> Any:
        """Return ``x`` moved into ball and box; what the mask protects is the clean value."""
        if self.eps is None:
            x = geometry.clip(x, self.bounds)
        else:
            x = geometry.project(x, self.x, self.eps, self.norm, self.bounds)
        return x if self.mask is None else where(self.mask, x, self.x)

    # -- random numbers ---------------------------------------------------------------------

    def uniform(self, *shape: int, restart: int = 0, step: int = 0) -> Any:
        """Return numbers uniform on [0, 1), ``(N, *shape)``.

        Those of a sample follow from the seed, the attack, the sample's index, the restart and the
        step alone; the batch it is in does not matter.
        """
        return self._draw(random.uniform, shape, restart, step)

    def normal(self, *shape: int, restart: int = 0, step: int = 0) -> Any:
        """Return standard normal numbers, ``(N, *shape)``; see :meth:`uniform`."""
        return self._draw(random.normal, shape, restart, step)

    def _draw(self, kind: Any, shape: tuple[int, ...], restart: int, step: int) -> Any:
        if not len(self):
            return self.x.new_zeros((0, *shape))
        key = (self.seed & random.WORD) | crc32(self.attack.encode()) << 32
        stream = random.Stream.ATTACK | restart << 8
        backend, dtype = self.x.device.backend, self.x.dtype.name
        draws = [int(index) << 32 | step for index in self.index]
        size = max(1, DRAWN // max(prod(shape), 1))
        parts = [
            kind(backend, shape, dtype, key, stream, draws[i : i + size])
            for i in range(0, len(draws), size)
        ]
        numbers = parts[0] if len(parts) == 1 else backend.xp.concat(parts)
        return as_tensor(numbers, device=self.x.device)

    def minibatches(self, size: int, epoch: int) -> Iterator[np.ndarray]:
        """Return the rows in random order, ``size`` at a time: for attacks that couple samples."""
        key = (self.seed & random.WORD) | crc32(self.attack.encode()) << 32
        backend = self.x.device.backend
        order = random.permutation(backend, len(self), key, random.Stream.ATTACK, epoch)
        rows = as_tensor(order).numpy(force=True)
        return (rows[start : start + size] for start in range(0, len(rows), size))

    def start(self, restart: int, surface: bool = False) -> Any:
        """Return a random image, uniform in the ball, then moved into the box.

        In the L2 and L1 ball of a space with many dimensions nearly all points are near the
        surface: ``radius / eps`` to the power of the number of dimensions is uniform. With
        ``surface`` it is 1; in the Linf ball, a cube, that gives one of its corners.
        """
        shape, count = self.x.shape, self.x[0].numel() if len(self) else 1
        if self.norm == "linf":
            change = self.uniform(*shape[1:], restart=restart) * 2 - 1
            change = where(change < 0, -1.0, 1.0).to(change.dtype) if surface else change
        elif self.norm == "l2":
            direction = self.normal(count, restart=restart)
            change = direction / (direction * direction).sum(1, keepdim=True).sqrt()
            if not surface:
                change = change * self.uniform(1, restart=restart, step=1) ** (1 / count)
        else:
            # Normalised exponential numbers are uniform on the simplex (one more than dimensions
            # makes it the filled one), random signs turn it into the ball.
            sizes = -(1 - self.uniform(count + 1, restart=restart)).log()
            signs = where(self.uniform(count, restart=restart, step=1) < 0.5, -1.0, 1.0)
            sizes = sizes[:, :count] if surface else sizes
            change = sizes[:, :count] / sizes.sum(1, keepdim=True) * signs
        return self.project(self.x + change.reshape(shape) * self.eps)

    def steps(self, count: int) -> Iterator[int]:
        """Count from 0 to ``count - 1`` beside a progress bar, which appears after a second."""
        with progress_bar(count, 0, self.attack, unit="step", delay=1) as bar:
            for step in range(count):
                yield step
                bar.update()


def radius(attack: str, eps: Any, x: Any, norm: str) -> Any:
    """Return ``eps`` as a tensor that broadcasts over ``x``, one row a sample.

    A number, one number a sample ``(N,)``, or, for ``"linf"``, any shape with as many dimensions
    as a sample or as ``x`` that broadcasts over it: ``(C, 1, 1)`` is one radius a channel.
    """
    values = np.asarray(eps.numpy(force=True) if hasattr(eps, "numpy") else eps, np.float64)
    if not (np.isfinite(values).all() and (values >= 0).all()):
        raise ArgumentError(f"{attack}: argument 'eps' must be finite and at least 0, got {eps!r}")
    n, dims = len(x), x.ndim - 1
    if values.ndim == 0:
        values = np.full((n, *[1] * dims), values)
    elif values.shape == (n,):
        values = values.reshape(n, *[1] * dims)
    elif values.ndim not in (dims, dims + 1):
        raise ArgumentError(
            f"{attack}: argument 'eps' of shape {values.shape} is neither one number, nor one a "
            f"sample {(n,)}, nor does it broadcast over images of shape {tuple(x.shape)}"
        )
    else:
        if norm != "linf" and values.size not in (1, n):
            raise ArgumentError(f"{attack}: one 'eps' a channel is for norm='linf', not {norm!r}")
        try:
            per_sample = values if values.ndim == dims + 1 else values[None]
            np.broadcast_to(per_sample, tuple(x.shape))
            values = np.broadcast_to(per_sample, (n, *per_sample.shape[1:]))
        except ValueError:
            raise ArgumentError(
                f"{attack}: argument 'eps' of shape {values.shape} does not broadcast over images "
                f"of shape {tuple(x.shape)}"
            ) from None
    return as_tensor(values.astype(x.dtype.name), device=x.device)


def sample_numbers(index: Any, count: int) -> np.ndarray:
    """Return the numbers of the samples: 0 to N-1, or those of the argument ``index``."""
    if index is None:
        return np.arange(count)
    numbers = np.asarray(index, np.int64).ravel()
    if numbers.shape != (count,) or (numbers < 0).any() or (numbers > random.WORD).any():
        raise ArgumentError(
            f"argument 'index' must hold one number from 0 to 2**32 - 1 for each of the {count} "
            f"samples, got {index!r}"
        )
    return numbers
