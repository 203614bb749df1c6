"""Attention with several heads."""

from __future__ import annotations

from typing import Any

from ..autograd import TensorBase
from ..errors import ArgumentError, DTypeError, ShapeError
from ..ops import cat, empty
from ..ops.sequences.attention import as_bias, attend, causal_mask
from . import functional as F
from . import init
from ._arguments import positive
from .linear import Linear
from .module import Module
from .parameter import Parameter


class NonDynamicallyQuantizableLinear(Linear):
    """:class:`Linear` under the name that the output layer of attention has in PyTorch."""


class MultiheadAttention(Module):
    """Attention of several heads, each in a space of its own, joined by a linear layer.

    Vaswani et al., "Attention is all you need" (2017).

    Parameters
    ----------
    embed_dim : int
        Size E of queries and of the output.
    num_heads : int
        Heads; divides ``embed_dim``.
    dropout : float, default 0.0
        Probability of a zero among the weights, in training.
    bias : bool, default True
        Whether the linear maps at both ends have a bias, at first 0.
    add_bias_kv : bool, default False
        Add a key ``bias_k`` and a value ``bias_v`` that are learnt to those of every sequence.
    add_zero_attn : bool, default False
        Add a key and a value of zeros.
    kdim, vdim : int, optional
        Sizes of keys and values; default ``embed_dim``.
    batch_first : bool, default False
        Input and output are (N, L, E), not (L, N, E).
    device, dtype : optional
        Of the parameters: ``in_proj_weight`` (3 E, E), or ``q_proj_weight``, ``k_proj_weight``
        and ``v_proj_weight`` where the sizes differ; ``in_proj_bias`` (3 E,); ``out_proj``.

    Raises
    ------
    ArgumentError
        If a size is below 1, ``num_heads`` does not divide ``embed_dim``, or ``dropout`` is no
        probability.

    Examples
    --------
    >>> import tinyconv as tc
    >>> x = tc.zeros(3, 5, 8)
    >>> output, weights = tc.nn.MultiheadAttention(8, 2, batch_first=True)(x, x, x)
    >>> output.shape, weights.shape
    (tinyconv.Size([3, 5, 8]), tinyconv.Size([3, 5, 5]))
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        name, new = type(self).__name__, {"device": device, "dtype": dtype}
        self.embed_dim = positive(name, "embed_dim", embed_dim)
        self.num_heads = positive(name, "num_heads", num_heads)
        self.kdim = embed_dim if kdim is None else positive(name, "kdim", kdim)
        self.vdim = embed_dim if vdim is None else positive(name, "vdim", vdim)
        if embed_dim % num_heads:
            raise ArgumentError(
                f"{name}: embed_dim={embed_dim} must be divisible by num_heads={num_heads}"
            )
        if not 0 <= dropout <= 1:
            raise ArgumentError(f"{name}: dropout must be from 0 to 1, got {dropout}")
        self.head_dim = embed_dim // num_heads
        self.dropout, self.batch_first = dropout, batch_first
        self.add_zero_attn = add_zero_attn
        packed = self.kdim == self.vdim == embed_dim
        shapes = {
            "in_proj_weight": (3 * embed_dim, embed_dim) if packed else None,
            "q_proj_weight": None if packed else (embed_dim, embed_dim),
            "k_proj_weight": None if packed else (embed_dim, self.kdim),
            "v_proj_weight": None if packed else (embed_dim, self.vdim),
            "in_proj_bias": (3 * embed_dim,) if bias else None,
            "bias_k": (1, 1, embed_dim) if add_bias_kv else None,
            "bias_v": (1, 1, embed_dim) if add_bias_kv else None,
        }
        for key, shape in shapes.items():
            self.register_parameter(key, None if shape is None else Parameter(empty(shape, **new)))
        self.out_proj = NonDynamicallyQuantizableLinear(embed_dim, embed_dim, bias, **new)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters of the linear maps in front anew, and set the biases to 0."""
        for key in ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight"):
            if getattr(self, key) is not None:
                init.xavier_uniform_(getattr(self, key))
        if self.in_proj_bias is not None:
            init.zeros_(self.in_proj_bias)
            init.zeros_(self.out_proj.bias)
        if self.bias_k is not None:
            init.xavier_normal_(self.bias_k)
            init.xavier_normal_(self.bias_v)

    def forward(
        self,
        query: Any,
        key: Any,
        value: Any,
        key_padding_mask: Any = None,
        need_weights: bool = True,
        attn_mask: Any = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Any, Any]:
        """Return the output, and the weights or ``None``.

        Parameters
        ----------
        query, key, value : Tensor (L, N, embed_dim), (S, N, kdim) and (S, N, vdim)
            Or without N; with ``batch_first``, N in front.
        key_padding_mask : Tensor (N, S) or (S,), optional
            Bool: true for keys that nobody may look at; or numbers added to the products.
        need_weights : bool, default True
            Return the weights, after dropout.
        attn_mask : Tensor (L, S) or (N * num_heads, L, S), optional
            Bool: true where a query must not look; or numbers added to the products.
        average_attn_weights : bool, default True
            Return the mean over heads (N, L, S), not the weights of each (N, num_heads, L, S).
        is_causal : bool, default False
            Says that ``attn_mask``, which must be there, is the causal mask; it is then not read
            where only the output is wanted and there is nothing else to mask.

        Raises
        ------
        ShapeError
            If the shapes do not fit together.
        DTypeError
            If the dtypes differ, or a mask is of integers.
        ArgumentError
            If ``is_causal`` is given without ``attn_mask``.
        """
        self._check(query, key, value, key_padding_mask)
        if is_causal and attn_mask is None:
            raise ArgumentError("MultiheadAttention: is_causal=True needs attn_mask beside it")
        batched = query.ndim == 3
        time = 1 if batched and self.batch_first else 0
        q, k, v = self._projected(query, key, value)
        if not batched:
            q, k, v = q.unsqueeze(1), k.unsqueeze(1), v.unsqueeze(1)
        k, v = self._longer(k, self.bias_k, time), self._longer(v, self.bias_v, time)
        queries, keys = q.array.shape[time], key.array.shape[time]
        added = k.array.shape[time] - keys
        if is_causal and key_padding_mask is None and not need_weights and not added:
            bias = as_bias("", "", causal_mask(q, queries, keys), q.dtype, True)
        else:
            bias = self._bias(attn_mask, key_padding_mask, q.array.shape[1 - time], queries, keys)
        if added and bias is not None:
            bias = F.pad(bias, (0, added))
        p = self.dropout if self.training else 0.0
        q, k, v = (self._heads(x, time) for x in (q, k, v))
        output, weights = attend(q, k, v, bias, p)
        # From (N, heads, L, E / heads) to the layout of the query.
        output = output.permute(*((0, 2, 1, 3) if time else (2, 0, 1, 3)))
        output = self.out_proj(output.reshape(*output.array.shape[:2], self.embed_dim))
        weights = weights.mean(1) if average_attn_weights and need_weights else weights
        if not batched:
            output, weights = output.squeeze(1), weights.squeeze(0)
        return output, weights if need_weights else None

    def _projected(self, query: Any, key: Any, value: Any) -> tuple[Any, ...]:
        """Map queries, keys and values to size ``embed_dim``; at once where they are the same."""
        if self.in_proj_weight is not None:
            if query is key and key is value:
                return F.linear(query, self.in_proj_weight, self.in_proj_bias).chunk(3, -1)
            weights = self.in_proj_weight.chunk(3)
        else:
            weights = self.q_proj_weight, self.k_proj_weight, self.v_proj_weight
        biases = (None,) * 3 if self.in_proj_bias is None else self.in_proj_bias.chunk(3)
        inputs = query, key, value
        return tuple([F.linear(*each) for each in zip(inputs, weights, biases, strict=True)])

    def _longer(self, x: Any, learnt: Any, time: int) -> Any:
        """Return keys or values (two dimensions for time and batch) with what is added to each."""
        shape = list(x.array.shape)
        shape[time] = 1
        more = [] if learnt is None else [learnt.expand(*shape)]
        more += [x.new_zeros(shape)] if self.add_zero_attn else []
        return cat([x, *more], time) if more else x

    def _heads(self, x: Any, time: int) -> Any:
        """Return (N, heads, L, size of a head)."""
        shape = x.array.shape
        x = x.reshape(shape[0], shape[1], self.num_heads, self.head_dim)
        return x.permute(*((0, 2, 1, 3) if time else (1, 2, 0, 3)))

    def _bias(self, attn_mask: Any, padding: Any, n: int, queries: int, keys: int) -> Any:
        """Return both masks as numbers to add to (N, heads, L, S), or ``None``."""
        op, dtype, heads = "MultiheadAttention", self.out_proj.weight.dtype, self.num_heads
        biases = []
        if attn_mask is not None:
            bias = as_bias(op, "attn_mask", attn_mask, dtype, False)
            found = tuple(bias.array.shape)
            if found == (n * heads, queries, keys):
                bias = bias.reshape(n, heads, queries, keys)
            elif found != (queries, keys):
                raise ShapeError(
                    f"{op}: attn_mask must have shape {(queries, keys)} or "
                    f"{(n * heads, queries, keys)}, got {found}"
                )
            biases.append(bias)
        if padding is not None:
            bias = as_bias(op, "key_padding_mask", padding, dtype, False)
            biases.append(bias.reshape(n, 1, 1, keys))
        return sum(biases[1:], biases[0]) if biases else None

    def _check(self, query: Any, key: Any, value: Any, padding: Any) -> None:
        """Raise unless three tensors of the parameters' dtype fit together."""
        dtype = self.out_proj.weight.dtype
        named = {"query": query, "key": key, "value": value}
        for name, x in named.items():
            if not isinstance(x, TensorBase) or x.dtype != dtype:
                found = x.dtype if isinstance(x, TensorBase) else type(x).__name__
                raise DTypeError(
                    f"MultiheadAttention: {name} must be a Tensor of {dtype}, got {found}"
                )
        q, k, v = (tuple(x.array.shape) for x in named.values())
        fits = len(q) == len(k) == len(v) and len(q) in (2, 3)
        fits = fits and (q[-1], k[-1], v[-1]) == (self.embed_dim, self.kdim, self.vdim)
        fits = fits and k[:-1] == v[:-1]
        if fits and len(q) == 3:
            batch = 0 if self.batch_first else 1
            fits = q[batch] == k[batch]
        if not fits:
            layout = "(N, L, {})" if self.batch_first else "(L, N, {})"
            wanted = ", ".join(layout.format(n) for n in (self.embed_dim, self.kdim, self.vdim))
            raise ShapeError(
                f"MultiheadAttention: query, key and value must be {wanted}, or without N, the "
                f"last two of one length; got shapes {q}, {k} and {v}"
            )
        # One row of sequence and batch a key, without its features.
        wanted_padding = k[:-1] if self.batch_first or len(k) == 2 else k[1::-1]
        if padding is not None and tuple(padding.shape) != wanted_padding:
            raise ShapeError(
                f"MultiheadAttention: key_padding_mask must have shape {wanted_padding}, got "
                f"{tuple(padding.shape)}"
            )
