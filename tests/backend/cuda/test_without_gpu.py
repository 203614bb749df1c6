"""The GPU side where there is no GPU: what is imported when, what errors say, which code runs.

Each test is a process of its own, because what was found out about the GPU holds for a process.
"""

import importlib.util
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cuda_emulator import COMPILER

import tinyconv as tc
from tinyconv.backend import cuda
from tinyconv.backend.cuda.driver import presence
from tinyconv.backend.reference import KERNELS

ROOT = Path(__file__).parents[3]
HAS_CUPY = importlib.util.find_spec("cupy") is not None
NO_CUPY = "import sys; sys.modules['cupy'] = None\n"
no_gpu = pytest.mark.skipif(tc.cuda.is_available(), reason="there is a GPU")


def run_python(code, **environment):
    """Return what Python prints; fail with its errors."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests/support")]),
            "CUDA_VISIBLE_DEVICES": "",
            "TINYCONV_BACKEND": "numpy",  # compiles nothing
            **environment,
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("name", cuda.OVERRIDES)
def test_signature_is_that_of_the_reference(name):
    override = inspect.signature(cuda.override(name)).parameters
    assert list(override) == list(inspect.signature(KERNELS[name]).parameters)


def test_overrides_are_kernels():
    assert set(cuda.OVERRIDES) <= set(KERNELS)
    assert cuda.override("no_such_kernel") is None


def test_import_and_cpu_work_import_no_cupy():
    assert run_python(
        "import sys, tinyconv as tc; from tinyconv import nn, optim, data, train\n"
        "x = tc.ones(2, 3, requires_grad=True); nn.Linear(3, 1)(x).sum().backward()\n"
        "x.is_pinned(); tc.cuda; tc.device('cpu')\n"
        "print(sorted({'cupy', 'cupyx', 'array_api_compat'} & set(sys.modules)))"
    ) == "[]"  # fmt: skip


def test_without_cupy_errors_say_what_to_install():
    text = run_python(
        NO_CUPY + "import tinyconv as tc\n"
        "assert not tc.cuda.is_available() and tc.cuda.device_count() == 0\n"
        "try: tc.ones(2, device='cuda')\n"
        "except tc.errors.DeviceError as error: print(error)"
    )
    assert text.startswith("device 'cuda' cannot be had: CuPy is not installed; ")
    assert 'pip install "tinyconv[cuda12]"' in text
    assert "cuda13" in text
    assert text.endswith("Use device 'cpu', or 'auto' to take the best device there is")


@pytest.mark.skipif(not HAS_CUPY, reason="CuPy is not installed")
@no_gpu
def test_with_cupy_but_no_gpu_errors_say_so():
    text = run_python(
        "import tinyconv as tc\n"
        "assert not tc.cuda.is_available() and tc.cuda.device_count() == 0\n"
        "try: tc.ones(2).cuda()\n"
        "except tc.errors.DeviceError as error: print(error)"
    )
    assert "no NVIDIA driver" in text or "the NVIDIA driver sees no GPU" in text
    assert "CuPy is not installed" not in text


def test_every_question_about_a_gpu_raises_the_same_clear_error():
    answered = {
        "is_available", "device_count", "manual_seed", "manual_seed_all",
        "DeviceProperties", "OutOfMemoryError",
    }  # fmt: skip
    calls = dict.fromkeys(set(tc.cuda.__all__) - answered, ())
    calls |= {"set_device": (0,), "device": (0,), "stream": (1,), "set_stream": (1,)}
    text = run_python(
        NO_CUPY + "import tinyconv as tc\n"
        f"for name, args in {calls!r}.items():\n"
        "    try:\n"
        "        with getattr(tc.cuda, name)(*args): pass\n"
        "    except tc.errors.DeviceError as error: assert 'CuPy is not' in str(error), error\n"
        "    else: print(name)\n"
        "tc.cuda.manual_seed(3); assert tc.initial_seed() == 3\n"
        "tc.cuda.manual_seed_all(4); assert tc.initial_seed() == 4\n"
        "try: tc.ones(1).pin_memory()\n"
        "except tc.errors.DeviceError as error: print('pinned')"
    )
    assert text == "pinned"


def test_setting_cuda_raises_and_auto_falls_back_once():
    code = (
        NO_CUPY + "import warnings, tinyconv as tc\n"
        "warnings.simplefilter('always')\n"
        "with warnings.catch_warnings(record=True) as seen:\n"
        "    try: print(tc.ones(2).device, tc.zeros(1).device, len(seen), seen[0].message)\n"
        "    except tc.errors.DeviceError as error: print(error)"
    )
    assert run_python(code, TINYCONV_DEVICE="cuda").startswith("device 'cuda' cannot be had: CuPy")
    fallback = run_python(code, TINYCONV_DEVICE="auto")
    assert fallback.startswith("cpu cpu 1 device 'auto' is the CPU: CuPy is not installed")


class FakeRuntime:
    """As much of CuPy as is asked when it is found out what is missing."""

    __version__ = "14.2.0"

    class Error(RuntimeError):
        def __init__(self, status):
            super().__init__(f"error {status}")
            self.status = status

    def __init__(self, answer):
        self.cuda = self.runtime = self
        self.CUDARuntimeError, self.answer = self.Error, answer

    def getDeviceCount(self):
        if isinstance(self.answer, Exception):
            raise self.answer
        return len(self.answer)

    def Device(self, index):
        self.compute_capability = self.answer[index]
        return self


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (FakeRuntime.Error(35), "there is no NVIDIA driver, or it is too old"),
        (FakeRuntime.Error(100), "sees no GPU; is CUDA_VISIBLE_DEVICES empty"),
        (FakeRuntime.Error(999), "does not start: error 999"),
        ([], "sees no GPU"),
        (["75", "61"], "GPU 0 has compute capability 7.5, and the kernels need 8.0 or more"),
        (["75", "90"], None),
        (["80"], None),
        (["120"], None),
    ],
)
def test_what_is_missing(answer, words):
    found = presence._problem_of_device(FakeRuntime(answer))
    assert found is None if words is None else words in found


# -- the GPU side, run on something that answers as CuPy does -------------------------------------

FAKE = "import fake_cupy; fake_cupy.install({gpus})\nimport numpy as np, tinyconv as tc\n"
NETWORK = """
from tinyconv import nn
import tinyconv.nn.functional as F
tc.manual_seed(0)
net = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.LeakyReLU(0.1),
                    nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 3))
x, y = tc.randn(5, 2, 6, 6), tc.tensor([0, 1, 2, 0, 1])
def train(net, x, y):
    optimizer = tc.optim.SGD(net.parameters(), 0.1, momentum=0.9)
    for _ in range(3):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
    return loss.item(), net[0].weight.detach().cpu().numpy()
import copy
here = copy.deepcopy(net)
expected = train(here, x, y)
"""
needs_emulator = pytest.mark.skipif(
    not COMPILER or importlib.util.find_spec("array_api_compat") is None,
    reason="needs g++ and array-api-compat",
)


@needs_emulator
@pytest.mark.parametrize(("gpus", "device"), [(1, "cuda"), (2, "cuda:0"), (2, "cuda:1")])
def test_training_on_a_gpu_is_training_on_the_cpu(gpus, device):
    text = run_python(FAKE.format(gpus=gpus) + NETWORK + f"""
found = train(net.to({device!r}), x.to({device!r}), y.cuda({device!r}))
assert abs(found[0] - expected[0]) < 1e-5, (found[0], expected[0])
np.testing.assert_allclose(found[1], expected[1], atol=1e-5)
z = net[0].weight.grad
print(z.device, z.is_cuda, tc.ones(2, device={device!r}).sum().item())
with tc.device({device!r}):
    print(tc.rand(2).device, (tc.arange(4) * 2).tolist(), tc.eye(2).diagonal().tolist())
""")  # fmt: skip
    number = device.partition(":")[2] or "0"
    assert text.splitlines() == [
        f"cuda:{number} True 2.0",
        f"cuda:{number} [0, 2, 4, 6] [1.0, 1.0]",
    ]


@needs_emulator
def test_devices_and_their_errors():
    text = run_python(FAKE.format(gpus=2) + """
assert tc.cuda.is_available() and tc.cuda.device_count() == 2
assert tc.device("auto") == "cuda"
a, b = tc.ones(2, device="cuda:0"), tc.ones(2, device="cuda:1")
for call in (lambda: a + b, lambda: a + tc.ones(2), lambda: tc.ones(1, device="cuda:2"),
             lambda: a.numpy(), lambda: a.pin_memory(), lambda: tc.cuda.set_device(7)):
    try: call()
    except tc.errors.DeviceError as error: print(error)
assert (a + b.to("cuda:0")).device == "cuda:0" and b.to(a).tolist() == [1, 1]
with tc.cuda.device(1):
    assert tc.cuda.current_device() == 1 and tc.ones(1).cuda().device == "cuda:1"
assert tc.cuda.current_device() == 0
tc.cuda.set_device("cuda:1")
assert tc.ones(1, device="cuda").device == "cuda:1" and a.device == "cuda:0"
assert (a * 2 + 1).tolist() == [3, 3]
""").splitlines()  # fmt: skip
    assert "add: tensor argument 0 is on cuda:0 but 1 is on cuda:1; move one with" in text[0]
    assert "1 is on cpu" in text[1]
    assert text[2].startswith("device 'cuda:2' cannot be had: there are 2 GPUs, cuda:0 to cuda:1")
    assert "numpy: the tensor is on cuda:0" in text[3]
    assert "pin_memory: only memory of the CPU" in text[4]
    assert "there is no GPU 7" in text[5]


@needs_emulator
def test_questions_streams_and_events():
    run_python(FAKE.format(gpus=2) + """
c = tc.cuda
assert c.get_device_name() == "Fake GPU" and c.get_device_capability("cuda:1") == (9, 0)
assert c.get_device_properties(1).total_memory == 32
assert (c.memory_allocated(), c.memory_reserved(), c.max_memory_allocated()) == (5000, 8192, 8192)
c.reset_peak_memory_stats()
assert c.max_memory_allocated() == 5000 and c.mem_get_info() == (3 << 30, 4 << 30)
assert "4.0 GiB" in c.memory_summary() and "Fake GPU, cuda:0" in c.memory_summary()
c.empty_cache(); c.synchronize(); c.synchronize("cuda:1")
side, usual = c.Stream(), c.current_stream()
assert usual == c.default_stream() != side
with c.stream(side):
    assert c.current_stream() == side
    mark = side.record_event()
with c.stream(None): assert c.current_stream() == usual
usual.wait_stream(side); mark.synchronize(); side.synchronize()
assert mark.query() and side.query() and "cuda:0" in repr(side)
c.set_stream(side); assert c.current_stream() == side
start, end = c.Event(enable_timing=True), c.Event(enable_timing=True)
start.record(); end.record(); assert start.elapsed_time(end) == 1.0
try: mark.elapsed_time(end)
except tc.errors.ArgumentError: pass
else: raise AssertionError
""")  # fmt: skip


@needs_emulator
def test_pinned_memory_and_the_loader():
    run_python(FAKE.format(gpus=1) + """
x = tc.arange(6.0).reshape(2, 3)
pinned = x.pin_memory()
assert not x.is_pinned() and pinned.is_pinned() and pinned.pin_memory() is pinned
assert pinned.tolist() == x.tolist() and pinned.to("cuda", non_blocking=True).tolist() == x.tolist()
assert tc.zeros(0).pin_memory().shape == (0,)
w = tc.ones(3, requires_grad=True)
w.pin_memory().sum().backward(); assert w.grad.tolist() == [1, 1, 1]
data = tc.data.TensorDataset(tc.arange(5), tc.rand(5, 2))
class Arrays(tc.data.Dataset):
    def __len__(self): return 5
    def __getitem__(self, i): return {"x": np.full(2, i, np.float32), "name": "a"}
for source in (data, Arrays()):
    for batch in tc.data.DataLoader(source, 2, pin_memory=True):
        first = batch["x"] if isinstance(batch, dict) else batch[0]
        assert first.is_pinned() and first.device == "cpu", (first.device, first)
    for batch in tc.data.DataLoader(source, 2):
        first = batch["x"] if isinstance(batch, dict) else batch[0]
        assert not first.is_pinned()
class Own:
    def pin_memory(self): return "pinned"
(own,) = tc.data.DataLoader([1], collate_fn=lambda batch: Own(), pin_memory=True)
assert own == "pinned"
with tc.device("cuda"):
    for batch in tc.data.DataLoader(Arrays(), 2, pin_memory=True):
        assert batch["x"].device == "cuda:0" and batch["name"] == ["a"] * len(batch["x"])
""")  # fmt: skip


@needs_emulator
def test_memory_that_runs_out_names_op_size_and_tensors():
    text = run_python(FAKE.format(gpus=1) + """
import sys
xp = sys.modules["array_api_compat.cupy"]
big, small = tc.zeros(1000, 1000, device="cuda"), tc.ones(10, 10, device="cuda", requires_grad=True)
kept = small.exp()
def fail(*args, **kwargs): raise MemoryError("Out of memory allocating 4,000,000,000 bytes")
xp.empty_like = xp.zeros = xp.exp = fail
for call in (lambda: tc.exp(big), lambda: tc.zeros(3, device="cuda")):
    try: call()
    except tc.cuda.OutOfMemoryError as error: print(error)
""")  # fmt: skip
    first, second = text.split("zeros: ")
    assert first.startswith("exp: out of memory on cuda:0: Out of memory allocating 4,000,000,000")
    assert "3.8 MiB  float32 (1000, 1000), a tensor" in first
    assert "400 B  float32 (10, 10), made by ExpBackward" in first
    assert "out of memory on cuda:0" in second


PLUGIN = "import fake_cupy\nfake_cupy.install(2)\n"


@pytest.mark.slow
@needs_emulator
def test_every_op_stays_on_its_gpu(tmp_path):
    """The suite of ops on the second of two GPUs, while the first is the current one."""
    (tmp_path / "second_gpu.py").write_text(PLUGIN)
    paths = [str(ROOT), str(ROOT / "tests/support"), str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "second_gpu", "-n", "2", "-k", "cuda",
         str(ROOT / "tests/conformance")],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
