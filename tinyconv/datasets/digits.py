"""Handwritten digits that come with scikit-learn: real data without a download."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..data import Dataset, SampleColumns
from ..errors import ArgumentError, MissingDependencyError
from ..ops import as_tensor

SIDE = 8  # pixels
LEVELS = 16  # the brightest pixel
TEST_SIZE = 360


class Digits(Dataset[tuple[Any, Any]]):
    """1,797 handwritten digits of 8 x 8 pixels: 1,437 to train on and 360 to test with.

    They are the test half of the UCI "Optical Recognition of Handwritten Digits" set (Alpaydin
    and Kaynak, 1998), as scikit-learn ships it. Every fifth digit of each class or so is in the
    test split, 35 to 37 of each, always the same ones.

    Parameters
    ----------
    train : bool, default True
        Which split.
    transform : callable, optional
        Applied to an image, a float32 tensor of shape (1, size, size) in [0, 1].
    target_transform : callable, optional
        Applied to a label, an int.
    size : int, default 8
        Side of the images in pixels; other sizes are interpolated bilinearly.

    Attributes
    ----------
    images : numpy.ndarray, float32 (N, 1, size, size)
        All images of the split, in [0, 1].
    targets : numpy.ndarray, int64 (N,)
        Their labels, 0 to 9.
    classes : list of str
        Names of the labels.

    Raises
    ------
    MissingDependencyError
        If scikit-learn is not installed.
    ArgumentError
        If ``size`` is not a positive integer.

    Examples
    --------
    >>> import tinyconv as tc
    >>> digits = tc.datasets.Digits(train=False)
    >>> image, label = digits[0]
    >>> len(digits), tuple(image.shape), label
    (360, (1, 8, 8), 0)
    """

    def __init__(
        self,
        train: bool = True,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
        size: int = SIDE,
    ) -> None:
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise ArgumentError(f"Digits: size must be a positive integer, got {size!r}")
        self.train, self.size = train, size
        self.transform, self.target_transform = transform, target_transform
        self.classes = [str(digit) for digit in range(10)]
        pixels, labels = _read()
        chosen = _is_test(labels) != train
        self.images = _resize(pixels[chosen].astype(np.float32) / LEVELS, size)[:, None]
        self.targets = labels[chosen]

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        image, label = as_tensor(self.images[index].copy()), int(self.targets[index])
        if self.transform is not None:
            image = self.transform(image)
        return image, label if self.target_transform is None else self.target_transform(label)

    @property
    def __getitems__(self) -> Callable[[Sequence[int]], SampleColumns] | None:
        """Fetch a batch in one step; ``None`` where a transform wants single samples."""
        if self.transform is not None or self.target_transform is not None:
            return None
        return lambda indices: SampleColumns(self.images[indices], self.targets[indices])

    def __repr__(self) -> str:
        lines = [
            "Dataset Digits",
            f"    Number of datapoints: {len(self)}",
            f"    Split: {'Train' if self.train else 'Test'}",
            f"    Image size: 1 x {self.size} x {self.size}",
        ]
        for name in ("transform", "target_transform"):
            value = getattr(self, name)
            if value is not None:
                shown = repr(value).replace("\n", "\n    ")
                lines.append(f"    {name.replace('_', ' ').capitalize()}: {shown}")
        return "\n".join(lines)


def _read() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return pixels (1797, 8, 8) of 0 to 16 and labels (1797,) as int64, in the file's order."""
    spec = importlib.util.find_spec("sklearn")
    if spec is None or not spec.submodule_search_locations:
        raise MissingDependencyError(
            "Digits: the digits come with scikit-learn, which is not installed; "
            'pip install "tinyconv[data]"'
        )
    path = Path(spec.submodule_search_locations[0], "datasets", "data", "digits.csv.gz")
    if path.exists():  # ten times as fast as importing scikit-learn
        table = np.loadtxt(path, delimiter=",", dtype=np.int64)
        pixels, labels = table[:, :-1], table[:, -1]
    else:
        from sklearn.datasets import load_digits

        pixels, labels = load_digits(return_X_y=True)
    return pixels.reshape(-1, SIDE, SIDE), labels.astype(np.int64)


def _is_test(labels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return which samples are in the test split: evenly spaced ones of each class.

    Each class gives its share of the split, rounded so that all shares add up (the largest
    remainders are rounded up).
    """
    counts = np.bincount(labels)
    shares = counts * TEST_SIZE / counts.sum()
    sizes = np.floor(shares).astype(np.int64)
    largest = np.argsort(sizes - shares, kind="stable")
    sizes[largest[: TEST_SIZE - sizes.sum()]] += 1
    test = np.zeros(len(labels), dtype=bool)
    for label, size in enumerate(sizes.tolist()):
        members = np.flatnonzero(labels == label)
        test[members[(2 * np.arange(size) + 1) * len(members) // (2 * size)]] = True
    return test


def _resize(images: np.ndarray[Any, Any], size: int) -> np.ndarray[Any, Any]:
    """Interpolate images (N, S, S) bilinearly to (N, size, size), pixel centres aligned.

    Output pixel i lies at (i + 1/2) * S / size - 1/2 of the input and mixes its two neighbours;
    at the border the outermost pixel is repeated. Rows and columns are two matrix products.
    """
    side = images.shape[-1]
    if size == side:
        return images
    places = np.clip((np.arange(size) + 0.5) * side / size - 0.5, 0, side - 1)
    low = np.minimum(places.astype(np.int64), side - 2)
    weights = np.zeros((size, side), dtype=images.dtype)
    rows = np.arange(size)
    weights[rows, low] = 1 - (places - low)
    weights[rows, low + 1] = places - low
    return weights @ images @ weights.T
