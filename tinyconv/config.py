"""Typed settings: one object is the environment variable, the setter and the context override.

    config.backend.get()                      # the value in force
    config.backend.set("numpy")               # for the process
    with config.backend.override("numpy"):    # for this thread, inside the block
    with config.override(backend="numpy", seed=0):

An explicit argument beats a ``with`` block, which beats the setter, which beats the environment
variable, which beats the default. Variables are read once, when tinyconv is imported.
"""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Generic, TypeVar

from .errors import ConfigError

T = TypeVar("T")
PREFIX = "TINYCONV_"

#: Device types that may be named; ``tinyconv.backend.register`` adds to it.
DEVICE_TYPES = ["cpu", "cuda", "auto"]


class Setting(Generic[T]):
    """A typed setting named ``name``, read from ``TINYCONV_<NAME>``.

    Parameters
    ----------
    name : str
        Lower-case name; the environment variable is ``TINYCONV_`` plus its upper case.
    default : T
        Value when neither variable, setter nor context says otherwise.
    parse : callable
        Turns a string or a Python value into ``T``; raises ``ValueError`` for an illegal one.
    legal : str
        The legal values in words, for error messages and tables.
    meaning : str
        One line for the table of settings.
    """

    def __init__(
        self, name: str, default: T, parse: Callable[[Any], T], legal: str, meaning: str
    ) -> None:
        self.name, self.default, self.parse = name, default, parse
        self.legal, self.meaning = legal, meaning
        self.variable = PREFIX + name.upper()
        #: Called after each change, for those who must act on it at once.
        self.listeners: list[Callable[[], None]] = []
        self._override: ContextVar[T] = ContextVar(name)
        text = os.environ.get(self.variable)
        self._value = default if text is None or text == "" else self._check(text, self.variable)

    def get(self) -> T:
        """Return the value in force in this thread."""
        return self._override.get(self._value)

    def set(self, value: Any) -> None:
        """Set the value for the whole process; raise ``ConfigError`` if it is illegal."""
        self._value = self._check(value, self.name)
        self._notify()

    @contextmanager
    def override(self, value: Any) -> Iterator[None]:
        """Use ``value`` inside a ``with`` block, in this thread only."""
        token = self._override.set(self._check(value, self.name))
        self._notify()
        try:
            yield
        finally:
            self._override.reset(token)
            self._notify()

    def _notify(self) -> None:
        for listener in self.listeners:
            listener()

    def _check(self, value: Any, label: str) -> T:
        try:
            return self.parse(value)
        except (ValueError, TypeError):
            raise ConfigError(f"{label}={value!r} is not legal; choose {self.legal}") from None

    def __repr__(self) -> str:
        return f"Setting({self.name}={self.get()!r})"


def _choice(*values: str) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        if value not in values:
            raise ValueError(value)
        return str(value)

    return parse


def _flag(value: Any) -> bool:
    return {"0": False, "1": True}[_choice("0", "1")(str(int(value)))]


def _integer(low: int, high: int | None = None) -> Callable[[Any], int]:
    def parse(value: Any) -> int:
        number = int(value)
        if isinstance(value, float) or number < low or (high is not None and number > high):
            raise ValueError(value)
        return number

    return parse


def _optional_integer(low: int, high: int | None = None) -> Callable[[Any], int | None]:
    parse = _integer(low, high)
    return lambda value: None if value is None else parse(value)


def _device(value: Any) -> str:
    text = str(value)
    match = re.fullmatch(r"([a-z][a-z0-9_]*)(:\d+)?", text)
    if match is None or match[1] not in DEVICE_TYPES or text.startswith("auto:"):
        raise ValueError(value)
    return text


def _path(value: Any) -> Path | None:
    return None if value is None else Path(value).expanduser()


def _user_cache() -> Path:
    """Return the folder where this platform keeps caches (XDG on Linux)."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


class _CacheDir(Setting[Path | None]):
    """The cache folder; unset means ``tinyconv`` in the platform's cache folder."""

    def get(self) -> Path:
        return super().get() or _user_cache() / "tinyconv"


class _DataDir(Setting[Path | None]):
    """The data folder; unset means ``data`` in the cache folder."""

    def get(self) -> Path:
        return super().get() or cache_dir.get() / "data"


device = Setting(
    "device",
    "cpu",
    _device,
    "cpu, cuda, cuda:N or auto",
    "device of new tensors; only `auto` falls back to the CPU",
)
backend = Setting(
    "backend",
    "auto",
    _choice("auto", "numpy", "numba"),
    "auto, numpy or numba",
    "CPU kernels: `numpy` runs the reference kernels, `auto` takes Numba where it is installed",
)
dtype = Setting(
    "dtype",
    "float32",
    _choice("float32", "float64"),
    "float32 or float64",
    "default floating-point dtype",
)
seed = Setting(
    "seed",
    None,
    _optional_integer(0, 2**64 - 1),
    "an integer from 0 to 2**64 - 1",
    "initial seed; unset means a fresh one for each process",
)
num_threads = Setting(
    "num_threads",
    None,
    _optional_integer(1),
    "an integer of at least 1",
    "threads of the CPU kernels; unset means all cores the process may use",
)
float32_precision = Setting(
    "float32_precision",
    "high",
    _choice("high", "highest"),
    "high or highest",
    "`high` allows faster, slightly less exact float32 convolutions where a backend has them",
)
conv_algorithm = Setting(
    "conv_algorithm",
    "auto",
    _choice("auto", "direct", "winograd", "positions", "narrow", "joined", "grouped", "sheets"),
    "auto, direct, winograd, positions, narrow, joined, grouped or sheets",
    "algorithm of CPU convolutions; a name is taken wherever that algorithm applies",
)
cuda_autotune = Setting(
    "cuda_autotune",
    False,
    _flag,
    "0 or 1",
    "1 times the tiles that a matrix product or convolution on a GPU could take, once for each "
    "size, and remembers the fastest in the cache folder",
)
fusion = Setting(
    "fusion",
    "auto",
    _choice("auto", "off"),
    "auto or off",
    "`auto` runs convolution or batch normalisation, residual sum and ReLU in fewer passes over "
    "memory; `off` runs every op on its own",
)
deterministic = Setting(
    "deterministic",
    False,
    _flag,
    "0 or 1",
    "1 allows only kernels that add in a fixed order; on the CPU all do, for any number of threads",
)
debug = Setting(
    "debug",
    0,
    _integer(0, 3),
    "0, 1, 2 or 3",
    "1 names the module path in errors, 2 also checks every op for NaN/Inf, "
    "3 also prints the time of every op",
)
cache_dir = _CacheDir(
    "cache_dir",
    None,
    _path,
    "a folder",
    "compiled kernels and all else that is cached (default: tinyconv in the user's cache folder)",
)
data_dir = _DataDir(
    "data_dir", None, _path, "a folder", "data sets (default: data in the cache folder)"
)
offline = Setting(
    "offline", False, _flag, "0 or 1", "1 makes any download an error that names the file"
)
max_epochs = Setting(
    "max_epochs",
    None,
    _optional_integer(1),
    "an integer of at least 1",
    "upper limit of epochs in training loops of the library and the tutorials",
)
max_steps = Setting(
    "max_steps",
    None,
    _optional_integer(1),
    "an integer of at least 1",
    "upper limit of training steps an epoch in the same places",
)
progress = Setting(
    "progress",
    "auto",
    lambda value: _choice("auto", "0", "1")(str(value)),
    "auto, 0 or 1",
    "progress bars; `auto` shows them in a terminal or notebook",
)

#: All settings by name, in the order of the documentation.
SETTINGS: dict[str, Setting[Any]] = {
    setting.name: setting
    for setting in (
        device, backend, dtype, seed, num_threads, float32_precision, conv_algorithm,
        cuda_autotune, fusion, deterministic, debug, cache_dir, data_dir, offline, max_epochs,
        max_steps, progress,
    )
}  # fmt: skip


@contextmanager
def override(**values: Any) -> Iterator[None]:
    """Override several settings inside a ``with`` block, in this thread only.

    Raises
    ------
    ConfigError
        For an unknown name or an illegal value; no setting is changed then.

    Examples
    --------
    >>> from tinyconv import config
    >>> with config.override(backend="numpy", dtype="float64"):
    ...     config.dtype.get()
    'float64'
    """
    unknown = sorted(set(values) - set(SETTINGS))
    if unknown:
        raise ConfigError(f"unknown setting {unknown[0]!r}; choose from {', '.join(SETTINGS)}")
    with ExitStack() as stack:
        for name, value in values.items():
            stack.enter_context(SETTINGS[name].override(value))
        yield


def table() -> list[tuple[str, str, str, str]]:
    """Return (variable, legal values, value in force, meaning) of every setting."""
    return [(s.variable, s.legal, str(s.get()), s.meaning) for s in SETTINGS.values()]


def _warn_unknown_variables() -> None:
    known = {setting.variable for setting in SETTINGS.values()}
    for name in sorted(os.environ):
        if name.startswith(PREFIX) and name not in known:
            warnings.warn(
                f"unknown environment variable {name}; tinyconv knows {', '.join(sorted(known))}",
                stacklevel=2,
            )


_warn_unknown_variables()
