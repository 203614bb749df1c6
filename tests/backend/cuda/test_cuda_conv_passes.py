"""Passes over memory around convolutions on CUDA that a step of a network does without."""

import cuda_emulator
import numpy as np
import pytest
from cuda_cases import launches
from cuda_emulator import COMPILER, emulated_device
from kernel_cases import random_array
from product_cases import SMALL, use_tiles

import tinyconv as tc
from tinyconv import nn

pytestmark = pytest.mark.skipif(not COMPILER, reason="the emulator needs g++")


@pytest.fixture(autouse=True)
def on_device(monkeypatch):
    use_tiles(monkeypatch, SMALL)
    with emulated_device() as name:
        yield name


@pytest.fixture
def launched(monkeypatch):
    """Collects the names of the kernels that are launched, and of arrays filled with zeros."""
    names, zeros = launches(monkeypatch), np.zeros
    monkeypatch.setattr(
        cuda_emulator.MEMORY, "zeros", lambda *a, **k: (names.append("zeros"), zeros(*a, **k))[1],
        raising=False,
    )  # fmt: skip
    return names


def given(module, seed=0, dtype="float32"):
    """Return the module with parameters of its own, the same each time."""
    with tc.no_grad():
        for i, p in enumerate(module.parameters()):
            p.copy_(tc.tensor(random_array(tuple(p.shape), seed=seed + i) * 0.1))
    return module.to(dtype=getattr(tc, dtype))


class Block(nn.Module):
    """A residual block whose shortcut is a convolution of one tap, as in ResNets."""

    def __init__(self, kernel, stride):
        super().__init__()
        self.path = nn.Conv2d(16, 24, kernel, stride, padding=kernel // 2, bias=False)
        self.shortcut = nn.Conv2d(16, 24, 1, stride, bias=False)

    def forward(self, x):
        return self.path(x) + self.shortcut(x)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (1, 1), (1, 2)])
def test_gradients_that_meet_take_no_pass(kernel, stride, dtype, launched, on_device):
    x = random_array((2, 9, 8, 16)).transpose(0, 3, 1, 2)
    right = gradient(Block(kernel, stride), x, "cpu", "float32")
    launched.clear()
    found = gradient(Block(kernel, stride), x, on_device, dtype)
    assert "accumulate" not in launched
    assert "zeros" not in launched
    bound = 2e-3 if dtype == "float32" else 2e-2
    np.testing.assert_allclose(found, right, rtol=0, atol=bound * np.abs(right).max())


def gradient(block, x, device, dtype):
    """Return the gradient of what two convolutions read, computed on a device."""
    with tc.device(device):
        given(block.to(device), dtype=dtype)
        x = tc.tensor(x, dtype=getattr(tc, dtype), device=device, requires_grad=True)
        y = block(x * 1)
        (
            y * tc.tensor(random_array(tuple(y.shape), seed=5), dtype=y.dtype, device=device)
        ).sum().backward()
        return x.grad.double().numpy()


CONVOLUTIONS = {
    "a product": (16, 24, 3, {}),
    "one tap": (16, 24, 1, {}),
    "one tap and a stride": (16, 24, 1, {"stride": 2}),
    "groups": (32, 64, 3, {"groups": 2}),
    "depthwise": (16, 16, 3, {"groups": 16}),
    "few channels": (3, 6, 3, {}),
    "images of three channels": (3, 24, 3, {}),
}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_gradients_of_weights_lie_in_memory_as_the_weights_do(name, dtype, monkeypatch):
    channels, outputs, kernel, options = CONVOLUTIONS[name]
    layer = given(nn.Conv2d(channels, outputs, kernel, **options).to("emulated"), dtype=dtype)
    x = tc.tensor(random_array((2, channels, 9, 8)), dtype=getattr(tc, dtype))
    layer(x).sum().backward()
    weight = layer.weight
    assert weight.grad.is_contiguous()
    assert weight.grad.array.strides == weight.array.strides
    weight.grad.view(-1).zero_()  # what a copy would not pass on
    assert not weight.grad.numpy().any()
    copies = []
    monkeypatch.setattr(
        cuda_emulator.MEMORY, "empty_like", lambda *_: copies.append(1), raising=False
    )
    tc.optim.SGD(layer.parameters(), lr=0.1).step()
    assert not copies


#: Of convolutions of images in NCHW memory: kernels of a forward pass, and of one backward.
LAUNCHES = {
    "a product": ("channels_last channels_last conv", "channels_last conv_weight turn conv"),
    "one tap": ("channels_last matmul", "channels_last matmul matmul"),
    "depthwise": (
        "channels_last channels_last direct",
        "channels_last direct_weight add_slices channels_last direct",
    ),
    "images of three channels": (
        "channels_last channels_last conv", "channels_last conv_weight turn conv"
    ),
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", LAUNCHES)
def test_images_and_weights_are_ordered_by_one_kernel_each(name, dtype, launched):
    channels, outputs, kernel, options = CONVOLUTIONS[name]
    layer = given(
        nn.Conv2d(channels, outputs, kernel, bias=False, **options).to("emulated"), dtype=dtype
    )
    x = tc.tensor(random_array((2, channels, 9, 8)), dtype=getattr(tc, dtype), requires_grad=True)
    x.retain_grad()
    product = x * 1
    launched.clear()
    y = layer(product)
    y.array  # noqa: B018 - it is computed now
    forward, backward = (names.split() for names in LAUNCHES[name])
    assert launched == forward
    seed = tc.tensor(random_array((2, *y.shape[2:], outputs)), dtype=y.dtype).permute(0, 3, 1, 2)
    launched.clear()
    y.backward(seed)
    assert sorted(n for n in launched if n != "formula") == sorted(backward)


@pytest.mark.parametrize("stride", [1, 2])
def test_a_transposed_convolution_adds_its_bias_itself(stride, launched, on_device):
    x = random_array((2, 5, 4, 16), "float32").transpose(0, 3, 1, 2)
    results = {}
    for device in ("cpu", on_device):
        layer = given(nn.ConvTranspose2d(16, 24, 1, stride, output_padding=stride - 1).to(device))
        with tc.no_grad():
            images = tc.tensor(x, device=device)
            launched.clear()
            results[device] = layer(images).numpy()
    np.testing.assert_allclose(*results.values(), atol=2e-3)
    assert launched == (["matmul"] if stride == 1 else ["turn", "conv"])
