"""Transformer encoders: attention and a network of two layers, again and again."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from ..autograd import is_grad_enabled
from ..ops.sequences.attention import causal_mask
from . import functional as F
from ._arguments import choice, positive
from .activation import GELU, ReLU
from .attention import MultiheadAttention
from .containers import ModuleList
from .dropout import Dropout
from .linear import Linear
from .module import Module
from .normalization import LayerNorm

_ACTIVATIONS: dict[str, Callable[[Any], Any]] = {"relu": F.relu, "gelu": F.gelu}


class TransformerEncoderLayer(Module):
    """Self-attention, then a network of two layers at each position, both with a skip.

    Vaswani et al., "Attention is all you need" (2017).

    Parameters
    ----------
    d_model : int
        Size E of the input (L, N, E) and of the output.
    nhead : int
        Heads of the attention; divides ``d_model``.
    dim_feedforward : int, default 2048
        Size between the two linear layers.
    dropout : float, default 0.1
        Probability of a zero among the weights of the attention, and behind each part.
    activation : {"relu", "gelu"} or callable, default relu
        What is between the two linear layers; a module with parameters becomes a child.
    layer_norm_eps : float, default 1e-5
        ``eps`` of the two :class:`LayerNorm`.
    batch_first : bool, default False
        Input and output are (N, L, E).
    norm_first : bool, default False
        Normalise in front of each part, not behind each sum (Xiong et al., 2020,
        arXiv:2002.04745).
    bias : bool, default True
        Whether linear layers and norms have a bias.
    device, dtype : optional
        Of the parameters.

    Raises
    ------
    ArgumentError
        If ``nhead`` does not divide ``d_model``, ``dropout`` is no probability, or
        ``activation`` is a name that is not listed above.

    Examples
    --------
    >>> import tinyconv as tc
    >>> layer = tc.nn.TransformerEncoderLayer(8, 2, dim_feedforward=16, batch_first=True)
    >>> layer(tc.zeros(3, 5, 8)).shape
    tinyconv.Size([3, 5, 8])
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str | Callable[[Any], Any] = F.relu,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if isinstance(activation, str):
            name = "TransformerEncoderLayer"
            activation = _ACTIVATIONS[choice(name, "activation", activation, ("relu", "gelu"))]
        new = {"device": device, "dtype": dtype}
        self.self_attn = MultiheadAttention(
            d_model, nhead, dropout, bias, batch_first=batch_first, **new
        )
        self.linear1 = Linear(d_model, dim_feedforward, bias, **new)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, **new)
        self.norm_first = norm_first
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias, **new)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias, **new)
        self.dropout1 = Dropout(dropout)
        self.dropout2 = Dropout(dropout)
        self.activation = activation

    def forward(
        self,
        src: Any,
        src_mask: Any = None,
        src_key_padding_mask: Any = None,
        is_causal: bool = False,
    ) -> Any:
        """Return the encoded sequence, of the shape of ``src``.

        Parameters
        ----------
        src : Tensor (L, N, d_model), with ``batch_first`` (N, L, d_model), or (L, d_model)
            The sequences.
        src_mask, src_key_padding_mask, is_causal
            ``attn_mask``, ``key_padding_mask`` and ``is_causal`` of
            :meth:`MultiheadAttention.forward`.
        """
        masks = (src_key_padding_mask, src_mask, is_causal)
        if self.norm_first:
            x = src + self._attended(self.norm1(src), *masks)
            return x + self._fed_forward(self.norm2(x))
        x = self.norm1(src + self._attended(src, *masks))
        return self.norm2(x + self._fed_forward(x))

    def _attended(self, x: Any, padding: Any, mask: Any, is_causal: bool) -> Any:
        attended, _ = self.self_attn(
            x, x, x, padding, need_weights=False, attn_mask=mask, is_causal=is_causal
        )
        return self.dropout1(attended)

    def _fed_forward(self, x: Any) -> Any:
        x = self.dropout(self.activation(self.linear1(x)))
        return self.dropout2(self.linear2(x))


class TransformerEncoder(Module):
    """A stack of encoder layers.

    Parameters
    ----------
    encoder_layer : Module
        A layer such as :class:`TransformerEncoderLayer`; the stack holds copies of it, which
        start with its parameters.
    num_layers : int
        How many.
    norm : Module, optional
        Applied to the result.
    enable_nested_tensor : bool, default True
        As in PyTorch, make padding 0 behind the last layer, in evaluation without gradients, where
        the layers are of the kind that PyTorch computes without it: batch first, norm last, with
        bias, relu or gelu, and an even number of heads; and where there is no other mask.
    mask_check : bool, default True
        Do so only where all padding is at the end; ``False`` takes that for granted.

    Raises
    ------
    ArgumentError
        If ``num_layers`` is below 1.

    Examples
    --------
    >>> import tinyconv as tc
    >>> layer = tc.nn.TransformerEncoderLayer(8, 2, dim_feedforward=16)
    >>> tc.nn.TransformerEncoder(layer, num_layers=3)(tc.zeros(5, 2, 8)).shape
    tinyconv.Size([5, 2, 8])
    """

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        super().__init__()
        self.num_layers = positive("TransformerEncoder", "num_layers", num_layers)
        self.layers = ModuleList([copy.deepcopy(encoder_layer) for _ in range(num_layers)])
        self.norm = norm
        self.enable_nested_tensor, self.mask_check = enable_nested_tensor, mask_check

    def forward(
        self,
        src: Any,
        mask: Any = None,
        src_key_padding_mask: Any = None,
        is_causal: bool | None = None,
    ) -> Any:
        """Return the encoded sequence, of the shape of ``src``.

        Arguments as for :meth:`TransformerEncoderLayer.forward`; with ``is_causal=None`` it is
        found out whether ``mask`` is the causal one.
        """
        if is_causal is None:
            is_causal = mask is not None and _is_causal(mask)
        x = src
        for layer in self.layers:
            x = layer(
                x,
                src_mask=mask,
                is_causal=is_causal,
                src_key_padding_mask=src_key_padding_mask,
            )
        if mask is None and self._without_padding(src, src_key_padding_mask):
            x = x.masked_fill((src_key_padding_mask != 0).unsqueeze(-1), 0.0)
        return x if self.norm is None else self.norm(x)

    def _without_padding(self, src: Any, padding: Any) -> bool:
        """Return whether PyTorch would leave the padding out of the computation."""
        layer = self.layers[0]
        if not self.enable_nested_tensor or padding is None or src.ndim != 3 or layer.training:
            return False
        if not _is_plain(layer):
            return False
        tensors = (src, *layer.parameters())
        if is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
            return False
        lengths = (padding == 0).sum(1, keepdim=True)
        first = (padding == 0).long().cumsum(1) if self.mask_check else lengths
        return not self.mask_check or bool(((first == lengths) | (padding == 0)).all())


def _is_plain(layer: Any) -> bool:
    """Return whether a layer is one that PyTorch has a shorter way for."""
    return (
        isinstance(layer, TransformerEncoderLayer)
        and layer.self_attn.batch_first
        and not layer.norm_first
        and layer.self_attn.in_proj_bias is not None
        and layer.self_attn.num_heads % 2 == 0
        and layer.norm1.eps == layer.norm2.eps
        and (layer.activation in (F.relu, F.gelu) or isinstance(layer.activation, ReLU | GELU))
    )


def _is_causal(mask: Any) -> bool:
    """Return whether a mask (bool, or numbers to add) lets each query look up to itself."""
    shape = tuple(mask.array.shape)
    if len(shape) != 2 or shape[0] != shape[1]:
        return False
    looks = causal_mask(mask, *shape)
    if not mask.dtype.is_floating_point:
        return bool((mask != looks).all())
    return bool(((mask == 0) & looks | (mask == -float("inf")) & ~looks).all())
