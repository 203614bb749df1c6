"""Every loss module against PyTorch's of the same name, or the function it stands for."""

import inspect

import numpy as np
import pytest

import tinyconv as tc
from tinyconv import nn
from tinyconv.errors import ArgumentError, ShapeError
from tinyconv.nn import functional as F

RNG = np.random.default_rng(0)
LABELS = np.array([0, 2, 1, 1, 0])
SHARES = RNG.uniform(0.1, 0.9, (5, 3))
SIGNS = np.array([1.0, -1, -1, 1, -1])
LISTS = np.array([[0, -1, 1], [2, 1, -1], [-1, 0, 0], [1, 0, 2], [2, -1, -1]])
A, B = RNG.uniform(0.1, 0.9, (5, 3)), RNG.uniform(0.1, 0.9, (5, 3))
W = np.array([1.0, 2.0, 0.5])


def squared_distance(a, b):
    return ((a - b) * (a - b)).sum(-1)


# name, options, further arguments: float arrays among them are differentiated too where they may be
LOSSES = [
    ("CrossEntropyLoss", {}, [LABELS]),
    ("CrossEntropyLoss", {"reduction": "sum", "label_smoothing": 0.1}, [LABELS]),
    ("CrossEntropyLoss", {"weight": W, "ignore_index": 1}, [LABELS]),
    ("CrossEntropyLoss", {"weight": W, "label_smoothing": 0.2}, [SHARES]),
    ("NLLLoss", {"weight": W, "reduction": "sum"}, [LABELS]),
    ("MSELoss", {}, [SHARES]),
    ("MSELoss", {"reduction": "none"}, [SHARES]),
    ("L1Loss", {"reduction": "sum"}, [SHARES]),
    ("SmoothL1Loss", {"beta": 0.3}, [SHARES]),
    ("HuberLoss", {"delta": 0.3}, [SHARES]),
    ("BCELoss", {}, [SHARES]),
    ("BCELoss", {"weight": W}, [SHARES]),
    ("BCEWithLogitsLoss", {"pos_weight": W, "reduction": "none"}, [SHARES]),
    ("KLDivLoss", {"reduction": "batchmean"}, [SHARES]),
    ("KLDivLoss", {"log_target": True, "reduction": "sum"}, [SHARES]),
    ("PoissonNLLLoss", {}, [SHARES]),
    ("PoissonNLLLoss", {"log_input": False, "full": True, "eps": 0.1}, [SHARES * 4]),
    ("GaussianNLLLoss", {}, [SHARES, B]),
    ("GaussianNLLLoss", {"full": True, "eps": 0.5, "reduction": "sum"}, [SHARES, B]),
    ("SoftMarginLoss", {"reduction": "sum"}, [SIGNS[:, None] * np.ones((1, 3))]),
    ("MultiMarginLoss", {}, [LABELS]),
    ("MultiMarginLoss", {"p": 2, "margin": 0.4, "weight": W, "reduction": "none"}, [LABELS]),
    ("MultiLabelMarginLoss", {"reduction": "sum"}, [LISTS]),
    ("MultiLabelSoftMarginLoss", {"weight": W, "reduction": "none"}, [SHARES]),
    ("MarginRankingLoss", {"margin": 0.1}, [B, SIGNS[:, None]]),
    ("HingeEmbeddingLoss", {"margin": 0.5}, [SIGNS[:, None]]),
    ("CosineEmbeddingLoss", {"margin": 0.5}, [B, SIGNS]),
    ("TripletMarginLoss", {}, [B, SHARES]),
    ("TripletMarginLoss", {"margin": 0.5, "p": 1.0, "swap": True, "eps": 0.1}, [B, SHARES]),
    ("TripletMarginWithDistanceLoss", {"swap": True, "reduction": "none"}, [B, SHARES]),
    ("TripletMarginWithDistanceLoss", {"distance_function": squared_distance}, [B, SHARES]),
    ("PairwiseDistance", {"p": 1.0, "keepdim": True}, [B]),
    ("CosineSimilarity", {"dim": 0}, [B]),
]
IDS = [f"{name}{list(options)}" for name, options, _ in LOSSES]


@pytest.mark.parametrize(("name", "options", "arguments"), LOSSES, ids=IDS)
def test_matches_pytorch(name, options, arguments):
    torch = pytest.importorskip("torch")

    def values(library, as_tensor):
        given = {k: as_tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
        loss = getattr(library, name)(**given)
        x = as_tensor(A).requires_grad_()
        result = loss(x, *map(as_tensor, arguments))
        result.sum().backward()
        state = {k: v.tolist() for k, v in loss.state_dict().items()}
        return repr(loss), state, result.detach().numpy(), x.grad.numpy()

    ours, theirs = values(nn, tc.tensor), values(torch.nn, torch.tensor)
    assert ours[:2] == theirs[:2]
    np.testing.assert_allclose(ours[2], theirs[2], rtol=1e-10)
    np.testing.assert_allclose(ours[3], theirs[3], rtol=1e-9, atol=1e-15)


def test_signatures_are_pytorchs_without_what_it_calls_deprecated():
    torch = pytest.importorskip("torch")
    for name in sorted({name for name, _, _ in LOSSES}):
        ours = inspect.signature(getattr(nn, name)).parameters.values()
        theirs = inspect.signature(getattr(torch.nn, name)).parameters.values()
        assert [(p.name, p.default) for p in ours] == [
            (p.name, p.default) for p in theirs if p.name not in ("size_average", "reduce")
        ], name


SIGN_TABLE = np.where(SHARES > 0.5, 1.0, -1.0)

# Losses that PyTorch has not: module, its options, the function, its arguments.
OTHERS = [
    ("HingeLoss", {}, F.hinge_loss, [SIGN_TABLE]),
    ("SquaredHingeLoss", {}, F.squared_hinge_loss, [SIGN_TABLE]),
    ("CategoricalHingeLoss", {}, F.categorical_hinge_loss, [np.eye(3)[LABELS]]),
    ("ContrastiveLoss", {"margin": 0.5}, F.contrastive_loss, [B, SIGNS]),
    ("ContrastiveLoss", {"squared": False}, F.contrastive_loss, [B, SIGNS]),
    ("SigmoidFocalLoss", {"alpha": 0.6, "gamma": 1.0}, F.sigmoid_focal_loss, [SHARES]),
    (
        "SoftmaxFocalLoss",
        {"weight": W, "gamma": 1.0, "ignore_index": 1},
        F.softmax_focal_loss,
        [LABELS],
    ),
    ("DiceLoss", {"mode": "binary", "smooth": 0.1, "squared": True}, F.dice_loss, [SHARES]),
    ("DiceLoss", {"batch": True, "from_logits": False, "ignore_index": 1}, F.dice_loss, [LABELS]),
    ("InfoNCELoss", {"similarity": "dot", "temperature": 0.3}, F.info_nce_loss, [B, SHARES]),
    ("InfoNCELoss", {}, F.info_nce_loss, [B]),
    ("NTXentLoss", {"temperature": 0.3}, F.nt_xent_loss, [B]),
    ("SupConLoss", {"temperature": 0.3}, F.sup_con_loss, [LABELS]),
    ("SoftTargetCrossEntropyLoss", {"temperature": 3.0}, F.soft_target_cross_entropy, [SHARES]),
    ("DistillationKLLoss", {"squared_temperature": False}, F.distillation_kl_loss, [B]),
    ("DistillationKLLoss", {"temperature": 2.0}, F.distillation_kl_loss, [B]),
    (
        "CategoricalCrossEntropyLoss",
        {"weight": W, "label_smoothing": 0.2, "from_logits": True},
        F.categorical_cross_entropy,
        [SHARES],
    ),
    (
        "SparseCategoricalCrossEntropyLoss",
        {"weight": W, "ignore_index": 1},
        F.sparse_categorical_cross_entropy,
        [LABELS],
    ),
    (
        "SparseCategoricalCrossEntropyLoss",
        {"from_logits": True},
        F.sparse_categorical_cross_entropy,
        [LABELS],
    ),
]


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(
    ("name", "options", "function", "arguments"),
    OTHERS,
    ids=[f"{n}{list(o)}" for n, o, *_ in OTHERS],
)
def test_module_is_its_function(name, options, function, arguments, reduction):
    tensors = [tc.tensor(a) for a in (A, *arguments)]
    as_tensors = {k: tc.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    loss = getattr(nn, name)(**as_tensors, reduction=reduction)
    expected = function(*tensors, **as_tensors, reduction=reduction)
    assert loss(*tensors).tolist() == expected.tolist()
    with pytest.raises(ArgumentError, match=f"{name}: reduction must be"):
        getattr(nn, name)(reduction="max")


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: nn.MSELoss(reduction="max"), ArgumentError, "MSELoss: reduction must be"),
        (lambda: nn.MultiMarginLoss(3), ArgumentError, "MultiMarginLoss: p must be 1 or 2, got 3"),
        (
            lambda: nn.MultiMarginLoss(weight=tc.ones(1, 3)),
            ShapeError,
            r"weight must have shape \(C",
        ),
        (lambda: nn.TripletMarginLoss(0.0), ArgumentError, "TripletMarginLoss: margin must be pos"),
        (lambda: nn.TripletMarginWithDistanceLoss(margin=-1), ArgumentError, "must be positive"),
        (
            lambda: nn.ContrastiveLoss(0.0),
            ArgumentError,
            "ContrastiveLoss: margin must be positive",
        ),
    ],
)
def test_refused_when_made(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_distillation_takes_the_mean_over_the_batch():
    z, teacher = tc.tensor(A).reshape(1, 5, 3), tc.tensor(B).reshape(1, 5, 3)
    loss = nn.DistillationKLLoss(reduction="batchmean")
    assert loss.reduction == "batchmean"
    assert loss(z, teacher).item() == nn.DistillationKLLoss(reduction="sum")(z, teacher).item()
