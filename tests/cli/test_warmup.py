"""``python -m tinyconv warmup``, run as a user runs it."""

import os
import pkgutil
import re
import subprocess
import sys
from importlib import import_module
from inspect import unwrap

import pytest

from tinyconv import config
from tinyconv.backend import cpu
from tinyconv.backend.cpu.compiler import compiling
from tinyconv.backend.cpu.compiler.jit import Kernel, cache_folder
from tinyconv.cli import main, warmup, warmup_calls

#: Says which kernels a training step meets for types that no group of warm-up calls has met.
STEP = """
import tinyconv as tc
from tinyconv.backend.cpu.compiler import compiling
from tinyconv.cli import warmup_calls

for name in warmup_calls.GROUPS:
    warmup_calls.run(name, "float32")
known = len(compiling.record)
for make in (tc.models.LeNet5, tc.models.CNN):
    for optimizer in (tc.optim.SGD, tc.optim.Adam):
        model = make()
        update = optimizer(model.parameters(), lr=0.01)
        for batch in (64, 7):
            x, y = tc.rand(batch, 1, 28, 28), tc.arange(batch) % 10
            tc.nn.functional.cross_entropy(model(x), y).backward()
            update.step()
        model.eval()(x)
print(sorted({event.kernel for event in compiling.record[known:]}))
print(known > 0)
"""


def python(*arguments, **variables):
    environment = {**os.environ, "TINYCONV_PROGRESS": "0", **variables}
    return subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, timeout=900
    )


def warmed_up(**variables):
    """Return what ``warmup`` prints."""
    done = python("-m", "tinyconv", "warmup", "--dtype", "float32", **variables)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture(scope="module")
def table():
    """Return what ``warmup`` prints; most kernels are in the cache, from other tests."""
    return warmed_up()


def test_a_training_step_needs_no_kernel_that_warmup_does_not(table):
    done = python("-c", STEP)
    assert (done.stdout, done.stderr) == ("[]\nTrue\n", "")


def test_table_names_each_kernel_and_the_folder(table):
    lines = table.splitlines()
    assert lines[0].split() == ["kernel", "seconds", "compiled", "from", "cache"]
    assert any(line.startswith("spin.signal_and_wait ") for line in lines)
    assert lines[-1].endswith(f"kept in {cache_folder()}")


def test_every_kernel_is_warmed_up(table):
    names = {line.split()[0] for line in table.splitlines() if line}
    kernels = set()
    for info in pkgutil.walk_packages(cpu.__path__, f"{cpu.__name__}."):
        module = import_module(info.name)
        kernels |= {value for value in vars(module).values() if isinstance(value, Kernel)}
    # One that another kernel calls is part of its code, and compiled with it.
    called = [f.__globals__.get(name) for f in map(unwrap, kernels) for name in f.__code__.co_names]
    parts = {value for value in called if isinstance(value, Kernel)}
    assert len(parts) > 5
    missing = sorted({compiling.name_of(kernel) for kernel in kernels - parts} - names)
    assert not missing, f"add calls that lead to {missing} to cli/warmup_calls.py"


def test_second_warmup_compiles_nothing(table):
    done = python("-m", "tinyconv", "warmup", "--processes", "1")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1].startswith("0 compiled")


def test_kernels_of_a_group_are_kept_in_the_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr(warmup_calls, "GROUPS", {"threading": warmup_calls.threading})
    with config.cache_dir.override(tmp_path):
        assert main(["warmup", "--dtype", "float32"]) == 0
        first = capsys.readouterr().out
        assert main(["warmup", "--dtype", "float32"]) == 0
    again = capsys.readouterr().out
    compiled, loaded = (dict(rows(text)) for text in (first, again))
    assert compiled["spin.signal_and_wait"] == ("1", "0")
    assert loaded["spin.signal_and_wait"] == ("0", "1")
    assert {counts[0] for counts in loaded.values()} == {"0"}
    assert str(tmp_path / "kernels") in first.splitlines()[-1]
    assert list((tmp_path / "kernels").rglob("*.nbc"))


def rows(text):
    """Return (kernel, (compiled, from cache)) of each line of a table."""
    for line in text.splitlines():
        words = line.split()
        if len(words) == 4 and words[2].isdigit():
            yield words[0], tuple(words[2:])


@pytest.mark.slow
def test_after_warmup_in_an_empty_folder_nothing_is_compiled(tmp_path):
    environment = {"TINYCONV_CACHE_DIR": str(tmp_path), "NUMBA_CACHE_DIR": ""}
    assert not re.search(r"^0 compiled", warmed_up(**environment), re.MULTILINE)
    code = STEP.replace("compiling.record[known:]", "compiling.record if event.compiled")
    done = python("-c", code, **environment)
    assert (done.stdout, done.stderr) == ("[]\nTrue\n", "")


def test_every_group_runs_in_float64():
    with config.progress.override("0"):
        for name in warmup_calls.GROUPS:
            warmup_calls.run(name, "float64")


def test_failing_group_is_named_and_the_rest_is_done(monkeypatch, capsys):
    event = compiling.Event("pool.max", 0.25, True)
    failure = [(("pools", "float32"), "ValueError: no")]
    monkeypatch.setattr(warmup, "_gather", lambda jobs, count: ([event], failure))
    assert main(["warmup"]) == 1
    captured = capsys.readouterr()
    assert captured.err == "warmup: pools (float32) failed: ValueError: no\n"
    assert "pool.max" in captured.out


def test_without_a_folder_there_is_nothing_to_keep(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with config.cache_dir.override(tmp_path / "file"):
        assert main(["warmup"]) == 1
    assert "nothing would be kept" in capsys.readouterr().err


def test_without_numba(monkeypatch, capsys):
    monkeypatch.setattr(warmup, "numba_available", lambda: False)
    assert main(["warmup"]) == 2
    assert "nothing to compile without Numba" in capsys.readouterr().err
