"""Small calls of the public operations that lead to every compiled kernel: what ``warmup`` runs.

A kernel is compiled for the types of its arguments, not for their sizes, so tiny images will do.
Sizes matter where an operation chooses among kernels: few or many channels, strides, groups. A
group of calls is the work of one process at a time; calls that share kernels are in one group.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import config, models, nn, ops, optim
from ..backend import as_device
from ..backend.cpu.compiler import compiling
from ..backend.cpu.parallel import threads
from ..backend.random import Stream, uniform
from ..tensor import Tensor

F = nn.functional


def image(*shape: int, dtype: str = "") -> Any:
    """Return a tensor of numbers between -1 and 1 that wants a gradient."""
    count = 1
    for size in shape:
        count *= size
    numbers = ops.arange(count, dtype=dtype or config.dtype.get())
    return ops.sin(numbers).reshape(shape).detach().requires_grad_()


def backward(*results: Any) -> None:
    """Differentiate the sum of squares of each result."""
    for result in results:
        (result * result).sum().backward()


def threading() -> None:
    """Send a second thread to work."""
    with config.num_threads.override(2):
        threads.run(lambda _: None, 2)


def convolution(n: int, c: int, size: int, out: int, kernel: int, **options: Any) -> None:
    """Convolve images of c channels, with all gradients."""
    groups = options.get("groups", 1)
    x, w, b = image(n, c, size, size), image(out, c // groups, kernel, kernel), image(out)
    backward(F.conv2d(x, w, b, **options))
    F.conv2d(x.detach(), w.detach(), **options)


def normalised_pixels(c: int, out: int) -> None:
    """Convolve with one tap what is normalised and clipped before, with the weight gradient."""
    x = image(1, c, 32, 32).detach() * 1
    zero, one = ops.zeros(c, dtype=x.dtype), ops.ones(c, dtype=x.dtype)
    backward(F.conv2d(F.relu(F.batch_norm(x, zero, one)), image(out, c, 1, 1)))


def convolutions() -> None:
    """Run the usual shapes of convolutions."""
    for c, out in ((1, 6), (3, 32), (8, 16), (64, 64)):
        for kernel in (1, 3, 5, 7):
            convolution(2, c, 16, out, kernel, padding=kernel // 2)
    normalised_pixels(64, 40)
    normalised_pixels(40, 64)  # the weight gradient is computed the other way round


def more_convolutions() -> None:
    """Run the rarer convolutions: strides, dilation, groups, one channel a group, transposed."""
    convolution(1, 3, 210, 4, 3)  # large enough for a copy in another order
    for kernel, stride in ((1, 2), (3, 2), (5, 2), (7, 2)):
        for c in (3, 32):
            convolution(2, c, 16, 32, kernel, stride=stride, padding=kernel // 2)
    convolution(2, 8, 16, 16, 3, dilation=2)
    convolution(32, 64, 2, 64, 3, padding=1)  # position by position
    with config.conv_algorithm.override("winograd"):
        for kernel in (3, 5):
            convolution(2, 192, 8, 192, kernel, padding=kernel // 2)  # deep
    convolution(2, 32, 16, 64, 3, groups=4, padding=1)
    with config.conv_algorithm.override("grouped"):
        convolution(2, 32, 16, 32, 3, groups=8, padding=1)
    for kernel in (3, 5):
        convolution(2, 32, 16, 32, kernel, groups=32, padding=kernel // 2)
        convolution(2, 32, 16, 32, kernel, groups=32, stride=2)
    convolution(2, 16, 16, 32, 3, groups=16)
    for stride in (1, 2):
        backward(F.conv_transpose2d(image(2, 8, 8, 8), image(8, 6, 4, 4), image(6), stride, 1))
    backward(F.conv1d(image(2, 3, 20), image(4, 3, 3)))
    with config.conv_algorithm.override("sheets"):
        backward(F.conv3d(image(2, 4, 3, 6, 6), image(8, 4, 3, 3, 3), padding=1))
    backward(F.linear(image(64, 32), image(10, 32), image(10)))


def block(n: int, c: int, size: int, out: int, kernel: int, residual: bool) -> None:
    """Run a convolution that normalises its result, adds to it and clips it, in one pass."""
    x, w = image(n, c, size, size).detach() * 1, image(out, c, kernel, kernel).detach() * 1
    zero, one = ops.zeros(out, dtype=x.dtype), ops.ones(out, dtype=x.dtype)
    shortcut = image(n, out, size, size).detach() * 1
    y = F.batch_norm(F.conv2d(x, w, padding=kernel // 2), zero, one)
    F.relu(y + shortcut if residual else y)


def blocks() -> None:
    """Run such convolutions by every algorithm."""
    for residual in (False, True):
        block(1, 16, 32, 16, 1, residual)
        block(1, 8, 8, 256, 1, residual)  # few rows
    block(1, 16, 32, 16, 3, False)
    block(1, 16, 32, 16, 5, False)
    with config.conv_algorithm.override("winograd"):
        block(2, 192, 8, 192, 3, False)  # deep


def pools() -> None:
    """Pool images, with gradients."""
    for kernel, stride, padding in ((2, 2, 0), (3, 2, 1), (3, 1, 1)):
        x = image(2, 8, 9, 9)
        backward(F.max_pool2d(x, kernel, stride, padding), F.avg_pool2d(x, kernel, stride, padding))
    backward(F.sum_pool2d(image(2, 8, 9, 9), 3), F.lp_pool2d(image(2, 8, 9, 9), 2, 2))
    for size in (1, 4):
        backward(F.adaptive_avg_pool2d(image(2, 8, 9, 9), size))
    x = image(2, 3, 8, 8)
    gradient = _gradient((F.max_pool2d(x, 2) ** 2).sum(), x)
    backward(gradient)  # second order


def _gradient(loss: Tensor, x: Tensor) -> Tensor:
    from ..autograd import grad

    return grad(loss, [x], create_graph=True)[0]


def normalisations() -> None:
    """Normalise images and rows, in training and evaluation."""
    for x in (image(4, 8, 6, 6), image(16, 8)):
        for layer in (
            (nn.BatchNorm2d if x.ndim == 4 else nn.BatchNorm1d)(8),
            nn.GroupNorm(2, 8), nn.LayerNorm(x.shape[-1]),
        ):  # fmt: skip
            layer = layer.to(dtype=x.dtype)
            backward(layer(x))
            backward(layer.eval()(x))
    x = image(4, 8, 6, 6)
    backward(F.instance_norm(x), F.group_norm(x, 2), F.layer_norm(x, (8, 6, 6)))
    nn.InstanceNorm2d(8, track_running_stats=True).to(dtype=x.dtype)(x)
    backward(F.local_response_norm(x, 3), F.group_norm(image(1, 8, 96, 96), 2))  # a large sample


def activations() -> None:
    """Apply every activation, with gradients, to images and rows."""
    for shape in ((2, 8, 6, 6), (16, 10)):
        x = image(*shape)
        backward(F.relu(x), F.relu6(x), F.hardtanh(x), F.leaky_relu(x), F.elu(x), F.selu(x))
        backward(F.gelu(x), F.silu(x), F.sigmoid(x), F.tanh(x), F.softplus(x), F.mish(x))
        backward(F.threshold(x, 0.1, 0.0), F.softmax(x, 1), F.log_softmax(x, 1), F.logsigmoid(x))
        backward(F.dropout(x, 0.5), F.dropout(x, 0.5) * 2)
    backward(F.softmax(image(2, 50), 1), F.log_softmax(image(2, 50), 1))  # long rows
    pixels = F.conv2d(image(2, 8, 32, 32), image(16, 8, 1, 1))  # channels are last in memory
    pixels = pixels.detach().requires_grad_()
    backward(F.dropout(pixels, 0.5), ops.cat([pixels, pixels], 1), ops.erf(pixels))
    backward(ops.erfinv(pixels / 9), F.relu(pixels), F.relu6(pixels))
    backward(F.dropout2d(image(2, 8, 6, 6)), F.prelu(image(2, 8, 6, 6), image(8)))


def arithmetic() -> None:
    """Add, subtract, multiply and divide large images, with gradients."""
    x, y = image(1, 8, 128, 128), image(1, 8, 128, 128)
    backward(x + x * x - x / (x + 2.0))
    x.grad = None
    backward(x + y)


def losses() -> None:
    """Compute every loss, with gradients."""
    target = ops.arange(16) % 10
    x = image(16, 10)
    for reduction in ("mean", "sum"):
        F.cross_entropy(x, target, reduction=reduction).backward()
    F.cross_entropy(x, target, label_smoothing=0.1).backward()
    F.cross_entropy(image(16, 50), target).backward()  # rows longer than vectors
    F.cross_entropy(image(2, 5, 4, 4), (ops.arange(32) % 5).reshape(2, 4, 4)).backward()
    F.nll_loss(F.log_softmax(x, 1), target).backward()
    other = image(16, 10).detach() ** 2
    for loss in (F.mse_loss, F.l1_loss, F.smooth_l1_loss, F.huber_loss):
        loss(x, other).backward()
    F.binary_cross_entropy_with_logits(x, other).backward()
    F.binary_cross_entropy(F.sigmoid(x), other).backward()
    backward(ops.cdist(x, other + 1), ops.pdist(x))


def indexing() -> None:
    """Gather, scatter and order rows; draw random numbers."""
    x = image(20, 8)
    backward(x[ops.arange(10) * 7 % 20])
    where = ops.arange(10) * 7 % 5
    ops.scatter(x[0], 0, where[:5], 1.0)
    for reduce in ("amax", "prod"):
        backward(ops.index_reduce(x, 0, where, image(10, 8), reduce))
    backward(ops.cummax(x, 0).values, ops.cummin(x, 1).values)
    backward(ops.median(x), ops.median(x, 0).values, ops.mode(x, 1).values)
    ops.manual_seed(0)
    ops.rand(3, 5)
    ops.randn(3, 5)
    uniform(as_device("cpu").backend, (3,), "float32", 1, Stream.USER, [1, 2])


def updates() -> None:
    """Take a step with every optimizer in its usual variants."""
    makers: list[Callable[[Any], Any]] = [
        lambda p: optim.SGD(p, 0.01),
        lambda p: optim.SGD(p, 0.01, momentum=0.9, weight_decay=1e-4),
        lambda p: optim.SGD(p, 0.01, momentum=0.9, nesterov=True),
        lambda p: optim.Adam(p), lambda p: optim.Adam(p, weight_decay=1e-4, amsgrad=True),
        lambda p: optim.AdamW(p), lambda p: optim.RMSprop(p),
        lambda p: optim.RMSprop(p, momentum=0.9, centered=True),
        lambda p: optim.Adagrad(p), lambda p: optim.Adadelta(p),
    ]  # fmt: skip
    for make in makers:
        weights = [image(8, 4, 3, 3), image(8), image(5, 8)]
        optimizer = make(weights)
        for _ in range(2):
            backward(*weights)
            optimizer.step()


def networks() -> None:
    """Train the models of the package for two steps each, and look at their answers."""
    target = ops.arange(16) % 10
    for make in (models.LeNet5, models.CNN):
        model = make().to(dtype=config.dtype.get())
        optimizer = optim.Adam(model.parameters())
        for batch in (16, 1):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(image(batch, 1, 28, 28).detach()), target[:batch])
            loss.backward()
            optimizer.step()
        model.eval()(image(2, 1, 28, 28).detach())


#: The longest first: the last process to finish should not have just begun.
GROUPS: dict[str, Callable[[], None]] = {
    group.__name__.replace("_", " "): group
    for group in (
        convolutions, updates, normalisations, more_convolutions, blocks, pools, networks,
        activations, losses, indexing, arithmetic, threading,
    )
}  # fmt: skip


def run(name: str, dtype: str) -> list[compiling.Event]:
    """Run a group of calls; return what was compiled and loaded."""
    before = len(compiling.record)
    with config.override(dtype=dtype, backend="auto", device="cpu"):
        GROUPS[name]()
    return compiling.record[before:]
