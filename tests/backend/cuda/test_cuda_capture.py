"""`tc.graphed` with all that CuPy does between our kernels: a stand-in for CuPy notes that, too.

A recorded step must give the bits of the step run line by line, over several steps. What the
recording has frozen (a number of the host, a table made anew) shows as a difference, and what a
capturing stream refuses shows as a warning that the step runs line by line.

Each test is a process of its own, since CuPy is imported once.
"""

import importlib.util

import pytest
from cuda_emulator import COMPILER
from test_without_gpu import FAKE, run_python

pytestmark = pytest.mark.skipif(
    not COMPILER or importlib.util.find_spec("array_api_compat") is None,
    reason="needs g++ and array-api-compat",
)

BOTH = (
    FAKE.format(gpus=1)
    + """
import warnings
from tinyconv import nn, optim
import tinyconv.nn.functional as F
warnings.simplefilter("error")

def numbers(state):
    if isinstance(state, dict): return {k: numbers(v) for k, v in state.items()}
    if isinstance(state, list | tuple): return [numbers(v) for v in state]
    return state.cpu().numpy().tolist() if isinstance(state, tc.Tensor) else state

def run(make, recorded, steps, inputs):
    tc.manual_seed(5)
    trial = make()
    step = tc.graphed(trial.step, warmup=2) if recorded else trial.step
    results = []
    for number in range(steps):
        y = step(*inputs(number))
        results.append(numbers(y.detach()))
        results.append(numbers(trial.watched()))
    if recorded: assert len(step.__wrapped__.__self__.calls) == 3, "it was not recorded"
    return results

def compare(make, inputs, steps=8):
    plain, recorded = (run(make, flag, steps, inputs) for flag in (False, True))
    for number, (one, other) in enumerate(zip(plain, recorded)):
        assert repr(one) == repr(other), (number // 2, one, other)
    return plain

with tc.device("cuda"):
    tc.manual_seed(1)
    X = [tc.randn(4, 2, 9, 7) for _ in range(8)]
    Y = [tc.arange(4) % 3 for _ in range(8)]

class Trial:
    def __init__(self, kind=optim.SGD, **options):
        self.calls = []
        with tc.device("cuda"):
            tc.manual_seed(2)
            self.net = self.network()
        self.optimizer = kind(self.net.parameters(), **({"lr": 0.05} | options))
        tc.manual_seed(3)

    def network(self):
        return nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(),
                             nn.Dropout(0.2), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(48, 3))

    def step(self, x, y):
        self.calls.append(1)
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self.net(x), y)
        loss.backward()
        self.optimizer.step()
        return loss

    def watched(self):
        return [self.net.state_dict(), self.optimizer.state_dict()["state"]]
"""
)


@pytest.mark.parametrize("kind", ["SGD, momentum=0.9", "AdamW"])
def test_a_whole_step(kind):
    run_python(BOTH + f"compare(lambda: Trial(optim.{kind}), lambda n: (X[n], Y[n]))\n")


SCALED = """
class Scaled(Trial):
    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.scaler = tc.amp.GradScaler("cuda", init_scale=8.0, growth_interval=2)

    def step(self, x, y):
        self.calls.append(1)
        self.optimizer.zero_grad()
        with tc.autocast("cuda", dtype=tc.bfloat16):
            loss = F.cross_entropy(self.net(x), y)
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss

    def watched(self):
        return [*super().watched(), self.scaler.state_dict()]

bad = X[5].clone()
bad[0, 0, 0, 0] = float("inf")
X[5] = bad
"""


@pytest.mark.parametrize(
    "kind", ["SGD, momentum=0.9, dampening=0.3", "Adam, amsgrad=True", "Adagrad, lr_decay=0.1",
             "RMSprop", "Adadelta"],
)  # fmt: skip
def test_a_scaled_step_with_an_infinite_gradient_in_between(kind):
    run_python(BOTH + SCALED + f"""
found = compare(lambda: Scaled(optim.{kind}), lambda n: (X[n], Y[n]))
scales = [watched[2]["scale"] for watched in found[1::2]]
assert scales == [8, 16, 16, 32, 32, 16, 16, 32], scales
before, after = ([found[2 * n + 1][0][k] for k in ("0.weight", "6.bias")] for n in (4, 5))
assert before == after and found[9][1] == found[11][1]
counts = [s.get("step") for s in found[-1][1].values()]
assert set(counts) == ({{None}} if {kind!r}.startswith("SGD") else {{7}}), counts
""")  # fmt: skip


WITH = """
class LastOf(nn.Module):
    def __init__(self, cells):
        super().__init__()
        self.cells = cells

    def forward(self, x):
        return self.cells(x)[0]

class Other(Trial):
    def network(self):
        return nn.Sequential({layers})

    def step(self, x, y):
        self.calls.append(1)
        self.optimizer.zero_grad()
        with tc.autocast("cuda", dtype=tc.bfloat16, enabled={half}):
            loss = F.cross_entropy(self.net(x), y)
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), 0.3)
        self.optimizer.step()
        return loss
compare(lambda: Other(), lambda n: (X[n], Y[n]), steps=5)
"""
FLAT = "nn.Flatten(), nn.Linear({}, 3)".format


@pytest.mark.parametrize(
    "layers",
    [
        f"nn.AdaptiveMaxPool2d((4, 3)), {FLAT(24)}",
        f"nn.AdaptiveAvgPool2d((4, 3)), {FLAT(24)}",
        f"nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False), {FLAT(40)}",
        f"nn.ReflectionPad2d(2), nn.Conv2d(2, 3, 3, stride=2), {FLAT(90)}",
        f"nn.Upsample(size=(5, 8), mode='bilinear'), nn.Conv2d(2, 3, 3, stride=2), {FLAT(18)}",
        f"nn.ConvTranspose2d(2, 4, 2, stride=2), nn.GroupNorm(2, 4), nn.SiLU(), {FLAT(1008)}",
        f"nn.Flatten(2), nn.TransformerEncoderLayer(63, 3, 16, batch_first=True), {FLAT(126)}",
        f"nn.Flatten(2), LastOf(nn.LSTM(63, 4, batch_first=True)), {FLAT(8)}",
    ],
)
@pytest.mark.parametrize("half", [False, True])
def test_layers_can_be_recorded(layers, half):
    run_python(BOTH + WITH.format(layers=layers, half=half))


def test_a_scaled_step_that_cannot_be_recorded_goes_on_line_by_line():
    run_python(
        BOTH
        + SCALED
        + """
class Reading(Scaled):
    def step(self, x, y):
        self.calls.append(1)
        self.optimizer.zero_grad()
        self.scaler.scale(F.cross_entropy(self.net(x), y)).backward()
        self.scaler.unscale_(self.optimizer)
        self.net[0].weight.grad.sum().item()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return self.net[0].weight.sum()

warnings.simplefilter("default")
plain, other = Reading(), Reading()
step = tc.graphed(other.step, warmup=2)
with warnings.catch_warnings(record=True) as seen:
    for trial, run in ((plain, plain.step), (other, step)):
        tc.manual_seed(5)
        for n in range(5): run(X[n], Y[n])
assert len(seen) == 1 and "it reads a value" in str(seen[0].message), seen
assert repr(numbers(plain.watched())) == repr(numbers(other.watched()))
"""
    )
