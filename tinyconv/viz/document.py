"""A page of headings, paragraphs, tables and pictures, written as one HTML file or as Markdown."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Any

from ..errors import ArgumentError, CheckpointError
from ..serialization.atomic import atomic_write


@dataclass(frozen=True)
class Heading:
    """A heading; the first one of a page is its title."""

    text: str


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of plain text."""

    text: str


@dataclass(frozen=True)
class Table:
    """Rows of text under a header; columns named in ``numbers`` are set to the right."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: Sequence[str] = ()


@dataclass(frozen=True)
class Picture:
    """A figure, the name of its file, and sentences that say what it shows."""

    name: str
    figure: Any
    caption: str

    @property
    def alternative(self) -> str:
        """The first sentence of the caption, for those who do not see the picture."""
        return self.caption.partition(". ")[0].removesuffix(".")

    def png(self) -> bytes:
        """Return the figure as the bytes of a PNG file."""
        file = BytesIO()
        self.figure.savefig(file, format="png", metadata={"Software": None})
        return file.getvalue()


Block = Heading | Paragraph | Table | Picture

# Pictures are drawn on white: in the dark they stay cards of paper.
STYLE = """
:root { color-scheme: light dark; --text: #1b1b1b; --page: #ffffff; --line: #c8c8c8; --soft: #555; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e4e4e4; --page: #16181b; --line: #4a4d52; --soft: #a9adb3; }
}
body { font: 16px/1.5 system-ui, sans-serif; color: var(--text); background: var(--page);
       max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 0.3rem 0.8rem; border-bottom: 1px solid var(--line); text-align: left;
         vertical-align: top; }
.number { text-align: right; }
figure { margin: 1rem 0; }
img { max-width: 100%; height: auto; background: #ffffff; padding: 0.5rem; border-radius: 6px;
      box-sizing: border-box; }
figcaption { color: var(--soft); font-size: 0.9rem; max-width: 44rem; }
"""


def check_path(path: Any) -> Path:
    """Return the path if its suffix names a format and its folder exists, else raise."""
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm", ".md"):
        raise ArgumentError(
            f"a report ends with .html (one file) or .md (with a folder of pictures), got {path}"
        )
    if not path.parent.is_dir():
        raise CheckpointError(f"cannot write {path}: there is no folder {path.parent}; create it")
    return path


def write(path: Any, blocks: Sequence[Block]) -> None:
    """Write the page, whole or not at all.

    Parameters
    ----------
    path : path-like
        ``.html``: one file that needs nothing else. ``.md``: pictures are written into a folder
        beside it, named after it with ``_files``.
    blocks : sequence
        What is on the page.

    Raises
    ------
    ArgumentError
        If the suffix is another one.
    CheckpointError
        If a file cannot be written.
    """
    path = check_path(path)
    if path.suffix.lower() != ".md":
        _save(path, to_html(blocks).encode())
        return
    folder = path.with_name(path.stem + "_files")
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise CheckpointError(f"cannot make the folder {folder}: {error.strerror}") from None
    for block in blocks:
        if isinstance(block, Picture):
            _save(folder / f"{block.name}.png", block.png())
    _save(path, to_markdown(blocks, folder.name).encode())


def to_html(blocks: Sequence[Block]) -> str:
    """Return the page as HTML, pictures and style within."""
    title = next((block.text for block in blocks if isinstance(block, Heading)), "report")
    body, level = [], 1
    for block in blocks:
        if isinstance(block, Heading):
            body.append(f"<h{level}>{escape(block.text)}</h{level}>")
            level = 2
        elif isinstance(block, Paragraph):
            body.append(f"<p>{escape(block.text)}</p>")
        elif isinstance(block, Table):
            body.append(_html_table(block))
        else:
            data, caption = b64encode(block.png()).decode(), escape(block.caption)
            label = escape(block.alternative)
            body.append(
                f'<figure>\n<img alt="{label}" src="data:image/png;base64,{data}">\n'
                f"<figcaption>{caption}</figcaption>\n</figure>"
            )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def _html_table(table: Table) -> str:
    classes = [' class="number"' if name in table.numbers else "" for name in table.header]
    head = "".join(
        f'<th scope="col"{kind}>{escape(name)}</th>'
        for name, kind in zip(table.header, classes, strict=True)
    )
    rows = "\n".join(
        "<tr>"
        + "".join(f"<td{kind}>{escape(cell)}</td>" for cell, kind in zip(row, classes, strict=True))
        + "</tr>"
        for row in table.rows
    )
    return (
        f'<div class="scroll">\n<table>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody>\n</table>\n</div>"
    )


def to_markdown(blocks: Sequence[Block], folder: str) -> str:
    """Return the page as Markdown, with the pictures in ``folder``."""
    parts, mark = [], "#"
    for block in blocks:
        if isinstance(block, Heading):
            parts.append(f"{mark} {_plain(block.text)}")
            mark = "##"
        elif isinstance(block, Paragraph):
            parts.append(_plain(block.text))
        elif isinstance(block, Table):
            rule = ["---:" if name in block.numbers else "---" for name in block.header]
            lines = [[_plain(c) for c in block.header], rule]
            lines += [[_plain(cell) for cell in row] for row in block.rows]
            parts.append("\n".join(f"| {' | '.join(line)} |" for line in lines))
        else:
            target = f"<{folder}/{block.name}.png>"
            parts.append(f"![{_plain(block.alternative)}]({target})\n\n{_plain(block.caption)}")
    return "\n\n".join(parts) + "\n"


def _plain(text: str) -> str:
    """Return text in which Markdown finds no mark-up."""
    text = " ".join(text.split())
    return "".join("\\" + c if c in "\\`*_[]<>|#" else c for c in text)


def _save(path: Path, data: bytes) -> None:
    atomic_write(path, lambda file: file.write(data), len(data))
