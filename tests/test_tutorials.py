"""Every tutorial runs, with two training steps in place of a training."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "tutorials"
TUTORIALS = sorted(FOLDER.glob("*/[0-9][0-9]_*.py"))
CAPPED = {"TINYCONV_MAX_STEPS": "2", "TINYCONV_MAX_EPOCHS": "1", "TINYCONV_PROGRESS": "0"}
PARTS = ("At a glance", "**Time**", "# Exercises\n", "The same in PyTorch", "# References\n")


def name(path):
    return str(path.relative_to(FOLDER))


def test_there_are_tutorials():
    assert len(TUTORIALS) >= 2


@pytest.mark.parametrize("path", TUTORIALS, ids=name)
def test_runs_without_warnings(path, tmp_path):
    command = [sys.executable, "-W", "error", "-W", "ignore:FigureCanvasAgg", str(path)]
    env = {**os.environ, **CAPPED, "MPLBACKEND": "Agg", "PYTHONPATH": str(FOLDER.parent)}
    result = subprocess.run(
        command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=120
    )
    assert result.returncode == 0, result.stdout[-1000:] + result.stderr[-3000:]
    assert not list(tmp_path.iterdir()), "a tutorial leaves no files behind"


@pytest.mark.parametrize("path", TUTORIALS, ids=name)
def test_has_the_parts_a_page_needs(path):
    text = path.read_text()
    for part in PARTS:
        assert part in text, f"{path.name} lacks {part!r}"
    assert len(text.splitlines()) <= 600


@pytest.mark.parametrize("folder", sorted(FOLDER.glob("[0-9]*/")), ids=name)
def test_every_folder_has_a_header(folder):
    assert (folder / "GALLERY_HEADER.rst").exists()
