"""The memory tool measures what it says."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parent.parent / "tools"

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not (TOOLS / "memory.py").exists(), reason="reads /proc"
)

PEAK = """
import sys
sys.path.insert(0, {tools!r})
import numpy as np, memory
def step():
    a = np.ones(40 << 20, np.uint8)
    b = a[:8 << 20].copy()
print(memory.peak_of(step), memory.traced_peak_of(step), memory.faults_of(step)[0])
"""


def test_peak_of_a_known_step():
    code = PEAK.format(tools=str(TOOLS))
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    peak, traced, faults = map(float, result.stdout.split())
    assert 46 << 20 < peak < 56 << 20
    assert 48 << 20 <= traced < 49 << 20
    assert faults > 10  # one for each 2 MB, if pages are huge


def test_a_training_step_is_measured():
    command = [sys.executable, str(TOOLS / "memory.py"), "--here", "tinyconv", "LeNet-5"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout.splitlines()[-1])
    assert set(found) == {"peak", "faults", "system", "seconds"}
    assert 1e6 < found["peak"] < 60e6
