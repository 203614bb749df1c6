"""Compiled kernels and their folder: lazy, private, and never a reason to fail."""

import os
import shutil
import subprocess
import sys

import pytest

from tinyconv import config
from tinyconv.backend.cpu.compiler import jit

posix = pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")

USE = """
import numpy as np
from tinyconv.backend import cpu
y = cpu.override("erf")(np, np.array([0.5, 1.0]))
assert abs(y[0] - 0.5204998778130465) < 1e-15, y
from tinyconv.backend.cpu import special
stats = special.erf_range._dispatcher.stats
print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
import numba
print(repr(numba.config.CACHE_DIR))
"""


def use(folder, **variables):
    """Run a kernel in a new process; return (cache hits, cache misses) and Numba's own folder."""
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
    environment |= {"TINYCONV_CACHE_DIR": str(folder), **variables}
    done = subprocess.run(
        [sys.executable, "-c", USE],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stderr == ""
    counts, numbas_folder = done.stdout.splitlines()
    return tuple(int(n) for n in counts.split()), numbas_folder


def files(folder):
    return sorted(p for p in folder.rglob("*") if p.is_file())


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """Return a cache folder with one compiled kernel."""
    folder = tmp_path_factory.mktemp("compiled")
    use(folder)
    return folder


def test_second_process_loads_what_the_first_has_compiled(tmp_path):
    cache = tmp_path / "made" / "here"
    assert use(cache) == ((0, 1), "''")
    assert any(p.suffix == ".nbc" for p in files(cache / "kernels"))
    assert use(cache) == ((1, 0), "''")
    if os.name == "posix":
        assert (cache / "kernels").stat().st_mode & 0o777 == 0o700


@posix
def test_loose_folder_is_made_private(tmp_path):
    kernels = tmp_path / "kernels"
    kernels.mkdir()
    kernels.chmod(0o777)
    with config.cache_dir.override(tmp_path):
        folder = jit.cache_folder()
    assert folder is not None
    assert folder.parent == kernels
    assert kernels.stat().st_mode & 0o777 == 0o700


@posix
def test_folder_of_another_user_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: 12345678)
    with config.cache_dir.override(tmp_path):
        assert jit.cache_folder() is None


def test_unusable_folder_compiles_in_memory(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    for _ in range(2):
        assert use(blocked)[0] == (0, 1)
    assert blocked.read_text() == "not a folder"


@posix
def test_read_only_folder_compiles_in_memory(tmp_path, monkeypatch):
    if os.getuid() == 0:  # root writes everywhere, so the answer of the system is replaced
        monkeypatch.setattr(os, "access", lambda *_: False)
        with config.cache_dir.override(tmp_path):
            assert jit.cache_folder() is None
        return
    tmp_path.chmod(0o500)
    for _ in range(2):
        assert use(tmp_path)[0] == (0, 1)
    tmp_path.chmod(0o700)


@pytest.mark.parametrize(
    ("suffix", "content"), [(".nbi", b"garbage"), (".nbc", b""), (".nbi", None), (".nbc", None)]
)
def test_damaged_files_are_compiled_anew(compiled, tmp_path, suffix, content):
    shutil.copytree(compiled, tmp_path, dirs_exist_ok=True)
    # content None: the last bytes are missing
    damaged = [p for p in files(tmp_path) if p.suffix == suffix]
    assert damaged
    for path in damaged:
        path.write_bytes(path.read_bytes()[:-20] if content is None else content)
    assert use(tmp_path)[0] == (0, 1)
    assert use(tmp_path)[0] == (1, 0)


def test_folder_that_fails_later_is_forgiven(tmp_path, monkeypatch):
    numba = pytest.importorskip("numba")

    def full(*_):
        raise OSError(28, "No space left on device")

    def double(x):
        return 2 * x

    monkeypatch.setattr(numba.core.caching.IndexDataCacheFile, "_open_for_write", full)
    with config.cache_dir.override(tmp_path):
        kernel = jit.kernel(double)
        assert kernel(21) == 42
        assert kernel(1.5) == 3.0


def test_users_own_numba_folder_takes_precedence(tmp_path):
    own = tmp_path / "own"
    _, folder = use(tmp_path / "ours", NUMBA_CACHE_DIR=str(own))
    assert folder == repr(str(own))
    assert files(own)
    assert not (tmp_path / "ours").exists()


def test_without_compiler_the_reference_kernels_run():
    code = (
        "import sys, tinyconv as tc\n"
        "x = tc.ones(1, 1, 3, 3, requires_grad=True)\n"
        "tc.nn.Sequential(tc.nn.Conv2d(1, 2, 3, padding=1), tc.nn.ReLU())(x).sum().backward()\n"
        "assert 'numba' not in sys.modules\n"
        "try:\n"
        "    with tc.config.override(backend='numba'): tc.erf(x)\n"
        "except ImportError as error: assert 'NUMBA_DISABLE_JIT' in str(error)\n"
    )
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=120)


def test_kernel_keeps_name_and_docstring():
    @jit.kernel
    def triple(x):
        """Say what it does."""
        return 3 * x

    assert triple.__name__ == "triple"
    assert triple.__doc__ == "Say what it does."
    assert triple._dispatcher is None
    assert triple(2) == 6
