"""Devices and backends: names, contexts, overrides, a user's own backend."""

import os
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest

import tinyconv as tc
from tinyconv import config
from tinyconv.backend import Backend, Device, as_device, backends, register
from tinyconv.errors import DeviceError, DTypeError


def test_one_object_a_device():
    assert tc.device("cpu") is Device("cpu") is tc.device("cpu:0") is tc.device("cpu", 0)
    assert tc.device("cpu") == "cpu"
    assert (tc.device("cpu").type, tc.device("cpu").index) == ("cpu", None)
    assert pickle.loads(pickle.dumps(tc.device("cpu"))) is tc.device("cpu")
    assert repr(tc.device("strict")) == "device(type='strict')"


def test_context_is_nested_and_ends_after_an_exception():
    with pytest.raises(KeyError), tc.device("strict"):
        raise KeyError
    assert as_device() == "cpu"
    with tc.device("strict"):
        with tc.device("cpu"), tc.device("strict"):
            assert tc.zeros(1).device == "strict"
        assert tc.zeros(1).device == "strict"
        assert tc.zeros(1, device="cpu").device == "cpu"
    assert tc.zeros(1).device == "cpu"


def test_context_belongs_to_its_thread():
    seen = []
    with tc.device("strict"):
        thread = threading.Thread(target=lambda: seen.append(str(tc.zeros(1).device)))
        thread.start()
        thread.join()
    assert seen == ["cpu"]


def test_default_device_can_be_set():
    try:
        tc.set_default_device("strict")
        assert tc.get_default_device() == tc.ones(2).device == "strict"
    finally:
        tc.set_default_device("cpu")


@pytest.mark.parametrize("name", ["gpu", "cpu:x", "", "cuda:-1"])
def test_unknown_name(name):
    with pytest.raises(DeviceError, match="choose cpu, cuda"):
        tc.device(name)


def test_cuda_that_cannot_be_had_raises_and_auto_falls_back_once():
    assert not tc.cuda.is_available()
    assert tc.cuda.device_count() == 0
    with pytest.raises(DeviceError, match=r"'cuda' cannot be had.*Use device 'cpu'"):
        tc.ones(2, device="cuda")
    code = (
        "import warnings, tinyconv as tc\n"
        "with warnings.catch_warnings(record=True) as seen:\n"
        "    warnings.simplefilter('always')\n"
        "    assert tc.device('auto') == tc.device('auto') == 'cpu'\n"
        "assert len(seen) == 1 and 'the CPU: ' in str(seen[0].message), seen\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_backend_setting_chooses_the_kernels():
    assert not backends()["strict"].overridden()
    with config.override(backend="numpy"):
        assert tc.device("cpu").backend.overridden() == []
    assert "conv" in tc.device("cpu").backend.overridden()


def test_backend_of_the_cpu_is_that_of_the_thread():
    cpu, fast = tc.device("cpu"), backends()["cpu"]
    inside, seen = threading.Event(), []

    def other():
        inside.wait()
        seen.append(cpu.backend)
        with config.override(backend="numpy"):
            seen.append(cpu.backend)

    thread = threading.Thread(target=other)
    thread.start()
    with config.override(backend="numpy"):
        inside.set()
        thread.join()
        reference = cpu.backend
    assert [fast.name, reference.name] == ["cpu", "numpy"]
    assert seen == [fast, reference]
    assert cpu.backend is fast
    assert pickle.loads(pickle.dumps(cpu)) is cpu is tc.device("cpu")


SETTERS = {
    "variable": "",
    "setter": "config.backend.set('numpy')",
    "setter inside a block": "with config.override(backend='auto'): config.backend.set('numpy')",
}


@pytest.mark.parametrize("how", SETTERS)
def test_reference_kernels_from_the_start(how):
    code = (
        f"import tinyconv as tc; from tinyconv import config\n{SETTERS[how]}\n"
        "print(tc.zeros(1).device.backend.name)"
    )
    environment = {"TINYCONV_BACKEND": "numpy"} if how == "variable" else {}
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={**os.environ, **environment},
    )  # fmt: skip
    assert result.stdout.split() == ["numpy"]


def test_a_backend_of_the_users_own(monkeypatch):
    monkeypatch.setattr(config, "DEVICE_TYPES", list(config.DEVICE_TYPES))
    calls = []

    def erf(xp, x):
        calls.append(x.shape)
        return xp.zeros_like(x)

    mine = Backend("mine", np, {"erf": erf})
    register(mine)
    register(mine)  # the same object again is fine
    with pytest.raises(DeviceError, match="'mine' exists already"):
        register(Backend("mine", np))
    x = tc.ones(3, device="mine")
    assert x.erf().tolist() == [0, 0, 0]
    assert calls == [(3,)]
    assert tc.nn.functional.relu(x).device == "mine"
    assert tc.nn.functional.conv1d(x.reshape(1, 1, 3), tc.ones(1, 1, 2, device="mine")).sum() == 4
    with pytest.raises(DeviceError, match=r"add: .*mine.*cpu"):
        x + tc.ones(3)
    with pytest.raises(AttributeError, match="no kernel 'convolve'"):
        mine.convolve(x)


def test_dtype_names():
    for name in ("float16", "float32", "float64", "int8", "int64", "uint8", "bool"):
        found = tc.backend.as_dtype(name)
        assert found is tc.backend.as_dtype(np.dtype(name)) is tc.backend.as_dtype(found)
        assert found.itemsize == np.dtype(name).itemsize
    with pytest.raises(DTypeError, match="complex64"):
        tc.backend.as_dtype("complex64")


def test_foreign_byte_order_comes_in_native():
    swapped = np.arange(3, dtype=">f4")
    assert tc.tensor(swapped).tolist() == [0, 1, 2]
