"""draw() gives Graphviz text with every node once."""

import re
import sys

import numpy as np
import pytest
from autograd_helpers import leaf, tensor

from tinyconv.autograd import draw, show
from tinyconv.errors import DTypeError, MissingDependencyError


def test_nodes_shapes_and_arrows(backend):
    w, x = leaf(np.ones((2, 3))), leaf(np.ones(3))
    text = draw((w * x).sum(), {"net.weight": w})
    assert text.startswith("digraph {\n")
    assert text.endswith("}\n")
    labels = re.findall(r'(\w+) \[label="([^"]*)"', text)
    names = dict(labels)
    assert sorted(names.values()) == sorted(
        [r"output\nscalar", r"Sum\nscalar", r"Mul\n2x3", r"net.weight\n2x3", r"leaf\n3"]
    )
    arrows = {(names[a], names[b]) for a, b in re.findall(r"(\w+) -> (\w+);", text)}
    assert arrows == {
        (r"net.weight\n2x3", r"Mul\n2x3"), (r"leaf\n3", r"Mul\n2x3"),
        (r"Mul\n2x3", r"Sum\nscalar"), (r"Sum\nscalar", r"output\nscalar"),
    }  # fmt: skip


def test_named_parameters_as_pairs_and_several_outputs():
    w = leaf([1.0])
    y = w * 2
    text = draw([y, y + 1], iter([("w", w)]))
    assert text.count("label") == 5
    assert r'"w\n1"' in text
    assert "out1" in text


def test_saved_sizes(backend):
    x = leaf(np.ones(10))
    y = x * x
    assert "saved: 160 bytes" in draw(y, show_saved=True)
    y.sum().backward()
    assert "saved: freed" in draw(y, show_saved=True)
    assert "saved" not in draw(y)


def test_quotes_in_names():
    x = leaf([1.0])
    assert r'label="a\"b\n1"' in draw(x * 1, {'a"b': x})


def test_leaf_and_constant():
    x = leaf([1.0])
    assert r'label="leaf\n1"' in draw(x)
    assert "output" in draw(tensor([1.0]))
    with pytest.raises(DTypeError, match="output must be a Tensor"):
        draw(3.0)


def test_same_text_each_time():
    x = leaf([1.0])
    assert draw((x * 2 + x).sum()) == draw((x * 2 + x).sum())


def test_show(monkeypatch):
    graphviz = pytest.importorskip("graphviz")
    y = leaf([1.0]) * 2
    assert isinstance(show(y), graphviz.Source)
    assert show(y).source.strip() == draw(y).strip()


def test_show_without_graphviz(monkeypatch):
    monkeypatch.setitem(sys.modules, "graphviz", None)
    with pytest.raises(MissingDependencyError, match=r"tinyconv\[viz\]"):
        show(leaf([1.0]) * 2)
