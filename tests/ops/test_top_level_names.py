"""Names that PyTorch has both at its top level and in nn.functional, called as PyTorch's are."""

import numpy as np
import pytest

import tinyconv as tc

torch = pytest.importorskip("torch")
from against_torch import assert_same, pair  # noqa: E402

F = tc.nn.functional
#: Not at the top level here: losses whose ``reduction`` is a number there, and what is left out.
ABSENT = {
    "binary_cross_entropy_with_logits", "cosine_embedding_loss", "hinge_embedding_loss", "kl_div",
    "margin_ranking_loss", "poisson_nll_loss", "triplet_margin_loss",
}  # fmt: skip
RNG = np.random.default_rng(0)
X3, X4, X5 = (RNG.standard_normal(s) for s in [(2, 6, 8), (2, 6, 8, 4), (2, 6, 4, 4, 4)])
C = RNG.uniform(0.5, 2, 6)
CALLS = {
    "adaptive_avg_pool1d": ([X3], (3,)),
    "adaptive_max_pool1d": ([X3], (3,)),
    "alpha_dropout": ([X3], (0.5, False)),
    "avg_pool1d": ([X3], (3, 2, 1, True, False)),
    "batch_norm": ([X4, C, -C, C, C * C], (False, 0.1, 1e-3, False)),
    "bilinear": ([X3, X3, RNG.standard_normal((3, 8, 8)), C[:3]], ()),
    "celu": ([X3], (0.5,)),
    "channel_shuffle": ([X4], (3,)),
    "cosine_similarity": ([X3, X3[::-1]], (2, 1e-6)),
    "dropout": ([X3], (0.5, False)),
    "embedding": ([X3[0], np.array([[0, 5], [3, 3]])], (3, True)),
    "feature_alpha_dropout": ([X3], (0.5, False)),
    "group_norm": ([X4], (3,)),
    "hardshrink": ([X3], (0.7,)),
    "instance_norm": ([X4, C, -C, C, C * C], (True, 0.1, 1e-3, False)),
    "layer_norm": ([X3], ((6, 8),)),
    "max_pool1d": ([X3], (3, 2, 1, 1, True)),
    "max_pool2d": ([X4], (3, 2, 1, 1, True)),
    "max_pool3d": ([X5], (3, 2, 1, 1, True)),
    "pairwise_distance": ([X3, X3[::-1]], (3.0, 1e-3, True)),
    "pdist": ([X3[0]], (3.0,)),
    "pixel_shuffle": ([X4[:, :4]], (2,)),
    "pixel_unshuffle": ([X4], (2,)),
    "prelu": ([X3, C], ()),
    "rms_norm": ([X3], ((8,),)),
    "rrelu": ([X3], (0.1, 0.5, False)),
    "selu": ([X3], ()),
    "threshold": ([X3], (0.1, 20.0)),
}


@pytest.mark.parametrize("name", CALLS)
def test_called_by_position(name):
    arrays, others = CALLS[name]
    trained = [array.dtype.kind == "f" for array in arrays]
    if name in ("batch_norm", "instance_norm"):
        trained[3:] = False, False  # running averages
    results, gradients = [], []
    for library, which in ((tc, 0), (torch, 1)):
        tensors = [pair(a, wanted)[which] for a, wanted in zip(arrays, trained, strict=True)]
        result = getattr(library, name)(*tensors, *others)
        first = result[0] if isinstance(result, tuple) else result
        (first * first).sum().backward()
        results.append(tuple(result) if isinstance(result, tuple) else result)
        gradients.append(tuple(t.grad for t in tensors if t.requires_grad))
    assert_same(*results, 1e-9, 1e-10)
    assert_same(*gradients, 1e-8, 1e-9)


def test_every_name_of_both_is_there():
    both = {
        name
        for name in dir(F)
        if name[0] != "_" and callable(getattr(F, name)) and hasattr(torch, name)
    }
    assert {name for name in both if not hasattr(tc, name)} == ABSENT


def test_training_of_the_functions_with_other_arguments():
    x = tc.ones(50, 40)
    for name in ("dropout", "alpha_dropout", "feature_alpha_dropout"):
        tc.manual_seed(3)
        found = getattr(tc, name)(x, 0.3, True)
        tc.manual_seed(3)
        assert found.equal(getattr(F, name)(x, 0.3, True)), name
        assert not found.equal(x)
    mean, var = tc.zeros(40), tc.ones(40)
    tc.batch_norm(x, None, None, mean, var, True, 0.5, 1e-5)
    assert mean.tolist() == [0.5] * 40
    assert var.tolist() == [0.5] * 40


def test_embedding_without_padding():
    weight = tc.eye(3).requires_grad_()
    tc.embedding(weight, tc.tensor([2, 0])).sum().backward()
    assert weight.grad.tolist() == [[1.0] * 3, [0.0] * 3, [1.0] * 3]
