"""A table of a network: each layer's output shape, parameters and multiply-adds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

from ..autograd import TensorBase, no_grad
from ..backend.generator import default_generator
from ..errors import ArgumentError
from ..ops import zeros
from .module import Module

MEGA = 1e6


@dataclass
class Row:
    """One line of the table.

    Attributes
    ----------
    name : str
        Path of the layer in the network; empty for the network itself.
    type : str
        Name of its class.
    output_shape : tuple
        Shape of its output, or a tuple of shapes if it returned several tensors.
    params : int
        Parameters of the layer, and of what is inside it if the table does not go deeper;
        0 where they were counted in a row above (a layer called again, tied weights).
    mult_adds : int
        Multiplications with an addition in convolutions, and in fully connected and recurrent
        layers.
    """

    name: str
    type: str
    output_shape: tuple[Any, ...] = ()
    params: int = 0
    mult_adds: int = 0


@dataclass
class Summary:
    """What :func:`summary` returns; ``str()`` is the table.

    Attributes
    ----------
    rows : list of Row
        The layers in the order of their calls.
    total_params, trainable_params, frozen_params : int
        Numbers of parameters, each tensor counted once. Frozen is what gets no gradients.
    total_mult_adds : int
        Multiply-adds of one forward pass.
    input_bytes, forward_bytes, params_bytes : int
        Memory of the inputs, of the layers' outputs, and of the parameters.
    """

    title: str
    rows: list[Row] = field(default_factory=list)
    total_params: int = 0
    trainable_params: int = 0
    total_mult_adds: int = 0
    input_bytes: int = 0
    forward_bytes: int = 0
    params_bytes: int = 0

    @property
    def frozen_params(self) -> int:
        """Number of parameters that get no gradients."""
        return self.total_params - self.trainable_params

    def __str__(self) -> str:
        header = ("Layer (type)", "Output Shape", "Param #", "Mult-Adds")
        cells = [header] + [
            (f"{r.name} ({r.type})" if r.name else r.type, str(r.output_shape), f"{r.params:,}",
             f"{r.mult_adds:,}")
            for r in self.rows
        ]  # fmt: skip
        widths = [max(len(row[column]) for row in cells) for column in range(4)]
        lines = [
            f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}  {d:>{widths[3]}}"
            for a, b, c, d in cells
        ]
        rule = "-" * len(lines[0])
        memory = self.input_bytes + self.forward_bytes + self.params_bytes
        totals = [
            f"Total params: {self.total_params:,}",
            f"Trainable params: {self.trainable_params:,}",
            f"Frozen params: {self.frozen_params:,}",
            f"Total mult-adds: {self.total_mult_adds:,}",
            f"Input size (MB): {self.input_bytes / MEGA:.2f}",
            f"Forward pass size (MB): {self.forward_bytes / MEGA:.2f}",
            f"Params size (MB): {self.params_bytes / MEGA:.2f}",
            f"Total size (MB): {memory / MEGA:.2f}",
        ]
        return "\n".join([self.title, rule, lines[0], rule, *lines[1:], rule, *totals])


def summary(
    model: Module,
    input_size: Sequence[Any],
    *,
    dtypes: Sequence[Any] | None = None,
    batch_dim: int | None = None,
    depth: int | None = None,
    **kwargs: Any,
) -> Summary:
    """Return a table of the layers of a network.

    The network is run once on zeros, in evaluation mode and without a graph; its modes, buffers
    and gradients, and the random numbers, are afterwards what they were.

    Parameters
    ----------
    model : Module
        The network.
    input_size : tuple of int, or sequence of these
        Shape of the input with its batch dimension, or of each of several inputs.
    dtypes : sequence, optional
        The inputs' dtypes; default is that of the first floating-point parameter.
    batch_dim : int, optional
        If given, ``input_size`` has no batch dimension, and one of size 1 is put there.
    depth : int, optional
        Modules this deep (children of the network have depth 1) are shown as one row with all
        they contain; default shows every layer.
    **kwargs
        Passed to the network's ``forward``.

    Returns
    -------
    Summary
        Printable; its numbers are attributes. 1 MB is 1,000,000 bytes.

    Raises
    ------
    ArgumentError
        If ``dtypes`` are not as many as the inputs, or ``depth`` is below 1.

    Examples
    --------
    >>> from tinyconv import nn
    >>> net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2704, 10))
    >>> print(nn.summary(net, (1, 1, 28, 28)))
    Sequential
    ------------------------------------------------
    Layer (type)  Output Shape    Param #  Mult-Adds
    ------------------------------------------------
    0 (Conv2d)    (1, 4, 26, 26)       40     24,336
    1 (ReLU)      (1, 4, 26, 26)        0          0
    2 (Flatten)   (1, 2704)             0          0
    3 (Linear)    (1, 10)          27,050     27,040
    ------------------------------------------------
    Total params: 27,090
    Trainable params: 27,090
    Frozen params: 0
    Total mult-adds: 51,376
    Input size (MB): 0.00
    Forward pass size (MB): 0.03
    Params size (MB): 0.11
    Total size (MB): 0.14
    """
    if depth is not None and depth < 1:
        raise ArgumentError(f"summary: depth must be at least 1, got {depth}")
    inputs = _inputs(model, input_size, dtypes, batch_dim)
    result = Summary(type(model).__name__)
    recorder = _Recorder(model, result, depth)
    saved = _State(model)
    try:
        recorder.attach()
        model.eval()
        with no_grad():
            model(*inputs, **kwargs)
    finally:
        recorder.detach()
        saved.restore()
    _count_parameters(model, result)
    result.input_bytes = sum(_bytes(x) for x in inputs)
    return result


def _inputs(
    model: Module, input_size: Sequence[Any], dtypes: Sequence[Any] | None, batch_dim: int | None
) -> list[Any]:
    sizes = [input_size] if all(isinstance(n, int) for n in input_size) else list(input_size)
    if dtypes is not None and len(dtypes) != len(sizes):
        raise ArgumentError(f"summary: got {len(dtypes)} dtypes for {len(sizes)} inputs")
    first = next((p for p in model.parameters() if p.dtype.is_floating_point), None)
    device = None if first is None else first.device
    inputs = []
    for number, size in enumerate(sizes):
        shape = list(size)
        if batch_dim is not None:
            shape.insert(batch_dim if batch_dim >= 0 else len(shape) + 1 + batch_dim, 1)
        default = None if first is None else first.dtype
        inputs.append(zeros(shape, dtype=dtypes[number] if dtypes else default, device=device))
    return inputs


class _State:
    """What a forward pass may change, kept so that it can be put back."""

    def __init__(self, model: Module) -> None:
        self.generator = default_generator().get_state()
        self.modules = [(m, m.training, dict(m._buffers)) for m in model.modules()]
        self.contents = [(b, b.xp.asarray(b.array, copy=True)) for b in model.buffers()]

    def restore(self) -> None:
        for module, training, buffers in self.modules:
            module.training = training
            module._buffers.clear()
            module._buffers.update(buffers)
        for buffer, contents in self.contents:
            buffer.array[...] = contents
        default_generator().set_state(self.generator)


class _Recorder:
    """Fills a summary with hooks on every module."""

    def __init__(self, model: Module, result: Summary, depth: int | None) -> None:
        self.model, self.result, self.depth = model, result, depth
        self.handles: list[Any] = []
        #: Row of each module being called, outermost first, and whether it was inside a
        #: collapsed one.
        self.open: list[tuple[Row | None, bool]] = []
        self.collapsed = False
        self.counted: set[int] = set()

    def attach(self) -> None:
        for name, module in self.model.named_modules():
            before = self._before(self._row_maker(name, module))
            self.handles += [
                module.register_forward_pre_hook(before),
                module.register_forward_hook(self._after, with_kwargs=True),
            ]

    def detach(self) -> None:
        for handle in self.handles:
            handle.remove()

    def _row_maker(self, name: str, module: Module) -> Any:
        """Return a function that makes the module's row, or ``None`` if it is not shown."""
        level = name.count(".") + 1 if name else 0
        collapsed = self.depth is not None and level >= self.depth
        is_leaf = not any(True for _ in module.children())
        own = any(True for _ in module.parameters(recurse=False))

        def make() -> Row | None:
            if self.collapsed or not (collapsed or is_leaf or own):
                return None
            self.collapsed = collapsed
            return Row(name, type(module).__name__, params=self._new_params(module, collapsed))

        return make

    def _new_params(self, module: Module, collapsed: bool) -> int:
        """Count the module's parameters that no row above has counted."""
        total = 0
        for parameter in module.parameters(recurse=collapsed):
            if id(parameter) not in self.counted:
                self.counted.add(id(parameter))
                total += prod(parameter.array.shape)
        return total

    def _before(self, make_row: Any) -> Any:
        def hook(module: Module, args: Any) -> None:
            was_collapsed = self.collapsed
            row = make_row()
            if row is not None:
                self.result.rows.append(row)
            self.open.append((row, was_collapsed))

        return hook

    def _after(self, module: Module, args: Any, kwargs: dict[str, Any], output: Any) -> None:
        row, self.collapsed = self.open.pop()
        tensors = _tensors(output)
        if not any(True for _ in module.children()):
            self.result.forward_bytes += sum(_bytes(t) for t in tensors)
        if row is not None:
            shapes = tuple(tuple(t.array.shape) for t in tensors)
            row.output_shape = shapes[0] if len(shapes) == 1 else shapes
        count = getattr(module, "mult_adds", None)
        if callable(count):
            mult_adds = count(next(iter((*args, *kwargs.values()))), output)
            self.result.total_mult_adds += mult_adds
            target = row or next((r for r, _ in reversed(self.open) if r is not None), None)
            if target is not None:
                target.mult_adds += mult_adds


def _tensors(output: Any) -> list[Any]:
    """Return all tensors in nested tuples, lists and dicts."""
    if isinstance(output, TensorBase):
        return [output]
    if isinstance(output, dict):
        output = list(output.values())
    if isinstance(output, list | tuple):
        return [t for item in output for t in _tensors(item)]
    return []


def _bytes(tensor: Any) -> int:
    return prod(tensor.array.shape) * tensor.dtype.itemsize


def _count_parameters(model: Module, result: Summary) -> None:
    for parameter in model.parameters():
        size = prod(parameter.array.shape)
        result.total_params += size
        result.trainable_params += size if parameter.requires_grad else 0
        result.params_bytes += _bytes(parameter)
