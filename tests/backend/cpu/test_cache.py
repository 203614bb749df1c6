"""The disk cache between processes, machines, options and versions of the source; the notice."""

import ast
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from types import FunctionType

import numpy as np
import pytest

from tinyconv import config
from tinyconv.backend.cpu.compiler import cache, compiling, jit

SCRIPT = """
import sys
import numpy as np
from tinyconv.backend.cpu.compiler import compiling
from tinyconv.backend.cpu.compiler.jit import kernel

@kernel
def total(numbers):
    result = numbers[0] * 0
    for number in numbers:
        result += number
    return result

dtypes = sys.argv[1].split(",")
for dtype in dtypes:
    assert total(np.arange(10, dtype=dtype)) == 45
    assert total(np.arange(10, dtype=dtype)[::2]) == 20
print(sum(event.compiled for event in compiling.record), len(compiling.record))
"""


def start(script, folder, dtypes, **variables):
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
    environment |= {"TINYCONV_CACHE_DIR": str(folder), "TINYCONV_PROGRESS": "0", **variables}
    return subprocess.Popen(
        [sys.executable, str(script), dtypes], env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def counts(process):
    """Return how many kernels a process has compiled, and how many it has loaded."""
    out, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (0, "")
    compiled, both = map(int, out.split())
    return compiled, both - compiled


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    return path


def test_processes_that_start_at_once_share_the_folder(script, tmp_path):
    """They save different types of one kernel, which must not end up under one file name."""
    orders = ["float32,float64,int32", "int64,int32,float32", "float64,int64", "int32,float64"]
    running = [start(script, tmp_path / "c", order) for order in orders]
    for process in running:
        counts(process)
    assert counts(start(script, tmp_path / "c", "float32,float64,int32,int64")) == (0, 8)
    assert len(list((tmp_path / "c").rglob("*.nbc"))) == 8
    assert not list((tmp_path / "c").rglob("*.tmp.*"))


def test_code_of_another_processor_is_not_run(script, tmp_path):
    folder = tmp_path / "c"
    foreign = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}
    assert counts(start(script, folder, "float32", **foreign)) == (2, 0)
    assert counts(start(script, folder, "float32")) == (2, 0)
    assert counts(start(script, folder, "float32")) == (0, 2)
    assert counts(start(script, folder, "float32", **foreign)) == (0, 2)


def test_file_that_belongs_to_other_types_is_not_run(script, tmp_path):
    folder = tmp_path / "c"
    counts(start(script, folder, "float32,int32"))
    files = sorted(folder.rglob("*.nbc"))
    for path in files[1:]:
        shutil.copy(files[0], path)
    compiled, _ = counts(start(script, folder, "float32,int32"))
    assert compiled >= 3


def test_change_of_a_constant_or_a_function_elsewhere_compiles_anew(tmp_path):
    script, folder = tmp_path / "script.py", tmp_path / "c"
    lines = ["from tinyconv.backend.cpu.compiler.jit import kernel", "import other, sys", "@kernel",
             "def scaled(x):", "    return FACTOR * x", "print(scaled(1.0))",
             "from tinyconv.backend.cpu.compiler import compiling",
             "print(compiling.record[0].compiled)"]  # fmt: skip
    script.write_text(
        "\n".join(lines).replace("import other", "from other import FACTOR\nimport os")
    )

    def answer(factor):
        (tmp_path / "other.py").write_text(f"FACTOR = {factor}\n")
        shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
        done = start(script, folder, "")
        out, err = done.communicate(timeout=300)
        assert err == ""
        return out.split()

    assert answer(2.0) == ["2.0", "True"]
    assert answer(2.0) == ["2.0", "False"]
    assert answer(3.0) == ["3.0", "True"]


def test_fingerprint_sees_what_a_function_refers_to():
    def make(constant, inner):
        def outer(x):
            return inner(x) + constant

        return outer

    def once(x):
        return x

    def twice(x):
        return x + x

    prints = {
        cache.fingerprint(make(constant, inner))
        for constant in (1, 2.5, (1, 2), np.arange(3), np.arange(4))
        for inner in (once, twice)
    }
    assert len(prints) == 10
    assert cache.fingerprint(make(1, once)) == cache.fingerprint(make(1, once))


def test_fingerprint_sees_the_file_of_a_function_that_is_overloaded(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "overloads_for_a_test.py"
    text = "def overload(f): return lambda g: f\ndef f(x): pass\n@overload(f)\ndef _(x): return x"
    prints = set()
    for version in (text, text + " + 1"):
        file.write_text(version)
        sys.modules.pop("overloads_for_a_test", None)
        shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
        prints.add(cache.fingerprint(__import__("overloads_for_a_test").f))
    assert len(prints) == 2


def test_fingerprint_does_not_depend_on_what_has_happened():
    def first(x):
        return x.append(state)

    state = threading.local()
    before = cache.fingerprint(first)
    state.value = 1
    assert cache.fingerprint(first) == before

    code = compile("def f(x): return x.table", "f", "exec")
    prints = set()
    for table in ({}, {1: 2}):  # an attribute, not this global
        names = {"table": table}
        prints.add(cache.fingerprint(FunctionType(code.co_consts[0], names)))
    assert len(prints) == 1


def test_fingerprint_ends_where_functions_call_each_other():
    def even(n):
        return n == 0 or odd(n - 1)

    def odd(n):
        return n != 0 and even(n - 1)

    assert cache.fingerprint(even) != cache.fingerprint(odd)


def test_time_of_the_source_file_does_not_matter(script, tmp_path):
    counts(start(script, tmp_path / "c", "float32"))
    os.utime(script, (1, 1))
    assert counts(start(script, tmp_path / "c", "float32")) == (0, 2)


BOUNDS = """
import numpy as np
from tinyconv.backend.cpu.compiler.jit import kernel

@kernel
def element(numbers, i):
    return numbers[i]

memory = np.arange(100.0)
try:
    print(element(memory[:4], 10))
except IndexError:
    print("IndexError")
"""


def test_bounds_are_checked_on_demand_and_cached_apart(tmp_path):
    script = tmp_path / "bounds.py"
    script.write_text(BOUNDS)

    def answer(**variables):
        out, err = start(script, tmp_path / "c", "", **variables).communicate(timeout=300)
        assert err == ""
        return out.strip()

    for _ in range(2):
        assert answer() == "10.0"
        assert answer(NUMBA_BOUNDSCHECK="1") == "IndexError"


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
def test_folder_that_becomes_read_only(script, tmp_path):
    folder = tmp_path / "c"
    counts(start(script, folder, "float32"))
    if os.getuid() == 0:
        pytest.skip("root writes everywhere")
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            path.chmod(0o500)
    assert counts(start(script, folder, "float32,int32"))[0] == 4


def test_readers_share_and_a_writer_excludes_all(tmp_path):
    fcntl = pytest.importorskip("fcntl")

    def free(kind):
        with open(tmp_path / "lock", "a") as file:
            try:
                fcntl.flock(file, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

    with cache.locked(str(tmp_path), exclusive=True):
        assert not free(fcntl.LOCK_SH)
    with cache.locked(str(tmp_path), exclusive=False):
        assert free(fcntl.LOCK_SH)
        assert not free(fcntl.LOCK_EX)
    assert free(fcntl.LOCK_EX)


# -- the notice -----------------------------------------------------------------------------


def test_notice_is_one_plain_line_without_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(compiling, "SILENCE", 0.0)
    notice = compiling.Notice()
    with config.progress.override("auto"):
        for name in "ab":
            notice.begin(name)
            notice.end(0.1)
    assert capsys.readouterr().err == "tinyconv: compiling kernels (once; kept on disk) ...\n"


def test_notice_is_a_bar_where_it_is_asked_for(capsys, monkeypatch):
    monkeypatch.setattr(compiling, "SILENCE", 0.0)
    notice = compiling.Notice()
    with config.progress.override("1"):
        for name in ("conv.tile", "pool.max"):
            notice.begin(name)
            notice.end(0.1)
    text = capsys.readouterr().err
    assert "compiling conv.tile" in text
    assert "compiling pool.max" in text
    assert text.endswith("\r"), "the bar is taken away"


def test_notice_can_be_turned_off(capsys, monkeypatch):
    monkeypatch.setattr(compiling, "SILENCE", 0.0)
    notice = compiling.Notice()
    with config.progress.override("0"):
        notice.begin("a")
        notice.end(9.0)
    assert capsys.readouterr().err == ""


def test_short_compilations_are_silent(capsys):
    before = threading.active_count()
    notice = compiling.Notice()
    with config.progress.override("auto"):
        notice.begin("a")
        timer = notice._timer
        notice.end(0.5)
        assert timer is not None
        timer.join(60)
        assert timer.finished.is_set()
    assert capsys.readouterr().err == ""
    assert notice.total == 0.5
    assert threading.active_count() == before


def test_long_compilation_is_announced_while_it_runs(capsys, monkeypatch):
    monkeypatch.setattr(compiling, "SILENCE", 1e-3)
    notice = compiling.Notice()
    with config.progress.override("auto"):
        notice.begin("a")
        notice._timer.join(60)
        assert "compiling kernels" in capsys.readouterr().err
        notice.end(2.0)


NOTICED = "from tinyconv.backend.cpu.compiler import compiling; compiling.SILENCE = 0.0\n" + SCRIPT


def test_cold_start_says_so_and_warm_start_says_nothing(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(NOTICED)
    for expected in (True, False):
        process = start(script, tmp_path / "c", "float32", TINYCONV_PROGRESS="auto")
        _, err = process.communicate(timeout=300)
        assert ("compiling kernels" in err) is expected, err


def test_record_names_kernels_within_the_package():
    from tinyconv.backend.cpu import special

    assert compiling.name_of(special.erf_range) == "special.erf_range"


def test_first_kernels_of_two_threads_import_numba_once():
    code = (
        "import threading, numpy as np\n"
        "from tinyconv.backend import cpu\n"
        "results, gate = [], threading.Barrier(4)\n"
        "def first():\n"
        "    gate.wait()\n"
        "    results.append(cpu.override('erf')(np, np.full(50_000, 0.5))[-1])\n"
        "threads = [threading.Thread(target=first) for _ in range(4)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n"
        "assert len(results) == 4 and len(set(results)) == 1, results\n"
    )
    environment = {**os.environ, "TINYCONV_NUM_THREADS": "2"}
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=300,
            env=environment,
        )
        assert (done.returncode, done.stderr) == (0, "")


def test_options_are_part_of_the_folder(tmp_path, monkeypatch):
    with config.cache_dir.override(tmp_path):
        first = jit.cache_folder()
        monkeypatch.setitem(jit.OPTIONS, "error_model", "python")
        assert jit.cache_folder() != first


FACTORY = """
import sys
import numpy as np
from tinyconv.backend.cpu.compiler.jit import jitable, kernel

def add(value):
    def added(numbers):
        numbers[0] += value
LONG
    return jitable(added, value)

one, two = add(1), add(2)

@kernel
def first(numbers):
    one(numbers)
    one(numbers)

@kernel
def second(numbers):
    two(numbers)
    two(numbers)

for name in sys.argv[1].split(","):
    numbers = np.zeros(3)
    globals()[name](numbers)
    value = {"first": 1, "second": 2}[name]
    assert numbers[0] == 2 * value, (name, numbers)
print(0, 0)
""".replace(
    "LONG", "        numbers[1] = np.sin(numbers[1]) * numbers[2]\n" * 99
)  # too long to be inlined


def test_functions_of_one_factory_are_not_taken_for_each_other(tmp_path):
    """Both are the first function that their process compiles, so Numba counts both as the same."""
    script = tmp_path / "script.py"
    script.write_text(FACTORY)
    for kernels in ("first", "second", "first,second", "second,first"):
        counts(start(script, tmp_path / "c", kernels))


def test_each_function_of_a_factory_has_a_name_of_its_own():
    def add(value):
        return jit.jitable(lambda number: number + value, value)

    assert len({add(value).__qualname__ for value in (1, 2, "1")}) == 3


def test_factories_do_not_make_functions_that_share_a_name():
    for path in Path(cache.__file__).parent.glob("*.py"):
        for outer in ast.walk(ast.parse(path.read_text())):
            if isinstance(outer, ast.FunctionDef):
                for inner in ast.walk(outer):
                    if isinstance(inner, ast.FunctionDef) and inner is not outer:
                        assert "register_jitable" not in map(ast.unparse, inner.decorator_list)
