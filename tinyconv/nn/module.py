"""``Module``, the base class of layers, blocks and networks."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

from ..autograd import TensorBase, no_grad
from ..autograd.modes import state
from ..backend import Device, DType, as_device, as_dtype
from ..errors import ArgumentError, DTypeError
from ..ops import channels_last, channels_last_3d, preserve_format, zeros_like
from .hook_tables import HookedTree
from .hooks import call_with_hooks
from .state_dict import IncompatibleKeys, collect, load


class Module(HookedTree):
    """Base class of all networks and layers.

    A subclass calls ``super().__init__()``, assigns parameters and child modules as attributes,
    and defines ``forward``. Calling the module runs ``forward`` and the hooks around it.

    Attributes
    ----------
    training : bool
        Whether dropout, batch normalisation and the like behave as in training; see
        :meth:`train` and :meth:`eval`.

    Examples
    --------
    >>> import tinyconv as tc
    >>> from tinyconv import nn
    >>> class Perceptron(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.linear = nn.Linear(4, 2)
    ...
    ...     def forward(self, x):
    ...         return self.linear(x).sigmoid()
    >>> net = Perceptron()
    >>> net(tc.zeros(3, 4)).shape
    tinyconv.Size([3, 2])
    >>> [name for name, _ in net.named_parameters()]
    ['linear.weight', 'linear.bias']
    """

    #: Names of buffers that a state dict may lack without being called incomplete.
    optional_state: ClassVar[frozenset[str]] = frozenset()

    training: bool

    def __init__(self) -> None:
        super().__init__()
        self.__dict__["training"] = True

    # -- calling ----------------------------------------------------------------------------

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the output; every subclass that is called defines it."""
        raise AttributeError(f"{type(self).__name__} defines no forward(); it cannot be called")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run :meth:`forward` and the hooks around it."""
        if (
            self._forward_pre_hooks
            or self._forward_hooks
            or self._backward_pre_hooks
            or self._backward_hooks
            or state.observers
        ):
            return self._watched_call(args, kwargs)
        return self.forward(*args, **kwargs)

    def _watched_call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not state.observers:
            return call_with_hooks(self, args, kwargs)
        outer = state.module_stack
        state.module_stack = (*outer, self)  # lets an observer name the module an op belongs to
        try:
            return call_with_hooks(self, args, kwargs)
        finally:
            state.module_stack = outer

    # -- modes and gradients ----------------------------------------------------------------

    def train(self, mode: bool = True) -> Self:
        """Set training (or, with ``False``, inference) behaviour here and below; return self."""
        if not isinstance(mode, bool):
            raise ArgumentError(f"train: mode must be True or False, got {mode!r}")
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Set inference behaviour here and below; return self."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Say for all parameters whether gradients are wanted; return self."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters.

        Parameters
        ----------
        set_to_none : bool, default True
            Set ``.grad`` to ``None``; ``False`` fills it with zeros.
        """
        for parameter in self.parameters():
            if parameter.grad is not None:
                parameter.grad = None if set_to_none else zeros_like(parameter.grad)

    # -- device and dtype -------------------------------------------------------------------

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Move to a device, convert floating-point state to a dtype, or both; return self.

        Called as ``to(device)``, ``to(dtype)``, ``to(device, dtype)`` or ``to(tensor)``.
        Parameters stay the same objects, so an optimizer that holds them stays right; integer
        buffers keep their dtype. With ``memory_format=tc.channels_last`` tensors of 4 dimensions
        get that order in memory (``channels_last_3d``: of 5), the others are left.

        Raises
        ------
        DTypeError
            If the dtype is not floating point.
        DeviceError
            If there is no such device.
        """
        order = kwargs.pop("memory_format", preserve_format)
        device, dtype = _parse_to(*args, **kwargs)

        def move(tensor: Any) -> Any:
            floating = tensor.dtype.is_floating_point
            moved = tensor.to(
                device=device or tensor.device,
                dtype=dtype if floating and dtype else tensor.dtype,
            )
            fits = tensor.ndim == {channels_last: 4, channels_last_3d: 5}.get(order, tensor.ndim)
            return moved.to(memory_format=order) if fits else moved

        return self._convert(move)

    def type(self, dst_type: Any) -> Self:
        """Convert all parameters and buffers, integer ones too, to a dtype; return self."""
        dtype = as_dtype(dst_type)
        return self._convert(lambda tensor: tensor.to(dtype))

    def float(self) -> Self:
        """Convert floating-point state to float32; return self."""
        return self.to(as_dtype("float32"))

    def double(self) -> Self:
        """Convert floating-point state to float64; return self."""
        return self.to(as_dtype("float64"))

    def bfloat16(self) -> Self:
        """Convert floating-point state to bfloat16; return self."""
        return self.to(as_dtype("bfloat16"))

    def half(self) -> Self:
        """Convert floating-point state to float16; return self."""
        return self.to(as_dtype("float16"))

    def cpu(self) -> Self:
        """Move to the CPU; return self."""
        return self.to("cpu")

    def cuda(self, device: int | str | None = None) -> Self:
        """Move to a GPU, the current one by default; return self."""
        return self.to(f"cuda:{device}" if isinstance(device, int) else device or "cuda")

    def _convert(self, move: Callable[[Any], Any]) -> Self:
        """Apply ``move`` to every parameter, gradient and buffer."""
        with no_grad():
            for parameter in self.parameters():
                _replace_contents(parameter, move(parameter.detach()))
                if parameter.grad is not None:
                    parameter.grad = move(parameter.grad)
            for module in self.modules():
                for name, buffer in module._buffers.items():
                    if buffer is not None:
                        module._buffers[name] = move(buffer)
        return self

    def apply(self, fn: Callable[[Any], Any]) -> Self:
        """Call ``fn`` on every module below, then on this one; return self.

        Examples
        --------
        >>> from tinyconv import nn
        >>> def zero_bias(module):
        ...     if isinstance(module, nn.Linear):
        ...         nn.init.zeros_(module.bias)
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU()).apply(zero_bias)
        >>> net[0].bias.tolist()
        [0.0, 0.0, 0.0]
        """
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    # -- state ------------------------------------------------------------------------------

    def state_dict(
        self,
        *,
        destination: dict[str, Any] | None = None,
        prefix: str = "",
        keep_vars: bool = False,
    ) -> dict[str, Any]:
        """Return all parameters and persistent buffers by dotted name.

        Parameters
        ----------
        destination : dict, optional
            Put them there; default a new ``OrderedDict``.
        prefix : str, default ""
            Put before every name.
        keep_vars : bool, default False
            Return the parameters themselves; by default they are detached tensors on the same
            memory, so a copy is needed to keep the values while training goes on.
        """
        return collect(self, destination, prefix, keep_vars)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        """Copy tensors or NumPy arrays into the parameters and buffers of the same name.

        All names, shapes and dtypes are checked before anything is written: after an error the
        parameters and buffers are as they were.

        Parameters
        ----------
        state_dict : mapping of str to Tensor or array
            Values, cast to the dtype and brought to the device of their target.
        strict : bool, default True
            Whether missing and unexpected names are errors.
        assign : bool, default False
            Put the values themselves in place of the module's tensors, in their own dtype.

        Returns
        -------
        IncompatibleKeys
            Named tuple ``(missing_keys, unexpected_keys)``.

        Raises
        ------
        StateDictError
            Lists every missing and unexpected name, and every value that does not fit.
        """
        return load(self, state_dict, strict, assign)

    # -- text -------------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """Return what stands between the parentheses of ``repr``; layers give their sizes."""
        return ""

    def __repr__(self) -> str:
        lines = [f"({n}): {indent(repr(m))}" for n, m in self._modules.items()]
        return lines_repr(type(self).__name__, self.extra_repr(), lines)


def lines_repr(name: str, extra: str, lines: list[str]) -> str:
    """Return ``name(extra)`` with lines for what is inside."""
    if not lines:
        parts = extra.split("\n")
        if len(parts) == 1:
            return f"{name}({extra})"
        lines = parts
    elif extra:
        lines = extra.split("\n") + lines
    return f"{name}(\n  " + "\n  ".join(lines) + "\n)"


def indent(text: str) -> str:
    """Indent all lines of ``text`` but the first by two blanks."""
    return text.replace("\n", "\n  ")


def _replace_contents(parameter: Any, moved: Any) -> None:
    """Give a parameter another array, so that all who hold the parameter see it."""
    if moved.array is not parameter.array:
        parameter.array, parameter.device = moved.array, moved.device
        parameter._bump_version()


def _parse_to(
    *args: Any, device: Any = None, dtype: Any = None, non_blocking: bool = False
) -> tuple[Device | None, DType | None]:
    """Tell device, dtype and tensor arguments of ``to`` apart; copies always block."""
    for arg in args:
        if isinstance(arg, TensorBase):
            device, dtype = arg.device, arg.dtype
        elif isinstance(arg, DType) or (isinstance(arg, builtins.type) and arg is not str):
            dtype = arg
        elif isinstance(arg, str | Device):
            device = arg
        elif arg is not None:
            raise DTypeError(f"to: expected a device, a dtype or a Tensor, got {arg!r}")
    if dtype is not None:
        dtype = as_dtype(dtype)
        if not dtype.is_floating_point:
            raise DTypeError(
                f"to: a module is converted to floating-point dtypes only, not {dtype}"
            )
    return (None if device is None else as_device(device)), dtype
