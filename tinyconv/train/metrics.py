"""Classification metrics, all read off one confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ArgumentError, ShapeError


@dataclass(frozen=True)
class ClassReport:
    """Precision, recall and F1 of each class; arrays of shape ``(classes,)``, values in [0, 1]."""

    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    support: np.ndarray


class ConfusionMatrix:
    """Counts of (true class, predicted class), and the metrics that follow from them.

    Parameters
    ----------
    num_classes : int
        Number of classes.

    Attributes
    ----------
    counts : numpy.ndarray
        int64, shape ``(num_classes, num_classes)``; rows are true classes.

    Examples
    --------
    >>> from tinyconv.train import ConfusionMatrix
    >>> matrix = ConfusionMatrix(2)
    >>> matrix.update([0, 1, 1, 1], [0, 1, 0, 1])
    >>> matrix.accuracy
    0.75
    """

    def __init__(self, num_classes: int) -> None:
        self.counts = np.zeros((num_classes, num_classes), dtype=np.int64)

    def update(self, target: Any, predicted: Any) -> None:
        """Count a batch of true and predicted classes, each of shape ``(N,)``.

        Raises
        ------
        ShapeError
            If the two differ in length.
        ArgumentError
            If a class is out of range; nothing is counted then.
        """
        size = len(self.counts)
        target = _classes("target", target, size)
        predicted = _classes("predicted", predicted, size)
        if target.shape != predicted.shape:
            raise ShapeError(
                f"ConfusionMatrix.update: {target.size} targets but {predicted.size} predictions"
            )
        np.add.at(self.counts, (target, predicted), 1)

    @property
    def accuracy(self) -> float:
        """Share of samples that were classified correctly; 0 if there are none."""
        total = int(self.counts.sum())
        return float(np.trace(self.counts)) / total if total else 0.0

    def report(self) -> ClassReport:
        """Return precision, recall and F1 of each class; 0 where undefined, as in scikit-learn."""
        hits = np.diag(self.counts).astype(np.float64)
        predicted, support = self.counts.sum(axis=0), self.counts.sum(axis=1)
        return ClassReport(
            precision=_ratio(hits, predicted),
            recall=_ratio(hits, support),
            f1=_ratio(2 * hits, predicted + support),
            support=support,
        )

    def table(self, classes: Sequence[str] | None = None) -> str:
        """Return the report as a plain-text table, a line a class, with averages below."""
        report = self.report()
        names = [str(c) for c in (classes if classes is not None else range(len(self.counts)))]
        width = max(len("average"), *(len(name) for name in names))
        lines = [f"{'class':>{width}}  precision  recall      F1  images"]
        columns = zip(
            names, report.precision, report.recall, report.f1, report.support, strict=True
        )
        for name, precision, recall, f1, support in columns:
            lines.append(
                f"{name:>{width}}  {precision:9.4f}  {recall:6.4f}  {f1:6.4f}  {support:6d}"
            )
        means = [float(np.mean(v)) for v in (report.precision, report.recall, report.f1)]
        total = int(report.support.sum())
        lines.append(
            f"{'average':>{width}}  {means[0]:9.4f}  {means[1]:6.4f}  {means[2]:6.4f}  {total:6d}"
        )
        return "\n".join(lines)


def _classes(name: str, values: Any, size: int) -> np.ndarray:
    """Return class numbers as a flat int64 array, checked to lie in [0, size)."""
    array = np.asarray(values).ravel()
    whole = array.astype(np.int64)
    if not (np.array_equal(whole, array) and np.all((whole >= 0) & (whole < size))):
        raise ArgumentError(
            f"ConfusionMatrix.update: '{name}' must hold whole numbers from 0 to {size - 1}"
        )
    return whole


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator != 0)
