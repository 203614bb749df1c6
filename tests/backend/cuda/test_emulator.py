"""The emulator itself: right kernels give right results, planted faults are noticed."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from cuda_emulator import COMPILER, emulated, sanitized_python

from tinyconv.backend.cuda.driver.launching import Kernel

pytestmark = pytest.mark.skipif(not COMPILER, reason="the emulator needs g++")
SOURCE = str(Path(__file__).with_name("planted.cu"))
FIELDS = "x y count:int64 factor:float32"
KERNELS = {
    name: Kernel(SOURCE, name, FIELDS) for name in ("reverse", "rotate", "scale", "sums", "diverge")
}
X = np.arange(64, dtype=np.float32)


def run(name, block=64, grid=1, x=X, count=64, factor=3.0, shared=0, fault=None, flags=(), out=64):
    """Return what a kernel, with a fault or without, makes of x."""
    y = np.full(out, -1, np.float32)
    defines = {fault: 1} if fault else {}
    with emulated(flags):
        KERNELS[name].variant(**defines)(grid, block, x, y, count, factor, shared=shared)
    return y


@pytest.mark.parametrize("flags", [(), ("-DEMULATOR_UCONTEXT",)], ids=["switch", "ucontext"])
def test_kernels_without_a_fault(flags):
    np.testing.assert_array_equal(run("reverse", flags=flags), X[::-1])
    np.testing.assert_array_equal(run("reverse", 32, 2, flags=flags)[:32], X[31::-1])
    rotated = run("rotate", count=5, shared=256, flags=flags)
    np.testing.assert_array_equal(rotated, np.roll(X, -5))
    np.testing.assert_array_equal(run("scale", count=50, flags=flags)[:51], [*X[:50] * 3, -1])
    np.testing.assert_array_equal(run("sums", out=2, flags=flags), [X[:32].sum(), X[32:].sum()])
    assert run("sums", 32, 2, out=2, flags=flags).sum() == X.sum()
    swapped = run("diverge", flags=flags)
    np.testing.assert_array_equal(swapped, [*(np.arange(32) ^ 1), *range(32, 64)])


def test_a_missing_barrier_gives_nan_or_a_wrong_order():
    assert np.isnan(run("reverse", fault="MISSING_BARRIER")).sum() >= 16
    rotated = run("rotate", count=5, shared=256, fault="MISSING_SECOND_BARRIER")
    assert (rotated != np.roll(X, -5)).any()


def test_shared_memory_that_nobody_wrote_is_nan():
    assert np.isnan(run("reverse", 63, x=X[:63], fault="MISSING_BARRIER")).any()
    # 64 elements are there, the launch gives memory for 65: nobody writes the last
    last = run("rotate", count=0, shared=260, fault="READ_TOO_FAR")
    np.testing.assert_array_equal(last[:63], X[1:])
    assert np.isnan(last[63])


def test_memory_is_poisoned_before_every_block():
    # the second block would find the numbers of the first
    y = run("reverse", 32, 2, fault="MISSING_BARRIER")
    assert np.isnan(y[32:]).any()


def test_a_write_behind_dynamic_shared_memory():
    with pytest.raises(RuntimeError, match=r"byte 256 of dynamic shared .* the launch gave 256"):
        run("rotate", count=1, shared=256, fault="TOO_FAR")
    run("rotate", count=1, shared=256)  # the guard is whole again


def test_a_shuffle_off_by_one():
    assert run("sums", out=2, fault="OFF_BY_ONE")[0] != X[:32].sum()


def test_a_lane_that_has_returned_brings_nan():
    assert np.isnan(run("sums", 32, out=1, fault="SOME_LANES")[0])


def test_a_lane_beyond_the_block_brings_nan():
    assert np.isnan(run("sums", 20, x=X[:20], count=20, out=1)[0])


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (
            "HALF_IN_A_BARRIER",
            r"deadlock.*\n  24 in __syncthreads, planted.cu:75, from \(0, 0, 0\)"
            r"\n  8 in shuffle_xor, planted.cu:76, from \(24, 0, 0\)\n  32 have returned",
        ),
        ("TWO_BARRIERS", r".* different barriers:\n  32 in .*planted.cu:79.*\n  32 in .*:81"),
        ("TWO_COLLECTIVES", r".* different collectives:\n  16 in ballot.*\n  16 in shuffle_xor"),
        ("DEEP", ".*its stack is full"),
    ],
)
def test_threads_that_part(fault, message):
    with pytest.raises(RuntimeError, match="diverge: block (.*): " + message):
        run("diverge", fault=fault)
    run("diverge")  # and the next launch is none the worse


def test_launches_that_a_gpu_refuses():
    for options, message in [
        ({"block": 129}, "more threads than its __launch_bounds__"),
        ({"grid": (1, 65536)}, "grid.y and grid.z"),
        ({"grid": 0}, "the grid is empty"),
        ({"shared": 240 * 1024}, "more dynamic shared memory"),
    ]:
        with pytest.raises(RuntimeError, match=message):
            run("scale", **options)
    with pytest.raises(RuntimeError, match="1 to 1024 threads"):
        run("reverse", block=(32, 33))


def test_a_struct_that_is_not_what_the_kernel_takes():
    wrong = Kernel(SOURCE, "scale", "x y count:int64")
    with emulated(), pytest.raises(AssertionError, match=r"scale: .*32 bytes.* 24"):
        wrong.variant()(1, 64, X, X.copy(), 64)


def test_two_threads_of_python_take_turns():
    kernel = KERNELS["rotate"].variant()
    outputs = [np.zeros(64, np.float32) for _ in range(16)]
    with emulated(), ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(kernel, 1, 64, X, y, 9, 0.0, shared=256) for y in outputs]:
            future.result()
    for y in outputs:
        np.testing.assert_array_equal(y, np.roll(X, -9))


SANITIZED = f"""
import numpy as np
from cuda_emulator import emulated
from tinyconv.backend.cuda.driver.launching import Kernel
x, y = np.arange(64, dtype=np.float32), np.empty(64, np.float32)
def run(name, *faults, shared=256):
    kernel = Kernel({SOURCE!r}, name, {FIELDS!r}).variant(**dict.fromkeys(faults, 1))
    with emulated(sanitize=True):
        kernel(2 if name == "scale" else 1, 64, x, y, 64, 3.0, shared=shared)
"""


def test_sanitized_kernels_without_a_fault():
    calls = "".join(f"run({name!r})\nassert np.isfinite(y).all()\n" for name in KERNELS)
    done = sanitized_python(SANITIZED + calls)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("run('scale', 'TOO_MANY')", "heap-buffer-overflow.*scale"),
        ("run('scale', 'MISALIGNED')", "misaligned address"),
        pytest.param(
            "run('rotate', 'READ_TOO_FAR')", "use-after-poison.*rotate", marks=pytest.mark.slow
        ),
        pytest.param(
            "x = x[:60].copy(); run('reverse')", "buffer-overflow.*reverse", marks=pytest.mark.slow
        ),
    ],
)
def test_sanitizers_find(call, message):
    done = sanitized_python(SANITIZED + call)
    assert done.returncode != 0
    assert re.search(message, done.stderr, re.DOTALL), done.stderr[-3000:]
