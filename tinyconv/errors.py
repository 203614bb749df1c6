"""Every exception tinyconv raises on purpose.

Each class is a :class:`TinyconvError` and also the builtin that Python and NumPy users already
catch, so ``except ValueError`` keeps working and ``except tc.errors.TinyconvError`` catches all.
A message names the op or layer, the argument, what it got, and how to mend it.
"""

from __future__ import annotations


class TinyconvError(Exception):
    """Base class of all errors raised by tinyconv."""


class ArgumentError(TinyconvError, ValueError):
    """An argument has a value that makes no sense for the call."""


class ShapeError(TinyconvError, ValueError):
    """Shapes of the arguments do not fit together."""


class DTypeError(TinyconvError, TypeError):
    """An argument has a type or dtype the call cannot use."""


class IndexRangeError(TinyconvError, IndexError):
    """An index, class label or dimension is out of range."""


class DeviceError(TinyconvError, RuntimeError):
    """A device does not exist, or tensors of two devices met in one op."""


class OutOfMemoryError(TinyconvError, MemoryError, RuntimeError):
    """A device has too little memory left; the message lists the largest tensors alive."""


class GradientError(TinyconvError, RuntimeError):
    """A backward pass is impossible as asked."""


class InPlaceError(GradientError):
    """A tensor needed by the backward pass was modified in place."""


class AnomalyError(TinyconvError, RuntimeError):
    """Anomaly mode met the first NaN or infinity."""


class LinAlgError(TinyconvError, RuntimeError):
    """A matrix has no such inverse or factorization, or finding it did not converge."""


class ConfigError(TinyconvError, ValueError):
    """A setting or ``TINYCONV_*`` variable has an illegal value."""


class StateDictError(TinyconvError, RuntimeError):
    """A state dict does not fit the module or optimizer it is loaded into."""


class CheckpointError(TinyconvError, OSError):
    """A file cannot be written, or is not a sound checkpoint."""


class DataError(TinyconvError, ValueError):
    """A data set or a batch cannot be built."""


class MissingDependencyError(TinyconvError, ImportError):
    """An optional package is not installed; the message names the extra that brings it."""
