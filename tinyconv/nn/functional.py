"""Functions without state, under PyTorch's names: ``import tinyconv.nn.functional as F``.

Each is documented where it is defined, in :mod:`tinyconv.ops`. Layers in :mod:`tinyconv.nn` hold
the parameters and call these.
"""

from ..ops.activations.gates import glu, hardsigmoid, hardswish, swish
from ..ops.activations.in_place import (
    celu_,
    elu_,
    hardtanh_,
    leaky_relu_,
    relu_,
    rrelu_,
    selu_,
    threshold_,
)
from ..ops.activations.piecewise import hardtanh, leaky_relu, prelu, relu, relu6, rrelu, threshold
from ..ops.activations.shrinkage import hardshrink, softshrink, tanhshrink
from ..ops.activations.smooth import (
    celu,
    elu,
    gelu,
    logsigmoid,
    mish,
    selu,
    silu,
    softplus,
    softsign,
)
from ..ops.activations.softmax import log_softmax, softmax, softmin
from ..ops.autocasting import apply_to
from ..ops.convolution.conv import conv1d, conv2d, conv3d
from ..ops.convolution.conv_transpose import conv_transpose1d, conv_transpose2d, conv_transpose3d
from ..ops.convolution.unfold import fold, unfold
from ..ops.elementwise.unary import sigmoid, tanh
from ..ops.images.grid_sample import affine_grid, grid_sample
from ..ops.images.padding import pad
from ..ops.images.resampling import interpolate
from ..ops.images.shuffle import channel_shuffle, pixel_shuffle, pixel_unshuffle
from ..ops.indexing.embedding import embedding
from ..ops.linalg.distance import cosine_similarity, normalize, pairwise_distance
from ..ops.linalg.matmul import bilinear, linear
from ..ops.linalg.set_distance import pdist
from ..ops.losses.cross_entropy import cross_entropy, nll_loss, one_hot
from ..ops.losses.embedding_loss import (
    contrastive_loss,
    cosine_embedding_loss,
    hinge_embedding_loss,
    triplet_margin_loss,
    triplet_margin_with_distance_loss,
)
from ..ops.losses.imbalance_loss import dice_loss, sigmoid_focal_loss, softmax_focal_loss
from ..ops.losses.info_nce import info_nce_loss, nt_xent_loss, sup_con_loss
from ..ops.losses.likelihood_loss import gaussian_nll_loss, poisson_nll_loss
from ..ops.losses.margin_loss import (
    categorical_hinge_loss,
    hinge_loss,
    margin_ranking_loss,
    multi_margin_loss,
    multilabel_margin_loss,
    multilabel_soft_margin_loss,
    soft_margin_loss,
    squared_hinge_loss,
)
from ..ops.losses.regression import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    huber_loss,
    kl_div,
    l1_loss,
    mse_loss,
    smooth_l1_loss,
)
from ..ops.losses.soft_cross_entropy import (
    categorical_cross_entropy,
    distillation_kl_loss,
    soft_target_cross_entropy,
    sparse_categorical_cross_entropy,
)
from ..ops.normalization.norm import batch_norm
from ..ops.normalization.rms_norm import rms_norm
from ..ops.normalization.sample_norm import (
    group_norm,
    instance_norm,
    layer_norm,
    local_response_norm,
)
from ..ops.pooling.adaptive_max_pool import (
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
)
from ..ops.pooling.adaptive_pool import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
)
from ..ops.pooling.avg_pool import (
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
from ..ops.pooling.pool import max_pool1d, max_pool2d, max_pool3d
from ..ops.pooling.unpool import max_unpool1d, max_unpool2d, max_unpool3d
from ..ops.randomness.dropout import dropout, dropout1d, dropout2d, dropout3d
from ..ops.randomness.noise import (
    alpha_dropout,
    feature_alpha_dropout,
    gaussian_noise,
    stochastic_depth,
)
from ..ops.randomness.sampling import gumbel_softmax
from ..ops.sequences.attention import scaled_dot_product_attention

__all__ = [  # noqa: RUF022
    # convolution and linear maps
    "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
    "affine_grid", "fold", "grid_sample", "interpolate", "linear", "pad", "unfold",
    "bilinear", "embedding", "scaled_dot_product_attention",
    # rearranging
    "channel_shuffle", "pixel_shuffle", "pixel_unshuffle",
    # pooling
    "adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d",
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d",
    "avg_pool1d", "avg_pool2d", "avg_pool3d", "lp_pool1d", "lp_pool2d", "lp_pool3d",
    "max_unpool1d", "max_unpool2d", "max_unpool3d",
    "max_pool1d", "max_pool2d", "max_pool3d", "sum_pool1d", "sum_pool2d", "sum_pool3d",
    # activations
    "celu", "elu", "gelu", "glu", "gumbel_softmax", "hardshrink", "hardsigmoid", "hardswish",
    "hardtanh", "leaky_relu", "log_softmax", "logsigmoid", "mish", "prelu", "relu", "relu6",
    "rrelu", "selu", "sigmoid", "silu", "softmax", "softmin", "softplus", "softshrink", "softsign",
    "swish", "tanh", "tanhshrink", "threshold",
    "celu_", "elu_", "hardtanh_", "leaky_relu_", "relu_", "rrelu_", "selu_", "threshold_",
    # normalisation and dropout
    "batch_norm", "group_norm", "instance_norm", "layer_norm", "local_response_norm",
    "normalize", "rms_norm",
    "alpha_dropout", "dropout", "dropout1d", "dropout2d", "dropout3d", "feature_alpha_dropout",
    "gaussian_noise", "stochastic_depth",
    # comparing vectors
    "cosine_similarity", "pairwise_distance", "pdist",
    # losses
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "cross_entropy", "huber_loss",
    "kl_div", "l1_loss", "mse_loss", "nll_loss", "one_hot", "smooth_l1_loss",
    "categorical_cross_entropy",
    "categorical_hinge_loss",
    "contrastive_loss",
    "cosine_embedding_loss",
    "dice_loss",
    "distillation_kl_loss",
    "gaussian_nll_loss",
    "hinge_embedding_loss",
    "hinge_loss",
    "info_nce_loss",
    "margin_ranking_loss",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "nt_xent_loss",
    "poisson_nll_loss",
    "sigmoid_focal_loss",
    "soft_margin_loss",
    "soft_target_cross_entropy",
    "softmax_focal_loss",
    "sparse_categorical_cross_entropy",
    "squared_hinge_loss",
    "sup_con_loss",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
]  # fmt: skip

apply_to(globals())
