"""Images as the tanh of free variables, which can never leave the box, and Adam to move them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ops import as_tensor, atanh, where
from ..geometry import clip, rows


class TanhSpace:
    """The change of variables ``x = middle + half * tanh(w)`` of Carlini and Wagner.

    An image is shrunk towards the middle by a factor of 0.999999 on the way to ``w``: values at a
    bound would be at infinity, where tanh is flat, and could never move.
    """

    shrink = 0.999999

    def __init__(self, bounds: tuple[float, float]) -> None:
        self.bounds = bounds
        self.middle, self.half = (bounds[0] + bounds[1]) / 2, (bounds[1] - bounds[0]) / 2

    def variables(self, x: Any) -> Any:
        """Return ``w`` for the images ``x``."""
        return atanh(clip((x - self.middle) / self.half, (-1.0, 1.0)) * self.shrink)

    def images(self, w: Any) -> Any:
        """Return the images for ``w``, in the box exactly."""
        return clip(w.tanh() * self.half + self.middle, self.bounds)

    def slope(self, slope: Any, w: Any) -> Any:
        """Return the gradient with respect to ``w`` from that with respect to the images."""
        tanh = w.tanh()
        return slope * ((1 - tanh * tanh) * self.half)


class Adam:
    """Adam (Kingma and Ba, 2015) where each sample has its own age and can start afresh."""

    betas = (0.9, 0.999)
    eps = 1e-8

    def __init__(self, w: Any) -> None:
        self.mean = self.square = w * 0
        self.age = np.zeros(len(w), np.int64)

    def step(self, slope: Any, lr: float) -> Any:
        """Return the step downhill."""
        self.age = self.age + 1
        a, b = self.betas
        self.mean = self.mean * a + slope * (1 - a)
        self.square = self.square * b + slope * slope * (1 - b)
        first, second = (column(1 - beta**self.age, slope) for beta in self.betas)
        return self.mean / first * -lr / ((self.square / second).sqrt() + self.eps)

    def take(self, alive: np.ndarray) -> None:
        """Keep only some of the samples."""
        chosen = as_tensor(alive, device=self.mean.device)
        self.mean, self.square = self.mean[chosen], self.square[chosen]
        self.age = self.age[alive]

    def reset(self, chosen: np.ndarray) -> None:
        """Forget everything of the samples of which ``chosen`` is true."""
        if chosen.any():
            keep = column(~chosen, self.mean) != 0
            self.mean, self.square = where(keep, self.mean, 0.0), where(keep, self.square, 0.0)
            self.age = np.where(chosen, 0, self.age)


def column(values: np.ndarray, x: Any) -> Any:
    """Return one number a sample as a tensor that broadcasts over ``x``, in its dtype."""
    return rows(as_tensor(values.astype(x.dtype.name), device=x.device), x)
