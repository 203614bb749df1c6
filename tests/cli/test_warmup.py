"""``python -m tinyconv warmup``, run as a user runs it."""

import os
import pkgutil
import subprocess
import sys
from importlib import import_module

import pytest

from tinyconv import config
from tinyconv.backend import cpu
from tinyconv.backend.cpu import compiling
from tinyconv.backend.cpu.jit import Kernel
from tinyconv.cli import main, warmup, warmup_calls

STEP = """
import tinyconv as tc
from tinyconv.backend.cpu import compiling
for make in (tc.models.LeNet5, tc.models.CNN):
    for optimizer in (tc.optim.SGD, tc.optim.Adam):
        model = make()
        update = optimizer(model.parameters(), lr=0.01)
        for batch in (64, 7):
            x, y = tc.rand(batch, 1, 28, 28), tc.arange(batch) % 10
            tc.nn.functional.cross_entropy(model(x), y).backward()
            update.step()
        model.eval()(x)
print(sorted({event.kernel for event in compiling.record if event.compiled}))
print(len(compiling.record) > 0)
"""


def python(*arguments, folder):
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
    environment |= {"TINYCONV_CACHE_DIR": str(folder), "TINYCONV_PROGRESS": "0"}
    return subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, timeout=900
    )


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    """Return a cache folder after ``warmup``, and what that printed."""
    folder = tmp_path_factory.mktemp("warm")
    done = python("-m", "tinyconv", "warmup", "--dtype", "float32", folder=folder)
    assert (done.returncode, done.stderr) == (0, "")
    return folder, done.stdout


def test_a_training_step_after_warmup_compiles_nothing(warm):
    done = python("-c", STEP, folder=warm[0])
    assert (done.stdout.split("\n")[:2], done.stderr) == (["[]", "True"], "")


def test_table_names_each_kernel_and_the_folder(warm):
    folder, text = warm
    lines = text.splitlines()
    assert lines[0].split() == ["kernel", "seconds", "compiled", "from", "cache"]
    assert any(line.startswith("spin.signal_and_wait ") for line in lines)
    assert str(folder / "kernels") in lines[-1]


def test_every_kernel_is_warmed_up(warm):
    names = {line.split()[0] for line in warm[1].splitlines() if line}
    kernels = set()
    for info in pkgutil.iter_modules(cpu.__path__):
        module = import_module(f"{cpu.__name__}.{info.name}")
        kernels |= {
            compiling.name_of(value) for value in vars(module).values() if isinstance(value, Kernel)
        }
    missing = sorted(kernels - names)
    assert not missing, f"add calls that lead to {missing} to cli/warmup_calls.py"


def test_second_warmup_compiles_nothing(warm):
    done = python("-m", "tinyconv", "warmup", "--processes", "1", folder=warm[0])
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1].startswith("0 compiled")


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
