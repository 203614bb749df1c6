"""Adam for attacks, where each sample may be at another step."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ops import as_tensor, where
from ..geometry import column


class Adam:
    """Adam (Kingma and Ba, 2015) where each sample has its own age and can start afresh.

    A sample is a row of ``w``: an image, or a channel of the one patch that all images share.
    """

    betas = (0.9, 0.999)
    eps = 1e-8

    def __init__(self, w: Any) -> None:
        self.mean = self.square = w * 0
        self.age = np.zeros(len(w), np.int64)

    def step(self, slope: Any, lr: Any) -> Any:
        """Return the step downhill; ``lr`` is a number, or a tensor that broadcasts over it."""
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
