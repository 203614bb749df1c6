"""What a step of training launches on a GPU: no pass over memory, and no copy, that need not be.

A stand-in for CuPy counts our kernels and CuPy's own work on arrays. Sizes are those of life, since
ops on small arrays go other ways; the kernels themselves do nothing here.
"""

import collections
import importlib.util
import json

import pytest
from cuda_emulator import COMPILER
from test_without_gpu import FAKE, run_python

pytestmark = pytest.mark.skipif(
    not COMPILER or importlib.util.find_spec("array_api_compat") is None,
    reason="needs g++ and array-api-compat",
)

STEP = """
import contextlib, json
from tinyconv import nn
import tinyconv.nn.functional as F
np.seterr(all="ignore")  # the numbers mean nothing

class Block(nn.Module):
    def __init__(self, channels, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 2 * channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(2 * channels)
        self.conv2 = nn.Conv2d(2 * channels, 2 * channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(2 * channels)
        self.short = nn.Sequential(
            nn.Conv2d(channels, 2 * channels, 1, stride, bias=False), nn.BatchNorm2d(2 * channels))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + self.short(x))

class Joined(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = (nn.Conv2d(16, 16, 3, padding=1, bias=False) for _ in range(2))

    def forward(self, x):
        return nn.functional.max_pool2d(tc.cat([self.one(x), self.two(x)], 1), 2)

NETS = {
    "residual": lambda: [Block(16, 2)],
    "joined": lambda: [Joined()],
    "plain": lambda: [nn.Conv2d(16, 32, 3), nn.ReLU(), nn.MaxPool2d(2)],
}

def counts(name, half, training):
    net = nn.Sequential(*NETS[name](), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))
    x = tc.randn(8, 16, 32, 32)
    optimizer = tc.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    y = tc.arange(8)

    def step():
        autocast = tc.autocast("cuda", dtype=tc.bfloat16) if half else contextlib.nullcontext()
        if not training:
            with tc.no_grad(), autocast:
                return net.eval()(x)
        optimizer.zero_grad()
        with autocast:
            loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()

    for _ in range(3):
        fake_cupy.LAUNCHES.clear()
        step()
    return dict(fake_cupy.LAUNCHES)

fake_cupy.EMULATOR.multiprocessors = 132
with tc.device("cuda"), fake_cupy.counted_alone():
    print(json.dumps(counts(*ARGUMENTS)))
"""


def launches(*arguments):
    """Return how often a step launches what: of a network, in bfloat16 or not, training or not."""
    program = FAKE.format(gpus=1) + STEP.replace("ARGUMENTS", repr(arguments))
    return json.loads(run_python(program).splitlines()[-1])


#: Of a linear layer with a global average before, and of loss and optimizer.
HEAD = (
    "column_sums 1 divide 2 matmul 3 mean_cross_entropy 1 ones 1 softmax_cross_entropy_grad 1 "
    "sum 1 sgd 1"
)
EXPECTED = {
    # Three convolutions and normalisations; the sum of two paths and ReLU belong to the last one.
    # Images are ordered for both convolutions of the input, forward and backward, weights once.
    ("residual", False, True): "conv 4 conv_weight 3 add_slices 1 turn 1 channels_last 6 "
    "merge_moments 3 normalise 3 gradient_sums 3 merge_gradients 3 gradient 3 relu_grad 1 copy 1",
    ("joined", False, True): "conv 2 conv_weight 2 channels_last 6 join 2 max_pool 1 "
    "max_pool_grad 1 copy 1",
    ("plain", False, True): "conv 1 conv_weight 1 channels_last 3 max_pool 1 max_pool_grad 1 "
    "relu_grad 1 column_sums 1 add_parts 1 copy 1",
    ("residual", False, False): "conv 3 channels_last 2 fold 3 asarray 4",
    ("joined", False, False): "conv 2 channels_last 4 join 1 max_pool 1",
}


def numbers(text):
    """Return the numbers in a text such as "conv 2 join 1" by name."""
    words = text.split()
    return collections.Counter(dict(zip(words[::2], map(int, words[1::2]), strict=True)))


@pytest.mark.parametrize("case", EXPECTED)
def test_launches_of_a_step(case):
    training = case[2]
    head = numbers(HEAD if training else "column_sums 1 divide 1 matmul 1")
    assert launches(*case) == dict(numbers(EXPECTED[case]) + head)


@pytest.mark.parametrize("name", ["residual", "joined", "plain"])
def test_half_precision_adds_nothing_but_casts(name):
    half, single = (collections.Counter(launches(name, half, True)) for half in (True, False))
    more = half - single
    del more["astype"]
    # The input is cast for each convolution that reads it, and the cast one ordered.
    assert more.total() <= 2
    assert set(more) <= {"channels_last"}
