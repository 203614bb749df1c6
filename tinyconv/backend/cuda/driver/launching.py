"""How a kernel reaches the GPU: its source put together, compiled once, launched with one struct.

A kernel is an ``extern "C"`` function in a ``.cu`` file of the backend. It takes one argument, a
struct by value, because packing one is cheaper than converting a list, and because the C++ side
reads as a table of what the kernel needs. ``#define`` lines at the head of the source choose a
variant (``T`` is the dtype); compiler options never change.

Calling a :class:`Variant` is the only way to a GPU. What it runs on is a :class:`Runner`: CuPy in
earnest, anything that compiles CUDA C++ and reads pointers in a test.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from .... import config

#: Where sources lie, each under a name of its own.
FOLDER = Path(__file__).parent.parent
#: C++ name of each dtype that kernels take, by the array library's name.
CTYPES = {"float32": "float", "bfloat16": "bf16", "float16": "f16"}
#: struct.Struct codes of what the fields of an argument struct may be.
CODES = {
    "pointer": "P", "int32": "i", "uint32": "I", "int64": "q", "uint64": "Q",
    "float32": "f", "float64": "d",
}  # fmt: skip

Dim = int | tuple[int, ...]
#: Launches a compiled kernel: grid, block, packed arguments, bytes of dynamic shared memory.
Launch = Callable[[tuple[int, ...], tuple[int, ...], bytes, int], None]


class Graph(Protocol):
    """A sequence of launches that can be repeated as a whole."""

    def launch(self) -> None:
        """Run all of it, with the addresses and arguments it was recorded with."""


class Runner(Protocol):
    """What compiles kernels and runs them."""

    @property
    def multiprocessors(self) -> int:
        """Streaming multiprocessors of the device: grids are chosen by it."""

    @property
    def name(self) -> str:
        """What kind of device it is, and which compiler is in use: times depend on both."""

    def function(self, kernel: Variant) -> Launch:
        """Return the compiled kernel, ready to be launched on the current device."""

    def pointer(self, array: Any) -> int:
        """Return the address of the first element of an array."""

    def synchronize(self) -> None:
        """Wait until all work is done, and raise what went wrong."""

    def seconds(self, work: Callable[[], None]) -> float:
        """Return how long the device takes for what ``work()`` launches."""

    def record(self, work: Callable[[], Any]) -> tuple[Any, Graph]:
        """Call ``work()`` without running its launches; return its result and the launches."""

    def words(self, count: int) -> tuple[Any, Any]:
        """Return an array of 32-bit words on the host, and one on the device for a copy of it."""

    def copy(self, target: Any, source: Any) -> Callable[[], Any]:
        """Copy host words to the device; return what waits until they may change again."""


_runner: list[Runner] = []


def use(runner: Runner | None) -> Runner | None:
    """Run kernels on ``runner`` from now on; return the one before."""
    before = _runner[0] if _runner else None
    _runner[:] = [] if runner is None else [runner]
    return before


def runner() -> Runner:
    """Return what kernels run on."""
    return _runner[0]


def has_runner() -> bool:
    """Return whether there is something that kernels run on."""
    return bool(_runner)


class Kernel:
    """A CUDA function, before its variant is chosen.

    Parameters
    ----------
    source : str
        A ``.cu`` file in any folder of the backend.
    name : str
        The ``extern "C"`` function in it.
    fields : str
        Fields of its argument struct in order, ``"x y count:int64 sizes:int32*4"``: without a type
        a pointer, with ``*4`` an array of four; ``"list:pointer*4"`` is one of pointers.
    parts : tuple of str
        Further files that stand before the source, such as ``"reduce.cuh"``.
    threads : int, optional
        The most threads of a block that are launched; ``None`` for as many as there can be, 1024.
        Tests hold the registers of the compiled kernel against it.
    blocks : int, default 1
        How many blocks a multiprocessor shall have registers for.

    Examples
    --------
    >>> RELU = Kernel("activation.cu", "relu", "x y out count:int64 low:float32 high:float32")
    >>> RELU.variant(T="float").name
    'relu'
    """

    def __init__(
        self,
        source: str,
        name: str,
        fields: str,
        parts: tuple[str, ...] = (),
        *,
        threads: int | None = None,
        blocks: int = 1,
    ) -> None:
        self.source, self.name, self.parts = source, name, parts
        self.threads, self.blocks = threads, blocks
        #: Of each field its name, what it is, and how many of it; 1 is no array.
        self.fields: list[tuple[str, str, int]] = []
        for field in fields.split():
            name, _, kind = field.partition(":")
            kind, _, count = (kind or "pointer").partition("*")
            self.fields.append((name, kind, int(count or 1)))
        #: Which fields are addresses, and which are several numbers, by their places.
        self.pointers = [i for i, (_, kind, _) in enumerate(self.fields) if kind == "pointer"]
        self.several = [i for i, (_, _, count) in enumerate(self.fields) if count > 1]
        #: C layout: natural alignment, and padded to 8 bytes at the end, as every struct with a
        #: pointer in it is.
        self.layout = struct.Struct("".join(self._codes()) + "0P")
        self._variants: dict[tuple[tuple[str, Any], ...], Variant] = {}

    def _codes(self) -> list[str]:
        """Return the code of each field for the module ``struct``."""
        return [f"{count}{CODES[kind]}" for _, kind, count in self.fields]

    def offsets(self) -> dict[str, int]:
        """Return where each field begins, in bytes."""
        codes = self._codes()
        return {
            name: struct.calcsize("".join(codes[:i]) + "0" + codes[i][-1])
            for i, (name, _, _) in enumerate(self.fields)
        }

    def variant(self, **defines: Any) -> Variant:
        """Return the variant with these ``#define`` lines; the same object every time."""
        key = tuple(defines.items())
        found = self._variants.get(key)
        if found is None:
            found = self._variants[key] = Variant(self, defines)
        return found

    def of(self, dtype: Any, **defines: Any) -> Variant:
        """Return the variant for an array dtype, which is ``T`` in the source."""
        return self.of_name(name_of(dtype), **defines)

    def of_name(self, dtype: str, **defines: Any) -> Variant:
        """Return the variant for the dtype of a name, ``"bfloat16"``."""
        return self.variant(T=CTYPES[dtype], **defines)

    def of_each(self, **defines: Any) -> list[Variant]:
        """Return the variants of all dtypes."""
        return [self.variant(T=name, **defines) for name in CTYPES.values()]


class Variant:
    """A :class:`Kernel` with its ``#define`` lines; call it to launch it."""

    def __init__(self, kernel: Kernel, defines: Mapping[str, Any]) -> None:
        self.kernel, self.defines = kernel, dict(defines)
        self.name = kernel.name

    @property
    def source(self) -> str:
        """The whole source but for the primitives, which are the runner's."""
        lines = [f"#define {name} {value}" for name, value in self.defines.items()]
        files = [
            f'#line 1 "{Path(name).name}"\n{_text(name)}'
            for name in (*self.kernel.parts, self.kernel.source)
        ]
        return "\n".join([*lines, *files])

    def __call__(self, grid: Dim, block: Dim, *values: Any, shared: int = 0) -> None:
        """Launch the kernel.

        Parameters
        ----------
        grid, block : int or tuple of int
            Blocks, and threads of a block.
        *values : array, number or None
            The fields of the struct; ``None`` is a null pointer, an array field takes a sequence.
            Strides of arrays are ignored: an array is its address.
        shared : int
            Bytes of dynamic shared memory.
        """
        on, kernel = runner(), self.kernel
        address, numbers = on.pointer, list(values)
        for i in kernel.pointers:
            value = numbers[i]
            if i in kernel.several:
                numbers[i] = [0 if array is None else address(array) for array in value]
            else:
                numbers[i] = 0 if value is None else address(value)
        for i in reversed(kernel.several):
            numbers[i : i + 1] = numbers[i]
        packed = kernel.layout.pack(*numbers)
        on.function(self)(_three(grid), _three(block), packed, shared)
        if config.debug.get():
            on.synchronize()


@cache
def name_of(dtype: Any) -> str:
    """Return the name of an array dtype, ``"bfloat16"``, which NumPy makes anew each time."""
    return str(dtype.name)


def blocks_for(count: int, threads: int, each: int = 1, waves: int = 8) -> int:
    """Return how many blocks a grid-stride loop over ``count`` elements is given.

    ``each`` elements a thread and step; at most ``waves`` blocks a multiprocessor.
    """
    return max(1, min(-(-count // (threads * each)), waves * runner().multiprocessors))


def _three(dim: Dim) -> tuple[int, ...]:
    return (dim, 1, 1) if isinstance(dim, int) else (*dim, 1, 1)[:3]


def primitives() -> str:
    """Return what stands before every source on a GPU."""
    return f'#line 1 "primitives.cuh"\n{_text("primitives.cuh")}\n'


@cache
def _text(name: str) -> str:
    found = [Path(name)] if Path(name).is_absolute() else list(FOLDER.rglob(name))
    return found[0].read_text(encoding="utf-8")
