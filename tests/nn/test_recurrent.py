"""Recurrent layers and cells against PyTorch's, over their options."""

import numpy as np
import pytest
from against_torch import assert_same

import tinyconv as tc
from tinyconv import nn
from tinyconv.errors import ArgumentError, DTypeError, ShapeError

torch = pytest.importorskip("torch")

T, N, SIZE, HIDDEN = 5, 3, 4, 6

LAYERS = [
    ("RNN", {}),
    ("RNN", {"nonlinearity": "relu", "num_layers": 2, "bidirectional": True}),
    ("RNN", {"bias": False, "batch_first": True}),
    ("LSTM", {}),
    ("LSTM", {"num_layers": 3, "batch_first": True, "bias": False}),
    ("LSTM", {"num_layers": 2, "bidirectional": True}),
    ("LSTM", {"proj_size": 2}),
    ("LSTM", {"proj_size": 5, "num_layers": 2, "bidirectional": True, "batch_first": True}),
    ("LSTM", {"proj_size": 3, "bias": False, "num_layers": 2}),
    ("GRU", {}),
    ("GRU", {"num_layers": 2, "bidirectional": True, "batch_first": True}),
    ("GRU", {"bias": False, "bidirectional": True}),
    ("GRU", {"num_layers": 2, "dropout": 0.0}),
]
CELLS = [
    ("RNNCell", {}),
    ("RNNCell", {"nonlinearity": "relu"}),
    ("RNNCell", {"bias": False}),
    ("LSTMCell", {}),
    ("LSTMCell", {"bias": False}),
    ("GRUCell", {}),
    ("GRUCell", {"bias": False}),
]


def ids(case):
    return f"{case[0]} {case[1] or ''}"


def pair(name, options, dtype="float64"):
    """Both layers with the same parameters; equal in repr, keys and shapes."""
    torch.manual_seed(0)
    theirs = getattr(torch.nn, name)(SIZE, HIDDEN, **options, dtype=getattr(torch, dtype))
    ours = getattr(nn, name)(SIZE, HIDDEN, **options, dtype=getattr(tc, dtype))
    assert repr(ours) == repr(theirs)
    keys = [(k, tuple(v.shape)) for k, v in theirs.state_dict().items()]
    assert [(k, tuple(v.shape)) for k, v in ours.state_dict().items()] == keys
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    return ours, theirs


def numbers(shape, seed, dtype="float64"):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(dtype)


def tensors(value, make):
    """Turn arrays into leaves, through tuples."""
    if isinstance(value, tuple):
        return tuple(tensors(v, make) for v in value)
    return None if value is None else make(value)


def flat(value):
    if isinstance(value, tuple):
        return [leaf for v in value for leaf in flat(v)]
    return [] if value is None else [value]


def compare(ours, theirs, x, state, rtol=1e-9, atol=1e-11):
    """One pass forward and back gives the same results and gradients."""
    a = tensors((x, state), lambda v: tc.tensor(v, requires_grad=True))
    b = tensors((x, state), lambda v: torch.tensor(v, requires_grad=True))
    results, expected = flat(ours(*a)), flat(theirs(*b))
    total, their_total = 0, 0
    for seed, (y, z) in enumerate(zip(results, expected, strict=True)):
        assert_same(y, z, rtol, atol)
        weights = numbers(tuple(z.shape), seed, str(z.dtype).removeprefix("torch."))
        total = total + (y * tc.tensor(weights)).sum()
        their_total = their_total + (z * torch.tensor(weights)).sum()
    ours.zero_grad()
    theirs.zero_grad()
    total.backward()
    their_total.backward()
    leaves = [*flat(a), *ours.parameters()]
    for leaf, their_leaf in zip(leaves, [*flat(b), *theirs.parameters()], strict=True):
        assert_same(leaf.grad, their_leaf.grad, rtol, atol)


def first_state(name, options, batch, dtype="float64"):
    count = options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1)
    h = numbers((count, *batch, options.get("proj_size") or HIDDEN), 5, dtype)
    return (h, numbers((count, *batch, HIDDEN), 6, dtype)) if name == "LSTM" else h


@pytest.mark.parametrize("case", LAYERS, ids=ids)
@pytest.mark.parametrize("batch", [(N,), ()], ids=["batch", "one"])
@pytest.mark.parametrize("state", [True, False], ids=["state", "zeros"])
def test_layer(case, batch, state, backend):
    name, options = case
    ours, theirs = pair(name, options)
    shape = (N, T, SIZE) if batch and options.get("batch_first") else (T, *batch, SIZE)
    hx = first_state(name, options, batch) if state else None
    compare(ours, theirs, numbers(shape, 1), hx)


@pytest.mark.parametrize("case", LAYERS[3:5] + LAYERS[9:11], ids=ids)
def test_layer_float32(case, backend):
    name, options = case
    ours, theirs = pair(name, options, "float32")
    hx = first_state(name, options, (N,), "float32")
    shape = (N, T, SIZE) if options.get("batch_first") else (T, N, SIZE)
    compare(ours, theirs, numbers(shape, 1, "float32"), hx, 2e-4, 2e-5)


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("shape", [(1, N, SIZE), (T, 0, SIZE), (40, 1, SIZE)])
def test_odd_shapes(name, shape):
    ours, theirs = pair(name, {"bidirectional": True})
    compare(ours, theirs, numbers(shape, 1), None)


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_second_gradient(name):
    """The gradient's own gradient, for the input and all parameters."""
    ours, theirs = pair(name, {"num_layers": 2, "bidirectional": True})
    x = numbers((3, 2, SIZE), 1)
    found = []
    for module, library in ((ours, tc), (theirs, torch)):
        leaves = [library.tensor(x, requires_grad=True), *module.parameters()]
        y = module(leaves[0])[0]
        grads = library.autograd.grad((y**3).sum(), leaves, create_graph=True)
        total = sum((g**2).sum() for g in grads)
        found.append(library.autograd.grad(total, leaves))
    for g, h in zip(*found, strict=True):
        assert_same(g, h, 1e-8, 1e-10)


@pytest.mark.parametrize("case", CELLS, ids=ids)
@pytest.mark.parametrize("batch", [(N,), (), (0,)])
@pytest.mark.parametrize("state", [True, False], ids=["state", "zeros"])
def test_cell(case, batch, state, backend):
    name, options = case
    ours, theirs = pair(name, options)
    h, c = numbers((*batch, HIDDEN), 5), numbers((*batch, HIDDEN), 6)
    hx = ((h, c) if name == "LSTMCell" else h) if state else None
    compare(ours, theirs, numbers((*batch, SIZE), 1), hx)


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_cell_repeats_what_the_layer_does(name):
    layer, cell = getattr(nn, name)(SIZE, HIDDEN), getattr(nn, name + "Cell")(SIZE, HIDDEN)
    cell.load_state_dict({k.removesuffix("_l0"): v for k, v in layer.state_dict().items()})
    x, state = tc.randn(T, N, SIZE), None
    for element in x:
        state = cell(element, state)
    _, last = layer(x)
    for a, b in zip(flat(state), flat(last), strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b[0].detach().numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell"])
def test_parameters_start_uniform_on_pytorch_bounds(name):
    tc.manual_seed(0)
    for parameter in getattr(nn, name)(30, 100).parameters():
        values = parameter.detach().numpy()
        assert 0.09 < abs(values).max() <= 0.1
        assert abs(values.mean()) < 0.02


def test_dropout_is_between_layers_and_only_in_training():
    tc.manual_seed(0)
    lstm = nn.LSTM(SIZE, 200, num_layers=2, dropout=0.4)
    lower, upper = nn.LSTM(SIZE, 200), nn.LSTM(200, 200)
    state = lstm.state_dict()
    lower.load_state_dict({k: v for k, v in state.items() if "l0" in k})
    upper.load_state_dict({k.replace("l1", "l0"): v for k, v in state.items() if "l1" in k})
    x = tc.randn(T, N, SIZE)
    tc.manual_seed(1)
    y, (h, _) = lstm(x)
    tc.manual_seed(1)
    between = nn.Dropout(0.4)(lower(x)[0])
    assert 0.3 < (between == 0).float().mean().item() < 0.5
    np.testing.assert_array_equal(y.detach().numpy(), upper(between)[0].detach().numpy())
    assert (h[0] == lower(x)[1][0][0]).all()
    dry = lstm.eval()(x)[0]
    np.testing.assert_array_equal(dry.detach().numpy(), upper(lower(x)[0])[0].detach().numpy())


def test_dropout_of_one_layer_warns():
    with pytest.warns(UserWarning, match="dropout=0.5 has no effect with num_layers=1") as caught:
        nn.GRU(2, 3, dropout=0.5)
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="no effect") as caught:
        nn.LSTM(2, 3, dropout=0.5)
    assert caught[0].filename == __file__


def test_all_weights_and_copies():
    lstm = nn.LSTM(2, 3, num_layers=2, bidirectional=True, proj_size=2)
    lstm.flatten_parameters()
    listed = [p for group in lstm.all_weights for p in group]
    assert all(a is b for a, b in zip(listed, lstm.parameters(), strict=True))
    assert len(lstm.all_weights) == 4
    assert [len(group) for group in nn.GRU(2, 3, 2, bias=False).all_weights] == [2, 2]


def test_summary_counts_multiplications():
    rows = nn.summary(nn.LSTM(4, 6, 2, proj_size=3, bidirectional=True), (5, 2, 4)).rows
    per_element = 2 * (24 * (4 + 3) + 18 + 24 * (6 + 3) + 18)
    assert rows[0].mult_adds == 5 * 2 * per_element
    assert nn.summary(nn.GRUCell(4, 6), (2, 4)).total_mult_adds == 2 * 18 * 10


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: nn.LSTM(0, 3), ArgumentError, "LSTM: input_size"),
        (lambda: nn.GRU(2, 1.5), DTypeError, "GRU: hidden_size"),
        (lambda: nn.RNN(2, 3, 0), ArgumentError, "RNN: num_layers"),
        (lambda: nn.RNN(2, 3, nonlinearity="gelu"), ArgumentError, "'tanh', 'relu', got 'gelu'"),
        (lambda: nn.RNNCell(2, 3, nonlinearity="x"), ArgumentError, "RNNCell: .*'nonlinearity'"),
        (lambda: nn.LSTM(2, 3, 2, dropout=1.5), ArgumentError, "LSTM: dropout .* got 1.5"),
        (lambda: nn.LSTM(2, 3, 2, dropout=True), ArgumentError, "LSTM: dropout .* got True"),
        (lambda: nn.LSTM(2, 3, proj_size=3), ArgumentError, "proj_size=3 must be smaller"),
        (lambda: nn.LSTM(2, 3, proj_size=-1), ArgumentError, "LSTM: proj_size"),
        (lambda: nn.LSTMCell(2, 0), ArgumentError, "LSTMCell: hidden_size"),
        (lambda: nn.GRU(2, 3)(tc.zeros(2)), ShapeError, r"GRU: input must be \(L, N"),
        (lambda: nn.GRU(2, 3)(tc.zeros(4, 1, 3)), ShapeError, "input_size=2, got shape"),
        (lambda: nn.GRU(2, 3, batch_first=True)(tc.zeros(3)), ShapeError, r"\(N, L, input_size"),
        (lambda: nn.GRU(2, 3)(tc.zeros(0, 1, 2)), ShapeError, "at least one time"),
        (lambda: nn.GRU(2, 3)(tc.zeros(1, 1, 2).double()), DTypeError, "float32, got .*float64"),
        (lambda: nn.GRU(2, 3)([1.0]), DTypeError, "got list"),
        (lambda: nn.GRU(2, 3)(tc.zeros(4, 5, 2), tc.zeros(1, 4, 3)), ShapeError, r"\(1, 5, 3\)"),
        (lambda: nn.GRU(2, 3)(tc.zeros(4, 2), tc.zeros(1, 1, 3)), ShapeError, r"\(1, 3\), got"),
        (lambda: nn.LSTM(2, 3)(tc.zeros(4, 2), tc.zeros(1, 3)), ArgumentError, r"pair \(h_0, c_0"),
        (lambda: nn.LSTM(2, 3)(tc.zeros(4, 2), (tc.zeros(1, 3), 0)), DTypeError, "c_0 must be"),
        (lambda: nn.LSTM(2, 3, proj_size=2)(tc.zeros(4, 2), (tc.zeros(1, 3),) * 2), ShapeError,
         r"h_0 must have shape \(1, 2\)"),
        (lambda: nn.GRUCell(2, 3)(tc.zeros(1, 1, 2)), ShapeError, r"input .* \(N, 2\) or \(2,\)"),
        (lambda: nn.GRUCell(2, 3)(tc.zeros(5, 3)), ShapeError, "GRUCell: input"),
        (lambda: nn.GRUCell(2, 3)(tc.zeros(5, 2), tc.zeros(3)), ShapeError, r"hx .* \(5, 3\)"),
        (lambda: nn.LSTMCell(2, 3)(tc.zeros(2), tc.zeros(3)), ArgumentError, r"pair \(h, c\)"),
        (lambda: nn.LSTMCell(2, 3)(tc.zeros(2), (tc.zeros(3), tc.zeros(2))), ShapeError,
         r"hx\[1\] must have shape \(3,\), got \(2,\)"),
        (lambda: nn.RNNCell(2, 3)(tc.zeros(2).double()), DTypeError, "RNNCell: input"),
    ],
)  # fmt: skip
def test_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()
