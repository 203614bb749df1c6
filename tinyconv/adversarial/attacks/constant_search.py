"""The search over the weight of success against distance, one weight a sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import ArgumentError
from ...ops import clamp, where
from ..geometry import rows
from .pgd import check_steps


@dataclass(frozen=True)
class Settings:
    """What the attacks with a search over ``c`` have in common; checked on construction.

    A success counts while searching if the margin is above ``confidence``; the loss is the hinge
    ``max(confidence - margin, 0)``.
    """

    attack: str
    steps: int
    binary_search_steps: int
    initial_const: float
    lr: float
    confidence: float
    abort_early: bool

    def __post_init__(self) -> None:
        check_steps(self.attack, steps=self.steps, binary_search_steps=self.binary_search_steps)
        for name in ("initial_const", "lr"):
            value = getattr(self, name)
            if not 0 < value < float("inf"):
                raise ArgumentError(
                    f"{self.attack}: argument '{name}' must be positive and finite, got {value!r}"
                )
        if not 0 <= self.confidence < float("inf"):
            raise ArgumentError(
                f"{self.attack}: argument 'confidence' must be finite and at least 0, got "
                f"{self.confidence!r}"
            )

    def above(self, margin: Any) -> np.ndarray:
        """Return which margins ``(N,)`` are above the confidence."""
        return (margin > self.confidence).numpy(force=True)

    def hinge(self, margin: Any) -> np.ndarray:
        """Return the loss, as float64 ``(N,)``."""
        missing = clamp(self.confidence - margin, min=0.0)
        return np.asarray(missing.numpy(force=True), np.float64)

    def hinged(self, slope: Any, margin: Any) -> Any:
        """Return the gradient of the margin where the loss is not 0, else 0."""
        return where(rows(margin < self.confidence, slope), slope, 0.0)


class ConstantSearch:
    """The least ``c`` with which minimising ``distance + c * loss`` succeeds.

    As in the code of Carlini and Wagner: ten times as much until the first success, then halfway
    between the largest failure (at first 0) and the smallest success.

    Attributes
    ----------
    c : float64 array (N,)
        What to try next.
    """

    growth = 10.0

    def __init__(self, count: int, first: float) -> None:
        self.c = np.full(count, first)
        self._failure = np.zeros(count)
        self._success = np.full(count, np.inf)

    def update(self, success: np.ndarray) -> None:
        """Go on to the next ``c``, by whether the round with the last one succeeded."""
        self._success = np.where(success, np.minimum(self._success, self.c), self._success)
        self._failure = np.where(success, self._failure, np.maximum(self._failure, self.c))
        known = np.isfinite(self._success)
        middle = (self._failure + np.where(known, self._success, 0.0)) / 2
        self.c = np.where(known, middle, self.c * self.growth)


class Stall:
    """Tell samples whose loss has stopped to fall, by a look at it ten times in a run.

    A sample is stalled if its loss is above 0.9999 times what it was a tenth of the run ago, and
    has not fallen by more than in the tenth before: near a bound tanh is flat, and an image of
    black and white pixels starts slowly, but faster and faster.
    """

    progress = 0.9999

    def __init__(self, count: int, settings: Settings) -> None:
        self.tenth, self.active = max(settings.steps // 10, 1), settings.abort_early
        self._before, self._fall = np.full(count, np.inf), np.zeros(count)

    def __call__(self, loss: np.ndarray, age: np.ndarray) -> np.ndarray:
        """Return which samples, ``age`` steps old and with this ``loss``, are stalled."""
        look, first = age % self.tenth == 0, age == 0
        fall = np.where(first, 0.0, np.where(first, loss, self._before) - loss)
        # A loss of NaN makes no progress.
        slow = ~(loss <= self.progress * self._before) & ~(fall > self._fall)
        self._before = np.where(look, loss, self._before)
        self._fall = np.where(look, fall, self._fall)
        return look & ~first & slow & self.active

    def take(self, alive: np.ndarray) -> None:
        """Keep only some of the samples."""
        self._before, self._fall = self._before[alive], self._fall[alive]
