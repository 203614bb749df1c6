"""Enough of CuPy to run the library's GPU side on a CPU: NumPy arrays, kernels in the emulator.

It has two GPUs. While a stream is capturing, work on arrays is noted as launches of kernels are,
and what CuPy refuses then (copies from and to the host, results whose shape depends on values)
raises. Whatever is done to an array of a GPU that is not the current one is an error,
so code that forgets to make it current is found. What CuPy itself does, it does not prove.
"""

import collections
import contextlib
import sys
import threading
import types

import array_api_compat.numpy as compat
import numpy as np
from cuda_emulator import Emulator, Recorded

GPUS = 2
_now = threading.local()


def device():
    return getattr(_now, "device", 0)


def capturing():
    """Return what notes all work, or ``None`` while work is done at once."""
    return EMULATOR._recorded


#: What has been launched by name: kernels, and CuPy's own work on arrays.
LAUNCHES = collections.Counter()
#: Functions that launch nothing: they make views, or memory.
FREE = {
    "atleast_1d", "broadcast_arrays", "broadcast_to", "diagonal", "empty", "empty_like",
    "expand_dims", "moveaxis", "permute_dims", "ravel", "reshape", "result_type", "split",
    "squeeze", "swapaxes", "transpose", "view",
}  # fmt: skip


def launched(name):
    if name not in FREE:
        LAUNCHES[name] += 1


@contextlib.contextmanager
def counted_alone():
    """Count what is launched inside the block, and run no kernel: sizes may be those of life."""
    LAUNCHES.clear()
    run = EMULATOR.function
    EMULATOR.function = lambda kernel: lambda *launch: None
    try:
        yield LAUNCHES
    finally:
        EMULATOR.function = run


def refused_while_capturing(what):
    if capturing() is not None:
        raise RuntimeError(f"CuPy refuses this while a stream is capturing: {what}")


def work(compute):
    """Return the result of array work as arrays of the GPU; note it while a stream is capturing."""
    with np.errstate(all="ignore"):  # a GPU does not warn
        result = as_gpu(compute())
    if capturing() is not None:
        memory = _plain(result)  # the array itself belongs to the library alone, as ever
        capturing().launches.append((lambda: assign(memory, compute()),))
    return result


def change(do):
    """Do what writes into an array, or only note it while a stream is capturing."""
    if capturing() is None:
        with np.errstate(all="ignore"):
            do()
    else:
        capturing().launches.append((do,))


def assign(result, new):
    """Write what was computed again to where it was the first time; views see it anyway."""
    if isinstance(result, tuple | list):
        for one, other in zip(result, new, strict=True):
            assign(one, other)
    elif isinstance(result, np.ndarray) and not np.may_share_memory(result, new):
        with np.errstate(all="ignore"):
            np.asarray(result)[...] = new


class Allocation:
    """Memory of one GPU."""

    def __init__(self, owner):
        self.ptr, self.size = owner.__array_interface__["data"][0], owner.nbytes
        self.device_id = device()


class Pointer:
    def __init__(self, ptr, mem):
        self.ptr, self.mem = ptr, mem


class ndarray(np.ndarray):
    """An array that knows its GPU."""

    def __array_finalize__(self, source):
        known = getattr(source, "_mem", None)
        inherits = isinstance(self.base, ndarray) and known is not None
        self._mem = known if inherits else None

    @property
    def mem(self):
        if self._mem is None:
            self._mem = self.base.mem if isinstance(self.base, ndarray) else Allocation(self)
        return self._mem

    @property
    def data(self):
        return Pointer(self.__array_interface__["data"][0], self.mem)

    @property
    def base(self):
        base = np.ndarray.base.__get__(self)
        return base if isinstance(base, ndarray) else None

    def get(self):
        launched("to the host")
        check(self)
        refused_while_capturing("a copy to the host")
        return np.array(self, subok=False)

    def set(self, array, stream=None):
        launched("from the host")
        check(self)
        refused_while_capturing("a copy from the host")
        np.asarray(self)[...] = array

    def copy(self, order="C"):
        launched("copy")
        return work(lambda: np.array(self, order=order, subok=False))

    def fill(self, value):
        launched("fill")
        change(lambda: np.ndarray.fill(self, value))

    def __setitem__(self, key, value):
        launched("copy")
        check(value)
        key, value = _plain(key), _plain(value)
        change(lambda: np.asarray(self).__setitem__(key, value))

    def __getitem__(self, key):
        parts = key if isinstance(key, tuple) else (key,)
        if any(isinstance(part, np.ndarray) for part in parts):
            launched("take")
        if capturing() is None:
            return super().__getitem__(key)
        for part in parts:
            if isinstance(part, np.ndarray) and part.dtype == bool:
                refused_while_capturing("a mask as an index")
        here, key = np.asarray(self), _plain(key)
        return work(lambda: here[key])

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        launched(ufunc.__name__)
        if ufunc.__name__ in CUBLAS:
            refused_while_capturing(ufunc.__name__)
        for array in (*inputs, *options.get("out", ())):
            check(array)
        plain = [np.asarray(x) if isinstance(x, ndarray) else x for x in inputs]
        out = options.get("out")
        if out:
            options["out"] = tuple(np.asarray(x) for x in out)
        if out or method == "at":
            change(lambda: getattr(ufunc, method)(*plain, **options))
            return out[0] if out else None
        return work(lambda: getattr(ufunc, method)(*plain, **options))

    def __array_function__(self, function, types, args, options):
        return call(function, args, options)


def _method(name):
    """Return the method of NumPy's arrays, on a GPU."""
    plain = getattr(np.ndarray, name)

    def method(self, *args, **options):
        launched(name)
        check(self, *args)
        if capturing() is None:
            return plain(self, *args, **options)
        here = np.asarray(self)
        return work(lambda: plain(here, *_plain(args), **options))

    return method


for _name in (
    "all", "any", "argmax", "argmin", "argsort", "astype", "clip", "cumsum", "diagonal", "flatten",
    "max", "mean", "min", "prod", "ravel", "repeat", "reshape", "squeeze", "sum", "swapaxes",
    "take", "transpose", "view",
):  # fmt: skip
    setattr(ndarray, _name, _method(_name))


def _read(name):
    """Return the method that brings a value to the host."""
    plain = getattr(np.ndarray, name)

    def method(self, *args):
        refused_while_capturing(f"{name}()")
        return plain(self, *args)

    return method


for _name in ("__bool__", "__float__", "__index__", "__int__", "item", "nonzero", "tolist"):
    setattr(ndarray, _name, _read(_name))

#: Functions that write into their first argument.
WRITES = {"copyto", "put", "putmask", "place", "put_along_axis", "fill_diagonal"}
#: Functions that copy from the host, unless they are given an array of a GPU.
COPIES = {"array", "asarray", "asanyarray", "ascontiguousarray"}
#: Functions that call cuBLAS, whose handle cannot be given a stream that captures.
CUBLAS = {"matmul", "dot", "vdot", "inner", "tensordot", "vecdot", "einsum"}
#: Functions whose results have as many elements as the values say.
COUNTING = {"nonzero", "argwhere", "flatnonzero", "unique", "compress", "extract"}


def call(function, args, options):
    """Call a function of NumPy on arrays of the current GPU."""
    check(*args, *options.values())
    name = getattr(function, "__name__", "")
    launched(name)
    plain, others = _plain(args), {k: _plain(v) for k, v in options.items()}
    # A single number is an argument of the kernel that writes it.
    if name in COUNTING or (
        name in COPIES and not isinstance(args[0], ndarray) and np.ndim(args[0])
    ):
        refused_while_capturing(name)
    if name in CUBLAS:
        refused_while_capturing(name)
    if name in WRITES:
        change(lambda: function(*plain, **others))
        return None
    return work(lambda: function(*plain, **others))


def _plain(value):
    if isinstance(value, tuple | list):
        return type(value)(_plain(v) for v in value)
    return np.asarray(value) if isinstance(value, ndarray) else value


def check(*values):
    for value in values:
        if isinstance(value, tuple | list):
            check(*value)
        elif isinstance(value, ndarray):
            assert value.mem.device_id == device(), (
                f"an array of GPU {value.mem.device_id}, but GPU {device()} is the current one"
            )


def as_gpu(value):
    """Return arrays, also in tuples, as arrays of the current GPU."""
    if isinstance(value, tuple | list):
        made = [as_gpu(v) for v in value]
        return type(value)(*made) if hasattr(value, "_fields") else type(value)(made)
    if isinstance(value, np.ndarray | np.generic):
        plain = np.asarray(value)
        if Pool.limit and plain.base is None and Pool().total_bytes() + plain.nbytes > Pool.limit:
            raise MemoryError(f"Out of memory allocating {plain.nbytes:,} bytes")
        if capturing() is not None:
            capturing().arrays.append(plain)  # a graph has its memory for itself
        array = plain.view(ndarray)
        array.mem  # noqa: B018 - of the GPU that is current now
        return array
    return value


class Namespace(types.ModuleType):
    """NumPy's functions, which make arrays of the current GPU."""

    def __init__(self, name, of):
        super().__init__(name)
        self._of = of

    def __getattr__(self, name):
        found = getattr(self._of, name)
        if name == "linalg":
            return Namespace("linalg", found)
        if not callable(found) or isinstance(found, type):
            return found

        return lambda *args, **options: call(found, args, options)


class Device:
    def __init__(self, index=None):
        self.id = device() if index is None else getattr(index, "id", index)
        assert 0 <= self.id < GPUS
        self.compute_capability, self.mem_info = "90", (3 << 30, 4 << 30)
        self.attributes = {"MultiProcessorCount": 2}

    def __enter__(self):
        _now.__dict__.setdefault("before", []).append(device())
        _now.device = self.id
        return self

    def __exit__(self, *_):
        _now.device = _now.before.pop()

    def use(self):
        _now.device = self.id

    def synchronize(self):
        pass


class Stream:
    def __init__(self, null=False, non_blocking=False, priority=0):
        self.ptr, self.priority, self.done = 0 if null else id(self), priority, True

    def __enter__(self):
        _now.__dict__.setdefault("streams", []).append(self)
        return self

    def __exit__(self, *_):
        _now.streams.pop()

    def use(self):
        _now.streams = [self]

    def synchronize(self):
        refused_while_capturing("waiting")

    def wait_event(self, event):
        assert isinstance(event, Event)

    def record(self, event=None):
        event = event or Event()
        event.record(self)
        return event

    def begin_capture(self, mode=None):
        assert self.ptr, "the null stream cannot capture"
        assert capturing() is None
        EMULATOR._recorded = Graph()

    def end_capture(self):
        recorded, EMULATOR._recorded = EMULATOR._recorded, None
        return recorded


class Graph(Recorded):
    """What a stream has captured."""

    def launch(self, stream=None):
        refused_while_capturing("a graph")
        super().launch()

    def upload(self, stream):
        pass


Stream.null = Stream(null=True)


class Event:
    done = True

    def __init__(self, block=False, disable_timing=False, interprocess=False):
        self.timed = not disable_timing

    def record(self, stream=None):
        assert stream is not None, "CuPy would record in the null stream"

    def synchronize(self):
        pass


class RawKernel:
    def __init__(self, code, name):
        self.code, self.name = code, name
        self.max_dynamic_shared_size_bytes = 0

    @property
    def kernel(self):
        from tinyconv.backend.cuda.driver.launching import Kernel, Variant, primitives

        made = device()
        assert self.code.startswith(primitives())
        source = self.code.removeprefix(primitives())

        class Same(Variant):
            @property
            def source(self):
                return source

        launch = None

        def call(grid, block, args, shared_mem=0, stream=None):
            nonlocal launch
            assert device() == made, "a kernel that was loaded to another GPU"
            launched(self.name)
            (struct,) = args
            assert isinstance(struct, np.ndarray)
            assert struct.size == 1
            assert shared_mem <= max(48 * 1024, self.max_dynamic_shared_size_bytes)
            if launch is None:
                kernel = Kernel("", self.name, "")
                kernel.layout = types.SimpleNamespace(size=struct.itemsize)
                launch = EMULATOR.function(Same(kernel, {}))
            launch(grid, block, struct.tobytes(), shared_mem)

        return call


EMULATOR = Emulator()


class RawModule:
    def __init__(self, code, options):
        assert options == ("--std=c++17",)
        self.code = code

    def get_function(self, name):
        return RawKernel(self.code, name)


class Pool:
    limit = 0

    def get_limit(self):
        return Pool.limit

    def set_limit(self, size):
        Pool.limit = size

    def used_bytes(self):
        return 5000

    def total_bytes(self):
        return 8192

    def free_all_blocks(self):
        pass


class MemoryPool(Pool):
    def malloc(self, size):
        return size


class CUDARuntimeError(RuntimeError):
    def __init__(self, status, text):
        super().__init__(text)
        self.status = status


def install(gpus=GPUS):
    """Make `import cupy` find this, in a process that has not imported it."""
    assert "cupy" not in sys.modules
    globals()["GPUS"] = gpus
    cupy = Namespace("cupy", np)
    cupy.__version__ = "14.2.0"
    cupy.ndarray, cupy.RawModule = ndarray, RawModule

    def asarray(array, blocking=False):
        launched("from the host")
        if np.ndim(array):
            refused_while_capturing("asarray")
        return as_gpu(np.array(array, subok=False))

    cupy.asarray = asarray
    cupy.get_default_memory_pool = cupy.get_default_pinned_memory_pool = Pool
    cupy.lib = types.SimpleNamespace(
        stride_tricks=types.SimpleNamespace(
            as_strided=lambda a, shape, strides: np.lib.stride_tricks.as_strided(
                a, shape, strides, subok=True
            )
        )
    )
    properties = dict.fromkeys(
        ("totalGlobalMem", "multiProcessorCount", "warpSize", "maxThreadsPerMultiProcessor",
         "regsPerMultiprocessor", "sharedMemPerBlock", "sharedMemPerBlockOptin",
         "sharedMemPerMultiprocessor", "l2CacheSize"), 32,
    )  # fmt: skip
    runtime = types.SimpleNamespace(
        getDeviceCount=lambda: gpus,
        getDevice=device,
        setDevice=lambda index: Device(index).use(),
        getDeviceProperties=lambda index: (
            properties | {"name": b"Fake GPU", "major": 9, "minor": 0}
        ),
        CUDARuntimeError=CUDARuntimeError,
        driverGetVersion=lambda: 13000,
        memoryTypeHost=1,
        pointerGetAttributes=lambda pointer: types.SimpleNamespace(type=int(pointer in PINNED)),
    )
    cupy.cuda = types.SimpleNamespace(
        runtime=runtime, Device=Device, Stream=Stream, Event=Event,
        UnownedMemory=type("UnownedMemory", (), {}),
        get_current_stream=lambda index=-1: [Stream.null, *getattr(_now, "streams", ())][-1],
        get_elapsed_time=lambda start, end: 1.0,
        MemoryPool=MemoryPool, using_allocator=lambda allocator: contextlib.nullcontext(),
        nvrtc=types.SimpleNamespace(getVersion=lambda: (13, 0)),
        get_allocator=lambda: lambda size: size, set_allocator=lambda allocator: None,
    )  # fmt: skip
    cupyx = types.ModuleType("cupyx")
    cupyx.empty_like_pinned = _pinned
    cupyx.zeros_pinned = lambda shape, dtype: np.zeros(shape, dtype)
    sys.modules.update(cupy=cupy, cupyx=cupyx)
    sys.modules["array_api_compat.cupy"] = Namespace("array_api_compat.cupy", compat)
    import array_api_compat

    array_api_compat.cupy = sys.modules["array_api_compat.cupy"]


PINNED = {}


def _pinned(array):
    made = np.empty_like(array)
    PINNED[made.ctypes.data] = made  # so that no other array comes to lie there
    return made
