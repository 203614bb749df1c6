"""Attention: each query takes a mean of the values, weighted by how well their keys fit it.

    attention(Q, K, V) = softmax(Q K^T / sqrt(E)) V

Vaswani et al., "Attention is all you need", NeurIPS 2017, arXiv:1706.03762. A mask is a number
added to each product of a query and a key, -inf where the query must not look. A query that may
look nowhere gets 0, and a gradient of 0, as in PyTorch's ``scaled_dot_product_attention``.
"""

from __future__ import annotations

import math
from typing import Any

from ...backend.dtypes import BOOL, Half, float32, wide
from ...backend.generator import Generator
from ...errors import ArgumentError, DTypeError, ShapeError
from .._operands import cast, check_floating, check_same_device, check_tensor
from ..activations.softmax import softmax
from ..indexing.gather import repeat_interleave
from ..linalg.matmul import WideMatMul, matmul
from ..randomness.dropout import check_probability, dropout
from ..shapes.assembling import atleast_1d
from ..shapes.broadcasting import broadcast_shapes

INFINITY = float("inf")


def attend(
    query: Any,
    key: Any,
    value: Any,
    bias: Any = None,
    dropout_p: float = 0.0,
    scale: float | None = None,
    generator: Generator | None = None,
) -> tuple[Any, Any]:
    """Return the weighted means (..., L, Ev) and the weights (..., L, S), after dropout.

    Parameters
    ----------
    query, key, value : Tensor (..., L, E), (..., S, E) and (..., S, Ev)
        Of one dtype. On a GPU, half precision is multiplied as such and added up in float32; so
        are the products of queries and keys and their softmax, and the weights are rounded then.
    bias : Tensor, optional
        Added to the products of queries and keys (..., L, S), to which it broadcasts.
    dropout_p : float, default 0.0
        Probability of a zero among the weights.
    scale : float, optional
        What the products are multiplied by; default 1 / sqrt(E).
    generator : Generator, optional
        Source of random numbers.
    """
    if scale is None:
        scale = 1 / math.sqrt(max(query.array.shape[-1], 1))
    scores, blind = _scores(query, key, scale), None
    if bias is not None:
        blind = _blind(bias)
        scores = scores + (bias if blind is None else bias.masked_fill(blind, 0.0))
    weights = softmax(scores, -1)
    if blind is not None:
        weights = weights.masked_fill(blind, 0.0)
    weights = cast(dropout(weights, dropout_p, generator=generator), value.dtype)
    return matmul(weights, value), weights


def multiplies_halves(x: Any) -> bool:
    """Return whether attention takes a tensor of half precision as it is."""
    return isinstance(x.dtype, Half) and x.device.backend.records


def _scores(query: Any, key: Any, scale: float) -> Any:
    """Return the products of queries and keys (..., L, S)."""
    if multiplies_halves(query):
        return WideMatMul.apply(query, key.transpose(-2, -1)) * scale
    return matmul(query * scale, key.transpose(-2, -1))


def _blind(bias: Any) -> Any:
    """Return which queries may look nowhere, as a mask (..., L, 1), or ``None`` if none.

    On a GPU nobody waits to hear whether there are any.
    """
    blind = bias.xp.all(bias.array == -INFINITY, axis=-1, keepdims=True)
    if bias.device.backend.records:
        return bias.wrap(blind)
    return bias.wrap(blind) if bias.xp.any(blind) else None


def as_bias(op: str, name: str, mask: Any, dtype: Any, allowed: bool) -> Any:
    """Return a mask as numbers to add: 0 where to look, -inf where not.

    Parameters
    ----------
    op, name : str
        For messages.
    mask : Tensor
        Bool, or floating point, which is such numbers already.
    dtype : DType
        Of the result.
    allowed : bool
        Which value of a bool mask means to look.

    Raises
    ------
    DTypeError
        If it is of integers.
    """
    check_tensor(op, name, mask)
    if mask.dtype.kind == BOOL:
        xp, looks = mask.xp, mask.array if allowed else ~mask.array
        zero = xp.zeros(looks.shape, dtype=xp.float32, device=looks.device)
        return cast(mask.wrap(xp.where(looks, zero, zero - INFINITY)), dtype)
    if not mask.dtype.is_floating_point:
        raise DTypeError(f"{op}: {name} must be bool or floating point, got {mask.dtype}")
    return cast(mask, dtype)


def causal_mask(like: Any, queries: int, keys: int) -> Any:
    """Return a bool mask (queries, keys): each query looks at keys up to its own position."""
    xp, device = like.xp, like.array.device
    rows, columns = (xp.arange(n, device=device) for n in (queries, keys))
    return like.wrap(xp.reshape(rows, (-1, 1)) >= xp.reshape(columns, (1, -1)))


def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
    generator: Generator | None = None,
) -> Any:
    """Return ``softmax(query @ key.T * scale + mask) @ value``.

    Parameters
    ----------
    query, key, value : Tensor (..., L, E), (..., S, E) and (..., S, Ev)
        Floating point, of one dtype; the dimensions in front broadcast.
    attn_mask : Tensor, optional
        Broadcasts to (..., L, S). Bool: true where the query may look at the key. Floating point,
        float32 or the dtype of ``query``: added to the products, and receives a gradient.
    dropout_p : float, default 0.0
        Probability of a zero among the weights; it has nothing to do with any training mode.
    is_causal : bool, default False
        Let query i look at keys 0 to i only; not beside ``attn_mask``.
    scale : float, optional
        Default 1 / sqrt(E).
    enable_gqa : bool, default False
        Let groups of heads (dimension -3) of ``query`` share a head of ``key`` and ``value``
        (Ainslie et al., 2023, arXiv:2305.13245); their number divides that of ``query``.
    generator : Generator, optional
        Source of random numbers; default is that of :func:`manual_seed`.

    Returns
    -------
    Tensor (..., L, Ev)
        0 where a query may look nowhere.

    Raises
    ------
    ShapeError
        If the shapes do not fit together.
    DTypeError
        If dtypes differ, or the mask has a dtype that is not listed above.
    ArgumentError
        If both ``attn_mask`` and ``is_causal`` are given, or ``dropout_p`` is no probability.

    References
    ----------
    Vaswani et al., "Attention is all you need", NeurIPS 2017, arXiv:1706.03762.

    Examples
    --------
    >>> import tinyconv as tc
    >>> x = tc.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> tc.nn.functional.scaled_dot_product_attention(x, x, x, is_causal=True)
    tensor([[1.0000, 0.0000],
            [0.3302, 0.6698]])
    """
    op, dtype = "scaled_dot_product_attention", _common_dtype(query, key, value)
    check_probability(op, dropout_p)
    if is_causal and attn_mask is not None:
        raise ArgumentError(f"{op}: give attn_mask or is_causal=True, not both")
    if enable_gqa:
        key, value = _shared_heads(query, key), _shared_heads(query, value)
    shape = _score_shape(query, key, value)
    precise = wide(dtype)
    bias = None
    if is_causal:
        mask = causal_mask(query, *shape[-2:])
        bias = as_bias(op, "is_causal", mask, precise, True)
    elif attn_mask is not None:
        check_same_device(op, query, attn_mask)
        if check_tensor(op, "attn_mask", attn_mask).dtype.is_floating_point:
            _check_mask_dtype(attn_mask.dtype, dtype)
        bias = atleast_1d(as_bias(op, "attn_mask", attn_mask, precise, True))
        if not _fits(tuple(bias.array.shape), shape):
            raise ShapeError(
                f"{op}: attn_mask must broadcast to (..., L, S) = {shape}, got "
                f"{tuple(bias.array.shape)}"
            )
    if not multiplies_halves(query):
        query, key, value = (cast(x, precise) for x in (query, key, value))
    output, _ = attend(query, key, value, bias, dropout_p, scale, generator)
    return cast(output, dtype)


def _common_dtype(query: Any, key: Any, value: Any) -> Any:
    op = "scaled_dot_product_attention"
    for name, x in (("query", query), ("key", key), ("value", value)):
        check_floating(op, name, x)
    check_same_device(op, query, key, value)
    if not query.dtype == key.dtype == value.dtype:
        raise DTypeError(
            f"{op}: query, key and value must have one dtype, got {query.dtype}, {key.dtype} and "
            f"{value.dtype}"
        )
    return query.dtype


def _check_mask_dtype(mask: Any, dtype: Any) -> None:
    if mask not in (float32, dtype):
        raise DTypeError(
            f"scaled_dot_product_attention: attn_mask must be bool, float32 or {dtype} as query "
            f"is, got {mask}"
        )


def _score_shape(query: Any, key: Any, value: Any) -> tuple[int, ...]:
    """Return the shape (..., L, S) of the products, or raise if the operands do not fit."""
    q, k, v = (tuple(x.array.shape) for x in (query, key, value))
    if min(len(q), len(k), len(v)) >= 2 and q[-1] == k[-1] and k[-2] == v[-2]:
        try:
            leading = broadcast_shapes(q[:-2], k[:-2], v[:-2])
            return (*leading, q[-2], k[-2])
        except ShapeError:
            pass
    raise ShapeError(
        "scaled_dot_product_attention: query (..., L, E), key (..., S, E) and value (..., S, Ev) "
        f"do not fit together: got shapes {q}, {k} and {v}"
    )


def _shared_heads(query: Any, x: Any) -> Any:
    """Repeat each head of a key or value for the heads of the query that share it."""
    q, shape = query.array.shape, x.array.shape
    if min(len(q), len(shape)) < 3 or not shape[-3] or q[-3] % shape[-3]:
        raise ShapeError(
            "scaled_dot_product_attention: with enable_gqa the heads (dimension -3) of query must "
            f"be a multiple of those of key and value, got shapes {tuple(q)} and {tuple(shape)}"
        )
    return repeat_interleave(x, q[-3] // shape[-3], -3)


def _fits(mask: tuple[int, ...], scores: tuple[int, ...]) -> bool:
    try:
        return tuple(broadcast_shapes(mask, scores)) == scores
    except ShapeError:
        return False
