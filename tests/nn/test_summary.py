"""The parameter tables of textbook networks, digit for digit; and that nothing is left changed."""

import pytest

import tinyconv as tc
from tinyconv import nn
from tinyconv.backend.generator import default_generator
from tinyconv.errors import ArgumentError


def mnist_cnn():
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding="same"), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding="same"), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(3136, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip


def cifar_cnn():
    layers = []
    for c, d in ((3, 16), (16, 32), (32, 64)):
        layers += [nn.Conv2d(c, d, 2, padding="same"), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(
        *layers, nn.Dropout(0.3), nn.Flatten(), nn.Linear(1024, 500), nn.ReLU(), nn.Dropout(0.4),
        nn.Linear(500, 10),
    )  # fmt: skip


def mlp():
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(),
        nn.Linear(512, 10),
    )  # fmt: skip


def lenet_like(channels=1, kernel=3, padding="same"):
    return nn.Sequential(
        nn.Conv2d(channels, 8, kernel, padding=padding), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 5), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10),
    )  # fmt: skip


TABLES = [
    (mnist_cnn, (1, 1, 28, 28), [320, 18_496, 200_768, 650], 220_234),
    (cifar_cnn, (1, 3, 32, 32), [208, 2_080, 8_256, 512_500, 5_010], 528_054),
    (mlp, (1, 1, 28, 28), [401_920, 262_656, 5_130], 669_706),
    (lenet_like, (1, 1, 28, 28), [80, 3_216, 48_120, 10_164, 850], 62_430),
]


@pytest.mark.parametrize(("build", "size", "rows", "total"), TABLES)
def test_course_tables(build, size, rows, total):
    table = nn.summary(build(), size)
    assert [row.params for row in table.rows if row.params] == rows
    assert table.total_params == table.trainable_params == total
    assert f"Total params: {total:,}" in str(table)
    for number in rows:
        assert f" {number:,} " in str(table)
    assert table.rows[-1].output_shape == (1, 10)


def test_activations_on_32x32x3():
    table = nn.summary(lenet_like(3, 5, 0), (1, 3, 32, 32))
    assert table.rows[0].params == 608
    sizes = [row.output_shape[1:] for row in table.rows]
    assert sizes == [
        (8, 28, 28), (8, 14, 14), (16, 10, 10), (16, 5, 5), (400,), (120,), (84,), (10,)
    ]  # fmt: skip
    assert 8 * 28 * 28 == 6_272


@pytest.mark.parametrize(
    ("layer", "size", "output", "weights"),
    [
        (nn.Conv2d(1, 1, 5), (1, 1, 28, 28), (1, 1, 24, 24), 25),
        (nn.Conv2d(16, 32, 7, 2), (1, 16, 63, 63), (1, 32, 29, 29), 25_088),
        (nn.MaxPool2d(2), (1, 16, 32, 32), (1, 16, 16, 16), None),
        (nn.Conv2d(3, 100, 5), (1, 3, 9, 9), (1, 100, 5, 5), 7_500),
        (nn.Conv2d(16, 1, 1), (1, 16, 9, 9), (1, 1, 9, 9), 16),
    ],
)
def test_sizes_of_single_layers(layer, size, output, weights):
    (row,) = nn.summary(layer, size).rows
    assert row.output_shape == output
    if weights is not None:
        assert layer.weight.numel() == weights
        assert row.params == weights + layer.bias.numel()
        per_output = layer.weight.numel() // layer.out_channels
        assert row.mult_adds == tc.zeros(*output).numel() * per_output


def test_mult_adds_are_counted_as_usual():
    """AlexNet's published count is 714.2 million, for convolutions and linear layers."""
    alexnet = nn.Sequential(
        nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(), nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Flatten(), nn.Linear(9216, 16), nn.Linear(16, 16), nn.Linear(16, 10),
    )  # fmt: skip
    convolutions = 714_188_480 - (9216 * 4096 + 4096 * 4096 + 4096 * 1000)
    table = nn.summary(alexnet, (1, 3, 224, 224))
    assert table.total_mult_adds == convolutions + 9216 * 16 + 16 * 16 + 16 * 10
    assert sum(row.mult_adds for row in table.rows) == table.total_mult_adds


def test_transposed_and_grouped_mult_adds():
    (row,) = nn.summary(nn.ConvTranspose2d(4, 6, 2, stride=2), (1, 4, 5, 5)).rows
    assert row.mult_adds == 25 * 4 * 6 * 4
    (row,) = nn.summary(nn.Conv2d(4, 8, 3, groups=2), (2, 4, 5, 5)).rows
    assert row.mult_adds == 2 * 9 * 8 * 2 * 9


class Stateful(nn.Module):
    """Draws random numbers, counts its calls in a buffer, and calls one layer twice."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", tc.tensor(0))
        self.scale = nn.Parameter(tc.ones(1))
        self.block = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
        self.frozen = nn.Linear(4, 4, bias=False).requires_grad_(False)

    def forward(self, x, gain=1.0):
        self.calls.add_(1)
        tc.rand(3)
        return self.frozen(self.block(self.block(x))) * self.scale * gain, x


def test_everything_is_put_back():
    net = Stateful()
    net.block[1].eval()
    tc.manual_seed(0)
    state = default_generator().get_state()
    before = {k: v.tolist() for k, v in net.state_dict().items()}
    flags = [m.training for m in net.modules()]
    buffers = [id(b) for b in net.buffers()]
    nn.summary(net, (2, 4), gain=2.0)
    assert {k: v.tolist() for k, v in net.state_dict().items()} == before
    assert [m.training for m in net.modules()] == flags == [True, True, True, False, True]
    assert [id(b) for b in net.buffers()] == buffers
    assert default_generator().get_state() == state
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
    assert all(p.grad is None for p in net.parameters())


def test_everything_is_put_back_after_an_error():
    net = Stateful()
    with pytest.raises(ValueError, match=r"linear|shape"):
        nn.summary(net, (2, 5))
    assert net.training
    assert net.calls.item() == 0
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


def test_rows_of_a_nested_network():
    table = nn.summary(Stateful(), (2, 4))
    assert [(r.name, r.type, r.params) for r in table.rows] == [
        ("", "Stateful", 1), ("block.0", "Linear", 20), ("block.1", "BatchNorm1d", 8),
        ("block.0", "Linear", 0), ("block.1", "BatchNorm1d", 0), ("frozen", "Linear", 16),
    ]  # fmt: skip
    assert table.rows[0].output_shape == ((2, 4), (2, 4))
    assert (table.total_params, table.trainable_params, table.frozen_params) == (45, 29, 16)
    assert sum(row.params for row in table.rows) == 45
    assert table.total_mult_adds == 3 * 2 * 16
    assert table.input_bytes == 2 * 4 * 4
    assert table.forward_bytes == 5 * 2 * 4 * 4
    assert table.params_bytes == 45 * 4


def test_depth_collapses():
    net = nn.Sequential(nn.Sequential(nn.Linear(4, 4), nn.ReLU()), nn.Linear(4, 2))
    table = nn.summary(net, (1, 4), depth=1)
    assert [(r.name, r.params, r.mult_adds) for r in table.rows] == [("0", 20, 16), ("1", 10, 8)]
    assert table.total_mult_adds == 24
    with pytest.raises(ArgumentError):
        nn.summary(net, (1, 4), depth=0)


def test_inputs():
    class Sum(nn.Module):
        def forward(self, a, b):
            assert b.dtype is tc.int64
            return a + b

    table = nn.summary(Sum(), [(3,), (3,)], dtypes=[tc.float32, tc.int64], batch_dim=0)
    assert table.rows[0].output_shape == (1, 3)
    assert table.input_bytes == 12 + 24
    with pytest.raises(ArgumentError, match="1 dtypes for 2 inputs"):
        nn.summary(Sum(), [(3,), (3,)], dtypes=[tc.float32])
    (row,) = nn.summary(nn.Linear(2, 1).double().to("strict"), (1, 2)).rows
    assert row.params == 3


def test_text():
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(2704, 10))
    net[0].requires_grad_(False)
    assert str(nn.summary(net, (1, 1, 28, 28))) == "\n".join(
        [
            "Sequential",
            "-----------------------------------------------",
            "Layer (type)  Output Shape    Param #  Mult-Adds",
            "-----------------------------------------------",
            "0 (Conv2d)    (1, 4, 26, 26)       40     24,336",
            "1 (Flatten)   (1, 2704)             0          0",
            "2 (Linear)    (1, 10)          27,050     27,040",
            "-----------------------------------------------",
            "Total params: 27,090",
            "Trainable params: 27,050",
            "Frozen params: 40",
            "Total mult-adds: 51,376",
            "Input size (MB): 0.00",
            "Forward pass size (MB): 0.02",
            "Params size (MB): 0.11",
            "Total size (MB): 0.13",
        ]
    ).replace("-" * 47, "-" * 48)
