"""Pictures: that they are drawn, and show what they should."""

import sys

import numpy as np
import pytest

from tinyconv import viz
from tinyconv.errors import MissingDependencyError, ShapeError
from tinyconv.train import History

ROWS = [
    {"epoch": e, "loss": 1 / e, "accuracy": 1 - 1 / e, "val_loss": 2 / e, "val_accuracy": 0.5}
    for e in (1, 2, 3)
]


def test_learning_curves(tmp_path):
    pytest.importorskip("matplotlib")
    figure = viz.learning_curves(History(ROWS))
    loss, accuracy = figure.axes
    assert loss.lines[0].get_ydata().tolist() == [1, 1 / 2, 1 / 3]
    assert loss.lines[1].get_ydata().tolist() == [2, 1, 2 / 3]
    assert [t.get_text() for t in accuracy.get_legend().get_texts()] == ["training", "validation"]
    figure.savefig(tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 5000


def test_confusion_matrix():
    pytest.importorskip("matplotlib")
    figure = viz.confusion_matrix([[5, 0], [1, 2]], ["cat", "dog"])
    axes = figure.axes[0]
    assert [t.get_text() for t in axes.texts] == ["5", "1", "2"]
    assert axes.get_title() == "accuracy 0.8750"
    assert [t.get_text() for t in axes.get_yticklabels()] == ["cat", "dog"]


def test_image_grid_marks_wrong_titles():
    pytest.importorskip("matplotlib")
    figure = viz.image_grid(np.zeros((3, 1, 4, 4)), ["1", "2", "3"], [False, True, False], 2)
    colours = [axes.title.get_color() for axes in figure.axes[:3]]
    assert colours[0] == colours[2] != colours[1]
    assert len(figure.axes) == 4


def test_bad_shapes():
    pytest.importorskip("matplotlib")
    with pytest.raises(ShapeError, match="square"):
        viz.confusion_matrix(np.zeros((2, 3)))
    with pytest.raises(ShapeError, match="image_grid"):
        viz.image_grid(np.zeros((2, 2, 4, 4)))


def test_without_matplotlib_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingDependencyError, match=r"tinyconv\[viz\]"):
        viz.learning_curves(History(ROWS))
