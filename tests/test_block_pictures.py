"""The pictures of the guide: they can be drawn, nothing is cut off or covered, all are shown."""

import importlib.util
import inspect
import re
from pathlib import Path

import pytest

from tinyconv.nn import blocks

agg = pytest.importorskip("matplotlib.backends.backend_agg")
ROOT = Path(__file__).parent.parent
SPEC = importlib.util.spec_from_file_location(
    "block_pictures", ROOT / "docs/_ext/block_pictures.py"
)
pictures = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(pictures)
PAGE = (ROOT / "docs/guide/blocks.md").read_text()
MAKERS = pytest.mark.parametrize("make", pictures.PICTURES, ids=lambda m: m.__name__)


@MAKERS
def test_words_are_inside_and_apart(make):
    picture = make()
    canvas = agg.FigureCanvasAgg(picture.figure)
    width, height = canvas.get_width_height()
    renderer = canvas.get_renderer()
    extents = [(t.get_text(), t.get_window_extent(renderer)) for t in picture.axes.texts]
    assert len(extents) > 5
    for number, (words, box) in enumerate(extents):
        assert 0 <= box.x0 < box.x1 <= width, words
        assert 0 <= box.y0 < box.y1 <= height, words
        for other, second in extents[:number]:
            assert not box.overlaps(second), (words, other)
    canvas.draw()
    assert not canvas.buffer_rgba()[0, 0, 3], "the background is not transparent"


def test_files_are_the_same_each_time(tmp_path):
    pictures.draw(tmp_path)
    names = {path.stem for path in tmp_path.iterdir()}
    assert names == {make.__name__ for make in pictures.PICTURES}
    first = {path: path.read_bytes() for path in tmp_path.iterdir()}
    pictures.draw(tmp_path)
    assert all(path.read_bytes() == text for path, text in first.items())


def test_each_block_has_a_picture_on_the_page_and_names_it():
    assert set(re.findall(r"blocks/(\w+)\.svg", PAGE)) == {m.__name__ for m in pictures.PICTURES}
    for name in blocks.__all__:
        block = getattr(blocks, name)
        assert f"{{class}}`tinyconv.nn.{name}`" in PAGE
        (label,) = re.findall(r":ref:`(block-[\w-]+)`", inspect.getdoc(block))
        after = PAGE.partition(f"({label})=\n")[2]
        assert f"tinyconv.nn.{name}`" in after.partition("```{image}")[0]


def test_shapes_are_those_of_the_call():
    shapes = pictures.Shapes(pictures.nn.SqueezeExcitation(64), 64, 7, 7)
    assert (shapes.given(), shapes("fc1"), shapes()) == ("64 × 7 × 7", "4 × 1 × 1", "64 × 7 × 7")
