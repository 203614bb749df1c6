"""Multi-head attention and transformer encoders against PyTorch's, over their options."""

import warnings

import numpy as np
import pytest
from against_torch import assert_same

import tinyconv as tc
from tinyconv import nn
from tinyconv.errors import ArgumentError, DTypeError, ShapeError
from tinyconv.nn import functional as F

torch = pytest.importorskip("torch")

N, L, S, E, HEADS = 2, 3, 5, 8, 4
RNG = np.random.default_rng(0)
# Every query may look at something: where it may not, PyTorch gives NaN with need_weights.
PADDING = np.array([[False, False, True, False, True], [False, False, False, False, True]])
MASK = np.array([[False, True, False, True, False], [False, False, True, True, False],
                 [False, True, True, False, False]])  # fmt: skip
MASK_A_HEAD = RNG.uniform(size=(N * HEADS, L, S)) > 0.6
MASK_A_HEAD[..., 0] = False
CAUSAL = np.triu(np.ones((L, L), bool), 1)
FLOATS, FLOAT_PADDING = RNG.normal(size=(L, S)), np.where(PADDING, -np.inf, 0.3)

LAYERS = [
    {},
    {"bias": False},
    {"add_bias_kv": True},
    {"add_zero_attn": True},
    {"add_bias_kv": True, "add_zero_attn": True, "batch_first": True},
    {"kdim": 6, "vdim": 7},
    {"kdim": 6, "bias": False, "batch_first": True},
    {"batch_first": True},
]
CALLS = [
    {},
    {"need_weights": False},
    {"average_attn_weights": False},
    {"attn_mask": MASK},
    {"attn_mask": FLOATS, "need_weights": False},
    {"attn_mask": MASK_A_HEAD, "average_attn_weights": False},
    {"key_padding_mask": PADDING},
    {"key_padding_mask": FLOAT_PADDING, "attn_mask": FLOATS},
    {"key_padding_mask": PADDING, "attn_mask": MASK, "need_weights": False},
]


def numbers(*shape):
    return np.random.default_rng(sum(shape)).uniform(-1, 1, shape)


def pair(ours, theirs):
    """Give both modules the same random parameters; they are equal in repr, keys and shapes."""
    assert repr(ours) == repr(theirs)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.uniform_(-1, 1)
    keys = [(k, tuple(v.shape)) for k, v in theirs.state_dict().items()]
    assert [(k, tuple(v.shape)) for k, v in ours.state_dict().items()] == keys
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    return ours, theirs


def compare(ours, theirs, arrays, options, self_attention=False):
    """One pass forward and back gives the same results and gradients."""
    found = []
    for library, module in ((tc, ours), (torch, theirs)):
        leaves = [library.tensor(a, requires_grad=True) for a in arrays]
        given = {
            k: library.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()
        }
        result = module(*(leaves * 3 if self_attention else leaves), **given)
        y, weights = result if isinstance(result, tuple) else (result, None)
        total = (y * y).sum()
        if weights is not None:
            total = total + (weights**3).sum()
        module.zero_grad()
        total.backward()
        grads = [x.grad for x in (*leaves, *module.parameters())]
        found.append(tuple(x for x in (y, weights, *grads)))
    for a, b in zip(*found, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert_same(a, b, 1e-9, 1e-10)


@pytest.mark.parametrize("options", LAYERS, ids=str)
@pytest.mark.parametrize("call", CALLS, ids=lambda c: "+".join(f"{k}" for k in c) or "plain")
def test_attention(options, call):
    new = {"dtype": tc.float64}, {"dtype": torch.float64}
    ours, theirs = pair(
        nn.MultiheadAttention(E, HEADS, **options, **new[0]),
        torch.nn.MultiheadAttention(E, HEADS, **options, **new[1]),
    )
    shapes = [(L, N, E), (S, N, options.get("kdim", E)), (S, N, options.get("vdim", E))]
    arrays = [numbers(*shape) for shape in shapes]
    if options.get("batch_first"):
        arrays = [a.transpose(1, 0, 2).copy() for a in arrays]
    compare(ours, theirs, arrays, call)


@pytest.mark.parametrize("options", [{}, {"add_bias_kv": True, "batch_first": True}], ids=str)
@pytest.mark.parametrize(
    "call",
    [{}, {"need_weights": False}, {"average_attn_weights": False},
     {"key_padding_mask": PADDING[0], "attn_mask": MASK}, {"attn_mask": MASK_A_HEAD[:HEADS]}],
    ids=["plain", "output", "heads", "masks", "mask a head"],
)  # fmt: skip
def test_attention_without_a_batch(options, call, backend):
    ours, theirs = pair(
        nn.MultiheadAttention(E, HEADS, **options, dtype=tc.float64),
        torch.nn.MultiheadAttention(E, HEADS, **options, dtype=torch.float64),
    )
    compare(ours, theirs, [numbers(L, E), numbers(S, E), numbers(S, E) * 2], call)


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("added", [{}, {"add_zero_attn": True}], ids=str)
@pytest.mark.parametrize("call", [{}, {"attn_mask": CAUSAL},
                                  {"attn_mask": CAUSAL, "is_causal": True},
                                  {"attn_mask": CAUSAL, "is_causal": True, "need_weights": False},
                                  {"attn_mask": CAUSAL, "need_weights": False}],
                         ids=lambda c: "+".join(c) or "plain")  # fmt: skip
def test_self_attention(batch_first, added, call, backend):
    options = {"batch_first": batch_first, **added}
    ours, theirs = pair(
        nn.MultiheadAttention(E, HEADS, **options, dtype=tc.float64),
        torch.nn.MultiheadAttention(E, HEADS, **options, dtype=torch.float64),
    )
    if added and call.get("is_causal") and not call.get("need_weights", True):
        call = {**call, "is_causal": False}  # PyTorch then hides the key that was added
    compare(ours, theirs, [numbers(*((N, L) if batch_first else (L, N)), E)], call, True)


def test_a_query_that_may_look_nowhere_gets_the_bias():
    attention = nn.MultiheadAttention(E, HEADS)
    nn.init.uniform_(attention.out_proj.bias)
    x, mask = tc.randn(L, N, E, requires_grad=True), tc.zeros(L, L).bool()
    mask[1] = True
    for need_weights in (True, False):
        y, weights = attention(x, x, x, attn_mask=mask, need_weights=need_weights)
        assert (y[1] == attention.out_proj.bias).all()
    assert weights is None
    attention(x, x, x, attn_mask=mask)[1].sum().backward()
    assert x.grad.isfinite().all()
    assert attention.in_proj_weight.grad.isfinite().all()


def test_dropout_acts_on_the_weights_in_training_only():
    tc.manual_seed(0)
    x = tc.randn(50, 2, E)
    attention = nn.MultiheadAttention(E, HEADS, dropout=0.3)
    _, weights = attention(x, x, x, average_attn_weights=False)
    assert 0.25 < (weights == 0).float().mean().item() < 0.35
    _, weights = attention.eval()(x, x, x, average_attn_weights=False)
    np.testing.assert_allclose(weights.sum(-1).detach().numpy(), 1, rtol=1e-5)


def test_attention_starts_as_in_pytorch():
    tc.manual_seed(0)
    ours = nn.MultiheadAttention(64, 2, add_bias_kv=True)
    theirs = torch.nn.MultiheadAttention(64, 2, add_bias_kv=True)
    for (name, p), (_, q) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        a, b = p.detach().numpy(), q.detach().numpy()
        if name in ("bias_k", "bias_v"):
            assert 0.1 < a.std() < 0.25  # normal, of variance 2 / (64 + 64)
        else:
            assert abs(a).max() == pytest.approx(abs(b).max(), rel=0.03)
    separate = nn.MultiheadAttention(64, 2, kdim=16)
    assert separate.k_proj_weight.abs().max().item() == pytest.approx((6 / 80) ** 0.5, rel=0.03)


ENCODERS = [
    {},
    {"activation": "gelu", "batch_first": True},
    {"norm_first": True, "layer_norm_eps": 0.1},
    {"bias": False, "norm_first": True, "batch_first": True},
    {"activation": "tanh"},
    {"activation": "PReLU", "batch_first": True},
]


def encoder_layers(options):
    """Both layers with the same parameters, without dropout."""
    layers = []
    for library, modules in ((tc, nn), (torch, torch.nn)):
        given = dict(options)
        if given.get("activation") == "tanh":
            given["activation"] = library.tanh
        elif given.get("activation") == "PReLU":
            given["activation"] = modules.PReLU()
        layers.append(modules.TransformerEncoderLayer(
            E, HEADS, 16, 0.0, **given, dtype=library.float64
        ).double())  # fmt: skip
    return pair(*layers)


SELF_PADDING = PADDING[:, 1:4]
ENCODER_CALLS = [
    {},
    {"src_mask": CAUSAL},
    {"src_mask": CAUSAL, "is_causal": True},
    {"src_key_padding_mask": SELF_PADDING},
    {"src_key_padding_mask": SELF_PADDING, "src_mask": CAUSAL, "is_causal": True},
]


@pytest.mark.parametrize("options", ENCODERS, ids=str)
@pytest.mark.parametrize("call", ENCODER_CALLS, ids=lambda c: "+".join(c) or "plain")
def test_encoder_layer(options, call):
    ours, theirs = encoder_layers(options)
    x = numbers(*((N, L) if options.get("batch_first") else (L, N)), E)
    compare(ours, theirs, [x], call)
    if "src_key_padding_mask" not in call:
        compare(ours, theirs, [x[0] if options.get("batch_first") else x[:, 0]], call)


@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")
@pytest.mark.parametrize("options", ENCODERS, ids=str)
@pytest.mark.parametrize("call", ENCODER_CALLS, ids=lambda c: "+".join(c) or "plain")
def test_encoder(options, call, backend):
    layers = encoder_layers(options)
    ours, theirs = pair(
        nn.TransformerEncoder(layers[0], 2, nn.LayerNorm(E, dtype=tc.float64)),
        torch.nn.TransformerEncoder(layers[1], 2, torch.nn.LayerNorm(E, dtype=torch.float64)),
    )
    call = {k.replace("src_mask", "mask"): v for k, v in call.items()}
    x = numbers(*((N, L) if options.get("batch_first") else (L, N)), E)
    compare(ours, theirs, [x], call)


@pytest.mark.filterwarnings("ignore:.*nested tensors is in prototype:UserWarning")
@pytest.mark.parametrize("options", [{}, {"enable_nested_tensor": False}, {"mask_check": False}],
                         ids=str)  # fmt: skip
@pytest.mark.parametrize("layer", [
    {"batch_first": True}, {"batch_first": True, "activation": "gelu"}, {},
    {"batch_first": True, "norm_first": True}, {"batch_first": True, "activation": "tanh"},
    {"batch_first": True, "bias": False},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("padding", [[[0, 0, 1], [0, 0, 0]], [[0, 1, 0], [0, 1, 1]]], ids=str)
@pytest.mark.parametrize("norm", [True, False])
def test_padding_in_evaluation(options, layer, padding, norm):
    layers = encoder_layers(layer)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours, theirs = (
            modules.TransformerEncoder(
                one, 2, modules.LayerNorm(E, dtype=library.float64) if norm else None, **options
            ).eval()
            for library, modules, one in zip((tc, torch), (nn, torch.nn), layers, strict=True)
        )
    if options == {"mask_check": False} and padding[0] == [0, 1, 0]:
        pytest.skip("PyTorch was told not to look, and mixes up the positions")
    x, padding = numbers(N, L, E), np.array(padding, bool)
    if not layer.get("batch_first"):
        x = x.transpose(1, 0, 2).copy()
    for mask in (None, CAUSAL):
        given = [tc.tensor(x), mask if mask is None else tc.tensor(mask), tc.tensor(padding)]
        theirs_given = [None if g is None else torch.tensor(g.numpy()) for g in given]
        with tc.no_grad(), torch.no_grad():
            assert_same(ours(*given), theirs(*theirs_given), 1e-9, 1e-10)
        assert_same(ours(*given), theirs(*theirs_given), 1e-9, 1e-10)


def test_the_stack_holds_copies_that_are_its_own():
    layer = nn.TransformerEncoderLayer(E, HEADS, 16)
    encoder = nn.TransformerEncoder(layer, 3)
    assert len({id(p) for p in encoder.parameters()}) == 3 * len(list(layer.parameters()))
    assert encoder.layers[2].activation is F.relu
    for p, q in zip(layer.parameters(), encoder.layers[2].parameters(), strict=True):
        assert (p == q).all()


def test_dropout_of_an_encoder_layer_is_for_training():
    tc.manual_seed(0)
    layer, x = nn.TransformerEncoderLayer(E, HEADS, 16, dropout=0.5), tc.randn(L, N, E)
    assert not (layer(x) == layer(x)).all()
    layer.eval()
    assert (layer(x) == layer(x)).all()


X = tc.ones(L, N, E)


def attention(**options):
    return nn.MultiheadAttention(E, HEADS, **options)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: nn.MultiheadAttention(8, 3), ArgumentError, "embed_dim=8 must be divisible by"),
        (lambda: nn.MultiheadAttention(0, 1), ArgumentError, "MultiheadAttention: embed_dim"),
        (lambda: nn.MultiheadAttention(8, 0), ArgumentError, "MultiheadAttention: num_heads"),
        (lambda: attention(kdim=0), ArgumentError, "MultiheadAttention: kdim"),
        (lambda: attention(dropout=1.5), ArgumentError, "dropout must be from 0 to 1, got 1.5"),
        (lambda: attention()(X, X, X, is_causal=True), ArgumentError, "needs attn_mask"),
        (lambda: attention()(X, X, [1]), DTypeError, "value must be a Tensor .* got list"),
        (lambda: attention()(X, X.double(), X), DTypeError, "key must be .* got .*float64"),
        (lambda: attention()(X, X[0], X), ShapeError, r"\(3, 2, 8\), \(2, 8\) and \(3, 2, 8\)"),
        (lambda: attention()(X, X, X[:2]), ShapeError, "the last two of one length"),
        (lambda: attention()(X, X[:, :1], X[:, :1]), ShapeError, "query, key and value"),
        (lambda: attention(kdim=4)(X, X, X), ShapeError, r"\(L, N, 8\), \(L, N, 4\), \(L, N, 8"),
        (lambda: attention()(X, X, X, attn_mask=tc.zeros(2, 3)), ShapeError,
         r"attn_mask must have shape \(3, 3\) or \(8, 3, 3\), got \(2, 3\)"),
        (lambda: attention()(X, X, X, tc.zeros(3, 2).bool()), ShapeError,
         r"key_padding_mask must have shape \(2, 3\), got \(3, 2\)"),
        (lambda: attention(batch_first=True)(X, X, X, tc.zeros(2, 3)), ShapeError, r"\(3, 2\)"),
        (lambda: attention()(X[0], X[0], X[0], tc.zeros(1, 2)), ShapeError, r"\(2,\), got \(1"),
        (lambda: attention()(X, X, X, attn_mask=tc.zeros(3, 3).long()), DTypeError,
         "attn_mask must be bool or floating"),
        (lambda: nn.TransformerEncoderLayer(8, 3), ArgumentError, "divisible"),
        (lambda: nn.TransformerEncoderLayer(8, 2, activation="silu"), ArgumentError,
         "TransformerEncoderLayer: argument 'activation' must be one of 'relu', 'gelu'"),
        (lambda: nn.TransformerEncoderLayer(8, 2, dropout=2), ArgumentError, "from 0 to 1"),
        (lambda: nn.TransformerEncoder(nn.Identity(), 0), ArgumentError, "Encoder: num_layers"),
    ],
)  # fmt: skip
def test_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()
