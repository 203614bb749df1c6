"""What the functions of ``functional`` share: tuples of tensors, checks, missing gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..errors import ArgumentError, DTypeError, GradientError, ShapeError
from .engine import grad
from .tensor_base import TensorBase

Tensors = tuple[Any, ...]


def as_tensors(op: str, what: str, value: Any) -> tuple[bool, Tensors]:
    """Return whether ``value`` is a tuple, and a tuple of tensors."""
    many = isinstance(value, tuple)
    values = value if many else (value,)
    for i, x in enumerate(values):
        if not isinstance(x, TensorBase):
            where = f"[{i}]" if many else ""
            raise DTypeError(
                f"{op}: {what} must be a Tensor or a tuple of them, but {what}{where} is "
                f"{type(x).__name__}"
            )
    return many, values


def fresh(tensors: Tensors, create_graph: bool, need_graph: bool) -> Tensors:
    """Return tensors of our own, apart from those that ``func`` may have closed over."""
    return tuple(
        x.view_as(x) if create_graph and x.requires_grad else x.detach().requires_grad_(need_graph)
        for x in tensors
    )


def call(op: str, func: Callable[..., Any], inputs: Tensors, strict: bool) -> tuple[bool, Tensors]:
    """Return whether ``func`` returned a tuple, and the outputs as one."""
    many, outputs = as_tensors(op, "output of func", func(*inputs))
    for i, y in enumerate(outputs):
        if strict and not y.requires_grad:
            raise GradientError(
                f"{op}: output {i} of func does not depend on the inputs differentiably, which "
                "strict=True forbids"
            )
    return many, outputs


def scalar_output(op: str, func: Callable[..., Any], inputs: Tensors, strict: bool) -> Tensors:
    """Return the one output, of one element, of ``func``, in a tuple."""
    many, outputs = call(op, func, inputs, strict)
    if many or outputs[0].array.size != 1:
        shapes = ", ".join(str(tuple(y.array.shape)) for y in outputs)
        raise ShapeError(
            f"{op}: func must return one tensor of one element, got "
            f"{'a tuple of ' if many else ''}shape {shapes}"
        )
    return outputs


def first_derivative(
    op: str, func: Callable[..., Any], inputs: Any, v: Any, create_graph: bool, strict: bool
) -> tuple[bool, Tensors, Any, Tensors, Tensors]:
    """Return what products with a Hessian begin with; the last is the gradient of ``func``."""
    many, inputs = as_tensors(op, "inputs", inputs)
    inputs = fresh(inputs, create_graph, True)
    v = vector(op, v, inputs, many, "input", create_graph)
    outputs = scalar_output(op, func, inputs, strict)
    first = gradients(outputs, inputs, None, True)
    if strict:
        check_depends(op, "the Jacobian of func by", first)
    return many, inputs, v, outputs, first


def vector(
    op: str, v: Any, others: Tensors, many: bool, what: str, create_graph: bool
) -> Tensors | None:
    """Return ``v`` as a tuple of tensors with the shapes of ``others``."""
    if v is None:
        if len(others) != 1 or others[0].array.size != 1:
            raise ArgumentError(f"{op}: v may only be left out for one {what} of one element")
        return None
    _, vectors = as_tensors(op, "v", v)
    if len(vectors) != len(others):
        raise ShapeError(f"{op}: v has {len(vectors)} tensors for {len(others)} {what}s")
    for i, (x, other) in enumerate(zip(vectors, others, strict=True)):
        if x.array.shape != other.array.shape:
            raise ShapeError(
                f"{op}: v{f'[{i}]' if many else ''} has shape {tuple(x.array.shape)}, but its "
                f"{what} has shape {tuple(other.array.shape)}"
            )
    return fresh(vectors, create_graph, False)


def gradients(
    outputs: Sequence[Any],
    inputs: Tensors,
    entering: Sequence[Any] | None,
    create_graph: bool,
    retain_graph: bool | None = None,
) -> Tensors:
    """Return gradients as :func:`grad` does; outputs that are ``None`` or constant have none."""
    pairs = zip(outputs, entering or (None,) * len(outputs), strict=True)
    live = [(y, g) for y, g in pairs if y is not None and y.requires_grad]
    if not live:
        return (None,) * len(inputs)
    roots, seeds = zip(*live, strict=True)
    return grad(roots, inputs, seeds, retain_graph, create_graph, allow_unused=True)


def independent(op: str, what: str, of: str) -> GradientError:
    """Return the error of strict mode."""
    return GradientError(f"{op}: {what} does not depend on {of}, which strict=True forbids")


def check_depends(op: str, what: str, derivatives: Tensors) -> None:
    """Raise for a first derivative that is not there, or that is constant."""
    for i, derivative in enumerate(derivatives):
        if derivative is None:
            raise independent(op, "the output of func", f"input {i}")
        if not derivative.requires_grad:
            raise independent(op, f"{what} input {i}", "the inputs")


def filled(
    op: str, found: Tensors, like: Tensors, strict: bool, create_graph: bool, what: str, of: str
) -> Tensors:
    """Return zeros for what is missing, or raise if ``strict``."""
    for i, x in enumerate(found):
        if strict and x is None:
            raise independent(op, what, f"{of} {i}")
        if strict and create_graph and not x.requires_grad:
            raise independent(op, "the result", f"the inputs at {of} {i}")
    return tuple(zeros(other) if x is None else x for x, other in zip(found, like, strict=True))


def results(
    outputs: Tensors, many_outputs: bool, product: Tensors, many: bool, create_graph: bool
) -> tuple[Any, Any]:
    """Return outputs and product in the form that the caller gave them."""
    if not create_graph:
        outputs, product = detached(outputs), detached(product)
    return outputs if many_outputs else outputs[0], product if many else product[0]


def detached(tensors: Tensors) -> Tensors:
    """Return the tensors without history."""
    return tuple(x.detach() for x in tensors)


def zeros(x: Any) -> Any:
    """Return zeros like ``x``, without history."""
    return x.wrap(x.xp.zeros(x.array.shape, dtype=x.array.dtype))
