"""Sums of products over named dimensions."""

from __future__ import annotations

import math
import string
from collections.abc import Sequence
from typing import Any

from ...errors import ArgumentError, ShapeError
from .._operands import check_tensor
from ..shapes.diagonals import diagonal
from .matmul import matmul

#: Names for the dimensions behind an ellipsis; anything that cannot be written in an equation.
_ELLIPSIS_NAMES = "0123456789"


def einsum(equation: str, *operands: Any) -> Any:
    """Return the sum of products that ``equation`` describes.

    Parameters
    ----------
    equation : str
        Such as ``"bij,bjk->bik"``: a letter names a dimension; letters missing on the right are
        summed over; a letter twice in one operand takes the diagonal; ``...`` stands for
        dimensions that broadcast. Without ``->`` the result has, after the ``...``, the letters
        that occur once, in alphabetical order.
    *operands : Tensor
        One for each term; or one sequence of them.

    Returns
    -------
    Tensor
        Contracted from left to right, each step one batched matrix product.

    Raises
    ------
    ArgumentError
        If the equation makes no sense.
    ShapeError
        If an operand does not fit it.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.einsum("ij,ij->i", tc.ones(2, 3), tc.ones(2, 3))
    tensor([3., 3.])
    """
    if len(operands) == 1 and isinstance(operands[0], Sequence):
        operands = tuple(operands[0])
    terms, output = _parse(equation, operands)
    _check_sizes(equation, terms, operands)
    parts = [_without_repeats(t, x) for t, x in zip(terms, operands, strict=True)]
    names, result = parts[0]
    for position, (other_names, other) in enumerate(parts[1:], start=1):
        needed = set(output).union(*(later for later, _ in parts[position + 1 :]))
        names, result = _contract(names, result, other_names, other, needed)
    return _arrange(names, result, output)


def _parse(equation: str, operands: Sequence[Any]) -> tuple[list[str], str]:
    """Return the dimension names of each operand and of the result, ellipses spelled out."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(operands):
        raise ArgumentError(
            f"einsum: '{equation}' names {len(terms)} operands, got {len(operands)}"
        )
    for term in (*terms, right):
        letters = term.replace("...", "", 1)
        if not set(letters) <= set(string.ascii_letters):
            raise ArgumentError(
                f"einsum: '{equation}' may only contain letters, commas, '...' and one '->'"
            )
    pairs = zip(terms, operands, strict=True)
    hidden = [_hidden(equation, i, term, operand) for i, (term, operand) in enumerate(pairs)]
    spelled = [_spell(term, count) for term, count in zip(terms, hidden, strict=True)]
    if not arrow:
        found = sorted(set(left) - set(",."))
        right = "..." + "".join([name for name in found if left.count(name) == 1])
    output = _spell(right, max(hidden))
    if len(set(output)) != len(output) or not set(output) <= set("".join(spelled)):
        raise ArgumentError(
            f"einsum: the result '{right}' of '{equation}' must name dimensions of the operands, "
            "each once"
        )
    return spelled, output


def _hidden(equation: str, position: int, term: str, operand: Any) -> int:
    """Return how many dimensions of an operand its ellipsis stands for."""
    shape = check_tensor("einsum", f"operands[{position}]", operand).array.shape
    count = len(shape) - len(term.replace("...", ""))
    if count < 0 or (count and "..." not in term) or count > len(_ELLIPSIS_NAMES):
        raise ShapeError(
            f"einsum: term '{term}' of '{equation}' does not fit operands[{position}] of "
            f"shape {tuple(shape)}"
        )
    return count


def _spell(term: str, hidden: int) -> str:
    """Replace an ellipsis by names counted from the right, so that different ones broadcast."""
    return term.replace("...", _ELLIPSIS_NAMES[:hidden][::-1])


def _check_sizes(equation: str, terms: Sequence[str], operands: Sequence[Any]) -> None:
    sizes: dict[str, int] = {}
    for term, operand in zip(terms, operands, strict=True):
        for name, size in zip(term, operand.array.shape, strict=True):
            if sizes.setdefault(name, size) != size:
                if 1 not in (size, sizes[name]):
                    shapes = " and ".join(str(tuple(o.array.shape)) for o in operands)
                    raise ShapeError(
                        f"einsum: dimension '{name}' of '{equation}' has sizes {sizes[name]} and "
                        f"{size}; the operands have shapes {shapes}"
                    )
                sizes[name] = max(size, sizes[name])


def _without_repeats(names: str, x: Any) -> tuple[str, Any]:
    """Take the diagonal where a name occurs twice in one operand."""
    for name in sorted(set(names)):
        while names.count(name) > 1:
            first = names.index(name)
            second = names.index(name, first + 1)
            if x.array.shape[first] != x.array.shape[second]:
                raise ShapeError(
                    f"einsum: '{name}' occurs twice in '{names}', but shape "
                    f"{tuple(x.array.shape)} has different sizes there"
                )
            x = diagonal(x, 0, first, second)
            names = names[:first] + names[first + 1 : second] + names[second + 1 :] + name
    return names, x


def _contract(a_names: str, a: Any, b_names: str, b: Any, needed: set[str]) -> tuple[str, Any]:
    """Return the product of two operands, summed over the names that nobody needs any more."""
    a_names, a = _sum_out(a_names, a, needed.union(b_names))
    b_names, b = _sum_out(b_names, b, needed.union(a_names))
    shared = [n for n in a_names if n in b_names]
    size_a = dict(zip(a_names, a.array.shape, strict=True))
    size_b = dict(zip(b_names, b.array.shape, strict=True))
    batch = "".join([n for n in shared if n in needed])
    summed = "".join([n for n in shared if n not in needed])
    only_a = "".join([n for n in a_names if n not in b_names])
    only_b = "".join([n for n in b_names if n not in a_names])
    a = _expand(a, a_names, summed, size_b)
    b = _expand(b, b_names, summed, size_a)
    a = a.permute([a_names.index(n) for n in batch + only_a + summed])
    b = b.permute([b_names.index(n) for n in batch + summed + only_b])
    k = math.prod([max(size_a[n], size_b[n]) for n in summed])
    rows, columns = [size_a[n] for n in only_a], [size_b[n] for n in only_b]
    product = matmul(
        a.reshape(*[size_a[n] for n in batch], math.prod(rows), k),
        b.reshape(*[size_b[n] for n in batch], k, math.prod(columns)),
    )
    return batch + only_a + only_b, product.reshape(*product.array.shape[:-2], *rows, *columns)


def _expand(x: Any, names: str, which: str, sizes: dict[str, int]) -> Any:
    """Expand dimensions of size 1 among ``which`` to what the other operand has there."""
    shape = tuple([
        sizes[name] if name in which and size == 1 else size
        for name, size in zip(names, x.array.shape, strict=True)
    ])  # fmt: skip
    return x if shape == x.array.shape else x.expand(shape)


def _sum_out(names: str, x: Any, needed: set[str]) -> tuple[str, Any]:
    """Sum over the dimensions that are not needed."""
    dims = [d for d, name in enumerate(names) if name not in needed]
    if dims:
        x = x.sum(dims)
        names = "".join([name for name in names if name in needed])
    return names, x


def _arrange(names: str, x: Any, output: str) -> Any:
    """Bring the dimensions into the order of the result."""
    names, x = _sum_out(names, x, set(output))
    order = [names.index(name) for name in output]
    return x if order == list(range(len(order))) else x.permute(order)
