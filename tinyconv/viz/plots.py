"""Learning curves, confusion matrices and grids of images, as matplotlib figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import MissingDependencyError, ShapeError

BLUE, ORANGE, GREEN, RED = "#1f77b4", "#ff7f0e", "#2ca02c", "#d62728"


def require_matplotlib() -> Any:
    """Return matplotlib's ``Figure``, or raise an error that names the extra."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingDependencyError(
            'pictures need matplotlib: python -m pip install "tinyconv[viz]"'
        ) from None
    return Figure


def _figure(width: float, height: float) -> Any:
    """Return an empty figure that belongs to no window."""
    return require_matplotlib()(figsize=(width, height), layout="constrained", dpi=120)


def learning_curves(history: Any) -> Any:
    """Draw loss and accuracy over the epochs, training beside validation.

    Parameters
    ----------
    history : History
        With columns ``loss`` and ``accuracy``, and ``val_loss`` and ``val_accuracy`` if there
        was validation.

    Returns
    -------
    matplotlib.figure.Figure
        ``figure.savefig(path)`` writes it.
    """
    figure = _figure(9, 3.6)
    epochs = history.column("epoch")
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        axes.plot(epochs, history.column(name), color=BLUE, marker=".", label="training")
        if history.rows and f"val_{name}" in history.rows[0]:
            values = history.column(f"val_{name}")
            axes.plot(epochs, values, color=ORANGE, marker=".", label="validation")
        axes.set(xlabel="epoch", title=name)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend()
    return figure


def confusion_matrix(counts: Any, classes: Sequence[str] | None = None) -> Any:
    """Draw a confusion matrix: rows are true classes, colours are shares of the row.

    Parameters
    ----------
    counts : array
        Integers, shape ``(classes, classes)``.
    classes : sequence of str, optional
        Names; default the numbers from 0.

    Returns
    -------
    matplotlib.figure.Figure
        ``figure.savefig(path)`` writes it.
    """
    counts = np.asarray(counts)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
        raise ShapeError(f"confusion_matrix: 'counts' must be square, got shape {counts.shape}")
    size = len(counts)
    names = [str(c) for c in (classes if classes is not None else range(size))]
    figure = _figure(1.8 + 0.45 * size, 1.4 + 0.45 * size)
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        if count:
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=colour)
    axes.set(xlabel="predicted", ylabel="true", xticks=range(size), yticks=range(size))
    axes.set_xticklabels(names, rotation=45 if max(map(len, names)) > 3 else 0)
    axes.set_yticklabels(names)
    axes.set_title(f"accuracy {np.trace(counts) / max(counts.sum(), 1):.4f}")
    return figure


def image_grid(
    images: Any, titles: Sequence[str] = (), wrong: Sequence[bool] = (), columns: int = 8
) -> Any:
    """Draw images in a grid, each with a title; titles of wrong predictions are red.

    Parameters
    ----------
    images : array
        Shape ``(N, H, W)``, ``(N, 1, H, W)`` or ``(N, 3, H, W)``, values in [0, 1].
    titles : sequence of str, optional
        One an image.
    wrong : sequence of bool, optional
        Which titles are red.
    columns : int, default 8
        Images in a row.

    Returns
    -------
    matplotlib.figure.Figure
        ``figure.savefig(path)`` writes it.
    """
    images = np.asarray(images)
    if images.ndim == 3:
        images = images[:, None]
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ShapeError(
            f"image_grid: 'images' must have shape (N, H, W), (N, 1, H, W) or (N, 3, H, W), "
            f"got {images.shape}"
        )
    columns = min(columns, max(len(images), 1))
    rows = -(-max(len(images), 1) // columns)
    figure = _figure(1.3 * columns, 1.55 * rows)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.axis("off")
    for number, (axes, image) in enumerate(zip(grid, images, strict=False)):
        axes.imshow(np.moveaxis(image, 0, -1), cmap="gray", vmin=0, vmax=1)
        if number < len(titles):
            is_wrong = number < len(wrong) and wrong[number]
            axes.set_title(titles[number], fontsize=9, color=RED if is_wrong else "black")
    return figure
