"""No kernel touches memory beside its arrays: each array ends, or begins, at a forbidden page.

Vector instructions that are written directly are not seen by Numba's bounds checks. Here every
input, and all memory that kernels ask for, lies at the edge of a page that the process may not
touch: one element too far, and the process dies of a signal.
"""

import signal
import subprocess
import sys

import pytest

SCRIPT = """
import ctypes, math, mmap, sys
import numpy as np

libc = ctypes.CDLL(None, use_errno=True)
AT_END, PAGE = sys.argv[1] == "end", mmap.PAGESIZE
kept = []

def guarded(shape, dtype):
    dtype = np.dtype(dtype)
    size = (math.prod(shape) if isinstance(shape, tuple) else int(shape)) * dtype.itemsize
    pages = max(-(-size // PAGE), 1)
    memory = mmap.mmap(-1, (pages + 2) * PAGE)
    kept.append(memory)
    begin = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for page in (begin, begin + (pages + 1) * PAGE):
        assert libc.mprotect(ctypes.c_void_p(page), PAGE, 0) == 0, ctypes.get_errno()
    at = PAGE + (pages * PAGE - size if AT_END else 0)
    return np.frombuffer(memory, np.uint8, size, at).view(dtype).reshape(shape)

def copy(array):
    result = guarded(array.shape, array.dtype)
    result[...] = array
    return result

from tinyconv import config
from tinyconv.backend.cpu import memory
from tinyconv.backend.cpu.parallel import threads

memory.empty = guarded
threads.workspace = lambda shape, dtype, slot=0: guarded(shape, dtype)
config.num_threads.set(1)  # a workspace is given out anew each time

rng = np.random.default_rng(0)
"""

CONVOLUTIONS = """
ALGORITHMS = ("auto", "direct", "winograd", "positions", "narrow", "joined", "grouped",
              "sheets")
from tinyconv.backend.cpu import conv as fast
from tinyconv.backend.reference.windows import output_size

def images(n, c, *size):
    return np.moveaxis(copy(rng.standard_normal((n, *size, c)).astype(dtype)), -1, 1)

one = (1, 1)
for dtype in ("float32", "float64"):
    for n, c, size, o, k, stride, pad, dilation, groups in [
        (1, 1, (7, 7), 6, 5, 1, 2, 1, 1), (2, 3, (9, 8), 33, 3, 1, 1, 1, 1),
        (3, 17, (6, 5), 35, 3, 2, 1, 1, 1), (2, 37, (7, 7), 70, 1, 1, 0, 1, 1),
        (2, 64, (2, 2), 40, 3, 1, 1, 1, 1), (2, 6, (8, 9), 12, 3, 1, 2, 2, 3),
        (2, 8, (7, 6), 8, 3, 1, 1, 1, 8), (1, 256, (3, 3), 5, 1, 1, 0, 1, 1),
        (9, 33, (5, 7), 18, 1, 1, 0, 1, 1), (2, 40, (13, 12), 48, 3, 1, 1, 1, 1),
        (2, 48, (9, 10), 12, 3, 1, 1, 1, 1), (2, 20, (9, 8), 34, 5, 1, 2, 1, 1),
        (2, 5, (7, 8), 3, 3, 1, 1, 1, 1), (2, 15, (6, 7), 20, 3, 1, 1, 1, 5),
        (2, 32, (6, 7), 32, 3, 2, 1, 1, 8),
        (2, 20, (11, 9), 18, 3, 1, 2, 2, 1), (2, 3, (4, 5, 6), 18, 3, 1, 1, 1, 1),
        (1, 20, (5, 6, 7), 35, 3, 1, 2, 2, 1),
    ]:
        dims, kernel = len(size), (k,) * len(size)
        w = copy(rng.standard_normal((o, c // groups, *kernel)).astype(dtype))
        x = images(n, c, *size)
        rest = ((stride,) * dims, ((pad, pad),) * dims, (dilation,) * dims)
        dy = images(n, o, *output_size(size, kernel, *rest))
        bias = copy(np.ones(o, dtype))
        for algorithm in ALGORITHMS:
            with config.override(conv_algorithm=algorithm):
                fast.conv(np, x, w, bias, *rest, groups)
                fast.conv_input_grad(np, dy, w, size, *rest, groups)
                fast.conv_weight_grad(np, x, dy, kernel, *rest, groups)
                kept.clear()
"""

OTHERS = """
sys.path.insert(0, sys.argv[2])
from kernel_examples import examples
from tinyconv.backend import cpu
from tinyconv.backend.cpu.relayout import to_channels_last

for dtype in ("float32", "float64"):
    for name, arguments in examples(dtype).items():
        if cpu.override(name):
            guards = [copy(a) if isinstance(a, np.ndarray) else a for a in arguments]
            cpu.override(name)(np, *guards)
    pool = ((2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1))
    for channels in (5, 17):
        dy = np.moveaxis(copy(rng.standard_normal((2, 3, 4, channels)).astype(dtype)), -1, 1)
        window = np.moveaxis(copy(rng.integers(0, 4, (2, 3, 4, channels), "uint8")), -1, 1)
        cpu.override("max_pool_grad")(np, dy, window, (6, 8), *pool)
    for shape in ((3, 3, 7, 5), (2, 8, 4, 4), (2, 20, 5, 5)):
        x = copy(rng.standard_normal(shape).astype(dtype))
        assert (to_channels_last(x) == np.moveaxis(x, 1, -1)).all()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs mprotect")
@pytest.mark.parametrize("edge", ["end", "begin"])
@pytest.mark.parametrize("kernels", [CONVOLUTIONS, OTHERS], ids=["convolutions", "others"])
def test_nothing_beside_an_array_is_touched(kernels, edge, request):
    command = [
        sys.executable,
        "-c",
        SCRIPT + kernels,
        edge,
        str(request.path.parents[2] / "support"),
    ]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr or signal.strsignal(-ended.returncode)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs mprotect")
def test_one_element_too_far_is_noticed():
    code = SCRIPT + (
        "x = np.lib.stride_tricks.as_strided(guarded(1000, 'float32'), (1001,))\n"
        "x[999].item()\nprint('read', flush=True)\nx[1000].item()"
    )
    ended = subprocess.run([sys.executable, "-c", code, "end"], capture_output=True, text=True,
                           check=False)  # fmt: skip
    assert (ended.returncode, ended.stdout) == (-signal.SIGSEGV, "read\n")
