"""The whole command on the stand-in for CuPy: what a first run on a GPU would stumble over.

Kernels run in the emulator, arrays are NumPy's, streams capture; sizes are small and times mean
nothing. Each job is a process of its own, as on a GPU.
"""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
from cuda_emulator import COMPILER

pytestmark = pytest.mark.skipif(
    not COMPILER or importlib.util.find_spec("array_api_compat") is None,
    reason="needs g++ and array-api-compat",
)
SCRIPT = Path(__file__).parents[1] / "support" / "gpu_check_on_stand_in.py"


def checked(tmp_path, *arguments):
    """Run the command; return its exit status, what it prints and its rows."""
    file = tmp_path / "rows.jsonl"
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--json", str(file), "--seed", "1", *arguments],
        capture_output=True, text=True, check=False, timeout=400,
    )  # fmt: skip
    about, *rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert about["seed"] == 1
    return done.returncode, done.stdout + done.stderr, rows


def statuses(rows):
    return {row["name"]: row["status"] for row in rows if row["status"] != "skipped"}


def test_a_recorded_training_step(tmp_path):
    code, text, rows = checked(tmp_path, "--only", "graphs", "--match", "convnet, SGD")
    assert (code, statuses(rows)) == (0, {"convnet, SGD": "ok"}), text
    assert rows[0]["figures"] == {"steps": 10, "replayed": 7}


def test_memory(tmp_path):
    code, text, rows = checked(tmp_path, "--only", "memory", "--match", "out of memory")
    assert (code, list(statuses(rows).values())) == (0, ["ok"]), text


@pytest.mark.parametrize("match", ["conv_input_grad bfloat16 ", "total_norm 1.0 bfloat16 "])
def test_kernels_are_compared(match, tmp_path):
    code, text, rows = checked(tmp_path, "--only", "correctness", "--match", match)
    assert code == 0, text
    assert len(rows) == 5


def test_times_and_their_tables(tmp_path):
    _, text, rows = checked(tmp_path, "--only", "timing", "--match", "1x1 16->32")
    names = statuses([row for row in rows if row["figures"].get("side") == "tinyconv"])
    assert set(names.values()) == {"ok"}, text
    assert len(names) == 7  # the machine, three directions in two precisions
    assert "GPU Fake GPU" in text
    assert "1x1 16->32 1x8x8 weight tf32" in text


@pytest.mark.slow
@pytest.mark.parametrize("net", ["LeNet-5", "ResNet-18", "ResNet-50", "U-Net"])
def test_steps_of_networks(tmp_path, net):
    _, text, rows = checked(tmp_path, "--only", "timing", "--match", f"{net} step bf16 graphed")
    names = statuses([row for row in rows if row["figures"].get("side") == "tinyconv"])
    assert names == {"machine": "ok", f"{net} step bf16 graphed": "ok"}, text
