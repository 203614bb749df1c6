"""The house rules: floors import only floors below, importing is light, files stay readable."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "tinyconv"
FILES = sorted(PACKAGE.rglob("*.py"))

# From the ground up. A floor may import the floors before it, and itself.
FLOORS = [
    ("errors", "config"),
    ("backend",),
    ("autograd",),
    ("ops",),
    ("formatting", "protocols", "tensor", "cuda", "linalg"),
    ("serialization",),
    ("amp", "nn", "optim", "data"),
    ("datasets", "models", "graphs"),
    ("train",),
    ("adversarial",),
    ("viz",),
    ("cli",),
    ("__init__", "__main__"),
]
LEVEL = {name: level for level, names in enumerate(FLOORS) for name in names}


def floor_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_floors(path: Path):
    """Yield (line, floor) for every import of a tinyconv module, also inside functions."""
    depth = len(path.relative_to(PACKAGE).parts)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            above = depth - node.level  # folders that remain below tinyconv/
            parts = [*path.relative_to(PACKAGE).parts[:above], *(node.module or "").split(".")]
            parts = [part for part in parts if part]
            names = [parts[0]] if parts else [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tinyconv"):
            names = [(node.module.split(".") + ["__init__"])[1]]
        elif isinstance(node, ast.Import):
            found = [a.name.split(".") for a in node.names if a.name.startswith("tinyconv")]
            names = [(parts + ["__init__"])[1] for parts in found]
        else:
            continue
        for name in names:
            yield node.lineno, name if name in LEVEL else "__init__"


def violations(path: Path):
    floor = floor_of(path)
    if floor in ("__init__", "__main__", "cli"):
        return []
    return [
        f"{path.relative_to(PACKAGE)}:{line} imports {name}, which is above {floor}"
        for line, name in imported_floors(path)
        if LEVEL[name] > LEVEL[floor]
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_only_floors_below(path):
    assert floor_of(path) in LEVEL, "a new floor: give it a place in FLOORS"
    assert violations(path) == []


def test_the_import_rule_sees_a_violation(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    bad = tmp_path / "backend" / "bad.py"
    bad.parent.mkdir()
    bad.write_text("def f():\n    from ..nn import Module\n    from . import base\n")
    assert violations(bad) == ["backend/bad.py:2 imports nn, which is above backend"]


def folders_imported(path):
    """Return the folders beside that of ``path`` from which it imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == 2:
            yield from [(node.module or "").split(".")[0], *(alias.name for alias in node.names)]


def test_folders_of_cpu_kernels_import_only_those_before_them():
    order = ["compiler", "parallel", "vectors", "loops", "convolution"]
    seen = set()
    for place, folder in enumerate(order):
        for path in (PACKAGE / "backend" / "cpu" / folder).glob("*.py"):
            found = set(folders_imported(path)) & set(order)
            assert found <= set(order[:place]), path
            seen |= found
    assert seen == set(order[:-1])


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_file_has_at_most_400_lines(path):
    assert len(path.read_text().splitlines()) <= 400


def test_ops_and_graph_know_no_array_library():
    for folder in ("ops", "autograd"):
        for path in (PACKAGE / folder).rglob("*.py"):
            if path.name in ("gradcheck.py", "anomaly.py"):  # these look at numbers on the host
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                names = []
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and not node.level:
                    names = [node.module]
                libraries = {name.split(".")[0] for name in names}
                assert not libraries & {"numpy", "cupy", "numba"}, f"{path}:{node.lineno}"


def test_no_pickle_eval_or_exec_in_the_package():
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names] + [getattr(node, "module", "") or ""]
                assert not {n.split(".")[0] for n in names} & {"pickle", "marshal", "torch"}, path
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("eval", "exec"), f"{path}:{node.lineno}"


def run_python(code, **environment):
    import os

    env = {**os.environ, **environment}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=env, check=False
    )


def test_import_is_light_and_silent():
    code = (
        "import sys, tinyconv\n"
        "heavy = {'numba', 'cupy', 'matplotlib', 'sklearn', 'scipy', 'torch', 'PIL', 'tqdm',"
        " 'safetensors', 'multiprocessing', 'ml_dtypes'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    result = run_python(code)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_import_starts_no_thread_and_works_twice():
    code = (
        "import importlib, threading, tinyconv\n"
        "assert threading.active_count() == 1\n"
        "first = tinyconv.Tensor\n"
        "import tinyconv as again\n"
        "assert again.Tensor is first\n"
    )
    assert run_python(code).returncode == 0


def test_unknown_variable_warns_and_illegal_value_raises():
    result = run_python("import tinyconv", TINYCONV_DEVISE="cpu")
    assert "unknown environment variable TINYCONV_DEVISE" in result.stderr
    result = run_python("import tinyconv", TINYCONV_BACKEND="torch")
    assert result.returncode != 0
    assert "TINYCONV_BACKEND='torch' is not legal; choose auto, numpy or numba" in result.stderr
