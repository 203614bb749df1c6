"""Random tensors, and the generator behind them.

The bits depend on the seed and on how many draws were made before, and on nothing else: they are
the same on every backend, for any number of threads. See :mod:`tinyconv.backend.random`.
"""

from __future__ import annotations

import operator
from typing import Any

from ...autograd import TensorBase
from ...autograd.inplace import write
from ...backend import DType, as_device, as_dtype
from ...backend.generator import Generator, default_generator
from ...backend.generator import manual_seed as _manual_seed
from ...errors import ArgumentError, DTypeError
from .._operands import check_floating, check_tensor, default_dtype
from ..casting import native_dtype
from ..creation.filled import sizes
from ..creation.from_data import new_leaf


def manual_seed(seed: int) -> Generator:
    """Start the random numbers of this thread, and of threads yet to come, from ``seed``.

    Parameters
    ----------
    seed : int
        Any integer, of which the lowest 64 bits count.

    Returns
    -------
    Generator
        The default generator.

    Examples
    --------
    >>> import tinyconv as tc
    >>> _ = tc.manual_seed(0)
    >>> a = tc.rand(3)
    >>> _ = tc.manual_seed(0)
    >>> bool((a == tc.rand(3)).all())
    True
    """
    return _manual_seed(seed)


def initial_seed() -> int:
    """Return the seed of the default generator."""
    return default_generator().initial_seed()


def seed() -> int:
    """Seed the default generator from the operating system, and return the seed."""
    return manual_seed(Generator().initial_seed()).initial_seed()


def get_rng_state() -> tuple[int, int]:
    """Return the state of the default generator: its seed, and the number of draws made."""
    return default_generator().get_state()


def set_rng_state(new_state: tuple[int, int]) -> None:
    """Go to a state that :func:`get_rng_state` returned."""
    default_generator().set_state(new_state)


_FLOAT_DOC = """Return random numbers {what}.

    Parameters
    ----------
    *size : int, or one sequence of int
        Shape.
    generator : Generator, optional
        Source of random numbers; default is that of :func:`manual_seed`.
    dtype : DType, optional
        Floating-point dtype; default float32, or as set.
    device : Device or str, optional
        Default: the default device. The numbers do not depend on it.
    requires_grad : bool, default False
        Whether gradients are wanted.

    Returns
    -------
    Tensor

    Raises
    ------
    DTypeError
        If the dtype is not floating point.
    """


def _float_source(name: str, draw: str, what: str) -> Any:
    """Make the function of random floats that draws with the generator's method ``draw``."""

    def source(
        *size: Any,
        generator: Generator | None = None,
        dtype: Any = None,
        device: Any = None,
        requires_grad: bool = False,
        **kwargs: Any,
    ) -> Any:
        shape = sizes(name, size, kwargs.pop("size", None))
        if kwargs:
            raise TypeError(f"{name}() got an unexpected keyword argument {next(iter(kwargs))!r}")
        where = as_device(device)
        wanted = default_dtype() if dtype is None else as_dtype(dtype)
        return new_leaf(_floats(name, draw, shape, wanted, where, generator), where, requires_grad)

    source.__name__ = source.__qualname__ = name
    source.__doc__ = _FLOAT_DOC.format(what=what)
    return source


def _floats(
    op: str, draw: str, shape: tuple[int, ...], dtype: DType, device: Any, generator: Any
) -> Any:
    if not dtype.is_floating_point:
        raise DTypeError(f"{op}: dtype must be floating point, got {dtype}; use randint")
    native_dtype(op, dtype, device)
    source = default_generator() if generator is None else generator
    return getattr(source, draw)(device.backend, shape, dtype.name)


rand = _float_source("rand", "uniform", "that are uniform on [0, 1)")
randn = _float_source("randn", "normal", "with mean 0 and standard deviation 1")


_LIKE_DOC = """Return {what} in the shape of ``input``.

    Parameters
    ----------
    input : Tensor
        Gives the shape and, where they are not given, the dtype and the device.
    generator : Generator, optional
        Source of random numbers; default is that of :func:`manual_seed`.
    dtype, device, requires_grad
        As for :func:`rand`.
    """


def _like_source(name: str, source: Any, what: str) -> Any:
    """Make the function that draws with ``source`` in the shape of a tensor."""

    def like(
        input: Any,
        *,
        generator: Generator | None = None,
        dtype: Any = None,
        device: Any = None,
        requires_grad: bool = False,
    ) -> Any:
        dtype = check_tensor(name, "input", input).dtype if dtype is None else dtype
        return source(
            input.array.shape,
            generator=generator,
            dtype=dtype,
            device=input.device if device is None else device,
            requires_grad=requires_grad,
        )

    like.__name__ = like.__qualname__ = name
    like.__doc__ = _LIKE_DOC.format(what=what)
    return like


rand_like = _like_source("rand_like", rand, "numbers uniform on [0, 1)")
randn_like = _like_source("randn_like", randn, "normal numbers")


def randint(
    low: int,
    high: Any = None,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """Return random integers that are uniform on [low, high).

    Parameters
    ----------
    low, high : int
        The bounds; ``randint(high, size)`` starts at 0.
    size : sequence of int
        Shape.
    generator : Generator, optional
        Source of random numbers; default is that of :func:`manual_seed`.
    dtype : DType, optional
        Default int64.
    device : Device or str, optional
        Default: the default device.
    requires_grad : bool, default False
        Whether gradients are wanted (of a floating dtype).

    Returns
    -------
    Tensor

    Raises
    ------
    ArgumentError
        If the range is empty.
    """
    if size is None:
        low, high, size = 0, low, high
    if size is None or high is None:
        raise ArgumentError("randint: call it as randint(high, size) or randint(low, high, size)")
    where = as_device(device)
    source = default_generator() if generator is None else generator
    shape = sizes("randint", (), size)
    array = source.integers(where.backend, low, high, shape)
    if dtype is not None:
        array = where.xp.astype(array, native_dtype("randint", as_dtype(dtype), where))
    return new_leaf(array, where, requires_grad)


def randint_like(
    input: Any,
    low: int,
    high: int | None = None,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """Return integers uniform on [low, high) in the shape, dtype and on the device of ``input``."""
    if high is None:
        low, high = 0, low
    return randint(
        low,
        high,
        tuple(check_tensor("randint_like", "input", input).array.shape),
        generator=generator,
        dtype=input.dtype if dtype is None else dtype,
        device=input.device if device is None else device,
        requires_grad=requires_grad,
    )


def randperm(
    n: int, *, generator: Generator | None = None, dtype: Any = None, device: Any = None
) -> Any:
    """Return the numbers 0 ... n-1 in random order, int64 or of ``dtype``."""
    if operator.index(n) < 0:
        raise ArgumentError(f"randperm: n must not be negative, got {n}")
    where = as_device(device)
    source = default_generator() if generator is None else generator
    array = source.permutation(where.backend, n)
    if dtype is not None:
        array = where.xp.astype(array, native_dtype("randperm", as_dtype(dtype), where))
    return new_leaf(array, where, False)


def normal(
    mean: Any,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """Return normal numbers with a mean and a standard deviation for each.

    Parameters
    ----------
    mean, std : Tensor or float
        Shapes that broadcast. Gradients flow to both.
    size : sequence of int, optional
        Shape; needed where both are numbers, and only there.
    generator : Generator, optional
        Source of random numbers; default is that of :func:`manual_seed`.
    dtype, device, requires_grad
        As for :func:`rand`, where both are numbers.

    Raises
    ------
    ArgumentError
        If a standard deviation is negative, ``size`` is missing, or given beside a tensor.
    """
    tensors = [t for t in (mean, std) if isinstance(t, TensorBase)]
    negative = bool(std.xp.any(std.array < 0)) if isinstance(std, TensorBase) else std < 0
    if negative:
        raise ArgumentError("normal: std must not be negative")
    if not tensors:
        if size is None:
            raise ArgumentError("normal: size is needed where mean and std are numbers")
        noise = randn(size, generator=generator, dtype=dtype, device=device) * std + mean
        return noise.requires_grad_(requires_grad)
    if size is not None or dtype is not None or device is not None or requires_grad:
        raise ArgumentError(
            "normal: size, dtype, device and requires_grad go with a mean and std that are "
            "numbers; beside a tensor they follow from it"
        )
    like = tensors[0] + tensors[1] if len(tensors) == 2 else tensors[0]
    noise = randn(like.array.shape, generator=generator, dtype=like.dtype, device=like.device)
    return noise * std + mean


# -- in place ----------------------------------------------------------------------------------


def uniform_(
    input: Any, from_: float = 0.0, to: float = 1.0, *, generator: Generator | None = None
) -> Any:
    """Fill ``input`` with numbers uniform on [from_, to), in place, and return it."""
    if from_ > to:
        raise ArgumentError(f"uniform_: the bounds must be in order, got {from_} and {to}")

    def draw(x: Any) -> Any:
        return _like("uniform", x, generator) * (to - from_) + from_

    return write("uniform_", check_floating("uniform_", "input", input), draw)


def normal_(
    input: Any, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None
) -> Any:
    """Fill ``input`` with normal numbers, in place, and return it."""
    if std < 0:
        raise ArgumentError(f"normal_: std must not be negative, got {std}")

    def draw(x: Any) -> Any:
        return _like("normal", x, generator) * std + mean

    return write("normal_", check_floating("normal_", "input", input), draw)


def _like(draw: str, x: Any, generator: Generator | None) -> Any:
    """Return random floats in the shape, dtype and on the device of ``x``."""
    shape = tuple(x.array.shape)
    return x.wrap(_floats(draw, draw, shape, x.dtype, x.device, generator))
