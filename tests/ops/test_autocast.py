"""Autocast against PyTorch's: on the CPU itself, and on CUDA as its fake tensors tell."""

import threading
import warnings

import numpy as np
import pytest
from against_torch import torch
from autocast_calls import CALLS
from gpulike import register_gpulike

import tinyconv as tc
from tinyconv import ops
from tinyconv.autograd.modes import state
from tinyconv.errors import ArgumentError, DeviceError, DTypeError
from tinyconv.nn import functional as F
from tinyconv.ops import autocasting

fake = pytest.importorskip("torch._subclasses.fake_tensor")
GPU = register_gpulike()
RNG = np.random.default_rng(0)
#: Where PyTorch gives another dtype, and why it is not followed.
ELSEWHERE = {
    ("cpu", "pinv"): "a product inside of it is lowered, on what was decomposed in float32"
}


def arrays_of(shapes):
    return [RNG.uniform(0.1, 0.9, s) if isinstance(s, tuple) else s for s in shapes]


def mixtures(arrays):
    """Yield names of dtypes for the floating-point arrays: all alike, or the first one apart."""
    floating = [i for i, a in enumerate(arrays) if a.dtype.kind == "f"]
    for name in ("float32", "bfloat16", "float16", "float64"):
        yield [name] * len(arrays)
    if len(floating) > 1:
        for one, rest in (("bfloat16", "float32"), ("float32", "bfloat16")):
            yield [one if i == floating[0] else rest for i in range(len(arrays))]


def dtype_name(result):
    result = result[0] if isinstance(result, tuple | list) else result
    return str(result.dtype).rpartition(".")[2]


def of_torch(call, arrays, names, device):
    """Return the dtype that PyTorch gives, or ``None`` if it refuses."""
    try:
        if device == "cpu":
            tensors = [
                torch.from_numpy(np.array(a)).to(getattr(torch, n) if a.dtype.kind == "f" else None)
                for a, n in zip(arrays, names, strict=True)
            ]
            with torch.autocast("cpu", dtype=torch.bfloat16):
                return dtype_name(call(torch, torch.nn.functional, *tensors))
        with fake.FakeTensorMode(allow_non_fake_inputs=True):
            tensors = [
                torch.empty(a.shape, device="cuda", dtype=getattr(torch, n)
                            if a.dtype.kind == "f" else torch.int64)
                for a, n in zip(arrays, names, strict=True)
            ]  # fmt: skip
            torch.set_autocast_enabled("cuda", True)
            torch.set_autocast_dtype("cuda", torch.bfloat16)
            try:
                return dtype_name(call(torch, torch.nn.functional, *tensors))
            finally:
                torch.set_autocast_enabled("cuda", False)
    except Exception:
        return None


def of_ours(call, arrays, names, device):
    tensors = [
        tc.tensor(a, device=device).to(getattr(tc, n) if a.dtype.kind == "f" else tc.int64)
        for a, n in zip(arrays, names, strict=True)
    ]
    with tc.autocast(device, dtype=tc.bfloat16):
        return dtype_name(call(tc, F, *tensors))


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_dtypes_are_those_of_torch(name, device, caplog):
    caplog.set_level("CRITICAL")  # what fake tensors refuse they report at length
    if (device, name) in ELSEWHERE:
        pytest.skip(ELSEWHERE[device, name])
    call, shapes = CALLS[name]
    arrays = arrays_of(shapes)
    checked = 0
    for names in mixtures(arrays):
        with warnings.catch_warnings(action="ignore"):
            expected = of_torch(call, arrays, names, device)
        decomposed = device == "cuda" and name in (
            "cholesky", "inv", "inverse", "solve", "svdvals", "eigvalsh", "qr", "pinv",
            "matrix_rank", "index_copy",
        )  # fmt: skip
        if expected is None or (decomposed and set(names) & {"bfloat16", "float16"}):
            continue  # fake tensors decompose what no GPU would
        checked += 1
        got = of_ours(call, arrays, names, GPU if device == "cuda" else "cpu")
        assert got == expected, names
    assert checked or (device, name) in (
        ("cuda", "gaussian_nll_loss"), ("cuda", "grid_sample"), ("cuda", "pinv"),
        ("cuda", "matrix_rank"),
    )  # fmt: skip


def test_every_entry_of_the_tables_is_an_op():
    casts = {op for op in vars(ops).values() if hasattr(op, "__wrapped__")}
    casts |= {op for module in (F, tc.linalg) for op in vars(module).values()
              if hasattr(op, "__wrapped__")}  # fmt: skip
    names = {op.__name__ for op in casts} | {"recurrence"}
    assert autocasting.CPU.keys() | autocasting.ACCELERATOR.keys() == names
    assert ops.softmax is F.softmax is tc.softmax


def test_binary_cross_entropy_is_refused_off_the_cpu():
    p = torch.rand(4)
    ours = tc.tensor(p.numpy())
    with tc.autocast("cpu"):
        assert F.binary_cross_entropy(ours.bfloat16(), ours).dtype is tc.float32
    with tc.autocast(GPU), pytest.raises(ArgumentError, match="use binary_cross_entropy_with_log"):
        F.binary_cross_entropy(ours.to(GPU), ours.to(GPU))
    with tc.autocast(GPU):
        assert F.binary_cross_entropy(ours, ours).dtype is tc.float32  # on the CPU


def test_values_are_those_of_torch():
    weight, bias = RNG.standard_normal((4, 8)), RNG.standard_normal(4)
    x = RNG.standard_normal((5, 8))
    ours = [tc.tensor(a).float().requires_grad_() for a in (x, weight, bias)]
    theirs = [torch.tensor(a).float().requires_grad_() for a in (x, weight, bias)]
    with tc.autocast("cpu", dtype=tc.bfloat16):
        y = F.linear(*ours)
        loss = F.mse_loss(y.relu(), tc.ones(5, 4))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ty = torch.nn.functional.linear(*theirs)
        their_loss = torch.nn.functional.mse_loss(ty.relu(), torch.ones(5, 4))
    np.testing.assert_allclose(
        y.detach().float().numpy(), ty.detach().float().numpy(), rtol=2**-7, atol=1e-6
    )
    np.testing.assert_allclose(loss.item(), their_loss.item(), rtol=1e-2)
    loss.backward()
    their_loss.backward()
    for a, b in zip(ours, theirs, strict=True):
        assert a.grad.dtype is tc.float32
        scale = abs(b.grad).max().item()
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=3e-2, atol=1e-2 * scale)


# -- contexts -----------------------------------------------------------------------------------


def product_dtype():
    return (tc.ones(2, 2) @ tc.ones(2, 2)).dtype


def test_contexts_nest():
    assert not tc.is_autocast_enabled("cpu")
    with tc.autocast("cpu") as context:
        assert (context.device, context.dtype, context.enabled) == ("cpu", tc.bfloat16, True)
        assert tc.is_autocast_enabled("cpu")
        assert not tc.is_autocast_enabled(GPU)
        assert product_dtype() is tc.bfloat16
        with tc.autocast("cpu", enabled=False):
            assert not tc.is_autocast_enabled("cpu")
            assert product_dtype() is tc.float32
        with tc.autocast("cpu", dtype=tc.float16):
            assert product_dtype() is tc.float16
            assert tc.get_autocast_dtype("cpu") is tc.float16
        with tc.autocast(GPU):
            assert product_dtype() is tc.bfloat16
            assert tc.is_autocast_enabled(GPU)
            x = tc.ones(2, 2, device=GPU)
            assert (x @ x).dtype is tc.float16
        assert product_dtype() is tc.bfloat16
    assert product_dtype() is tc.float32
    assert state.autocast is None
    assert tc.get_autocast_dtype("cpu") is tc.bfloat16
    assert tc.get_autocast_dtype(GPU) is tc.float16
    with pytest.raises(ZeroDivisionError), tc.autocast("cpu"):
        raise ZeroDivisionError
    assert state.autocast is None
    assert state.autocast_depth == 0


def test_one_context_can_be_entered_again_and_again():
    context = tc.autocast("cpu")
    for _ in range(2):
        with context, context:
            assert product_dtype() is tc.bfloat16
        assert product_dtype() is tc.float32


def test_decorator():
    @tc.autocast("cpu", dtype=tc.bfloat16)
    def function(x):
        """Multiply."""
        return x @ x

    @tc.autocast("cpu")
    def generator():
        yield product_dtype()
        yield product_dtype()

    assert function(tc.ones(2, 2)).dtype is tc.bfloat16
    assert function.__doc__ == "Multiply."
    found = []
    for dtype in generator():
        found.append((dtype, product_dtype()))
    assert found == [(tc.bfloat16, tc.float32)] * 2


def test_other_threads_are_not_concerned():
    seen = []
    with tc.autocast("cpu"):
        thread = threading.Thread(target=lambda: seen.append(product_dtype()))
        thread.start()
        thread.join()
    assert seen == [tc.float32]


def test_what_cannot_be_warns_or_raises():
    with pytest.warns(UserWarning, match="must be bfloat16 or float16, got tinyconv.float32"):
        context = tc.autocast("cpu", dtype=tc.float32)
    with context:
        assert product_dtype() is tc.float32
    tc.autocast("cpu", dtype=tc.float32, enabled=False)
    with pytest.raises(DeviceError, match="got 'gpu'"):
        tc.autocast("gpu")
    with pytest.raises(DeviceError, match="got 'cuda:0'"):
        tc.autocast("cuda:0")
    with pytest.raises(DTypeError, match="device 'strict' has no bfloat16"):
        tc.autocast("strict", dtype=tc.bfloat16)
    if not tc.amp.is_autocast_available("cuda"):
        with pytest.warns(UserWarning, match="device 'cuda' cannot be had"):
            context = tc.autocast("cuda")
        with context:
            assert not tc.is_autocast_enabled()


def test_tensors_elsewhere_and_of_float64_stay():
    with tc.autocast("cpu"):
        x = tc.ones(2, 2, dtype=tc.float64)
        assert (x @ x).dtype is tc.float64
        y = tc.ones(2, 2, device=GPU)
        assert (y @ y).dtype is tc.float32
        assert (tc.ones(2, 2, dtype=tc.int64) @ tc.ones(2, 2, dtype=tc.int64)).dtype is tc.int64


# -- the cache of weights -----------------------------------------------------------------------


class Casts(tc.autograd.Observer):
    def __init__(self):
        self.number = 0

    def after_forward(self, node, args, outputs):
        self.number += type(node).__name__ == "Cast"


def casts_of(function, **options):
    with Casts() as seen, tc.autocast("cpu", **options):
        function()
    return seen.number


def test_a_weight_is_cast_once():
    weight = tc.nn.Parameter(tc.ones(2, 2))
    x = tc.ones(2, 2).bfloat16()
    assert casts_of(lambda: [x @ weight for _ in range(3)]) == 1
    assert casts_of(lambda: [x @ weight for _ in range(3)], cache_enabled=False) == 3
    assert casts_of(lambda: [x @ weight.detach() for _ in range(3)]) == 3
    assert not state.autocast_casts

    def nested():
        x @ weight
        with tc.autocast("cpu"):
            x @ weight
        with tc.autocast("cpu", enabled=False):
            pass
        x @ weight

    assert casts_of(nested) == 1


def test_a_cast_is_not_kept_where_it_would_be_wrong():
    weight = tc.nn.Parameter(tc.ones(2, 2))
    x = tc.ones(2, 2).bfloat16()
    with tc.autocast("cpu"):
        with tc.no_grad():
            x @ weight
        y = (x @ weight).sum()
        assert y.requires_grad  # in the cache there is none without a graph
        y.backward()
        with tc.no_grad():
            weight.mul_(3.0)
        assert (x @ weight)[0, 0].item() == 6.0
        x @ weight
        tc.clear_autocast_cache()
        assert not state.autocast_casts
    assert weight.grad.tolist() == [[2.0, 2.0], [2.0, 2.0]]


def test_gradients_of_a_shared_weight_arrive_in_float32():
    weight = tc.nn.Parameter(tc.full((2, 2), 0.5))
    x = tc.ones(2, 2)
    with tc.autocast("cpu"):
        y = (x @ weight) @ weight
    y.float().sum().backward()
    assert weight.grad.dtype is tc.float32
    assert weight.grad.tolist() == [[4.0, 4.0], [4.0, 4.0]]


# -- the graph ----------------------------------------------------------------------------------


def test_backward_runs_in_the_dtypes_of_forward_wherever_it_is_called():
    class Dtypes(tc.autograd.Observer):
        def __init__(self):
            self.seen = []

        def after_backward(self, node, grads, results):
            self.seen.append((node.name(), [r.dtype.name for r in results if r is not None]))

    def run(inside):
        layer = tc.nn.Linear(3, 2)
        context = tc.autocast("cpu")
        with context:
            y = layer(tc.ones(4, 3))
            loss = (y.exp() * 2).sum()
        with Dtypes() as dtypes:
            if inside:
                with context:
                    loss.backward()
            else:
                loss.backward()
        return dtypes.seen

    assert run(True) == run(False)
    assert ("LinearBackward", ["bfloat16", "bfloat16"]) in run(False)


def test_backward_inside_a_context_loses_no_digits():
    """The gradient of an inverse is two products, which autocast would lower."""
    gradients = []
    for inside in (False, True):
        x = tc.tensor([[2.0, 0.3], [0.1, 1.7]], requires_grad=True)
        y = tc.linalg.inv(x)
        with tc.autocast("cpu", enabled=inside):
            y[0, 0].backward()
        gradients.append(x.grad.tolist())
    assert gradients[0] == gradients[1]


def test_autocast_is_off_inside_an_op_and_on_after_an_error():
    with tc.autocast(GPU):
        x = tc.ones(3, 4, device=GPU)
        y = F.cross_entropy(x, tc.zeros(3, dtype=tc.int64, device=GPU), label_smoothing=0.1)
        assert y.dtype is tc.float32
        with pytest.raises(Exception, match="do not fit"):
            x @ x
        assert tc.is_autocast_enabled(GPU)


def test_checkpoint_repeats_it():
    layer = tc.nn.Linear(4, 4)
    x = tc.randn(3, 4)

    def block(x):
        return layer(layer(x).exp())

    grads = []
    for call in (block, lambda x: tc.autograd.checkpoint(block, x)):
        layer.zero_grad()
        with tc.autocast("cpu"):
            y = call(x)
        assert y.dtype is tc.bfloat16
        y.float().sum().backward()
        grads.append(layer.weight.grad)
    np.testing.assert_array_equal(grads[0].numpy(), grads[1].numpy())


def test_second_derivatives():
    x = tc.randn(4, 4).requires_grad_()
    with tc.autocast("cpu"):
        y = (x @ x).tanh().sum()
    (first,) = tc.autograd.grad(y, [x], create_graph=True)
    assert first.dtype is tc.float32
    (first * first).sum().backward()
    assert x.grad.dtype is tc.float32
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN"])
def test_recurrent_layers(name):
    layer, theirs = getattr(tc.nn, name)(3, 4), getattr(torch.nn, name)(3, 4)
    with tc.autocast("cpu"):
        y, _ = layer(tc.ones(5, 2, 3))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        expected, _ = theirs(torch.ones(5, 2, 3))
    assert y.dtype is tc.bfloat16
    if name != "GRU":  # which PyTorch, on the CPU alone, puts together from smaller ops
        assert dtype_name(y) == dtype_name(expected)
    y.float().sum().backward()
    assert all(p.grad.dtype is tc.float32 for p in layer.parameters())


def test_attention_and_norm_layers():
    layer = tc.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    with tc.autocast("cpu"):
        y = layer(tc.ones(2, 5, 8))
    y.float().sum().backward()
    assert all(p.grad.dtype is tc.float32 for p in layer.parameters() if p.grad is not None)


@pytest.mark.parametrize("dtype", [tc.bfloat16, tc.float16])
def test_lenet_learns_digits_as_well_as_in_float32(dtype):
    data = pytest.importorskip("sklearn.datasets").load_digits()
    images = tc.tensor(data.images[:600]).float().reshape(-1, 1, 8, 8) / 16
    labels = tc.tensor(data.target[:600])
    test, answers = tc.tensor(data.images[600:1200]).float().reshape(-1, 1, 8, 8) / 16, data.target
    accuracy = {}
    for enabled in (False, True):
        tc.manual_seed(0)
        model = tc.nn.Sequential(
            tc.nn.Conv2d(1, 8, 3, padding=1), tc.nn.BatchNorm2d(8), tc.nn.ReLU(),
            tc.nn.MaxPool2d(2), tc.nn.Conv2d(8, 16, 3), tc.nn.Tanh(), tc.nn.Flatten(),
            tc.nn.Linear(64, 10),
        )  # fmt: skip
        optimizer = tc.optim.Adam(model.parameters(), lr=1e-2)
        scaler = tc.amp.GradScaler("cpu", enabled=enabled and dtype is tc.float16)
        for step in range(60):
            rows = slice(step % 6 * 100, step % 6 * 100 + 100)
            optimizer.zero_grad()
            with tc.autocast("cpu", dtype=dtype, enabled=enabled):
                logits = model(images[rows])
                loss = F.cross_entropy(logits, labels[rows])
            assert logits.dtype is (dtype if enabled else tc.float32)
            assert loss.dtype is tc.float32
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
        assert {p.dtype for p in model.parameters()} == {tc.float32}
        model.eval()
        with tc.no_grad(), tc.autocast("cpu", dtype=dtype, enabled=enabled):
            found = model(test).argmax(1).numpy()
        accuracy[enabled] = (found == answers[600:1200]).mean()
    assert accuracy[False] > 0.9
    assert accuracy[True] > accuracy[False] - 0.02
