"""Plant faults in ops and kernels, and count how many the tests catch.

    python tools/mutants.py [--only TEXT] [--jobs 2]

Each fault is one replacement in one file. It is planted in a copy of the package, and the tests of
that file run until the first failure: a fault that no test fails on has survived. Exit status is 1
if fewer than 95 % are caught.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent


class Fault(NamedTuple):
    """One replacement: file below ``tinyconv/``, the text there, and what it becomes."""

    file: str
    old: str
    new: str


#: Tests that are responsible for a file, most telling first.
TESTS = {
    "backend/reference/conv.py": "tests/backend/test_reference_conv.py",
    "backend/reference/windows.py": "tests/backend/test_reference_conv.py "
    "tests/backend/test_reference_pool.py",
    "backend/reference/pool.py": "tests/backend/test_reference_pool.py",
    "backend/reference/norm.py": "tests/backend/test_norm.py",
    "backend/reference/loss.py": "tests/backend/test_reference_functions.py",
    "backend/cpu/conv.py": "tests/backend/test_cpu_conv.py tests/backend/test_conv_norm.py",
    "backend/cpu/convolution/products.py": "tests/backend/test_cpu_conv.py "
    "tests/backend/test_conv_norm.py",
    "backend/cpu/vectors/tile.py": "tests/backend/test_cpu_conv.py",
    "backend/cpu/vectors/vector.py": "tests/backend/test_cpu_conv.py",
    "backend/cpu/convolution/choice.py": "tests/backend/cpu/test_winograd.py "
    "tests/backend/test_cpu_conv.py",
    "backend/cpu/convolution/lines.py": "tests/backend/test_cpu_conv.py",
    "backend/cpu/convolution/pointwise.py": "tests/backend/test_cpu_conv.py",
    "backend/cpu/convolution/winograd_kernels.py": "tests/backend/cpu/test_winograd.py",
    "backend/cpu/parallel/region.py": "tests/backend/cpu/test_region.py",
    "backend/cpu/loops/column_loops.py": "tests/backend/test_norm.py",
    "backend/cpu/loops/norm_vectors.py": "tests/backend/test_norm.py",
    "backend/cpu/loops/short_rows.py": "tests/backend/test_cpu_functions.py "
    "tests/conformance/test_ops_loss.py",
    "backend/cpu/pool.py": "tests/backend/test_cpu_pool.py",
    "ops/elementwise/arithmetic.py": (
        "tests/conformance/test_ops_arithmetic.py tests/ops/test_arithmetic.py"
    ),
    "ops/elementwise/unary.py": "tests/conformance/test_ops_unary.py tests/ops/test_unary.py",
    "ops/activations/piecewise.py": (
        "tests/conformance/test_ops_activation.py tests/ops/test_activation.py"
    ),
    "ops/reductions/sums.py": "tests/conformance/test_ops_reduction.py tests/ops/test_reduction.py",
    "ops/activations/softmax.py": "tests/conformance/test_ops_softmax.py tests/ops/test_softmax.py",
    "ops/linalg/matmul.py": "tests/conformance/test_ops_linalg.py tests/ops/test_followed.py",
    "ops/convolution/correlation.py": (
        "tests/conformance/test_ops_conv.py tests/ops/test_followed.py"
    ),
    "ops/convolution/_checks.py": "tests/conformance/test_ops_conv.py",
    "ops/pooling/pool.py": "tests/conformance/test_ops_pool.py",
    "ops/normalization/norm.py": "tests/conformance/test_ops_norm.py tests/ops/test_fusion.py",
}

FAULTS = [
    # -- elementwise gradients ---------------------------------------------------------------
    Fault("ops/elementwise/arithmetic.py", "return grad, grad\n", "return grad, -grad\n"),
    Fault("ops/elementwise/arithmetic.py", "return grad, -grad if", "return grad, grad if"),
    Fault("ops/elementwise/arithmetic.py", "-grad * (a / b / b)", "-grad * (a / b)"),
    Fault("ops/elementwise/arithmetic.py", "return -grad\n", "return grad\n"),
    Fault("ops/elementwise/arithmetic.py", "b * a ** (b - 1) if b", "b * a ** b if b"),
    Fault("ops/elementwise/arithmetic.py", "(a == 0) & (b >= 0)", "(a == 0) & (b > 0)"),
    Fault("ops/elementwise/unary.py", "x=lambda g, x: g / x)", "x=lambda g, x: g / (x * x))"),
    Fault("ops/elementwise/unary.py", "y=lambda g, y: g * (y * (1 - y))", "y=lambda g, y: g * y"),
    Fault("ops/elementwise/unary.py", "y=lambda g, y: g / (y * 2)", "y=lambda g, y: g / y"),
    Fault("ops/elementwise/unary.py", "x=lambda g, x: -g * x.sin()", "x=lambda g, x: g * x.sin()"),
    Fault("ops/elementwise/unary.py",
          "y=lambda g, y: g * (1 - y * y)", "y=lambda g, y: g * (1 - y)"),
    Fault("ops/elementwise/unary.py", "xp.astype(a > 0, a.dtype)", "xp.astype(a >= 0, a.dtype)"),
    Fault("ops/elementwise/unary.py", "2 / math.sqrt(math.pi)", "1 / math.sqrt(math.pi)"),
    Fault("ops/elementwise/arithmetic.py",
          "return times(grad, b) if need_a", "return times(grad, a) if need_a"),
    Fault("ops/activations/piecewise.py", "return grad * slope(x, ctx.slope), None",
          "return grad, None"),
    Fault("ops/activations/piecewise.py", "~quiet(operator.le, x.array, threshold)",
          "quiet(operator.ge, x.array, threshold)"),
    Fault("ops/activations/piecewise.py", "ctx.limits = low, high", "ctx.limits = low, high + 1"),
    # -- reductions and softmax --------------------------------------------------------------
    Fault("ops/reductions/sums.py",
          "[1 if axis in axes else size for axis, size in enumerate(shape)])\n"
          "        return x.wrap(x.xp.broadcast_to(x.xp.reshape(x.array, kept), shape))",
          "[1 if axis in axes else size for axis, size in enumerate(shape)])\n"
          "        return x.wrap(2 * x.xp.broadcast_to(x.xp.reshape(x.array, kept), shape))"),
    Fault("ops/reductions/sums.py", "if x.xp.all(x.array != 0):", "if True:"),
    Fault("ops/reductions/sums.py", "-ctx.places, 0.0)", "-ctx.places, 1.0)"),
    Fault("ops/activations/softmax.py",
          "weighted - y * weighted.sum(ctx.axis, True)", "weighted - y"),
    Fault("ops/activations/softmax.py", "grad - y.exp() * grad.sum", "grad - y * grad.sum"),
    Fault("ops/reductions/sums.py", "product_before(x, ctx.axis, -1)", "1"),
    Fault("ops/activations/softmax.py", "xp.exp(x - largest)", "xp.exp(x)"),
    # -- linear algebra ----------------------------------------------------------------------
    Fault("ops/linalg/matmul.py",
          "MatMul.apply(grad, b.transpose(-2, -1))", "MatMul.apply(grad, b)"),
    Fault("ops/linalg/matmul.py", "grad.sum(0) if need_bias", "grad.mean(0) if need_bias"),
    Fault("ops/linalg/matmul.py",
          "matmul(rows, weight.array.T, raw(bias), limits)",
          "matmul(rows, weight.array.T, raw(bias), None)"),
    # -- convolution, above the kernels ------------------------------------------------------
    Fault("ops/convolution/correlation.py", "d_bias = grad.sum(axes) if followed",
          "d_bias = grad.mean(axes) if followed"),
    Fault("ops/convolution/correlation.py", "d_weight = ConvWeightGrad.apply(grad, input,",
          "d_weight = ConvWeightGrad.apply(grad, grad,"),
    Fault("ops/convolution/correlation.py",
          "d_grad = Conv.apply(input, grad_weight, None, ctx.geometry)", "d_grad = None"),
    Fault("ops/convolution/_checks.py", "if weight_shape[0] % groups:", "if False:"),
    # -- pooling -----------------------------------------------------------------------------
    Fault("ops/pooling/pool.py", "MaxPoolTake.apply(grad, winner, ctx.window)",
          "MaxPoolTake.apply(grad * 0, winner, ctx.window)"),
    Fault("ops/pooling/pool.py", "return SumPool.apply(grad, *ctx.settings)",
          "return 2 * SumPool.apply(grad, *ctx.settings)"),
    # -- batch norm --------------------------------------------------------------------------
    Fault("ops/normalization/norm.py",
          "scale = (running_var + eps) ** -0.5", "scale = running_var ** -0.5"),
    Fault("ops/normalization/norm.py", "grad.mean(dims, keepdim=True) - normal * product", "0"),
    Fault("ops/normalization/norm.py", "(grad * normal).sum(dims), grad.sum(dims)",
          "(grad * normal).sum(dims), grad.mean(dims)"),
    Fault("ops/normalization/norm.py", "    settle(mean, var)\n    # No", "    # No"),
    # -- reference kernels -------------------------------------------------------------------
    Fault("backend/reference/windows.py", "// s + 1, 0)", "// s, 0)"),
    Fault("backend/reference/windows.py", "starts = (t * d for t, d", "starts = (t for t, d"),
    Fault("backend/reference/windows.py", "slice(before, before + size)",
          "slice(before + 0, before + size - 1)"),
    Fault("backend/reference/conv.py", "y += xp.reshape(bias,", "y -= xp.reshape(bias,"),
    Fault("backend/reference/conv.py", "channels = w.shape[1] * groups", "channels = w.shape[1]"),
    Fault("backend/reference/conv.py", "xp.matmul(rows, xp.matrix_transpose(pixels))",
          "xp.matmul(rows, xp.matrix_transpose(pixels)) / x.shape[0]"),
    Fault("backend/reference/pool.py", "best = xp.full(shape, lowest", "best = xp.full(shape, 0"),
    Fault("backend/reference/pool.py", "(value > best)", "(value >= best)"),
    Fault("backend/reference/pool.py", "((value != value) & (best == best))", "(value != value)"),
    Fault("backend/reference/pool.py", "stride, dense, out)] += dy",
          "stride, dense, out)] = dy"),
    Fault("backend/reference/loss.py", "(probabilities - hit)", "(probabilities + hit)"),
    Fault("backend/reference/loss.py", "xp.where(ignored, xp.zeros_like(loss), loss)", "loss"),
    Fault("backend/reference/norm.py",
          "var = xp.sum((x - xp.reshape(mean, shape)) ** 2, axis=axes) / count",
          "var = xp.sum((x - xp.reshape(mean, shape)) ** 2, axis=axes) / max(count - 1, 1)"),
    Fault("backend/reference/norm.py", "return count / max(count - 1, 1)", "return 1.0"),
    Fault("backend/reference/norm.py", "xp.asarray(var, dtype=xp.float64) + eps",
          "xp.asarray(var, dtype=xp.float64)"),
    # -- Numba kernels -----------------------------------------------------------------------
    Fault("backend/cpu/conv.py", "w * scale.reshape(-1, *(1,) * (w.ndim - 1))", "w"),
    Fault("backend/cpu/conv.py", "np.tile(bias, together)", "np.repeat(bias, together)"),
    Fault("backend/cpu/convolution/products.py",
          "place = taps - 1 - t if turned else t", "place = t"),
    Fault("backend/cpu/convolution/products.py",
          "scale_columns(packed[g, p], packed.shape[2], width, scale, number * width)", "pass"),
    Fault("backend/cpu/vectors/tile.py", "return [INDEX(0), at[\"c\"], given.c_row, *self.zeros]",
          "return [INDEX(0), base, row, *self.zeros]"),
    Fault("backend/cpu/vectors/tile.py", "[builder.add(first, INDEX(self.height))]",
          "[builder.add(first, INDEX(1))]"),
    Fault("backend/cpu/vectors/tile.py", "mask, place = self.masks[j]", "mask, place = None"),
    Fault("backend/cpu/vectors/vector.py", "result[odd * times] = self.scaled(index, times)",
          "result[odd * times] = index"),
    Fault("backend/cpu/convolution/choice.py", "max(high * wide, TILE_ROW * high, TILE_WAIT)",
          "high * wide"),
    Fault("backend/cpu/convolution/lines.py", "low = min(max(-left, 0), width)", "low = 0"),
    Fault("backend/cpu/convolution/winograd_kernels.py",
          "begin, end = another(seat, len(u), 1)", "begin, end = another(seat, len(u) - 1, 1)"),
    Fault("backend/cpu/convolution/winograd_kernels.py",
          "        start > 0,\n", "        False,\n"),
    Fault("backend/cpu/convolution/pointwise.py",
          "begin, end = another(seat, len(dw), step)", "begin, end = another(seat, 1, step)"),
    Fault("backend/cpu/parallel/region.py",
          "(length, step) if seat < 0 else (0, length)",
          "(length, length) if seat < 0 else (0, step)"),
    Fault("backend/cpu/loops/column_loops.py",
          "move_average(var_average, var[0], factor, momentum)",
          "move_average(var_average, var[0], 1.0, momentum)"),
    Fault("backend/cpu/loops/norm_vectors.py",
          "var[s, c] += parts[s, b, 1, c] + count * difference * difference",
          "var[s, c] += parts[s, b, 1, c]"),
    Fault("backend/cpu/loops/norm_vectors.py", "np.sqrt(var[c] + eps)", "np.sqrt(var[c])"),
    Fault("backend/cpu/loops/short_rows.py", "sums[i - whole] += losses[i]", "pass"),
    Fault("backend/cpu/loops/short_rows.py",
          "wrong += counts & (1 - exists)", "wrong += 1 - exists"),
    Fault("backend/cpu/pool.py", "np.uint8 if prod(kernel) <= 256 else np.int32", "np.uint8"),
]  # fmt: skip


def is_caught(fault: Fault) -> tuple[bool, float]:
    """Plant a fault in a copy of the project; return whether its tests fail, and the seconds."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in ("tinyconv", "tests"):
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", copy)
        path = copy / "tinyconv" / fault.file
        path.write_text(path.read_text().replace(fault.old, fault.new, 1))
        environment = {
            **os.environ, "PYTHONPATH": str(copy), "OPENBLAS_NUM_THREADS": "1",
            "TINYCONV_CACHE_DIR": str(copy / "cache"),
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-x", "-q", "-n0", "-p", "no:cacheprovider",
             *TESTS[fault.file].split()],
            cwd=copy, env=environment, capture_output=True, check=False,
        )  # fmt: skip
    if done.returncode > 1:  # less than 0: kernels that write anywhere end the process
        raise RuntimeError(f"{fault.file}: pytest ended with {done.returncode}\n{done.stdout!r}")
    return done.returncode != 0, time.perf_counter() - start


def check_applicable(faults: list[Fault]) -> None:
    """Stop if a fault's text is not in its file."""
    for fault in faults:
        if fault.old not in (ROOT / "tinyconv" / fault.file).read_text():
            sys.exit(f"{fault.file} does not hold {fault.old!r}")


def main() -> int:
    """Plant all faults and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="only faults whose file name contains this")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    options = parser.parse_args()
    faults = [fault for fault in FAULTS if options.only in fault.file]
    check_applicable(faults)
    caught = 0
    with ThreadPoolExecutor(options.jobs) as pool:
        for fault, (is_dead, seconds) in zip(faults, pool.map(is_caught, faults), strict=True):
            caught += is_dead
            verdict = "caught  " if is_dead else "SURVIVED"
            line = fault.new.strip().splitlines()[0] if fault.new.strip() else "(removed)"
            print(f"{verdict} {seconds:5.1f} s  {fault.file}: {line[:60]}", flush=True)
    share = caught / max(len(faults), 1)
    print(f"\n{caught} of {len(faults)} caught ({100 * share:.1f} %)")
    return 0 if share >= 0.95 else 1


if __name__ == "__main__":
    sys.exit(main())
