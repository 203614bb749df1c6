"""Images as the tanh of free variables, which can never leave the box."""

from __future__ import annotations

from typing import Any

from ...ops import atanh
from ..geometry import clip


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
