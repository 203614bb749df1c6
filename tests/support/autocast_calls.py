"""One call of every op that autocast may have to do with, the same for tinyconv and PyTorch.

A call gets the library, its ``nn.functional``, and tensors; which of these are floating point is
for the test to choose. A shape makes such a tensor, of positive numbers below 1; an array is given
as it is.
"""

import numpy as np

LABELS = np.array([0, 2, 1, 3])
SIGNS = np.array([1, -1, 1, -1])
SQUARE = np.eye(4) * 2 + 0.1


def _conv(dims):
    return [(2, 4, *(5,) * dims), (4, 4, *(3,) * dims), (4,)]


def _rows(name, count=2):
    """Return a call of a loss of so many matrices."""
    return lambda lib, F, *t: getattr(F, name)(*t[:count])


def _one(name):
    return lambda lib, F, x: getattr(lib, name)(x), [(4, 5)]


LOSSES = {
    "mse_loss": (_rows("mse_loss"), [(4, 5)] * 2),
    "l1_loss": (_rows("l1_loss"), [(4, 5)] * 2),
    "smooth_l1_loss": (_rows("smooth_l1_loss"), [(4, 5)] * 2),
    "huber_loss": (_rows("huber_loss"), [(4, 5)] * 2),
    "kl_div": (lambda lib, F, a, b: F.kl_div(a, b, reduction="sum"), [(4, 5)] * 2),
    "poisson_nll_loss": (_rows("poisson_nll_loss"), [(4, 5)] * 2),
    "gaussian_nll_loss": (_rows("gaussian_nll_loss", 3), [(4, 5)] * 3),
    "soft_margin_loss": (_rows("soft_margin_loss"), [(4, 5)] * 2),
    "binary_cross_entropy_with_logits": (
        _rows("binary_cross_entropy_with_logits"), [(4, 5)] * 2
    ),
    "cross_entropy": (lambda lib, F, a, t: F.cross_entropy(a, t), [(4, 5), LABELS]),
    "cross_entropy smoothed": (
        lambda lib, F, a, t: F.cross_entropy(a, t, label_smoothing=0.1), [(4, 5), LABELS]
    ),
    "cross_entropy of shares": (lambda lib, F, a, t: F.cross_entropy(a, t), [(4, 5)] * 2),
    "nll_loss": (lambda lib, F, a, t: F.nll_loss(a, t), [(4, 5), LABELS]),
    "multi_margin_loss": (lambda lib, F, a, t: F.multi_margin_loss(a, t), [(4, 5), LABELS]),
    "multilabel_margin_loss": (
        lambda lib, F, a, t: F.multilabel_margin_loss(a, t), [(4,), LABELS]
    ),
    "multilabel_soft_margin_loss": (_rows("multilabel_soft_margin_loss"), [(4, 5)] * 2),
    "hinge_embedding_loss": (lambda lib, F, a, t: F.hinge_embedding_loss(a, t), [(4,), SIGNS]),
    "cosine_embedding_loss": (
        lambda lib, F, a, b, t: F.cosine_embedding_loss(a, b, t), [(4, 5), (4, 5), SIGNS]
    ),
    "margin_ranking_loss": (
        lambda lib, F, a, b, t: F.margin_ranking_loss(a, b, t), [(4,), (4,), SIGNS]
    ),
    "triplet_margin_loss": (_rows("triplet_margin_loss", 3), [(4, 5)] * 3),
}  # fmt: skip

CALLS = {
    **LOSSES,
    "conv1d": (lambda lib, F, x, w, b: F.conv1d(x, w, b), _conv(1)),
    "conv2d": (lambda lib, F, x, w, b: F.conv2d(x, w, b, padding=1), _conv(2)),
    "conv3d": (lambda lib, F, x, w, b: F.conv3d(x, w, b), _conv(3)),
    "conv_transpose1d": (lambda lib, F, x, w, b: F.conv_transpose1d(x, w, b), _conv(1)),
    "conv_transpose2d": (lambda lib, F, x, w, b: F.conv_transpose2d(x, w, b), _conv(2)),
    "conv_transpose3d": (lambda lib, F, x, w, b: F.conv_transpose3d(x, w, b), _conv(3)),
    "linear": (lambda lib, F, x, w, b: F.linear(x, w, b), [(3, 5), (4, 5), (4,)]),
    "bilinear": (
        lambda lib, F, x, y, w, b: F.bilinear(x, y, w, b), [(3, 2), (3, 4), (5, 2, 4), (5,)]
    ),
    "prelu": (lambda lib, F, x, w: F.prelu(x, w), [(3, 4), (4,)]),
    "matmul": (lambda lib, F, a, b: lib.matmul(a, b), [(3, 4), (4, 5)]),
    "matmul batched": (lambda lib, F, a, b: a @ b, [(2, 3, 4), (2, 4, 5)]),
    "matmul vector": (lambda lib, F, a, b: lib.matmul(a, b), [(3, 4), (4,)]),
    "mm": (lambda lib, F, a, b: lib.mm(a, b), [(3, 4), (4, 5)]),
    "mm method": (lambda lib, F, a, b: a.mm(b), [(3, 4), (4, 5)]),
    "bmm": (lambda lib, F, a, b: lib.bmm(a, b), [(2, 3, 4), (2, 4, 5)]),
    "mv": (lambda lib, F, a, b: lib.mv(a, b), [(3, 4), (4,)]),
    "dot": (lambda lib, F, a, b: lib.dot(a, b), [(4,)] * 2),
    "vdot": (lambda lib, F, a, b: lib.vdot(a, b), [(4,)] * 2),
    "inner": (lambda lib, F, a, b: lib.inner(a, b), [(2, 4), (3, 4)]),
    "outer": (lambda lib, F, a, b: lib.outer(a, b), [(4,), (5,)]),
    "addmm": (lambda lib, F, c, a, b: lib.addmm(c, a, b), [(3, 5), (3, 4), (4, 5)]),
    "addmv": (lambda lib, F, c, a, b: lib.addmv(c, a, b), [(3,), (3, 4), (4,)]),
    "addr": (lambda lib, F, c, a, b: lib.addr(c, a, b), [(3, 4), (3,), (4,)]),
    "addbmm": (lambda lib, F, c, a, b: lib.addbmm(c, a, b), [(3, 5), (2, 3, 4), (2, 4, 5)]),
    "baddbmm": (lambda lib, F, c, a, b: lib.baddbmm(c, a, b), [(2, 3, 5), (2, 3, 4), (2, 4, 5)]),
    "einsum": (lambda lib, F, a, b: lib.einsum("ij,jk->ik", a, b), [(3, 4), (4, 5)]),
    "tensordot": (lambda lib, F, a, b: lib.tensordot(a, b, 1), [(3, 4), (4, 5)]),
    "kron": (lambda lib, F, a, b: lib.kron(a, b), [(3, 4), (4, 5)]),
    "cross": (lambda lib, F, a, b: lib.cross(a, b, 1), [(4, 3)] * 2),
    "vecdot": (lambda lib, F, a, b: lib.linalg.vecdot(a, b), [(4, 3)] * 2),
    "multi_dot": (
        lambda lib, F, a, b, c: lib.linalg.multi_dot([a, b, c]), [(3, 4), (4, 5), (5, 2)]
    ),
    "matrix_power": (lambda lib, F, a: lib.linalg.matrix_power(a, 3), [(4, 4)]),
    "scaled_dot_product_attention": (
        lambda lib, F, q, k, v: F.scaled_dot_product_attention(q, k, v), [(2, 3, 4)] * 3
    ),
    **{name: _one(name) for name in (
        "exp", "expm1", "exp2", "log", "log2", "log10", "log1p", "reciprocal", "rsqrt", "sqrt",
        "acos", "asin", "atan", "sin", "cos", "tan", "sinh", "cosh", "tanh", "erf", "erfinv",
        "sigmoid", "relu", "abs", "neg", "square", "floor", "sum", "mean", "prod", "amax", "var",
        "std", "norm", "median", "trace", "t", "flatten", "clone", "isnan", "argmax", "lgamma",
    )},
    "sum of a dimension": (lambda lib, F, x: x.sum(1), [(4, 5)]),
    "sum of another dtype": (lambda lib, F, x: x.sum(1, dtype=lib.float64), [(4, 5)]),
    "prod of a dimension": (lambda lib, F, x: x.prod(1), [(4, 5)]),
    "cumsum": (lambda lib, F, x: x.cumsum(1), [(4, 5)]),
    "cumprod": (lambda lib, F, x: lib.cumprod(x, 1), [(4, 5)]),
    "norm of a dimension": (lambda lib, F, x: lib.norm(x, 2, 1), [(4, 5)]),
    "vector_norm": (lambda lib, F, x: lib.linalg.vector_norm(x), [(4, 5)]),
    "matrix_norm": (lambda lib, F, x: lib.linalg.matrix_norm(x), [(4, 5)]),
    "renorm": (lambda lib, F, x: lib.renorm(x, 2, 0, 1.0), [(4, 5)]),
    "logsumexp": (lambda lib, F, x: lib.logsumexp(x, 1), [(4, 5)]),
    "dist": (lambda lib, F, a, b: lib.dist(a, b), [(4, 5)] * 2),
    "cdist": (lambda lib, F, a, b: lib.cdist(a, b), [(4, 5)] * 2),
    "cosine_similarity": (lambda lib, F, a, b: F.cosine_similarity(a, b), [(4, 5)] * 2),
    "normalize": (lambda lib, F, a: F.normalize(a), [(4, 5)]),
    "quantile": (lambda lib, F, x: lib.quantile(x, 0.5), [(4, 5)]),
    "pow": (lambda lib, F, a, b: lib.pow(a, b), [(4, 5)] * 2),
    "pow of a number": (lambda lib, F, a: a**2, [(4, 5)]),
    "number to the power": (lambda lib, F, a: 2**a, [(4, 5)]),
    "softmax": (lambda lib, F, x: F.softmax(x, 1), [(4, 5)]),
    "softmax method": (lambda lib, F, x: x.softmax(1), [(4, 5)]),
    "softmax of another dtype": (lambda lib, F, x: F.softmax(x, 1, dtype=lib.float64), [(4, 5)]),
    "softmin": (lambda lib, F, x: F.softmin(x, 1), [(4, 5)]),
    "log_softmax": (lambda lib, F, x: F.log_softmax(x, 1), [(4, 5)]),
    **{name: (lambda lib, F, x, n=name: getattr(F, n)(x), [(4, 5)]) for name in (
        "softplus", "gelu", "silu", "elu", "leaky_relu", "hardtanh", "logsigmoid", "mish", "relu6",
    )},
    "layer_norm": (lambda lib, F, x, w, b: F.layer_norm(x, (5,), w, b), [(4, 5), (5,), (5,)]),
    "group_norm": (lambda lib, F, x: F.group_norm(x, 2), [(3, 4, 5)]),
    "rms_norm": (lambda lib, F, x: F.rms_norm(x, (5,)), [(4, 5)]),
    "batch_norm": (lambda lib, F, x: F.batch_norm(x, None, None, training=True), [(3, 4, 5)]),
    "instance_norm": (lambda lib, F, x: F.instance_norm(x), [(3, 4, 5)]),
    "local_response_norm": (lambda lib, F, x: F.local_response_norm(x, 3), [(3, 4, 5)]),
    "max_pool2d": (lambda lib, F, x: F.max_pool2d(x, 2), [(1, 2, 4, 4)]),
    "max_pool3d": (lambda lib, F, x: F.max_pool3d(x, 2), [(1, 2, 4, 4, 4)]),
    "avg_pool2d": (lambda lib, F, x: F.avg_pool2d(x, 2), [(1, 2, 4, 4)]),
    "avg_pool3d": (lambda lib, F, x: F.avg_pool3d(x, 2), [(1, 2, 4, 4, 4)]),
    "adaptive_avg_pool2d": (lambda lib, F, x: F.adaptive_avg_pool2d(x, 2), [(1, 2, 4, 4)]),
    "adaptive_avg_pool3d": (lambda lib, F, x: F.adaptive_avg_pool3d(x, 2), [(1, 2, 4, 4, 4)]),
    "adaptive_max_pool3d": (lambda lib, F, x: F.adaptive_max_pool3d(x, 2), [(1, 2, 4, 4, 4)]),
    "max_unpool2d": (
        lambda lib, F, x, i: F.max_unpool2d(x, i, 2),
        [(1, 1, 2, 2), np.arange(4).reshape(1, 1, 2, 2)],
    ),
    "interpolate": (lambda lib, F, x: F.interpolate(x, scale_factor=2), [(1, 2, 4, 4)]),
    "interpolate linear": (
        lambda lib, F, x: F.interpolate(x, scale_factor=2, mode="bilinear"), [(1, 2, 4, 4)]
    ),
    "interpolate area": (
        lambda lib, F, x: F.interpolate(x, size=2, mode="area"), [(1, 2, 4, 4)]
    ),
    "grid_sample": (
        lambda lib, F, x, g: F.grid_sample(x, g, align_corners=False), [(1, 2, 4, 4), (1, 3, 3, 2)]
    ),
    "pad": (lambda lib, F, x: F.pad(x, (1, 1)), [(1, 2, 4)]),
    "pad reflecting": (lambda lib, F, x: F.pad(x, (1, 1), mode="reflect"), [(1, 2, 4)]),
    "pad reflecting in 2-D": (
        lambda lib, F, x: F.pad(x, (1, 1, 1, 1), mode="reflect"), [(1, 2, 4, 4)]
    ),
    "pad reflecting in 3-D": (
        lambda lib, F, x: F.pad(x, (1,) * 6, mode="reflect"), [(1, 2, 4, 4, 4)]
    ),
    "pad replicating": (lambda lib, F, x: F.pad(x, (1, 1), mode="replicate"), [(1, 2, 4)]),
    "pad around": (lambda lib, F, x: F.pad(x, (1, 1), mode="circular"), [(1, 2, 4)]),
    "dropout": (lambda lib, F, x: F.dropout(x), [(4, 5)]),
    "add": (lambda lib, F, a, b: a + b, [(4, 5)] * 2),
    "mul": (lambda lib, F, a, b: a * b, [(4, 5)] * 2),
    "div": (lambda lib, F, a, b: a / b, [(4, 5)] * 2),
    "addcmul": (lambda lib, F, a, b, c: lib.addcmul(a, b, c), [(4, 5)] * 3),
    "addcdiv": (lambda lib, F, a, b, c: lib.addcdiv(a, b, c), [(4, 5)] * 3),
    "atan2": (lambda lib, F, a, b: lib.atan2(a, b), [(4, 5)] * 2),
    "cat": (lambda lib, F, a, b: lib.cat([a, b]), [(4, 5)] * 2),
    "stack": (lambda lib, F, a, b: lib.stack((a, b)), [(4, 5)] * 2),
    "index_copy": (
        lambda lib, F, a, i, b: a.index_copy(0, i, b), [(4, 5), np.array([0, 2]), (2, 5)]
    ),
    "index_put": (
        lambda lib, F, a, i, b: a.index_put((i,), b), [(4, 5), np.array([0, 2]), (2, 5)]
    ),
    "scatter_add": (
        lambda lib, F, a, i, b: a.scatter_add(0, i, b), [(4,), np.array([0, 0, 1]), (3,)]
    ),
    "where": (lambda lib, F, a, b: lib.where(a > 0.5, a, b), [(4, 5)] * 2),
    "embedding": (lambda lib, F, i, w: F.embedding(i, w), [np.array([0, 2]), (4, 5)]),
    "cholesky": (lambda lib, F, a: lib.linalg.cholesky(a), [SQUARE]),
    "inv": (lambda lib, F, a: lib.linalg.inv(a), [SQUARE]),
    "inverse": (lambda lib, F, a: lib.inverse(a), [SQUARE]),
    "solve": (lambda lib, F, a, b: lib.linalg.solve(a, b), [SQUARE, (4, 2)]),
    "svdvals": (lambda lib, F, a: lib.linalg.svdvals(a), [SQUARE]),
    "eigvalsh": (lambda lib, F, a: lib.linalg.eigvalsh(a), [SQUARE]),
    "qr": (lambda lib, F, a: lib.linalg.qr(a)[1], [SQUARE]),
    "pinv": (lambda lib, F, a: lib.linalg.pinv(a), [SQUARE]),
    "matrix_rank": (lambda lib, F, a: lib.linalg.matrix_rank(a), [SQUARE]),
}  # fmt: skip
