"""Metrics against scikit-learn and the worked examples of the course."""

import numpy as np
import pytest

from tinyconv.errors import ArgumentError, ShapeError
from tinyconv.train import ConfusionMatrix


def filled(counts):
    matrix = ConfusionMatrix(len(counts))
    for (row, column), count in np.ndenumerate(np.array(counts)):
        matrix.update([row] * int(count), [column] * int(count))
    return matrix


def test_against_scikit_learn():
    sklearn = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    target, predicted = rng.integers(0, 4, 200), rng.integers(0, 5, 200)
    matrix = ConfusionMatrix(5)  # class 4 never occurs, and is still predicted
    matrix.update(target[:90], predicted[:90])
    matrix.update(target[90:], predicted[90:])
    np.testing.assert_array_equal(
        matrix.counts, sklearn.confusion_matrix(target, predicted, labels=range(5))
    )
    report = matrix.report()
    expected = sklearn.precision_recall_fscore_support(
        target, predicted, labels=range(5), zero_division=0
    )
    for ours, theirs in zip(
        (report.precision, report.recall, report.f1, report.support), expected, strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    assert matrix.accuracy == pytest.approx(sklearn.accuracy_score(target, predicted))


def test_course_example():
    # TP 10, TN 60, FP 22, FN 8; class 1 is the positive one
    matrix = filled([[60, 22], [8, 10]])
    report = matrix.report()
    assert matrix.accuracy == pytest.approx(0.70)
    assert report.recall[1] == pytest.approx(0.5556, abs=5e-5)
    assert report.precision[1] == pytest.approx(0.3125)
    assert report.f1[1] == pytest.approx(0.40)


def test_empty_matrix():
    matrix = ConfusionMatrix(3)
    assert matrix.accuracy == 0.0
    assert matrix.report().f1.tolist() == [0, 0, 0]


def test_table_has_a_line_a_class_and_averages():
    lines = filled([[2, 0], [1, 1]]).table(["cat", "dog"]).splitlines()
    assert lines[0].split() == ["class", "precision", "recall", "F1", "images"]
    assert lines[1].split() == ["cat", "0.6667", "1.0000", "0.8000", "2"]
    assert lines[3].split() == ["average", "0.8333", "0.7500", "0.7333", "4"]


@pytest.mark.parametrize(
    ("target", "predicted", "error"),
    [([0, 1], [0], ShapeError), ([0, 3], [0, 1], ArgumentError), ([0, 1], [0, -1], ArgumentError)],
)
def test_bad_batch_counts_nothing(target, predicted, error):
    matrix = ConfusionMatrix(3)
    with pytest.raises(error):
        matrix.update(target, predicted)
    assert matrix.counts.sum() == 0
