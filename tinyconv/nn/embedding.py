"""A table of vectors that are looked up by number."""

from __future__ import annotations

from typing import Any

from ..errors import ShapeError
from ..ops import empty
from ..ops.indexing.embedding import refuse_sparse, row_of
from . import functional as F
from . import init
from ._arguments import sizes
from .module import Module
from .parameter import Parameter


class Embedding(Module):
    """Return a learnt vector for each index.

    Parameters
    ----------
    num_embeddings : int
        Number V of vectors.
    embedding_dim : int
        Size D of each.
    padding_idx : int, optional
        A vector that is 0 at first and gets no gradient; negative counts from the end.
    max_norm : float, optional
        Vectors that are looked up, and longer, are first scaled to this norm, in ``weight``.
    norm_type : float, default 2.0
        The exponent of that norm.
    scale_grad_by_freq : bool, default False
        Divide the gradient of a vector by how often it is looked up in a call.
    sparse : bool, default False
        Gradients are always dense; ``True`` raises.
    device, dtype : optional
        Of the parameter ``weight`` (V, D), at first normal with mean 0 and variance 1.

    Raises
    ------
    IndexRangeError
        If ``padding_idx`` is out of range.
    ArgumentError
        If a size is negative, or ``sparse`` is true.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.nn.Embedding(10, 3)(tc.tensor([[1, 2], [4, 9]])).shape
    tinyconv.Size([2, 2, 3])
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Any = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        refuse_sparse("Embedding", sparse)
        (self.num_embeddings,) = sizes("Embedding", "num_embeddings", num_embeddings, 1)
        (self.embedding_dim,) = sizes("Embedding", "embedding_dim", embedding_dim, 1)
        self.padding_idx = row_of("Embedding", padding_idx, num_embeddings)
        self.max_norm, self.norm_type = max_norm, norm_type
        self.scale_grad_by_freq, self.sparse = scale_grad_by_freq, sparse
        shape = (num_embeddings, embedding_dim)
        if _weight is None:
            weight = empty(shape, device=device, dtype=dtype)
            self.weight = Parameter(weight, requires_grad=not _freeze)
            self.reset_parameters()
        elif tuple(_weight.shape) == shape:
            self.weight = Parameter(_weight, requires_grad=not _freeze)
        else:
            raise ShapeError(
                f"Embedding: the weight must have shape {shape}, got {tuple(_weight.shape)}"
            )

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Any,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Embedding:
        """Return a layer whose ``weight`` is the tensor ``embeddings`` (V, D), on its memory.

        ``freeze`` makes it a constant; the other arguments are those of the class.

        Raises
        ------
        ShapeError
            If ``embeddings`` is not a matrix.
        """
        if embeddings.ndim != 2:
            raise ShapeError(
                "Embedding: argument 'embeddings' must be a matrix, got shape "
                f"{tuple(embeddings.shape)}"
            )
        rows, columns = embeddings.shape
        return cls(
            rows, columns, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse,
            _weight=embeddings, _freeze=freeze,
        )  # fmt: skip

    def reset_parameters(self) -> None:
        """Draw the vectors anew."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            init.zeros_(self.weight.detach()[self.padding_idx])

    def forward(self, input: Any) -> Any:
        """Map indices (...) to vectors (..., D)."""
        return F.embedding(
            input, self.weight, self.padding_idx, self.max_norm, self.norm_type,
            self.scale_grad_by_freq, self.sparse,
        )  # fmt: skip

    def extra_repr(self) -> str:
        """Return the sizes, and the options that are in use."""
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        if self.padding_idx is not None:
            text += f", padding_idx={self.padding_idx}"
        if self.max_norm is not None:
            text += f", max_norm={self.max_norm}"
        if self.norm_type != 2:
            text += f", norm_type={self.norm_type}"
        if self.scale_grad_by_freq:
            text += f", scale_grad_by_freq={self.scale_grad_by_freq}"
        return text
