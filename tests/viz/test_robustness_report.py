"""Reports: whole, self-contained, escaped, and written at once or not at all."""

import base64
import re
import sys
from dataclasses import dataclass
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest

import tinyconv as tc
from tinyconv import adversarial as adv
from tinyconv import nn, viz
from tinyconv.errors import ArgumentError, CheckpointError, MissingDependencyError
from tinyconv.viz import document
from tinyconv.viz.document import Heading, Paragraph, Picture, Table

pytest.importorskip("matplotlib")

VOID = {"meta", "img"}


class Page(HTMLParser):
    """Check that tags are closed in order; collect the text of cells, and the pictures."""

    def __init__(self, text):
        super().__init__()
        self.open, self.rows, self.pictures, self.headings, self.text = [], [], [], [], ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag == "img":
            self.pictures.append(dict(attributes))
        if re.fullmatch(r"h\d", tag):
            self.headings.append([tag, ""])
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data
        if self.open and re.fullmatch(r"h\d", self.open[-1]):
            self.headings[-1][1] += data
        self.text += data


@dataclass
class Line:
    group: str
    name: str
    question: str
    status: str
    figure: str
    advice: str


SANITY = SimpleNamespace(
    lines=[Line("gradients", "g", "Gradients exist", "pass", "norm < 1 & > 0", ""),
           Line("attacks", "more_steps", "More steps find no more", "fail", "3 | 4", "use more")],
    setting={"norm": "linf", "eps": 0.1}, clean_accuracy=0.9, robust_accuracy=0.25,
    failures=["more_steps"],
)  # fmt: skip


@pytest.fixture(scope="module")
def problem():
    tc.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 3))
    x = tc.tensor(np.random.default_rng(0).uniform(size=(12, 1, 6, 6)).astype(np.float32))
    y = model(x).argmax(1).detach()
    y[2] = (y[2] + 1) % 3
    return model, x, y


def test_html_holds_all_and_needs_nothing_else(problem, tmp_path):
    model, x, y = problem
    path = tmp_path / "report.html"
    worst = viz.write_report(path, model, x, y, eps=0.1, sanity=SANITY, title="A <b> & c")
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    text = path.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert "http" not in text
    assert "prefers-color-scheme: dark" in text
    page = Page(text)
    assert page.headings == [
        ["h1", "A <b> & c"], ["h2", "Setting"], ["h2", "Accuracy under attack"],
        ["h2", "Accuracy against the radius"], ["h2", "Adversarial images"],
        ["h2", "Sanity report"],
    ]  # fmt: skip
    assert len(page.pictures) == 4
    for picture in page.pictures:
        assert picture["alt"]
        data = picture["src"].removeprefix("data:image/png;base64,")
        assert base64.b64decode(data, validate=True).startswith(b"\x89PNG")
    assert ["fail", "attacks", "More steps find no more", "3 | 4", "use more"] in page.rows
    assert "These checks failed: more_steps" in page.text
    assert worst.attack == "worst_of"


def test_figures_in_the_table_are_those_of_the_results(problem, tmp_path):
    model, x, y = problem
    results = {
        name: adv.at_radius(attack, eps=0.05)(model, x, y)
        for name, attack in (("one step", adv.fgsm), ("many steps", adv.pgd))
    }
    curve = adv.AccuracyCurve(*(np.array([v]) for v in (0.05, 0.375, 0.2, 0.6)), np.zeros(12))
    worst = viz.write_report(
        tmp_path / "r.html", model, x, y, eps=0.05, results=results, curves={"mine": curve}
    )
    page = Page((tmp_path / "r.html").read_text())
    rows = {row[0]: row for row in page.rows if len(row) == 6}
    assert list(rows) == ["attack", "none", "one step", "many steps", "worst for each image"]
    assert rows["none"][1].startswith("91.7%")  # one of twelve was wrong before
    for name, result in {**results, "worst for each image": worst}.items():
        assert rows[name][1].startswith(f"{result.robust_accuracy:.1%} [")
        assert rows[name][4] == f"{result.queries[:, 0].mean():.1f}"
    assert f"{worst.robust_accuracy:.1%} [" in page.text
    assert ["mine", "0.05", "37.5%", "20.0% to 60.0%"] in page.rows
    assert [h for _, h in page.headings][-1] == "Adversarial images"  # no sanity report given


def test_markdown_has_its_pictures_in_a_folder_beside(problem, tmp_path):
    model, x, y = problem
    viz.write_report(tmp_path / "my report.md", model, x, y, eps=0.1, norm="l2", sanity=SANITY,
                     title="A <b> & [c]")  # fmt: skip
    text = (tmp_path / "my report.md").read_text(encoding="utf-8")
    assert text.startswith("# A \\<b\\> & \\[c\\]\n\n")
    names = re.findall(r"\]\(<my report_files/(\w+\.png)>\)", text)
    assert sorted(names) == sorted(p.name for p in (tmp_path / "my report_files").iterdir())
    assert len(names) == 4
    assert "| fail | attacks | More steps find no more | 3 \\| 4 | use more |" in text
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        counts = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(counts) == 1


def test_samples_that_are_no_images_get_no_panel(tmp_path):
    tc.manual_seed(0)
    model, x = nn.Linear(5, 3), tc.rand(6, 5)
    viz.write_report(tmp_path / "r.html", model, x, model(x).argmax(1), eps=0.1)
    page = Page((tmp_path / "r.html").read_text())
    assert "not grey or colour images" in page.text
    assert len(page.pictures) == 3


def test_nothing_moved_gets_no_slice(problem, tmp_path):
    model, x, _ = problem
    viz.write_report(tmp_path / "r.html", model, x, (model(x).argmax(1) + 1) % 3, eps=0.1)
    page = Page((tmp_path / "r.html").read_text())
    assert len(page.pictures) == 3
    assert "reads 0.0% rightly" in page.text


def test_bad_arguments(problem, tmp_path):
    model, x, y = problem
    for path, changes, error, words in (
        ("r.pdf", {}, ArgumentError, r"\.html"),
        ("no/r.html", {}, CheckpointError, "no folder"),
        ("r.html", {"eps": 0.0}, ArgumentError, "above 0"),
        ("r.html", {"norm": "l9"}, ArgumentError, "norm"),
        ("r.html", {"results": {"a": adv.fgsm(model, x[:3], y[:3], eps=0.1)}}, ArgumentError,
         "3 images, but 12"),
        ("r.html", {"results": {}}, ArgumentError, "at least one result"),
    ):  # fmt: skip
        with pytest.raises(error, match=words):
            viz.write_report(tmp_path / path, model, x, y, **{"eps": 0.1, **changes})
    with pytest.raises(ArgumentError, match="at least one image"):
        viz.write_report(tmp_path / "r.html", model, x[:0], y[:0], eps=0.1)
    assert not list(tmp_path.iterdir())


def test_without_matplotlib_nothing_is_run(problem, tmp_path, monkeypatch):
    _, x, y = problem

    def model(x):
        raise AssertionError("asked")

    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingDependencyError, match=r"tinyconv\[viz\]"):
        viz.write_report(tmp_path / "r.html", model, x, y, eps=0.1)


# -- the page itself ------------------------------------------------------------------------------


class Figure:
    def savefig(self, file, **_):
        file.write(b"\x89PNG picture")


BLOCKS = [
    Heading("T"), Paragraph("1 < 2 *x*"), Table(("a", "b"), [("<x>", "1")], ("b",)),
    Picture("p", Figure(), "What it is. More."),
]  # fmt: skip


def test_both_forms_of_a_page():
    html = document.to_html(BLOCKS)
    assert "<p>1 &lt; 2 *x*</p>" in html
    assert '<td>&lt;x&gt;</td><td class="number">1</td>' in html
    assert '<img alt="What it is" src="data:image/png;base64,iVBORyBwaWN0dXJl">' in html
    Page(html)
    assert document.to_markdown(BLOCKS, "f") == (
        "# T\n\n1 \\< 2 \\*x\\*\n\n| a | b |\n| --- | ---: |\n| \\<x\\> | 1 |\n\n"
        "![What it is](<f/p.png>)\n\nWhat it is. More.\n"
    )


@pytest.mark.parametrize("name", ["r.html", "r.md"])
def test_an_old_report_stays_if_the_new_one_cannot_be_made(name, tmp_path):
    class Broken:
        def savefig(self, file, **_):
            raise ValueError("no ink")

    document.write(tmp_path / name, BLOCKS)
    old = (tmp_path / name).read_bytes()
    with pytest.raises(ValueError, match="no ink"):
        document.write(tmp_path / name, [Heading("new"), Picture("p", Broken(), "x")])
    assert (tmp_path / name).read_bytes() == old
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_folder_of_pictures_that_cannot_be_made(tmp_path):
    (tmp_path / "r_files").write_text("a file")
    with pytest.raises(CheckpointError, match="r_files"):
        document.write(tmp_path / "r.md", BLOCKS)
    assert not (tmp_path / "r.md").exists()
