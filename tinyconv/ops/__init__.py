"""Differentiable functions: what one is called, which shapes and dtypes it takes, its gradient.

One folder a family, one subject a file. ``_operands`` checks the arguments of all of them,
``casting`` changes dtypes and devices, and ``fusion`` puts off what can be done in one pass.
"""

from .activations.gates import glu, hardsigmoid, hardswish, swish
from .activations.in_place import (
    celu_,
    elu_,
    hardtanh_,
    leaky_relu_,
    relu_,
    rrelu_,
    selu_,
    threshold_,
)
from .activations.piecewise import hardtanh, leaky_relu, prelu, relu, relu6, rrelu, threshold
from .activations.shrinkage import hardshrink, softshrink, tanhshrink
from .activations.smooth import celu, elu, gelu, logsigmoid, mish, selu, silu, softplus, softsign
from .activations.softmax import log_softmax, logsumexp, softmax, softmin
from .autocasting import apply_to
from .casting import (
    cpu,
    cuda,
    is_pinned,
    item,
    pin_memory,
    result_type,
    to,
    to_bfloat16,
    to_bool,
    to_byte,
    to_char,
    to_double,
    to_float,
    to_half,
    to_int,
    to_long,
    to_numpy,
    to_short,
    to_type,
    tolist,
    type_as,
)
from .convolution.conv import conv1d, conv2d, conv3d
from .convolution.conv_transpose import conv_transpose1d, conv_transpose2d, conv_transpose3d
from .creation.combining import (
    cartesian_prod,
    combinations,
    tril_indices,
    triu_indices,
    unravel_index,
    vander,
)
from .creation.filled import (
    arange,
    empty,
    empty_like,
    eye,
    full,
    full_like,
    linspace,
    logspace,
    new_empty,
    new_full,
    new_ones,
    new_zeros,
    ones,
    ones_like,
    scalar_tensor,
    zeros,
    zeros_like,
)
from .creation.from_data import as_tensor, asarray, from_dlpack, from_numpy, new_tensor, tensor
from .elementwise.arithmetic import add, mul, neg, pow, rsub, square, sub, true_divide
from .elementwise.comparison import (
    allclose,
    bitwise_and,
    bitwise_left_shift,
    bitwise_not,
    bitwise_or,
    bitwise_right_shift,
    bitwise_xor,
    eq,
    equal,
    ge,
    gt,
    isclose,
    isfinite,
    isinf,
    isnan,
    isneginf,
    isposinf,
    le,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    lt,
    ne,
)
from .elementwise.compound import (
    addcdiv,
    addcmul,
    atan2,
    float_power,
    heaviside,
    hypot,
    lerp,
    logaddexp,
    logaddexp2,
    xlogy,
)
from .elementwise.division import div, floor_divide, fmod, gcd, lcm, remainder
from .elementwise.float_parts import copysign, ldexp, nan_to_num, nextafter, signbit
from .elementwise.selection import (
    clamp,
    clamp_max,
    clamp_min,
    clip,
    fmax,
    fmin,
    maximum,
    minimum,
    where,
)
from .elementwise.special import digamma, erfinv, i0, lgamma, logit, polygamma, sinc
from .elementwise.unary import (
    abs,
    acos,
    acosh,
    asin,
    asinh,
    atan,
    atanh,
    ceil,
    cos,
    cosh,
    deg2rad,
    erf,
    erfc,
    exp,
    exp2,
    expm1,
    floor,
    frac,
    log,
    log1p,
    log2,
    log10,
    positive,
    rad2deg,
    reciprocal,
    round,
    rsqrt,
    sigmoid,
    sign,
    sin,
    sinh,
    sqrt,
    tan,
    tanh,
    trunc,
)
from .images.padding import pad
from .images.shuffle import channel_shuffle, pixel_shuffle, pixel_unshuffle
from .indexing.embedding import embedding
from .indexing.gather import gather, index_select, repeat_interleave, take, take_along_dim
from .indexing.getitem import getitem, index_put, narrow, narrow_copy, select, setitem
from .indexing.masking import argwhere, index_fill, masked_fill, masked_select, nonzero
from .indexing.overwriting import (
    diagonal_scatter,
    index_copy,
    masked_scatter,
    put,
    select_scatter,
    slice_scatter,
)
from .indexing.scatter import index_add, index_reduce, scatter, scatter_add, scatter_reduce
from .linalg.determinant import logdet
from .linalg.distance import cosine_similarity, dist, normalize, pairwise_distance
from .linalg.einsum import einsum
from .linalg.exponential import matrix_exp
from .linalg.householder import geqrf
from .linalg.inverse import matrix_power
from .linalg.matmul import bilinear, bmm, dot, linear, matmul, mm, mv, outer
from .linalg.older_linalg import cholesky, cross, det, inverse, pinverse, qr, slogdet, svd
from .linalg.products import inner, kron, tensordot, vdot
from .linalg.scaled_products import addbmm, addmm, addmv, addr, baddbmm
from .linalg.set_distance import cdist, pdist
from .losses.cross_entropy import cross_entropy, nll_loss, one_hot
from .losses.embedding_loss import (
    contrastive_loss,
    cosine_embedding_loss,
    hinge_embedding_loss,
    triplet_margin_loss,
    triplet_margin_with_distance_loss,
)
from .losses.imbalance_loss import dice_loss, sigmoid_focal_loss, softmax_focal_loss
from .losses.info_nce import info_nce_loss, nt_xent_loss, sup_con_loss
from .losses.likelihood_loss import gaussian_nll_loss, poisson_nll_loss
from .losses.margin_loss import (
    categorical_hinge_loss,
    hinge_loss,
    margin_ranking_loss,
    multi_margin_loss,
    multilabel_margin_loss,
    multilabel_soft_margin_loss,
    soft_margin_loss,
    squared_hinge_loss,
)
from .losses.regression import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    huber_loss,
    kl_div,
    l1_loss,
    mse_loss,
    smooth_l1_loss,
)
from .losses.soft_cross_entropy import (
    categorical_cross_entropy,
    distillation_kl_loss,
    soft_target_cross_entropy,
    sparse_categorical_cross_entropy,
)
from .normalization.norm import batch_norm
from .normalization.rms_norm import rms_norm
from .normalization.sample_norm import group_norm, instance_norm, layer_norm, local_response_norm
from .pooling.adaptive_pool import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d
from .pooling.avg_pool import (
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    lp_pool1d,
    lp_pool2d,
    lp_pool3d,
    sum_pool1d,
    sum_pool2d,
    sum_pool3d,
)
from .pooling.pool import max_pool1d, max_pool2d, max_pool3d
from .randomness.draws import cauchy_, exponential_, geometric_, log_normal_, poisson, random_
from .randomness.dropout import dropout, dropout1d, dropout2d, dropout3d
from .randomness.noise import alpha_dropout, feature_alpha_dropout, gaussian_noise, stochastic_depth
from .randomness.random import (
    Generator,
    get_rng_state,
    initial_seed,
    manual_seed,
    normal,
    normal_,
    rand,
    rand_like,
    randint,
    randint_like,
    randn,
    randn_like,
    randperm,
    seed,
    set_rng_state,
    uniform_,
)
from .randomness.sampling import bernoulli, bernoulli_, gumbel_softmax, multinomial
from .reductions.counting import (
    bincount,
    bucketize,
    histc,
    isin,
    searchsorted,
    unique,
    unique_consecutive,
)
from .reductions.covariance import corrcoef, cov
from .reductions.differences import cumulative_trapezoid, diff, trapezoid, trapz
from .reductions.extrema import amax, amin, aminmax, argmax, argmin, max, min
from .reductions.order import kthvalue, median, mode, nanmedian
from .reductions.quantile import nanquantile, quantile
from .reductions.running import cummax, cummin, cumprod, cumsum, logcumsumexp
from .reductions.sorting import argsort, msort, sort, topk
from .reductions.statistics import norm, renorm, std, std_mean, var, var_mean
from .reductions.sums import all, any, count_nonzero, mean, nanmean, nansum, prod, sum, sum_to_size
from .shapes.assembling import (
    atleast_1d,
    atleast_2d,
    atleast_3d,
    block_diag,
    column_stack,
    dsplit,
    dstack,
    hsplit,
    hstack,
    tensor_split,
    vsplit,
    vstack,
)
from .shapes.broadcasting import (
    broadcast_shapes,
    broadcast_tensors,
    broadcast_to,
    expand,
    expand_as,
    meshgrid,
    repeat,
    tile,
)
from .shapes.diagonals import (
    diag,
    diag_embed,
    diagflat,
    diagonal,
    fill_diagonal_,
    trace,
    tril,
    triu,
)
from .shapes.joining import cat, chunk, concat, split, split_with_sizes, stack, unbind
from .shapes.memory import (
    MemoryFormat,
    channels_last,
    channels_last_3d,
    clone,
    contiguous,
    contiguous_format,
    is_contiguous,
    preserve_format,
    strides,
)
from .shapes.reordering import flip, fliplr, flipud, roll, rot90
from .shapes.sliding import sliding_windows
from .shapes.views import (
    flatten,
    matrix_transpose,
    movedim,
    permute,
    ravel,
    reshape,
    reshape_as,
    reverse_dims,
    squeeze,
    swapaxes,
    t,
    transpose,
    unflatten,
    unsqueeze,
    view,
    view_as,
)

apply_to(globals())
