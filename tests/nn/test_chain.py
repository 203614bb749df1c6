"""Neighbours in a chain of layers that are one op: the bits of one after the other, one node."""

import weakref

import numpy as np
import pytest
from fusing import Calls, both_ways, names

import tinyconv as tc
from tinyconv import amp, config, nn
from tinyconv.autograd import gradcheck, gradgradcheck, node_backward
from tinyconv.autograd.profiler import profile
from tinyconv.backend import backends
from tinyconv.errors import ArgumentError, GradientError, ShapeError
from tinyconv.nn import functional as F
from tinyconv.nn.utils import parametrizations

pytestmark = pytest.mark.usefixtures("nothing_left_open")

ACTIVATIONS = [nn.ReLU(), nn.ReLU(inplace=True), nn.ReLU6()]
#: Layers, and shapes of their inputs: small ones, and such as are put off where nothing follows.
LAYERS = {
    "Conv1d": (lambda: nn.Conv1d(4, 5, 3), [(2, 4, 9), (4, 9), (8, 4, 1000)]),
    "Conv2d": (lambda: nn.Conv2d(4, 6, 3, padding=1), [(2, 4, 5, 6), (4, 5, 6), (4, 4, 40, 40)]),
    "pointwise": (lambda: nn.Conv2d(4, 6, 1, bias=False), [(4, 4, 40, 40)]),
    "depthwise": (lambda: nn.Conv2d(4, 4, 3, groups=4), [(2, 4, 5, 6), (4, 4, 40, 40)]),
    "mirrored": (lambda: nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"), [(2, 4, 5, 6)]),
    "Conv3d": (lambda: nn.Conv3d(4, 3, 2), [(2, 4, 3, 4, 3)]),
    "Linear": (lambda: nn.Linear(9, 7), [(9,), (5, 9), (2, 3, 9), (300, 9)]),
    "BatchNorm1d": (lambda: nn.BatchNorm1d(4), [(5, 4), (5, 4, 7)]),
    "BatchNorm2d": (lambda: nn.BatchNorm2d(4), [(2, 4, 5, 6), (4, 4, 40, 40)]),
    "BatchNorm3d": (lambda: nn.BatchNorm3d(4), [(2, 4, 3, 4, 3)]),
    "untracked": (lambda: nn.BatchNorm2d(4, track_running_stats=False), [(2, 4, 5, 6)]),
    "not affine": (lambda: nn.BatchNorm2d(4, affine=False), [(2, 4, 5, 6), (4, 4, 40, 40)]),
    "SyncBatchNorm": (lambda: nn.SyncBatchNorm(4), [(2, 4, 5)]),
}
CASES = [(name, shape) for name, (_, shapes) in LAYERS.items() for shape in shapes]


def seeded(make):
    """Return a module with parameters, and averages, that are neither 0 nor 1."""
    tc.manual_seed(3)
    module = make()
    with tc.no_grad():
        for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
            if tensor.dtype.is_floating_point:
                tensor.uniform_(0.1 if name.endswith("var") else -1, 1)
    return module


def image(shape, dtype=np.float32, requires_grad=True):
    values = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    return tc.tensor(values, requires_grad=requires_grad)


def step(net, x, again=False):
    """Return all that a training step yields, as NumPy arrays."""
    y = net(x * 1.5)
    loss = (y * y * image(y.shape, requires_grad=False)).sum()
    loss.backward(retain_graph=again)
    if again:
        loss.backward()
    tensors = [y, x.grad, *(p.grad for p in net.parameters()), *net.buffers()]
    return [t.detach().numpy().copy() for t in tensors]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=repr)
@pytest.mark.parametrize(("name", "shape"), CASES)
def test_same_bits_as_one_after_the_other(name, shape, activation, training):
    def program():
        net = nn.Sequential(seeded(LAYERS[name][0]), activation).train(training)
        return step(net, image(shape))

    for one, other in zip(*both_ways(program), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", ["Conv2d", "Linear", "BatchNorm2d"])
def test_one_node_for_both(name):
    make, shapes = LAYERS[name]
    made = {}
    for mode in ("auto", "off"):
        with config.fusion.override(mode):
            made[mode] = names(nn.Sequential(make(), nn.ReLU())(image(shapes[-1])).grad_fn)
    assert made["off"] == ["ReluBackward", *made["auto"]]
    assert len(made["auto"]) == 1


@pytest.mark.parametrize("name", ["Conv2d", "Linear", "BatchNorm2d"])
def test_graph_that_is_kept_can_be_used_again(name):
    make, shapes = LAYERS[name]

    def program():
        return step(nn.Sequential(seeded(make), nn.ReLU()), image(shapes[-1]), again=True)

    for one, other in zip(*both_ways(program), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", ["Conv2d", "Linear", "BatchNorm2d"])
def test_graph_that_is_not_kept_cannot(name):
    make, shapes = LAYERS[name]
    y = nn.Sequential(seeded(make), nn.ReLU())(image(shapes[-1])).sum()
    y.backward()
    with pytest.raises(GradientError, match="retain_graph"):
        y.backward()


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("activation", [nn.ReLU(), nn.ReLU6()], ids=repr)
@pytest.mark.parametrize("name", [n for n in LAYERS if n not in ("Conv3d", "SyncBatchNorm")])
def test_gradients_of_first_and_second_order(name, activation, training):
    make, shapes = LAYERS[name]
    net = nn.Sequential(seeded(make), activation).double().train(training)
    x = image(shapes[0], np.float64) * 1
    assert gradcheck(net, (x,))
    assert gradgradcheck(net, (x,))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("name", "shape"), CASES)
def test_gradients_are_the_same_whether_they_are_differentiated_again(name, shape, training):
    net = nn.Sequential(seeded(LAYERS[name][0]), nn.ReLU6()).double().train(training)
    x = image(shape, np.float64)
    results = []
    for again in (False, True):
        y = net(x * 4)
        seed = image(y.shape, np.float64, requires_grad=False)
        inputs = [x, *net.parameters()]
        results.append(tc.autograd.grad((y * seed).sum(), inputs, create_graph=again))
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one.numpy(), other.detach().numpy(), rtol=1e-9, atol=1e-9)


def test_clipped_result_is_freed_before_gradients_are_made(monkeypatch):
    backend, alive = backends()["cpu"], []
    conv_input_grad = backend.conv_input_grad

    def watched(*args):
        alive.append(results[0]() is not None)
        return conv_input_grad(*args)

    monkeypatch.setattr(backend, "conv_input_grad", watched)
    net = nn.Sequential(seeded(lambda: nn.Conv2d(4, 8, 3)), nn.ReLU())
    for retain in (False, True):
        y = net(image((4, 4, 40, 40)) * 1)
        results = [weakref.ref(y.array)]
        loss = y.mean()
        del y
        loss.backward(retain_graph=retain)
        del loss
    assert alive == [False, True]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(2, 4, 5, 6), (4, 4, 40, 40)])
def test_activation_after_activation(shape, training):
    def program():
        net = nn.Sequential(seeded(lambda: nn.BatchNorm2d(4)), nn.ReLU(), nn.Hardtanh(0.1, 0.5))
        return step(net.train(training), image(shape))

    for one, other in zip(*both_ways(program), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(2, 4, 5, 6), (4, 4, 40, 40)])
def test_bias_that_changes_later_does_not_change_gradients(shape, training):
    def program():
        net = nn.Sequential(seeded(lambda: nn.BatchNorm2d(4)), nn.ReLU()).train(training)
        x = image(shape)
        y = net(x * 1)
        with tc.no_grad():
            net[0].bias.add_(5)
        y.sum().backward()
        return x.grad.numpy(), net[0].weight.grad.numpy()

    for one, other in zip(*both_ways(program), strict=True):
        np.testing.assert_array_equal(one, other)


def test_input_that_lies_by_columns():
    def program():
        net = nn.Sequential(seeded(lambda: nn.Linear(300, 16, bias=False)), nn.ReLU())
        with tc.no_grad():
            net[0].weight = nn.Parameter(net[0].weight.t().contiguous().t())
        x = image((300, 270))
        y = net(x.t())
        y.sum().backward()
        return y.detach().numpy(), x.grad.numpy()

    for one, other in zip(*both_ways(program), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


# -- convolution, normalisation and activation at inference ---------------------------------------


def brick(dims=2, activation="ReLU6", kernel=3, **options):
    """Return convolution, batch norm and activation, for evaluation."""
    conv, norm = getattr(nn, f"Conv{dims}d"), getattr(nn, f"BatchNorm{dims}d")
    layers = [seeded(lambda: conv(4, 8, kernel, **options)), seeded(lambda: norm(8))]
    return nn.Sequential(*layers, *([getattr(nn, activation)()] if activation else [])).eval()


def at_inference(net, x, mode="auto"):
    with config.fusion.override(mode), tc.no_grad():
        return net(x).numpy().copy()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [6, 40])
@pytest.mark.parametrize(
    "options",
    [
        {}, {"dims": 1}, {"dims": 3, "kernel": 2}, {"activation": None}, {"activation": "ReLU"},
        {"bias": False, "padding": "same"}, {"kernel": 1}, {"groups": 4, "stride": 2},
        {"padding": 1, "padding_mode": "circular"},
    ],
    ids=str,
)  # fmt: skip
def test_convolution_that_normalises_is_close_to_one_after_the_other(options, size, dtype):
    net = brick(**options).to(getattr(tc, dtype))
    dims = options.get("dims", 2)
    x = image((4, 4, *(size,) * min(dims, 2), *(3,) * (dims - 2)), dtype, requires_grad=False)
    expected = at_inference(net, x, "off")
    close = 2e-5 if dtype == "float32" else 1e-13
    y = at_inference(net, x)
    assert y.dtype == expected.dtype
    np.testing.assert_allclose(y, expected, rtol=close, atol=close)


@pytest.mark.parametrize("activation", [None, "ReLU6", "ReLU"])
@pytest.mark.parametrize("size", [6, 40])
def test_at_inference_a_convolution_is_all_there_is(size, activation, monkeypatch):
    calls = Calls(monkeypatch, "conv", "batch_norm", "relu", "hardtanh").counts
    net, x = brick(activation=activation), image((4, 4, size, size), requires_grad=False)
    at_inference(net, x)
    assert calls == {"conv": 1, "batch_norm": 0, "relu": 0, "hardtanh": 0}


def test_shortcut_is_added_by_the_convolution(monkeypatch):
    calls = Calls(monkeypatch, "conv", "batch_norm", "relu").counts
    net = brick(activation=None, kernel=1)
    x, shortcut = (image((4, n, 40, 40), requires_grad=False) * 1 for n in (4, 8))

    def form():
        with tc.no_grad():
            return F.relu(net(x) + shortcut).numpy().copy()

    y = form()
    assert calls == {"conv": 1, "batch_norm": 0, "relu": 0}
    with config.fusion.override("off"):
        np.testing.assert_allclose(y, form(), rtol=2e-5, atol=2e-5)


def test_averages_that_change_later_are_not_seen():
    net, x = brick(activation=None), image((4, 4, 40, 40), requires_grad=False) * 1
    expected = at_inference(net, x)
    with tc.no_grad():
        y = net(x)
        for tensor in (*net[1].parameters(), *net[1].buffers()):
            tensor.fill_(3)
    np.testing.assert_array_equal(y.numpy(), expected)


def test_averages_of_a_normalisation_alone_that_change_later_are_not_seen():
    norm, x = brick()[1], image((4, 8, 40, 40), requires_grad=False) * 1
    expected = at_inference(norm, x)
    with tc.no_grad():
        y = norm(x)
        for tensor in (*norm.parameters(), *norm.buffers()):
            tensor.fill_(3)
    np.testing.assert_array_equal(y.numpy(), expected)


@pytest.mark.parametrize("name", ["running_mean", "running_var", "weight", "bias"])
def test_vectors_of_a_normalisation_are_all_used(name):
    net, x = brick(), image((2, 4, 6, 6), requires_grad=False)
    before = at_inference(net, x)
    with tc.no_grad():
        getattr(net[1], name).mul_(2)
    after = at_inference(net, x)
    assert np.abs(after - before).max() > 1e-3
    np.testing.assert_allclose(after, at_inference(net, x, "off"), rtol=2e-5, atol=2e-5)


def training(net):
    net[1].train()
    return net


def untracked(net):
    net[1] = nn.BatchNorm2d(8, track_running_stats=False).eval()
    return net


def other_dtype(net):
    net[1].double()
    return net


def synchronised(net):
    return nn.SyncBatchNorm.convert_sync_batchnorm(net)


def parametrized_convolution(net):
    parametrizations.weight_norm(net[0])
    return net


def hooked_norm(net):
    net[1].register_forward_hook(lambda module, args, y: y + 1)
    return net


def hooked_clip(net):
    net[2].register_forward_hook(lambda module, args, y: y + 1)
    return net


@pytest.mark.parametrize(
    "change",
    [training, untracked, other_dtype, synchronised, parametrized_convolution, hooked_norm,
     hooked_clip],
)  # fmt: skip
def test_inference_of_whatever_a_user_has_changed(change):
    x = image((2, 4, 6, 6), requires_grad=False)
    one, other = (at_inference(change(brick()), x, mode) for mode in ("auto", "off"))
    np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-5)


def test_running_averages_move_in_training_without_gradients():
    nets = [training(brick()) for _ in range(2)]
    for net, mode in zip(nets, ("auto", "off"), strict=True):
        at_inference(net, image((2, 4, 6, 6), requires_grad=False), mode)
    for one, other in zip(nets[0].buffers(), nets[1].buffers(), strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    assert int(nets[0][1].num_batches_tracked) > 0


@pytest.mark.parametrize("shape", [(4, 6, 6), (2, 3, 6, 6), (2, 4, 6)])
def test_inference_on_a_shape_that_does_not_fit(shape):
    found = []
    for mode in ("auto", "off"):
        with pytest.raises(ShapeError) as error:
            at_inference(brick(), image(shape, requires_grad=False), mode)
        found.append(str(error.value))
    assert found[0] == found[1]


@pytest.mark.parametrize("mode", ["auto", "off"])
def test_norm_for_other_dimensions_is_refused(mode):
    net = brick()
    net[1] = nn.BatchNorm1d(8).eval()
    with pytest.raises(ShapeError, match="BatchNorm1d: input must have 2 or 3 dimensions"):
        at_inference(net, image((2, 4, 6, 6), requires_grad=False), mode)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("size", [6, 40])
def test_inference_in_half_precision(dtype, size):
    half = getattr(tc, dtype)
    net, x = brick().to(half), image((4, 4, size, size), requires_grad=False).to(half)
    one, other = (at_inference(net, x, mode) for mode in ("auto", "off"))
    assert one.dtype == other.dtype == half.of(np)
    np.testing.assert_allclose(one.astype("f4"), other.astype("f4"), rtol=0.02, atol=0.02)


def test_norm_of_another_size_is_refused():
    net = brick()
    net[1] = nn.BatchNorm2d(7).eval()
    with pytest.raises(ShapeError, match="batch_norm: argument 'running_mean'"):
        at_inference(net, image((2, 4, 6, 6), requires_grad=False))


def test_gradients_at_evaluation_are_those_of_one_after_the_other():
    def program():
        return step(brick(), image((2, 4, 6, 6)))

    for one, other in zip(*both_ways(program), strict=True):
        np.testing.assert_array_equal(one, other)


def test_inference_under_autocast():
    net, x = brick(), image((4, 4, 40, 40), requires_grad=False)
    with amp.autocast("cpu", tc.bfloat16):
        one, other = (at_inference(net, x, mode) for mode in ("auto", "off"))
    assert one.dtype == other.dtype == tc.bfloat16.of(np)
    np.testing.assert_allclose(one.astype("f4"), other.astype("f4"), rtol=0.02, atol=0.02)


def test_pooling_has_the_mask_applied_to_the_smaller_map(monkeypatch):
    backend, sizes = backends()["cpu"], []
    relu_grad = backend.relu_grad
    monkeypatch.setattr(backend, "relu_grad", lambda *a: sizes.append(a[0].size) or relu_grad(*a))

    def program():
        net = nn.Sequential(seeded(lambda: nn.Conv2d(4, 8, 3)), nn.ReLU(), nn.MaxPool2d(2))
        return step(net, image((8, 4, 66, 66)))

    fused, plain = both_ways(program)
    assert sizes == [8 * 8 * 32 * 32, 8 * 8 * 64 * 64]
    for one, other in zip(fused, plain, strict=True):
        np.testing.assert_array_equal(one, other)


class Doubled(nn.Conv2d):
    """A layer of a class of its own."""

    def forward(self, input):
        """Return twice the result."""
        return super().forward(input) * 2


class Shifted(nn.ReLU):
    """An activation of a class of its own."""

    def forward(self, input):
        """Return more."""
        return super().forward(input) + 1


def plain(conv, relu):
    return conv, relu


def derived_layer(conv, relu):
    doubled = Doubled(2, 3, 1)
    doubled.load_state_dict(conv.state_dict())
    return doubled, relu


def derived_activation(conv, relu):
    return conv, Shifted()


def replaced_layer(conv, relu):
    conv.forward = lambda x: F.conv2d(x, conv.weight)
    return conv, relu


def replaced_activation(conv, relu):
    relu.forward = tc.tanh
    return conv, relu


def hooked_layer(conv, relu):
    conv.register_forward_hook(lambda module, args, y: -y)
    return conv, relu


def hook_before_layer(conv, relu):
    conv.register_forward_pre_hook(lambda module, args: (args[0] - 1,))
    return conv, relu


def hooked_activation(conv, relu):
    relu.register_forward_hook(lambda module, args, y: y + args[0])
    return conv, relu


def hook_before_activation(conv, relu):
    relu.register_forward_pre_hook(lambda module, args: (args[0].abs(),))
    return conv, relu


def backward_hook(conv, relu):
    relu.register_full_backward_hook(lambda module, given, grads: (given[0] * 2,))
    return conv, relu


def backward_pre_hook(conv, relu):
    conv.register_full_backward_pre_hook(lambda module, grads: (grads[0] * 3,))
    return conv, relu


def parametrized(conv, relu):
    return parametrizations.weight_norm(conv), relu


FORMS = [plain, derived_layer, derived_activation, replaced_layer, replaced_activation,
         hooked_layer, hook_before_layer, hooked_activation, hook_before_activation, backward_hook,
         backward_pre_hook, parametrized]  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_whatever_a_user_has_changed_is_obeyed(form):
    """A chain does what its modules do, called one after the other."""
    results = []
    for chained in (True, False):
        tc.manual_seed(1)
        first, second = form(nn.Conv2d(2, 3, 1), nn.ReLU())
        x = image((2, 2, 3, 3))
        y = nn.Sequential(first, second)(x) if chained else second(first(x))
        y.sum().backward()
        grads = [p.grad for p in first.parameters() if p.grad is not None]
        results.append([t.detach().numpy() for t in (y, x.grad, *grads)])
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


def test_chain_that_changes_is_followed():
    tc.manual_seed(1)
    net = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
    x = image((5, 3), requires_grad=False)
    assert float(net(x).min()) == 0
    net[1] = nn.Identity()
    assert float(net(x).min()) < 0
    net.append(nn.ReLU())
    assert float(net(x).min()) == 0


def test_activations_alone_and_twice():
    x = image((3, 4), requires_grad=False)
    net = nn.Sequential(nn.ReLU6(), nn.Linear(4, 4), nn.ReLU(), nn.ReLU())
    expected = F.relu(net[1](F.relu6(x)))
    np.testing.assert_array_equal(net(x).detach().numpy(), expected.detach().numpy())


def test_profiler_sees_every_layer():
    net = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3), nn.ReLU())
    with profile() as seen:
        net(image((2, 2, 3, 3)))
    assert {record.name for record in seen.key_averages()} >= {"Conv", "BatchNorm", "Relu"}


@pytest.mark.parametrize("name", ["Conv2d", "Linear", "BatchNorm2d"])
def test_same_bits_under_autocast(name):
    make, shapes = LAYERS[name]

    def program():
        net = nn.Sequential(seeded(make), nn.ReLU6())
        with amp.autocast("cpu", tc.bfloat16):
            y = net(image(shapes[-1]))
        y.float().sum().backward()
        return [t.detach().float().numpy() for t in (y, *(p.grad for p in net.parameters()))]

    for one, other in zip(*both_ways(program), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "call",
    [
        lambda x, **options: F.conv2d(x, tc.ones(2, 3, 1, 1), **options),
        lambda x, **options: F.batch_norm(x, None, None, training=True, **options),
        lambda x, **options: F.linear(x, tc.ones(2, 4), **options),
    ],
)
def test_unknown_activation_is_refused(call):
    with pytest.raises(
        ArgumentError, match=r"'activation' must be None, 'relu' or 'relu6'.*'tanh'"
    ):
        call(tc.ones(2, 3, 4, 4), activation="tanh")


def test_batch_norm_by_averages_that_want_gradients():
    x, weight, bias = image((4, 2, 3)), image((2,)), image((2,))
    mean, var = image((2,)), image((2,)).detach().abs().requires_grad_()
    for name in ("relu", "relu6"):
        y = F.batch_norm(x, mean, var, weight, bias, activation=name)
        expected = getattr(F, name)(F.batch_norm(x, mean, var, weight, bias))
        np.testing.assert_array_equal(y.detach().numpy(), expected.detach().numpy())


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("followed", [False, True])
@pytest.mark.parametrize(("name", "shape"), CASES)
def test_gradients_that_nobody_checks_would_pass_the_check(
    name, shape, followed, dtype, monkeypatch
):
    """Nodes that are said to be exact return gradients of the shapes and dtypes of arguments."""
    checked, unchecked = node_backward._checked, []

    def backward(node, grads):
        results = node.backward(node, *grads)
        results = results if isinstance(results, tuple) else (results,)
        if node.is_exact:
            assert checked(node, results) == results[: len(node.edges)]
            unchecked.append(node)
            return results
        return checked(node, results)

    monkeypatch.setattr(node_backward, "_backward", backward)
    net = nn.Sequential(seeded(LAYERS[name][0]), nn.ReLU()).to(getattr(tc, dtype))
    x = image(shape).detach().to(getattr(tc, dtype)).requires_grad_()
    net(x).sum().backward(create_graph=followed)
    assert bool(unchecked) == (dtype != "bfloat16")
