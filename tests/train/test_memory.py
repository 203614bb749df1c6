"""Training for long leaves memory flat, without the garbage collector."""

import subprocess
import sys
from pathlib import Path

import pytest

STEPS = """
import gc
import tinyconv as tc
from tinyconv.nn import functional as F

gc.disable()

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

tc.manual_seed(0)
model = tc.nn.Sequential(
    tc.nn.Conv2d(1, 2, 3), tc.nn.BatchNorm2d(2), tc.nn.ReLU(), tc.nn.Flatten(),
    tc.nn.Dropout(0.1), tc.nn.Linear(8, 2),
)
optimizer = tc.optim.Adam(model.parameters())
images, labels = tc.rand(4, 1, 4, 4), tc.tensor([0, 1, 0, 1])
for step in range(10_000):
    if step == 1_000:
        start = resident()
    optimizer.zero_grad()
    F.cross_entropy(model(images), labels).backward()
    optimizer.step()
print(resident() - start, sum(isinstance(o, tc.Tensor) for o in gc.get_objects()))
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's /proc")
def test_ten_thousand_steps_leave_memory_flat():
    done = subprocess.run([sys.executable, "-c", STEPS], capture_output=True, text=True, check=True)
    growth, tensors = map(int, done.stdout.split())
    assert growth < 512 * 1024
    assert tensors < 100
