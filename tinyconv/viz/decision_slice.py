"""Which class a model sees where, in a plane through an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..adversarial.geometry import check_norm
from ..errors import ArgumentError, ShapeError
from ..ops import as_tensor
from .plots import _figure
from .robustness import probabilities

#: Nine colours that stay apart for colour-blind eyes, and grey (Tol, 2021, "muted").
REGIONS = (
    "#88CCEE", "#CC6677", "#DDCC77", "#117733", "#332288", "#AA4499", "#44AA99", "#999933",
    "#882255", "#BBBBBB",
)  # fmt: skip


def decision_slice(
    model: Any,
    x: Any,
    direction: Any,
    other: Any = None,
    *,
    eps: float | None = None,
    norm: str = "linf",
    reach: float | None = None,
    resolution: int = 101,
    classes: Sequence[str] | None = None,
    bounds: tuple[float, float] = (0, 1),
    seed: int = 0,
) -> Any:
    """Draw the class that a model predicts in a plane through an image.

    At ``(a, b)`` is the image ``x + a * u + b * v``, moved into the box of legal values. ``u`` and
    ``v`` are the two directions, with length 1 in ``norm``.

    Parameters
    ----------
    model : Module or callable
        From images to logits ``(N, K)``. It is in eval mode meanwhile and left as it was.
    x : Tensor
        One image, without a batch dimension.
    direction : Tensor
        Where the first axis goes, such as ``result.x_adv[0] - x``; the image ``x + direction`` is
        marked.
    other : Tensor, optional
        Where the second axis goes, as far as that is at right angles to the first; default a
        random sign for each value.
    eps : float, optional
        Radius of the ball to draw. Its outline is exact: the part of the ball in this plane.
    norm : str, default "linf"
        ``"linf"``, ``"l2"`` or ``"l1"``; both axes are in its units.
    reach : float, optional
        How far the axes go; default 1.5 times the larger one of ``eps`` and the length of
        ``direction``.
    resolution : int, default 101
        Images along each axis.
    classes : sequence of str, optional
        Names; default the numbers from 0.
    bounds : (float, float), default (0, 1)
        Legal values of ``x``.
    seed : int, default 0
        Of the random direction.

    Returns
    -------
    matplotlib.figure.Figure
        Pale colours are low confidence.

    Raises
    ------
    ShapeError
        If ``direction`` or ``other`` is not in the shape of ``x``.
    ArgumentError
        If ``direction`` is zero, ``other`` is parallel to it, ``resolution`` below 2, or ``norm``
        unknown.
    """
    check_norm("decision_slice", norm)
    if resolution < 2:
        raise ArgumentError(f"decision_slice: 'resolution' must be at least 2, got {resolution!r}")
    x = as_tensor(x).detach()
    second_name = "random direction" if other is None else "second direction"
    if other is None:
        other = np.random.default_rng(seed).integers(0, 2, tuple(x.shape)) * 2.0 - 1
    first, second = _flat(direction, x, "direction"), _flat(other, x, "other")
    distance = _length(first, norm)
    if not distance > 0:
        raise ArgumentError("decision_slice: argument 'direction' must not be zero")
    straight = second - first * (second @ first) / (first @ first)
    if _length(straight, "l2") <= 1e-6 * _length(second, "l2"):
        raise ArgumentError("decision_slice: argument 'other' must not be parallel to 'direction'")
    u, v = first / distance, straight / _length(straight, norm)
    reach = 1.5 * max(eps or 0.0, distance) if reach is None else reach
    ticks = np.linspace(-reach, reach, resolution)
    shares = np.stack([_row(model, x, ticks, b, u, v, bounds) for b in ticks])
    figure = _figure(5.6, 5.9)
    axes = figure.subplots()
    outline = _outline(u, v, eps, norm) if eps else np.zeros((2, 0))
    _draw_regions(axes, shares, ticks, classes, _free(ticks, distance, outline))
    axes.plot(0, 0, "o", markersize=9, color="white", markeredgecolor="black", label="clean image")
    axes.plot(distance, 0, "X", markersize=10, color="white", markeredgecolor="black",
              label="clean image + direction")  # fmt: skip
    if eps:
        axes.plot(*outline, color="black", linestyle="--", linewidth=1.6,
                  label=f"{norm} ball, eps {eps:.4g}")  # fmt: skip
    axes.set(
        xlabel=f"along the direction ({norm})", ylabel=f"{second_name}, at right angles ({norm})",
        xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal",
    )  # fmt: skip
    figure.legend(loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return figure


def _flat(direction: Any, x: Any, name: str) -> np.ndarray:
    """Return a direction as a float64 vector."""
    values = direction.numpy(force=True) if hasattr(direction, "numpy") else direction
    values = np.asarray(values, np.float64)
    if values.shape != tuple(x.shape):
        raise ShapeError(
            f"decision_slice: argument '{name}' has shape {values.shape}, but the image "
            f"{tuple(x.shape)}"
        )
    return values.ravel()


def _length(vectors: np.ndarray, norm: str) -> Any:
    """Return the norm along the first dimension."""
    return np.linalg.norm(vectors, {"linf": np.inf, "l2": 2, "l1": 1}[norm], axis=0)


def _row(
    model: Any, x: Any, ticks: np.ndarray, b: float, u: np.ndarray, v: np.ndarray,
    bounds: tuple[float, float],
) -> np.ndarray:  # fmt: skip
    """Return the probabilities of the images ``x + a * u + b * v`` for all ``a``, ``(R, K)``."""
    change = np.outer(ticks, u) + b * v
    images = np.asarray(x.numpy(force=True), np.float64).ravel() + change
    images = images.clip(*bounds).reshape(len(ticks), *x.shape).astype(x.dtype.of(np))
    return probabilities(model, as_tensor(images, device=x.device))


def _outline(u: np.ndarray, v: np.ndarray, eps: float, norm: str) -> np.ndarray:
    """Return the curve on which ``a * u + b * v`` has the norm ``eps``, ``(2, points)``.

    A norm grows in proportion along a ray, so one division an angle finds the radius.
    """
    angles = np.linspace(0, 2 * np.pi, 721)
    points = np.stack([np.cos(angles), np.sin(angles)])
    lengths = [float(_length(a * u + b * v, norm)) for a, b in points.T]
    return points * (eps / np.array(lengths))


def _draw_regions(
    axes: Any,
    shares: np.ndarray,
    ticks: np.ndarray,
    classes: Sequence[str] | None,
    free: np.ndarray,
) -> None:
    """Paint each point in the colour of its class, and write the classes where there is room."""
    best = shares.argmax(-1)
    colours = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in REGIONS])
    strength = 0.1 + 0.6 * shares.max(-1, keepdims=True)
    picture = 1 - strength * (1 - colours[best % len(colours)])
    half = (ticks[1] - ticks[0]) / 2
    extent = (ticks[0] - half, ticks[-1] + half) * 2
    axes.imshow(picture, origin="lower", extent=extent, interpolation="nearest", aspect="equal")
    for label in np.unique(best):
        region = best == label
        if not region.all():
            others = np.delete(shares, label, axis=-1).max(-1)
            lead = shares[..., label] - others
            axes.contour(ticks, ticks, lead, levels=[0], colors="black", linewidths=0.8)
        row, column = _deepest(region & free if (region & free).any() else region)
        axes.text(
            ticks[column], ticks[row], str(label if classes is None else classes[label]),
            ha="center", va="center", fontsize=11, weight="bold",
            bbox={"boxstyle": "round,pad=0.25", "facecolor": "white", "alpha": 0.8, "lw": 0},
        )  # fmt: skip


def _free(ticks: np.ndarray, mark: float, outline: np.ndarray) -> np.ndarray:
    """Return where text covers neither the marks at ``(0, 0)`` and ``(mark, 0)`` nor the outline.

    Text is wider than high, so it stays farther away to the sides.
    """
    points = np.concatenate([outline[:, ::4], [[0, mark], [0, 0]]], axis=1)
    near_a = np.abs(ticks[:, None] - points[0]) < 0.14 * ticks[-1]
    near_b = np.abs(ticks[:, None] - points[1]) < 0.07 * ticks[-1]
    return ~(near_b[:, None, :] & near_a[None, :, :]).any(-1)


def _deepest(region: np.ndarray) -> tuple[int, int]:
    """Return the point of a region that is farthest from its edge."""
    while True:
        padded = np.pad(region, 1)
        inner = region & padded[2:, 1:-1] & padded[:-2, 1:-1] & padded[1:-1, 2:] & padded[1:-1, :-2]
        if not inner.any():
            points = np.argwhere(region)
            middle = points.mean(0)
            return tuple(points[((points - middle) ** 2).sum(1).argmin()])
        region = inner
