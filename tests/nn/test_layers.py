"""Every layer against the PyTorch layer of the same name: repr, state, output, gradients."""

import numpy as np
import pytest

import tinyconv as tc
from tinyconv import nn

torch = pytest.importorskip("torch")

IMAGE, SIGNAL, VOLUME = (2, 4, 7, 6), (2, 4, 9), (2, 4, 5, 6, 4)

# name, arguments, keyword arguments, shape of the input
LAYERS = [
    ("Identity", (), {}, IMAGE),
    ("Linear", (6, 3), {}, IMAGE),
    ("Linear", (4, 3), {"bias": False}, (2, 4)),
    ("Linear", (4, 3), {}, (4,)),
    ("Flatten", (), {}, IMAGE),
    ("Flatten", (0, 1), {}, IMAGE),
    ("Unflatten", (1, (2, 2)), {}, IMAGE),
    ("Conv1d", (4, 6, 3), {"stride": 2, "padding": 1, "groups": 2}, SIGNAL),
    ("Conv2d", (4, 6, 3), {}, IMAGE),
    ("Conv2d", (4, 6, 3), {}, IMAGE[1:]),
    ("Conv2d", (4, 6, (3, 2), (2, 1), (1, 0), 1, 2, False), {}, IMAGE),
    ("Conv2d", (4, 2, 2), {"padding": "same"}, IMAGE),
    ("Conv2d", (4, 2, 3), {"padding": "valid", "dilation": (1, 2)}, IMAGE),
    ("Conv2d", (4, 2, 3), {"padding": 1, "padding_mode": "reflect"}, IMAGE),
    ("Conv2d", (4, 2, 3), {"padding": (1, 2), "padding_mode": "replicate"}, IMAGE),
    ("Conv2d", (4, 2, 3), {"padding": (2, 1), "padding_mode": "circular"}, IMAGE),
    ("Conv2d", (4, 2, (4, 3)), {"padding": "same", "padding_mode": "circular"}, IMAGE),
    ("Conv2d", (4, 2, 3), {"padding": "valid", "padding_mode": "reflect"}, IMAGE),
    ("Conv3d", (4, 2, 2), {"padding": 1, "padding_mode": "replicate"}, VOLUME),
    ("Conv3d", (4, 2, (2, 3, 1)), {"stride": 2}, VOLUME),
    ("ConvTranspose1d", (4, 6, 3, 2, 1, 1), {"groups": 2}, SIGNAL),
    ("ConvTranspose2d", (4, 6, 3), {"stride": (2, 3), "padding": 1, "output_padding": 1}, IMAGE),
    ("ConvTranspose2d", (4, 6, 2), {"dilation": 2, "bias": False}, IMAGE),
    ("ConvTranspose3d", (4, 2, 2), {"stride": 2}, VOLUME),
    ("MaxPool1d", (3,), {"ceil_mode": True}, SIGNAL),
    ("MaxPool2d", (2,), {}, IMAGE),
    ("MaxPool2d", ((3, 2), 1), {"padding": (1, 0), "dilation": (1, 2)}, IMAGE),
    ("MaxPool3d", (2,), {"stride": 1}, VOLUME),
    ("AvgPool1d", (3, 2), {"padding": 1}, SIGNAL),
    ("AvgPool2d", (3,), {"padding": 1, "count_include_pad": False, "ceil_mode": True}, IMAGE),
    ("AvgPool2d", ((2, 3), 2), {"divisor_override": 1}, IMAGE),
    ("AvgPool3d", (2,), {"stride": 1}, VOLUME),
    ("AdaptiveAvgPool1d", (4,), {}, SIGNAL),
    ("AdaptiveAvgPool2d", ((3, None),), {}, IMAGE),
    ("AdaptiveAvgPool3d", (2,), {}, VOLUME),
    ("AdaptiveMaxPool1d", (4,), {}, SIGNAL),
    ("AdaptiveMaxPool1d", (3,), {}, SIGNAL),
    ("AdaptiveMaxPool2d", ((3, None),), {}, IMAGE),
    ("AdaptiveMaxPool2d", (3,), {}, IMAGE[1:]),
    ("AdaptiveMaxPool2d", (9,), {}, IMAGE),
    ("AdaptiveMaxPool3d", ((2, 4, 3),), {}, VOLUME),
    ("Unfold", (3,), {}, IMAGE),
    ("Unfold", ((2, 3),), {"dilation": 2, "padding": (1, 2), "stride": (2, 1)}, IMAGE),
    ("Unfold", (2,), {"stride": 2}, IMAGE[1:]),
    ("Fold", ((5, 4), (2, 3)), {"padding": 1}, (2, 12, 24)),
    ("Fold", ((5, 4), 2), {"stride": 2}, (8, 4)),
    ("Fold", (6, 2), {"dilation": 2, "stride": (1, 2)}, (2, 4, 8)),
    ("LPPool1d", (2, 3), {}, SIGNAL),
    ("LPPool2d", (3, 2), {"stride": 1, "ceil_mode": True}, IMAGE),
    ("LPPool3d", (2, 2), {}, VOLUME),
    ("BatchNorm1d", (4,), {}, (5, 4)),
    ("BatchNorm1d", (4,), {"affine": False}, SIGNAL),
    ("BatchNorm2d", (4, 1e-3, 0.3), {}, IMAGE),
    ("BatchNorm2d", (4,), {"momentum": None}, IMAGE),
    ("BatchNorm2d", (4,), {"track_running_stats": False}, IMAGE),
    ("BatchNorm2d", (4,), {"bias": False}, IMAGE),
    ("BatchNorm3d", (4,), {}, VOLUME),
    ("SyncBatchNorm", (4,), {}, (5, 4)),
    ("SyncBatchNorm", (4,), {"momentum": None, "bias": False}, SIGNAL),
    ("SyncBatchNorm", (4, 1e-3, 0.3, False), {}, IMAGE),
    ("SyncBatchNorm", (4, 1e-3, 0.3, True, False), {}, VOLUME),
    ("SyncBatchNorm", (4,), {}, (2, 4, 3, 1, 2, 2)),
    ("TransformerEncoderLayer", (4, 2, 5, 0.0), {"batch_first": True}, SIGNAL[:1] + (9, 4)),
    ("InstanceNorm1d", (4,), {}, SIGNAL),
    ("InstanceNorm2d", (4,), {"affine": True, "track_running_stats": True}, IMAGE),
    ("InstanceNorm3d", (4,), {}, VOLUME),
    ("LayerNorm", (6,), {}, IMAGE),
    ("LayerNorm", ((7, 6),), {"eps": 1e-2, "bias": False}, IMAGE),
    ("LayerNorm", ([4, 7, 6],), {"elementwise_affine": False}, IMAGE),
    ("RMSNorm", (6,), {}, IMAGE),
    ("RMSNorm", ([7, 6],), {"eps": 1e-2}, IMAGE),
    ("RMSNorm", ((4, 7, 6),), {"elementwise_affine": False}, IMAGE),
    ("PixelShuffle", (2,), {}, IMAGE),
    ("PixelShuffle", (2,), {}, (8, 2, 3)),
    ("PixelShuffle", (3,), {}, (3, 2, 18, 2, 1)),
    ("PixelUnshuffle", (2,), {}, (2, 3, 4, 6)),
    ("PixelUnshuffle", (3,), {}, (1, 3, 6)),
    ("ChannelShuffle", (2,), {}, IMAGE),
    ("ChannelShuffle", (4,), {}, (2, 8, 3)),
    ("ChannelShuffle", (3,), {}, (1, 6, 2, 1, 3)),
    ("GroupNorm", (2, 4), {}, IMAGE),
    ("GroupNorm", (4, 4), {"affine": False}, SIGNAL),
    ("LocalResponseNorm", (3,), {"alpha": 0.1, "k": 2.0}, IMAGE),
    ("ReLU", (), {}, IMAGE),
    ("ReLU6", (), {}, IMAGE),
    ("LeakyReLU", (0.2,), {}, IMAGE),
    ("PReLU", (), {}, IMAGE),
    ("PReLU", (4,), {"init": 0.1}, IMAGE),
    ("ELU", (1.3,), {}, IMAGE),
    ("CELU", (0.7,), {}, IMAGE),
    ("RReLU", (0.2, 0.2), {}, IMAGE),
    ("Hardshrink", (0.3,), {}, IMAGE),
    ("Softshrink", (0.3,), {}, IMAGE),
    ("Tanhshrink", (), {}, IMAGE),
    ("Softsign", (), {}, IMAGE),
    ("Hardsigmoid", (), {}, IMAGE),
    ("Hardswish", (), {}, IMAGE),
    ("GLU", (), {}, IMAGE),
    ("GLU", (1,), {}, IMAGE),
    ("Softmax2d", (), {}, IMAGE),
    ("Softmax2d", (), {}, IMAGE[1:]),
    ("SELU", (), {}, IMAGE),
    ("GELU", (), {}, IMAGE),
    ("GELU", ("tanh",), {}, IMAGE),
    ("SiLU", (), {}, IMAGE),
    ("Mish", (), {}, IMAGE),
    ("Sigmoid", (), {}, IMAGE),
    ("LogSigmoid", (), {}, IMAGE),
    ("Tanh", (), {}, IMAGE),
    ("Softplus", (2.0, 1.0), {}, IMAGE),
    ("Hardtanh", (-0.5, 0.3), {}, IMAGE),
    ("Threshold", (0.1, -2.0), {}, IMAGE),
    ("Softmax", (1,), {}, IMAGE),
    ("LogSoftmax", (-1,), {}, IMAGE),
    ("Softmin", (1,), {}, IMAGE),
    ("Dropout", (0.0,), {}, IMAGE),
    ("Dropout2d", (0.0,), {}, IMAGE),
    ("AlphaDropout", (0.0,), {}, IMAGE),
    ("AlphaDropout", (1.0,), {}, IMAGE),
    ("FeatureAlphaDropout", (0.0, True), {}, IMAGE),
    ("ZeroPad2d", (1,), {}, IMAGE),
    ("ConstantPad2d", ((1, 2, 0, 1), 3.5), {}, IMAGE),
    ("ReflectionPad2d", (2,), {}, IMAGE),
    ("ReplicationPad2d", ((1, 2, 3, 0),), {}, IMAGE),
    ("CircularPad2d", ((1, 2, 3, 0),), {}, IMAGE),
    ("CircularPad2d", (2,), {}, IMAGE[1:]),
    ("ZeroPad1d", ((1, -2),), {}, SIGNAL),
    ("ConstantPad1d", (2, -1.5), {}, SIGNAL),
    ("ReflectionPad1d", ((3, 8),), {}, SIGNAL),
    ("ReflectionPad1d", ((-1, 2),), {}, SIGNAL[1:]),
    ("ReplicationPad1d", ((0, 12),), {}, SIGNAL),
    ("CircularPad1d", ((9, 1),), {}, SIGNAL),
    ("ZeroPad3d", ((1, 0, 2, 1, 0, 3),), {}, VOLUME),
    ("ConstantPad3d", ((1, 2, 0, 1, -2, 1), 3.5), {}, VOLUME),
    ("ReflectionPad3d", ((1, 2, 3, 0, 2, 1),), {}, VOLUME),
    ("ReplicationPad3d", (2,), {}, VOLUME[1:]),
    ("CircularPad3d", ((1, 2, 3, 0, 2, 1),), {}, VOLUME),
]
IDS = [f"{name}{args}{kwargs or ''}" for name, args, kwargs, _ in LAYERS]


def pair(name, args, kwargs):
    """A PyTorch layer in float64 with random parameters, and ours with the same ones."""
    torch.manual_seed(0)
    theirs = getattr(torch.nn, name)(*args, **kwargs).double()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.uniform_(-1, 1)
    ours = getattr(nn, name)(*args, **kwargs).double()
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    return ours, theirs


def check_equal(ours, theirs, shape):
    """One forward and backward pass gives the same output and gradients."""
    x = np.random.default_rng(1).uniform(-1, 1, shape)
    x_ours, x_theirs = tc.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y_ours, y_theirs = ours(x_ours), theirs(x_theirs)
    np.testing.assert_allclose(y_ours.detach().numpy(), y_theirs.detach().numpy(), atol=1e-12)
    weights = np.random.default_rng(2).uniform(-1, 1, tuple(y_theirs.shape))
    (y_ours * tc.tensor(weights)).sum().backward()
    (y_theirs * torch.tensor(weights)).sum().backward()
    np.testing.assert_allclose(x_ours.grad.numpy(), x_theirs.grad.numpy(), atol=1e-10)
    for (name, p), (their_name, q) in zip(
        ours.named_parameters(), theirs.named_parameters(), strict=True
    ):
        assert name == their_name
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), atol=1e-10, err_msg=name)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
@pytest.mark.parametrize(("name", "args", "kwargs", "shape"), LAYERS, ids=IDS)
def test_matches_pytorch(name, args, kwargs, shape):
    ours, theirs = pair(name, args, kwargs)
    assert repr(ours) == repr(theirs)
    assert [(k, tuple(v.shape)) for k, v in ours.state_dict().items()] == [
        (k, tuple(v.shape)) for k, v in theirs.state_dict().items()
    ]
    check_equal(ours, theirs, shape)
    check_equal(ours, theirs, shape)  # twice: running statistics move
    for (key, ours_value), theirs_value in zip(
        ours.state_dict().items(), theirs.state_dict().values(), strict=True
    ):
        np.testing.assert_allclose(ours_value.numpy(), theirs_value.numpy(), err_msg=key)
    ours.zero_grad()
    theirs.zero_grad()
    check_equal(ours.eval(), theirs.eval(), shape)


@pytest.mark.parametrize(
    ("name", "args"),
    [("Conv2d", (4, 6, 3)), ("Linear", (12, 6)), ("ConvTranspose1d", (4, 6, 3))],
)
def test_parameters_start_on_pytorch_bounds(name, args):
    """Uniform on +-1/sqrt(fan_in): PyTorch's largest draws of many are near the same bound."""
    tc.manual_seed(0)
    layers = [getattr(nn, name)(*args) for _ in range(60)]
    theirs = [getattr(torch.nn, name)(*args) for _ in range(60)]
    for parameter in ("weight", "bias"):
        ours_max = max(getattr(m, parameter).abs().max().item() for m in layers)
        theirs_max = max(getattr(m, parameter).abs().max().item() for m in theirs)
        assert ours_max == pytest.approx(theirs_max, rel=0.03)
        mean = np.mean([getattr(m, parameter).detach().numpy().mean() for m in layers])
        assert abs(mean) < 0.1 * ours_max


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_transposed_convolution_to_a_wanted_size(dims):
    shape = (1, 4, 5, 4, 3)[: dims + 2]
    ours, theirs = pair(f"ConvTranspose{dims}d", (4, 2, 3), {"stride": 3, "padding": 1})
    x = np.random.default_rng(0).standard_normal(shape)
    sizes = [3 * n - 1 for n in shape[2:]]
    expected = theirs(torch.tensor(x), output_size=sizes).detach().numpy()
    np.testing.assert_allclose(ours(tc.tensor(x), sizes).detach().numpy(), expected, atol=1e-12)
    with pytest.raises(tc.errors.ShapeError, match="possible are sizes from"):
        ours(tc.tensor(x), [100] * dims)


@pytest.mark.parametrize("layer", ["Dropout1d", "Dropout2d", "Dropout3d"])
def test_channel_dropout_zeroes_whole_channels(layer):
    shape = (8, 16, 3, 2, 4)[: {"Dropout1d": 3, "Dropout2d": 4, "Dropout3d": 5}[layer]]
    tc.manual_seed(0)
    y = getattr(nn, layer)(0.25)(tc.ones(*shape)).numpy().reshape(8 * 16, -1)
    assert (y == y[:, :1]).all()
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)}
    assert getattr(nn, layer)(0.25).eval()(tc.ones(*shape)).sum().item() == np.prod(shape)


def test_return_indices():
    x = np.random.default_rng(0).standard_normal((2, 3, 6, 5))
    y, where = nn.MaxPool2d(2, return_indices=True)(tc.tensor(x))
    expected, expected_where = torch.nn.MaxPool2d(2, return_indices=True)(torch.tensor(x))
    np.testing.assert_array_equal(y.numpy(), expected.numpy())
    np.testing.assert_array_equal(where.numpy(), expected_where.numpy())


@pytest.mark.parametrize("layer", ["ReLU", "ReLU6", "SELU", "SiLU", "Mish", "LeakyReLU", "ELU",
                                   "Hardtanh", "Dropout", "CELU", "RReLU", "Hardsigmoid",
                                   "Hardswish"])  # fmt: skip
def test_in_place_writes_into_the_input(layer):
    x = tc.tensor([-1.0, 0.5, 8.0])
    module = getattr(nn, layer)(inplace=True)
    assert repr(module) == repr(getattr(torch.nn, layer)(inplace=True))
    expected = getattr(nn, layer)().eval()(x).tolist()
    assert module.eval()(x).tolist() == expected
    if layer != "Dropout":  # which in evaluation does nothing
        assert x.tolist() == expected


@pytest.mark.parametrize(("ndim", "dim"), [(1, 0), (2, 1), (3, 0), (4, 1)])
def test_softmax_without_dim(ndim, dim):
    x = tc.randn(*(3,) * ndim)
    np.testing.assert_allclose(nn.Softmax()(x).sum(dim).numpy(), 1, rtol=1e-6)


def test_convert_sync_batchnorm():
    network = nn.Sequential(
        nn.Conv2d(3, 4, 2), nn.BatchNorm2d(4, 1e-3, None, bias=False),
        nn.ModuleDict({"inner": nn.BatchNorm1d(4, affine=False, track_running_stats=False)}),
        nn.InstanceNorm2d(4),
    ).double()  # fmt: skip
    network[1](tc.randn(3, 4, 2, 2).double())
    network[1].eval()
    before = dict(network.named_parameters()), {k: v.tolist() for k, v in network.named_buffers()}
    old = network[1]
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(network)
    assert converted is network
    theirs = torch.nn.SyncBatchNorm(4, 1e-3, None, bias=False)
    assert repr(network[1]) == repr(theirs)
    assert type(network[2]["inner"]) is nn.SyncBatchNorm
    assert type(network[3]) is nn.InstanceNorm2d
    assert [m.training for m in network] == [True, False, True, True]
    assert {k: v.tolist() for k, v in network.named_buffers()} == before[1]
    for name, parameter in network.named_parameters():
        assert parameter is before[0][name]
    x = tc.randn(2, 4, 3, 3).double()
    assert (network[1](x) == old(x)).all()
    alone = nn.SyncBatchNorm.convert_sync_batchnorm(old)
    assert alone is not old
    assert alone.weight is old.weight
