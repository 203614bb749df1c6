"""What the documentation says is what the package does: its code runs, its tables are true."""

import doctest
import importlib
import inspect
import json
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tinyconv
from tinyconv import config

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("guide/*.md"))]
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: These need CuPy to be imported, and hold no examples.
NEED_CUPY = {f"tinyconv.backend.cuda.driver.{name}" for name in ("arrays", "compiling", "memory")}
MODULES = ["tinyconv"] + [
    module.name
    for module in pkgutil.walk_packages(tinyconv.__path__, "tinyconv.")
    if not module.name.endswith("__main__") and module.name not in NEED_CUPY
]


def run(*arguments, folder):
    """Run Python in ``folder`` on this checkout."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg", "TINYCONV_PROGRESS": "0"}
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


# -- pages --------------------------------------------------------------------------------------


def code_of(text):
    """Return the Python blocks of a page, each line at its line number in the page."""
    lines = [""] * (text.count("\n") + 1)
    for block in PYTHON.finditer(text):
        start = text.count("\n", 0, block.start(1))
        for offset, line in enumerate(block[1].splitlines()):
            lines[start + offset] = line
    return "\n".join(lines)


def test_code_keeps_its_line_numbers():
    assert code_of("a\n```python\nx = 1\n```\nb\n```bash\nls\n```\n") == "\n\nx = 1\n\n\n\n\n\n"


@pytest.mark.parametrize(
    "page", [p for p in PAGES if PYTHON.search(p.read_text())], ids=lambda p: p.stem
)
def test_code_of_page_runs(page, tmp_path):
    script = tmp_path / f"{page.stem}.py"
    script.write_text(code_of(page.read_text()))
    result = run(str(script), folder=tmp_path)
    assert result.returncode == 0, result.stdout[-1000:] + result.stderr[-3000:]
    if page.name == "README.md":
        correct, total = map(int, re.findall(r"(\d+) of (\d+) correct", result.stdout)[0])
        assert correct > 0.95 * total


def test_every_guide_page_is_in_the_table_of_contents():
    index = (ROOT / "docs/guide/index.md").read_text()
    for page in (ROOT / "docs/guide").glob("*.md"):
        assert page.stem == "index" or f"\n{page.stem}\n" in index


def test_commands_named_on_the_pages_exist(tmp_path):
    text = "".join(page.read_text() for page in [*PAGES, ROOT / "docs/index.md"])
    commands = set(re.findall(r"python -m tinyconv ([a-z]+)", text))
    assert {"train", "predict", "info"} <= commands
    for command in commands:
        result = run("-m", "tinyconv", command, "--help", folder=tmp_path)
        assert result.returncode == 0, result.stderr


# -- tables -------------------------------------------------------------------------------------


def test_settings_table_in_readme():
    readme = (ROOT / "README.md").read_text()
    made = run(str(ROOT / "docs/settings_table.py"), folder=ROOT).stdout
    assert made in readme, "run `python docs/settings_table.py` and put its table into README.md"
    rows = [[cell.strip(" `") for cell in row.split(" | ")] for row in made.splitlines()[2:]]
    for row, (variable, legal, _, meaning) in zip(rows, config.table(), strict=True):
        assert row[0].lstrip("| `") == variable
        assert row[1] == legal
        assert row[3].removesuffix(" |").strip("`") == meaning.strip("`")


def test_house_table_in_readme_names_every_floor():
    table = (ROOT / "README.md").read_text().partition("## The house")[2]
    named = set(re.findall(r"`(\w+)(?:/|\.py)`", table))
    for path in (ROOT / "tinyconv").iterdir():
        if path.name[0] not in "_." and path.stem != "py":
            assert path.stem in named, f"README's table of floors lacks {path.name}"


# -- API reference ------------------------------------------------------------------------------


def test_reference_lists_modules_and_all_they_list_is_documented():
    text = (ROOT / "docs/api/index.md").read_text()
    names = re.findall(r"^   (tinyconv[\w.]*)$", text, re.MULTILINE)
    assert len(names) > 5
    for name in names:
        module = importlib.import_module(name)
        for public in getattr(module, "__all__", []):
            thing = getattr(module, public)
            if inspect.isclass(thing) or inspect.isroutine(thing):
                assert inspect.getdoc(thing), f"{name}.{public} has no docstring"


# -- examples in docstrings ---------------------------------------------------------------------


FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def run_doctests(names):
    """Return the failures by module. Called in a process of its own: examples change settings."""
    failures = {}
    fixtures = {"getfixture": {"tmp_path": Path.cwd()}.__getitem__}  # as pytest gives doctests
    for name in names:
        module, report = importlib.import_module(name), []
        runner = doctest.DocTestRunner(verbose=False, optionflags=FLAGS)
        for test in doctest.DocTestFinder(exclude_empty=True).find(
            module, name, extraglobs=fixtures
        ):
            if test.examples:
                runner.run(test, out=report.append)
        if report:
            failures[name] = "".join(report)
    return failures


@pytest.fixture(scope="module")
def doctest_failures(tmp_path_factory):
    code = (
        f"import json, sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        f"from test_docs import run_doctests\nprint(json.dumps(run_doctests({MODULES!r})))"
    )
    result = run("-c", code, folder=tmp_path_factory.mktemp("doctest"))
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


@pytest.mark.parametrize("module", MODULES)
def test_examples_in_docstrings(module, doctest_failures):
    assert module not in doctest_failures, doctest_failures[module]
