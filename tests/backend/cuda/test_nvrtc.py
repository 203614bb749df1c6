"""Every kernel compiles for real GPUs, without spilling registers and within its budget.

NVRTC, the compiler that CuPy uses on the user's machine, needs no GPU and no driver.
"""

import importlib
import pkgutil

import nvrtc
import pytest
from cuda_emulator import COMPILER, compile_source

from tinyconv.backend import cuda
from tinyconv.backend.cuda.driver import launching
from tinyconv.backend.cuda.driver.launching import Kernel, primitives

#: Ampere and Hopper in every run, Blackwell with `-m slow`.
ARCHITECTURES = ("sm_80", "sm_90", pytest.param("sm_120", marks=pytest.mark.slow))
#: 32-bit registers of a multiprocessor, and the shared memory that any kernel has at least.
REGISTERS, SHARED = 65536, 48 * 1024
#: What is in there holds no kernels, and some of it imports CuPy.
WITHOUT_KERNELS = f"{cuda.__name__}.driver."


def variants():
    """Return every variant that a program can reach."""
    found = []
    for module in pkgutil.walk_packages(cuda.__path__, f"{cuda.__name__}."):
        if not module.name.startswith(WITHOUT_KERNELS):
            found += getattr(importlib.import_module(module.name), "VARIANTS", ())
    return list(dict.fromkeys(found))  # a module may pass on those of another


def by_source():
    """Return {what to call it: the variants that one compilation makes}."""
    sources = {}
    for variant in variants():
        sources.setdefault(variant.source, []).append(variant)
    named = {}
    for same in sources.values():
        kernel, defines = same[0].kernel, same[0].defines
        words = "-".join(f"{key}={value}" for key, value in defines.items())
        named[f"{kernel.source.removesuffix('.cu')}-{words}"] = same
    return named


SOURCES = by_source()
needs_nvrtc = pytest.mark.skipif(
    nvrtc.library() is None, reason="NVRTC is not installed (pip install nvidia-cuda-nvrtc)"
)


@needs_nvrtc
@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_compiles_within_its_budget(name, arch):
    same = SOURCES[name]
    uses = nvrtc.compile_source(primitives() + same[0].source, arch)
    for variant in same:
        use = uses[variant.name]
        assert use.spills == 0, f"{variant.name}: {use}"
        assert use.stack == 0, f"{variant.name} keeps arrays in slow local memory: {use}"
        threads = variant.kernel.threads or 1024
        # HALF_ON_BLACKWELL may have been asked for.
        blocks = -(-variant.kernel.blocks // (2 if arch == "sm_120" else 1))
        # The hardware gives registers to a warp in steps of 8 a thread.
        rounded = -(-use.registers // 8) * 8
        assert rounded * threads * blocks <= REGISTERS, (
            f"{variant.name}: {use.registers} registers for each of {threads} threads; declare "
            "Kernel(threads=...), the most threads of a block, or use fewer registers"
        )
        assert use.shared <= SHARED, f"{variant.name}: {use}"


@needs_nvrtc
def test_the_check_sees_errors_spills_and_stacks():
    with pytest.raises(nvrtc.CompileError, match="no_such_function"):
        nvrtc.compile_source('extern "C" __global__ void f() { no_such_function(); }', "sm_90")
    greedy = """
    extern "C" __global__ void __launch_bounds__(1024) f(float* x, int n) {
        float kept[80];
        for (int i = 0; i < 80; ++i) kept[i] = x[i * n + threadIdx.x];
        __syncthreads();
        for (int i = 0; i < 80; ++i) x[i * n + threadIdx.x] = kept[i] * kept[79 - i];
    }"""
    assert nvrtc.compile_source(greedy, "sm_90")["f"].spills > 0
    indexed = """
    extern "C" __global__ void g(float* x, int* n) {
        float kept[40];
        for (int i = 0; i < 40; ++i) kept[i] = x[i];
        for (int i = 0; i < 40; ++i) kept[n[i]] += 1;
        for (int i = 0; i < 40; ++i) x[i] = kept[i];
    }"""
    assert nvrtc.compile_source(indexed, "sm_90")["g"].stack > 0


def test_every_override_has_variants():
    modules = {variant.kernel.source.removesuffix(".cu") for variant in variants()}
    missing = set()
    for name in set(cuda.OVERRIDES.values()):
        module = importlib.import_module(f"{cuda.__name__}.{name}")
        holds = any(isinstance(thing, Kernel) for thing in vars(module).values()) or any(
            isinstance(thing, dict) and any(isinstance(kernel, Kernel) for kernel in thing.values())
            for thing in vars(module).values()
        )
        if holds and not getattr(module, "VARIANTS", ()):
            missing.add(name)
    assert not missing, f"these modules hold kernels but list no VARIANTS: {sorted(missing)}"
    assert "activation" in modules


def test_every_source_can_be_found():
    names = {variant.kernel.source for variant in variants()}
    assert {path.name for path in launching.FOLDER.rglob("*.cu")} == names


OFFSETS = """
#include <cstddef>
template <class Arguments> Arguments argument_of(void (*)(Arguments));
"""
CHECK = """
using Arguments_{name} = std::remove_const_t<decltype(argument_of({name}))>;
static_assert(offsetof(Arguments_{name}, {field}) == {offset}, "{name}: {field} lies elsewhere");
"""


@pytest.mark.skipif(not COMPILER, reason="needs g++")
@pytest.mark.parametrize("name", SOURCES)
def test_fields_lie_where_the_struct_has_them(name):
    checks = [OFFSETS]
    for variant in SOURCES[name]:
        offsets = variant.kernel.offsets()
        checks += [
            CHECK.format(name=variant.name, field=field, offset=offset)
            for field, offset in offsets.items()
        ]
    compile_source(SOURCES[name][0].source + "".join(checks))


@pytest.mark.skipif(not COMPILER, reason="needs g++")
def test_the_check_of_fields_sees_a_wrong_order():
    variant = next(v for v in variants() if v.name == "relu")
    wrong = CHECK.format(name="relu", field="count", offset=16)
    with pytest.raises(AssertionError, match="count lies elsewhere"):
        compile_source(variant.source + OFFSETS + wrong)
