"""Pictures of the graph: its nodes and edges as text in Graphviz's language DOT."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..errors import DTypeError, MissingDependencyError
from .tensor_base import TensorBase

LEAF, LEAF_NO_NAME, NODE, OUTPUT = "lightblue", "aliceblue", "lightgray", "palegreen"


def draw(
    output: TensorBase | Sequence[TensorBase],
    params: Mapping[str, TensorBase] | Iterable[tuple[str, TensorBase]] | None = None,
    show_saved: bool = False,
) -> str:
    """Return the graph behind tensors as DOT source; arrows follow the data, leaves first.

    Parameters
    ----------
    output : Tensor or sequence of Tensor
        What was computed.
    params : mapping or iterable of pairs, optional
        Names of leaves, such as ``model.named_parameters()``.
    show_saved : bool, default False
        Write beside each op how many bytes it keeps for the backward pass.

    Returns
    -------
    str
        Text for the ``dot`` program, or any Graphviz viewer.

    Examples
    --------
    >>> import tinyconv as tc
    >>> w = tc.ones(3, requires_grad=True)
    >>> print(tc.autograd.draw((w * 2).sum(), {"w": w}))  # doctest: +SKIP
    """
    outputs = tuple(output) if isinstance(output, Sequence) else (output,)
    for tensor in outputs:
        if not isinstance(tensor, TensorBase):
            raise DTypeError(f"draw: output must be a Tensor, got {type(tensor).__name__}")
    names = {id(t): n for n, t in (params.items() if isinstance(params, Mapping) else params or ())}
    ids: dict[Any, str] = {}
    lines, arrows = [], []
    stack: list[Any] = []

    def number(target: Any) -> str:
        if target not in ids:
            ids[target] = f"n{len(ids)}"
            stack.append(target)
        return ids[target]

    for position, tensor in enumerate(outputs):
        label = _label(names.get(id(tensor), "output"), [tensor.array.shape])
        lines.append(_box(f"out{position}", label, OUTPUT))
        arrows.append(f"  {number(tensor._edge[0])} -> out{position};")
    while stack:
        target = stack.pop()
        if isinstance(target, TensorBase):
            name = names.get(id(target))
            label = _label(name or "leaf", [target.array.shape])
            lines.append(_box(ids[target], label, LEAF if name else LEAF_NO_NAME))
            continue
        shapes = [shape for shape, _, _ in target.outputs_meta]
        saved = [_saved_size(target)] if show_saved else []
        lines.append(_box(ids[target], _label(type(target).__name__, shapes, saved), NODE))
        arrows += [f"  {number(e[0])} -> {ids[target]};" for e in target.edges if e is not None]
    return "\n".join(["digraph {", *lines, *arrows, "}"]) + "\n"


def show(output: Any, params: Any = None, show_saved: bool = False) -> Any:
    """Return the graph as a ``graphviz.Source``, which a notebook shows as a picture.

    Parameters
    ----------
    output, params, show_saved
        As in :func:`draw`.

    Raises
    ------
    MissingDependencyError
        If the ``graphviz`` package is not installed.
    """
    try:
        import graphviz
    except ImportError:
        raise MissingDependencyError(
            "show: pictures of graphs need graphviz; pip install 'tinyconv[viz]', or use draw()"
        ) from None
    return graphviz.Source(draw(output, params, show_saved))


def _label(name: str, shapes: Sequence[Any], more: Sequence[str] = ()) -> str:
    shape_lines = ["x".join(map(str, shape)) or "scalar" for shape in shapes]
    text = "\n".join([name, *shape_lines, *more])
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _box(identifier: str, label: str, color: str) -> str:
    return f'  {identifier} [label="{label}", shape=box, style=filled, fillcolor={color}];'


def _saved_size(node: Any) -> str:
    if node._saved is None:
        return "saved: freed"
    arrays = [saved.array for saved in node._saved if saved is not None]
    size = sum(
        math.prod(a.shape) * node.outputs_meta[0][2].backend.dtype_of(a).itemsize
        for a in arrays
        if a is not None
    )
    return f"saved: {size} bytes"
