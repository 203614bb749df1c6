"""Autocast: which dtype an op computes in, chosen for each op by what it does with digits.

Products and convolutions gain most from half precision and need it least exact: they sum in float32
anyway. What adds up many numbers, or takes them to a power, is done in float32. All else takes its
inputs as they come. The lists are PyTorch's: one for the CPU, one for every other device; they name
public functions of ``tinyconv``, of ``tinyconv.linalg`` and of ``nn.functional``.

:func:`apply_to` puts the casts around the functions of a namespace. An op calls other ops by their
own files, so what is inside of one is not cast again. Without autocast a call costs one look at
the state of the thread more.

Micikevicius et al., "Mixed precision training", ICLR 2018, arXiv:1710.03740.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import cache, wraps
from typing import Any

from ..autograd import TensorBase
from ..autograd.modes import AutocastSetting, state
from ..backend.dtypes import DType, float32, float64
from ..errors import ArgumentError

Op = Callable[..., Any]


def _table(**policies: str) -> dict[str, str]:
    return {name: policy for policy, names in policies.items() for name in names.split()}


_PRODUCTS = """
    conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d linear prelu
    matmul mm bmm addmm addbmm baddbmm einsum multi_dot matrix_power
    scaled_dot_product_attention recurrence vecdot
"""
_LOSSES = """
    cross_entropy nll_loss kl_div poisson_nll_loss binary_cross_entropy_with_logits
    l1_loss mse_loss smooth_l1_loss huber_loss
    cosine_embedding_loss hinge_embedding_loss triplet_margin_loss contrastive_loss
    margin_ranking_loss multi_margin_loss multilabel_margin_loss soft_margin_loss
    hinge_loss squared_hinge_loss categorical_hinge_loss
    categorical_cross_entropy sparse_categorical_cross_entropy soft_target_cross_entropy
    distillation_kl_loss sigmoid_focal_loss softmax_focal_loss dice_loss
    info_nce_loss nt_xent_loss sup_con_loss
"""

#: What to do, by op, on the CPU. PyTorch also lists here what it has no half-precision kernel for.
#: ``as_it_is`` holds what is made of ops that are listed, without being listed itself.
CPU = _table(
    lower=f"{_PRODUCTS} inner tensordot",
    float32=f"""
        {_LOSSES} binary_cross_entropy prod trace cdist quantile nanquantile
        max_pool3d avg_pool3d adaptive_avg_pool3d adaptive_max_pool3d max_unpool2d max_unpool3d
        grid_sample pad
        cholesky inv inverse solve solve_triangular lstsq matrix_rank qr svd svdvals pinv pinverse
        eigh eigvalsh
    """,
    promote="cat concat stack index_copy",
    as_it_is="mv dot vdot addmv addr",
)

#: What to do, by op, on every other device.
ACCELERATOR = _table(
    lower=f"{_PRODUCTS} mv addmv addr",
    float32=f"""
        {_LOSSES} exp expm1 log log2 log10 log1p pow reciprocal rsqrt acos asin tan sinh cosh erfinv
        square softplus logsumexp cumsum cumprod sum prod softmax softmin log_softmax
        norm vector_norm matrix_norm renorm normalize dist cdist cosine_similarity
        layer_norm group_norm rms_norm interpolate multilabel_soft_margin_loss
    """,
    promote="""
        addcdiv addcmul atan2 bilinear cross dot vdot inner tensordot grid_sample index_put
        scatter_add
    """,
    as_it_is="trace",
    refuse="binary_cross_entropy",
)

#: Ops that are cast with some arguments only.
_ONLY_IF: dict[str, Op] = {
    # Constant padding copies; PyTorch mirrors and repeats half precision only in 3-D.
    "pad": lambda input, pad, mode="constant", value=None: (
        mode == "replicate" or (mode == "reflect" and len(pad) < 6)
    ),
    "interpolate": lambda input, size=None, scale_factor=None, mode="nearest", *rest, **options: (
        mode != "area"
    ),
}


def apply_to(namespace: dict[str, Any]) -> None:
    """Put the casts around those functions of a module that the tables name."""
    for name in CPU.keys() | ACCELERATOR.keys():
        if name in namespace:
            namespace[name] = autocasts(namespace[name])


@cache
def autocasts(op: Op) -> Op:
    """Return an op that casts its arguments, where autocast is enabled, by the tables.

    Parameters
    ----------
    op : callable
        Its name is that of the entry.
    """
    name = op.__name__

    @wraps(op)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if state.autocast is None:
            return op(*args, **kwargs)
        return _call(name, op, args, kwargs)

    return wrapper


def _call(name: str, op: Op, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call an op on what its policy makes of the arguments, with autocast off inside."""
    active = state.autocast or {}
    tensors = list(_tensors((*args, *kwargs.values())))
    setting = active.get(tensors[0].device.type) if tensors else None
    if setting is None:
        return op(*args, **kwargs)
    policy = (CPU if setting.device_type == "cpu" else ACCELERATOR).get(name)
    if policy is None or (name in _ONLY_IF and not _ONLY_IF[name](*args, **kwargs)):
        return op(*args, **kwargs)
    if policy == "refuse":
        raise ArgumentError(
            f"{name}: not safe under autocast, since the logarithm of a probability that was "
            "rounded to 0 is infinite; use binary_cross_entropy_with_logits on the scores"
        )
    dtype: DType | None = None
    if policy == "lower":
        dtype = setting.dtype
    elif policy == "promote":
        dtype = _widest(tensors, setting)
    elif policy == "float32" and not _says_dtype(op, args, kwargs):
        dtype = float32
    state.autocast = None
    try:
        if dtype is not None:
            args = _cast(args, dtype, setting)
            kwargs = {key: _cast(value, dtype, setting) for key, value in kwargs.items()}
        return op(*args, **kwargs)
    finally:
        state.autocast = active


def _tensors(values: Iterable[Any]) -> Iterable[Any]:
    """Yield the tensors among arguments, through lists and tuples."""
    for value in values:
        if isinstance(value, TensorBase):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)


def _is_eligible(tensor: Any, setting: AutocastSetting) -> bool:
    """Return whether autocast may change the dtype of a tensor: not of float64, nor elsewhere."""
    dtype = tensor.dtype
    return (
        dtype.is_floating_point
        and dtype is not float64
        and tensor.device.type == setting.device_type
    )


def _widest(tensors: Iterable[Any], setting: AutocastSetting) -> DType:
    """Return float32 if one of the tensors that may be cast is of another dtype than the lower."""
    eligible = [t.dtype for t in tensors if _is_eligible(t, setting)]
    return setting.dtype if all(dtype is setting.dtype for dtype in eligible) else float32


def _says_dtype(op: Op, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Return whether an op was told the dtype of its result, as by ``sum(x, dtype=...)``."""
    if kwargs.get("dtype") is not None:
        return True
    place = _place_of_dtype(op)
    return place is not None and len(args) > place and args[place] is not None


@cache
def _place_of_dtype(op: Op) -> int | None:
    """Return the number of the positional argument ``dtype``, if there is one."""
    for number, parameter in enumerate(inspect.signature(op).parameters.values()):
        if parameter.name == "dtype" and parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
            return number
    return None


def _cast(value: Any, dtype: DType, setting: AutocastSetting) -> Any:
    """Return an argument with the tensors in it cast, where they may be."""
    if isinstance(value, TensorBase):
        if value.dtype is dtype or not _is_eligible(value, setting):
            return value
        if dtype is setting.dtype and setting.cache_enabled and _is_weight(value):
            return _cached(value, dtype)
        return value.to(dtype)
    if isinstance(value, list | tuple):
        changed = [_cast(part, dtype, setting) for part in value]
        return type(value)(changed) if type(value) in (list, tuple) else value
    return value


def _is_weight(tensor: Any) -> bool:
    """Return whether a tensor is a leaf that wants a gradient, and so is likely met again."""
    return tensor.dtype is float32 and tensor._requires_grad and tensor.is_leaf


def _cached(weight: Any, dtype: DType) -> Any:
    """Return a weight cast, once for all ops inside the outermost autocast.

    Its gradients are then added up before they become float32. A cast made without a graph is not
    kept, nor one of a weight that was modified since.
    """
    found = state.autocast_casts.get((id(weight), dtype))
    version = weight._version[0]
    if found is not None and found[1] == version:
        return found[2]
    cast = weight.to(dtype)
    if state.grad_enabled:
        # The weight is kept, too, so that no other tensor gets its id.
        state.autocast_casts[(id(weight), dtype)] = weight, version, cast
    return cast
