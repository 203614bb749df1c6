"""The part of a tensor that the graph knows: an array, a gradient, and where it came from.

The user's ``Tensor`` (``tensor.py``) adds the methods. Ops and the engine create tensors with
:meth:`TensorBase.wrap`, so they need no import of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from ..backend import Device, DType
from ..errors import GradientError
from .hooks import RemovableHandle
from .modes import state

if TYPE_CHECKING:
    from .function import Function
    from .views import View


class TensorBase:
    """An array that may take part in a graph.

    Parameters
    ----------
    array : array
        Array of the device's library; never a NumPy scalar.
    device : Device
        Where the array lives.
    requires_grad : bool, default False
        Whether gradients are wanted.
    """

    __slots__ = (
        "__weakref__",
        "_grad_fn",
        "_hooks",
        "_output_index",
        "_requires_grad",
        "_version",
        "_view",
        "array",
        "device",
        "grad",
    )
    #: Class of the tensors that ops return, and of those whose array is put off (see
    #: ``pending.py``); ``tensor.py`` puts them here.
    public_class: ClassVar[type[Any]]
    pending_class: ClassVar[type[Any]]

    _grad_fn: Function | None
    _hooks: dict[int, Callable[..., Any]] | None
    _version: list[int] | None
    _view: View | None
    array: Any
    device: Device
    grad: Any

    def __init__(self, array: Any, device: Device, requires_grad: bool = False) -> None:
        self.array = array
        self.device = device
        self.grad = None
        self._requires_grad = requires_grad
        self._grad_fn = None
        self._output_index = 0
        # A list that begins with an int: the storage's version, shared by all views of it; a
        # second element says that the memory was shown to others (see ``pending.expose``). As in
        # PyTorch, a tensor of inference mode has none and cannot be saved for a backward pass.
        self._version = None if state.inference else [0]
        self._view = None
        self._hooks = None
        if requires_grad:
            self.requires_grad_(True)

    def wrap(self, array: Any) -> Any:
        """Return a tensor without history that holds ``array``, on the same device."""
        if array.__class__ is not self.array.__class__:  # NumPy reductions return scalars
            array = self.device.xp.asarray(array)
        return self.public_class(array, self.device)

    def alias(self) -> Any:
        """Return a tensor without history on the same memory and version."""
        other = self.public_class(self.array, self.device)
        other._version = self._version
        return other

    @property
    def xp(self) -> Any:
        """The array-API namespace of the device."""
        return self.device.xp

    @property
    def dtype(self) -> DType:
        """The data type."""
        return self.device.backend.dtypes[self.array.dtype]

    @property
    def is_leaf(self) -> bool:
        """Whether no op of the graph made this tensor."""
        return self.grad_fn is None

    @property
    def grad_fn(self) -> Function | None:
        """The graph node that made this tensor, or ``None`` for a leaf."""
        if self._view is not None:
            self._refresh_view()
        return self._grad_fn

    @property
    def _edge(self) -> tuple[Any, int]:
        """Where gradients of this tensor go: the node that made it, or the leaf itself."""
        node = self._grad_fn if self._view is None else self.grad_fn
        return (self, 0) if node is None else (node, self._output_index)

    @property
    def output_nr(self) -> int:
        """Which output of ``grad_fn`` this tensor is."""
        return self._output_index

    def _refresh_view(self) -> None:
        """Renew the history of a view whose base was modified in place since."""
        view, version = self._view, self._version
        if view is None or view.base is None or version is None or view.version == version[0]:
            return
        from .inplace import refresh_view  # in-place logic stands on top of Function

        refresh_view(self, view)

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow to this tensor; can be set on a leaf of floating dtype."""
        if self._view is not None:
            self._refresh_view()
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        """Set in place whether gradients are wanted, and return the tensor.

        Raises
        ------
        GradientError
            For an integer or bool tensor, or when turning it off on a non-leaf.
        """
        if requires_grad and not self.dtype.is_floating_point:
            raise GradientError(
                f"requires_grad: only floating-point tensors can require gradients, "
                f"this one is {self.dtype}; convert it with .float() first"
            )
        if requires_grad and self._version is None and not state.inference:
            raise GradientError(
                "requires_grad: a tensor made in inference mode cannot require gradients outside "
                "of it; clone() it first"
            )
        if not requires_grad and self.grad_fn is not None:
            raise GradientError(
                "requires_grad: only a leaf can stop requiring gradients; "
                "use .detach() to cut a tensor out of the graph"
            )
        self._requires_grad = bool(requires_grad)
        return self

    def detach(self) -> Any:
        """Return a tensor on the same memory that is cut out of the graph."""
        return self.alias()

    def detach_(self) -> Any:
        """Cut this tensor out of the graph in place, and return it.

        Raises
        ------
        GradientError
            For a view: its base would keep the history.
        """
        if self._view is not None:
            raise GradientError("detach_: a view cannot be detached in place; use detach()")
        self._grad_fn, self._requires_grad, self._view = None, False, None
        return self

    def register_hook(self, hook: Callable[[Any], Any]) -> RemovableHandle:
        """Call ``hook(grad)`` when the gradient of this tensor is complete.

        Parameters
        ----------
        hook : callable
            Gets the gradient; a returned tensor replaces it. It must not modify its argument.

        Returns
        -------
        RemovableHandle
            ``handle.remove()`` takes the hook out again.

        Raises
        ------
        GradientError
            If the tensor does not require gradients.
        """
        if not self.requires_grad:
            raise GradientError("register_hook: the tensor does not require gradients")
        node = self.grad_fn
        if node is None:
            if self._hooks is None:
                self._hooks = {}
            return RemovableHandle(self._hooks, hook)
        return RemovableHandle(node.tensor_hooks(self._output_index), hook)

    def retain_grad(self) -> None:
        """Keep the gradient of this non-leaf in ``.grad`` after the backward pass."""
        if not self.requires_grad:
            raise GradientError("retain_grad: the tensor does not require gradients")
        node = self.grad_fn
        if node is not None:
            node.retain_grad(self)

    @property
    def retains_grad(self) -> bool:
        """Whether :meth:`retain_grad` was called on this non-leaf."""
        node = self.grad_fn
        return node is not None and node.retains_grad(self)

    def backward(
        self,
        gradient: Any = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
        inputs: Any = None,
    ) -> None:
        """Add the gradient of this tensor to ``.grad`` of the leaves.

        Parameters
        ----------
        gradient : Tensor, optional
            Gradient of some scalar with respect to this tensor; may be left out for one element.
        retain_graph : bool, optional
            Keep what the graph saved for another pass; default is ``create_graph``.
        create_graph : bool, default False
            Record the backward pass itself, for higher derivatives.
        inputs : sequence of Tensor, optional
            Only these receive gradients; default all leaves.

        Raises
        ------
        GradientError
            If no gradient is required, or the graph was already consumed.
        """
        from .engine import backward

        backward(self, gradient, retain_graph, create_graph, inputs)

    def _bump_version(self) -> None:
        """Note that the memory was modified."""
        if self._version is not None:
            self._version[0] += 1

    def is_inference(self) -> bool:
        """Return whether the tensor was made in inference mode."""
        return self._version is None

    if TYPE_CHECKING:  # the operators and methods that Tensor adds

        def __getattr__(self, name: str) -> Any: ...
        def __add__(self, other: Any) -> Any: ...
        def __radd__(self, other: Any) -> Any: ...
        def __sub__(self, other: Any) -> Any: ...
        def __rsub__(self, other: Any) -> Any: ...
        def __mul__(self, other: Any) -> Any: ...
        def __rmul__(self, other: Any) -> Any: ...
        def __truediv__(self, other: Any) -> Any: ...
        def __rtruediv__(self, other: Any) -> Any: ...
        def __pow__(self, other: Any) -> Any: ...
        def __neg__(self) -> Any: ...
        def __matmul__(self, other: Any) -> Any: ...
        def __getitem__(self, index: Any) -> Any: ...
