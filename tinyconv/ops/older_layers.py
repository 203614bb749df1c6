"""Functions of ``nn.functional`` with the arguments that PyTorch gives them at the top level.

``torch.embedding`` takes the weight first, ``torch.batch_norm`` the running averages last: code
that calls these names with arguments by position finds here what it expects. New code does better
with :mod:`tinyconv.nn.functional`.
"""

from __future__ import annotations

from typing import Any

from .indexing.embedding import embedding as _embedding
from .normalization.norm import batch_norm as _batch_norm
from .normalization.sample_norm import instance_norm as _instance_norm
from .pooling.adaptive_max_pool import adaptive_max_pool1d as _adaptive_max_pool1d
from .randomness.dropout import dropout as _dropout
from .randomness.noise import alpha_dropout as _alpha_dropout
from .randomness.noise import feature_alpha_dropout as _feature_alpha_dropout


def adaptive_max_pool1d(input: Any, output_size: Any) -> tuple[Any, Any]:
    """Return the largest elements and their indices, as ``F.adaptive_max_pool1d_with_indices``.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.adaptive_max_pool1d(tc.tensor([[[1.0, 4.0, 2.0]]]), 1)
    (tensor([[[4.]]]), tensor([[[1]]]))
    """
    return _adaptive_max_pool1d(input, output_size, return_indices=True)


def alpha_dropout(input: Any, p: float, train: bool) -> Any:
    """Do what ``F.alpha_dropout`` does, with ``train`` for its ``training``."""
    return _alpha_dropout(input, p, train)


def batch_norm(
    input: Any,
    weight: Any,
    bias: Any,
    running_mean: Any,
    running_var: Any,
    training: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool = True,
) -> Any:
    """Do what ``F.batch_norm`` does, with the arguments in another order.

    ``cudnn_enabled`` chooses among the kernels of PyTorch, not among results.
    """
    return _batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


def dropout(input: Any, p: float, train: bool) -> Any:
    """Do what ``F.dropout`` does, with ``train`` for its ``training``.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.dropout(tc.ones(2), 0.5, train=False)
    tensor([1., 1.])
    """
    return _dropout(input, p, train)


def embedding(
    weight: Any,
    indices: Any,
    padding_idx: int = -1,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Any:
    """Return rows of ``weight``, as ``F.embedding``; ``padding_idx=-1`` stands for none.

    Examples
    --------
    >>> import tinyconv as tc
    >>> tc.embedding(tc.eye(3), tc.tensor([2]))
    tensor([[0., 0., 1.]])
    """
    padding = None if padding_idx < 0 else padding_idx
    return _embedding(
        indices, weight, padding, scale_grad_by_freq=scale_grad_by_freq, sparse=sparse
    )


def feature_alpha_dropout(input: Any, p: float, train: bool) -> Any:
    """Do what ``F.feature_alpha_dropout`` does, with ``train`` for its ``training``."""
    return _feature_alpha_dropout(input, p, train)


def instance_norm(
    input: Any,
    weight: Any,
    bias: Any,
    running_mean: Any,
    running_var: Any,
    use_input_stats: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool = True,
) -> Any:
    """Do what ``F.instance_norm`` does, with the arguments in another order.

    ``cudnn_enabled`` chooses among the kernels of PyTorch, not among results.
    """
    averages = running_mean, running_var
    return _instance_norm(input, *averages, weight, bias, use_input_stats, momentum, eps)
