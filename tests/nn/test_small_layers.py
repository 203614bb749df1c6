"""Embedding, Bilinear, and layers of two inputs, against PyTorch's."""

import numpy as np
import pytest

import tinyconv as tc
from tinyconv import nn
from tinyconv.errors import GradientError
from tinyconv.nn import functional as F

torch = pytest.importorskip("torch")

INDEX = np.array([[0, 2, 1, 2], [2, 4, 4, 0]])

EMBEDDINGS = [
    {},
    {"padding_idx": 2},
    {"padding_idx": -1},
    {"scale_grad_by_freq": True},
    {"padding_idx": 0, "scale_grad_by_freq": True},
    {"max_norm": 1.0},
    {"max_norm": 1.5, "norm_type": 1.0, "padding_idx": 4},
    {"max_norm": 0.7, "norm_type": float("inf"), "scale_grad_by_freq": True},
    {"max_norm": 100.0},
]


@pytest.mark.parametrize("options", EMBEDDINGS, ids=str)
@pytest.mark.parametrize("index", [INDEX, INDEX[0, 1], INDEX[:0]], ids=["(2,4)", "()", "(0,4)"])
def test_embedding(options, index, backend):
    theirs = torch.nn.Embedding(5, 3, **options, dtype=torch.float64)
    ours = nn.Embedding(5, 3, **options, dtype=tc.float64)
    assert repr(ours) == repr(theirs)
    if ours.padding_idx is not None:
        assert ours.weight[ours.padding_idx].tolist() == [0.0] * 3
    table = np.random.default_rng(2).standard_normal((5, 3))  # the padding is not 0 in it
    ours.load_state_dict({"weight": table})
    theirs.load_state_dict({"weight": torch.tensor(table)})
    for _ in range(2):  # max_norm has moved rows
        y_ours, y_theirs = ours(tc.tensor(index)), theirs(torch.tensor(index))
        np.testing.assert_allclose(y_ours.detach().numpy(), y_theirs.detach().numpy(), rtol=1e-12)
        np.testing.assert_allclose(
            ours.weight.detach().numpy(), theirs.weight.detach().numpy(), rtol=1e-12
        )
    (ours_grad,) = tc.autograd.grad((y_ours**3).sum(), ours.weight, create_graph=True)
    (theirs_grad,) = torch.autograd.grad((y_theirs**3).sum(), theirs.weight, create_graph=True)
    np.testing.assert_allclose(ours_grad.detach().numpy(), theirs_grad.detach().numpy(), rtol=1e-12)
    v = np.random.default_rng(0).standard_normal((5, 3))
    (ours_second,) = tc.autograd.grad((ours_grad * tc.tensor(v)).sum(), ours.weight)
    if not index.size:  # where PyTorch raises
        assert not ours_second.any()
        return
    (theirs_second,) = torch.autograd.grad((theirs_grad * torch.tensor(v)).sum(), theirs.weight)
    np.testing.assert_allclose(ours_second.numpy(), theirs_second.numpy(), rtol=1e-12)


def test_the_padding_counts_for_nothing_in_what_its_gradient_depends_on(backend):
    weight, scale = tc.ones(5, 3, requires_grad=True), tc.tensor(2.0, requires_grad=True)
    y = F.embedding(tc.tensor(INDEX), weight, padding_idx=2) * scale
    (gradient,) = tc.autograd.grad(y.sum(), weight, create_graph=True)
    gradient.sum().backward()
    assert scale.grad.item() == 3 * (INDEX != 2).sum()


def test_embedding_starts_normal():
    tc.manual_seed(0)
    weight = nn.Embedding(500, 40).weight.detach().numpy()
    assert abs(weight.mean()) < 0.03
    assert abs(weight.std() - 1) < 0.03


def test_max_norm_changes_only_what_is_looked_up_and_is_seen_by_the_graph():
    weight = tc.full((4, 2), 3.0).requires_grad_()
    square = weight * weight
    F.embedding(tc.tensor([1, 1]), weight, max_norm=1.0)
    lengths = weight.detach().norm(2, 1).numpy()
    np.testing.assert_allclose(lengths, [18**0.5, 1, 18**0.5, 18**0.5], rtol=1e-6)
    with pytest.raises(GradientError, match="modified"):
        square.sum().backward()


def test_from_pretrained():
    table = tc.tensor([[1.0, 2.0], [3.0, 4.0]])
    frozen = nn.Embedding.from_pretrained(table)
    assert not frozen.weight.requires_grad
    assert frozen(tc.tensor(1)).tolist() == [3.0, 4.0]
    table[1] = 7.0
    assert frozen(tc.tensor(1)).tolist() == [7.0, 7.0]
    layer = nn.Embedding.from_pretrained(table, freeze=False, padding_idx=0, max_norm=2.0)
    assert layer.weight.requires_grad
    assert repr(layer) == "Embedding(2, 2, padding_idx=0, max_norm=2.0)"
    assert layer.weight[0].tolist() == [1.0, 2.0]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("batch", [(6,), (2, 3), ()])
def test_bilinear(bias, batch):
    theirs = torch.nn.Bilinear(3, 4, 2, bias).double()
    ours = nn.Bilinear(3, 4, 2, bias).double()
    assert repr(ours) == repr(theirs)
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    compare(ours, theirs, (*batch, 3), (*batch, 4))
    for name, parameter in theirs.named_parameters():
        np.testing.assert_allclose(
            getattr(ours, name).grad.numpy(), parameter.grad.numpy(), rtol=1e-10
        )


def test_bilinear_starts_on_pytorch_bounds():
    tc.manual_seed(0)
    layer = nn.Bilinear(16, 30, 20)
    for parameter in layer.parameters():
        largest = parameter.abs().max().item()
        assert 0.2 < largest <= 0.25


@pytest.mark.parametrize(
    ("name", "options", "a", "b"),
    [
        ("CosineSimilarity", {}, (5, 4), (5, 4)),
        ("CosineSimilarity", {"dim": -1, "eps": 10.0}, (5, 4), (5, 4)),
        ("CosineSimilarity", {"dim": 0}, (3, 4, 5), (4, 1)),
        ("PairwiseDistance", {}, (5, 4), (5, 4)),
        ("PairwiseDistance", {"p": 1.0, "keepdim": True}, (5, 4), (4,)),
        ("PairwiseDistance", {"p": float("inf"), "eps": 0.1}, (2, 5, 4), (5, 4)),
    ],
)
def test_layers_of_two_inputs(name, options, a, b):
    ours, theirs = getattr(nn, name)(**options), getattr(torch.nn, name)(**options)
    assert repr(ours) == repr(theirs)
    if options.get("eps") == 10.0:  # PyTorch differentiates the length where it does not count
        with tc.no_grad(), torch.no_grad():
            compare(ours, theirs, a, b, gradient=False)
    else:
        compare(ours, theirs, a, b)


def compare(ours, theirs, *shapes, gradient=True):
    rng = np.random.default_rng(1)
    arrays = [rng.uniform(-1, 1, shape) for shape in shapes]
    mine = [tc.tensor(x, requires_grad=True) for x in arrays]
    other = [torch.tensor(x, requires_grad=True) for x in arrays]
    y, expected = ours(*mine), theirs(*other)
    np.testing.assert_allclose(y.detach().numpy(), expected.detach().numpy(), rtol=1e-11)
    if gradient:
        (y**2).sum().backward()
        (expected**2).sum().backward()
        for x, x_theirs in zip(mine, other, strict=True):
            np.testing.assert_allclose(x.grad.numpy(), x_theirs.grad.numpy(), rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, 0.5, float("inf")])
def test_zeros_have_pytorchs_gradients(p):
    """Equal vectors and vectors of length 0 give no NaN."""
    x = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, -2.0]])
    for ours, theirs in (
        (lambda a: F.normalize(a, p), lambda a: torch.nn.functional.normalize(a, p)),
        (lambda a: F.pairwise_distance(a, a.detach(), p),
         lambda a: torch.nn.functional.pairwise_distance(a, a.detach(), p)),
        (lambda a: F.pairwise_distance(a, 0 * a.detach(), p, 0.0),
         lambda a: torch.nn.functional.pairwise_distance(a, 0 * a.detach(), p, 0.0)),
        (lambda a: F.cosine_similarity(a, a.detach() + 1),
         lambda a: torch.nn.functional.cosine_similarity(a, a.detach() + 1)),
    ):  # fmt: skip
        mine, other = tc.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        ours(mine).sum().backward()
        theirs(other).sum().backward()
        np.testing.assert_allclose(mine.grad.numpy(), other.grad.numpy(), rtol=1e-9, atol=1e-12)


def test_dtypes_are_promoted_as_in_pytorch():
    a, b = tc.ones(2, 3, dtype=tc.float64), tc.ones(2, 3)
    assert F.cosine_similarity(a, b).dtype is tc.float64
    assert F.cosine_similarity(b, b.long()).dtype is tc.float32
    assert F.pairwise_distance(b.long(), b.long()).dtype is tc.float32
    assert F.rms_norm(b, 3, tc.ones(3, dtype=tc.float64)).dtype is tc.float32
