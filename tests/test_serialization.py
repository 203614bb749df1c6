"""Round trips of save and load, and what they refuse."""

import json
import math
import os
import struct
from collections import OrderedDict, namedtuple

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tinyconv.backend import Device
from tinyconv.errors import ArgumentError, CheckpointError, DeviceError
from tinyconv.ops import tensor
from tinyconv.serialization import header, load, save
from tinyconv.tensor import Tensor


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.safetensors"


def round_trip(obj, path):
    save(obj, path)
    return load(path)


def bits(value):
    return struct.pack("<d", value)


@pytest.mark.parametrize("dtype", sorted(header.CODES))
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,), (2, 3, 4)])
def test_arrays_come_back_bit_by_bit(path, dtype, shape):
    random = np.random.default_rng(0)
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = random.integers(0, 2 if dtype == "bool" else 256, size, dtype=np.uint8)
    array = raw.view(dtype).reshape(shape)
    back = round_trip(array, path)
    assert type(back) is np.ndarray
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    assert back.tobytes() == array.tobytes()
    assert back.flags.writeable


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float16", "float32", "float64"])
def test_tensors_come_back_bit_by_bit(path, dtype, backend):
    if (backend, dtype) == ("strict", "float16"):
        pytest.skip("array-api-strict has no float16")
    array = np.arange(6).reshape(2, 3).astype(dtype)
    back = round_trip({"x": tensor(array), "empty": tensor(array[:0])}, path)
    assert isinstance(back["x"], Tensor)
    assert back["x"].dtype.name == dtype
    assert np.asarray(back["x"].numpy()).tobytes() == array.tobytes()
    assert tuple(back["empty"].shape) == (0, 3)


def test_non_contiguous_and_foreign_byte_order(path):
    base = np.arange(24.0).reshape(4, 6)
    views = [base.T, base[::-2, 1::2], np.broadcast_to(base[0], (3, 6)), base.astype(">f8")]
    for view, back in zip(views, round_trip(views, path), strict=True):
        np.testing.assert_array_equal(back, view)
        assert back.dtype.isnative


VALUES = [
    None, True, False, 0, -1, 2**53 + 1, -(2**64), 10**50, 7**6000,
    "", "text", "é\n\0\"\\", "\ud800",
    0.0, -0.0, 0.1, 5e-324, 1.7976931348623157e308, [], (), {}, [[]], ([],), {"": 1},
    {0: "a", "0": "b"},
    {"dict": [["a", 1]]}, {"tensor": "x"}, {"__metadata__": 1}, {-3: {2**62: (1, [2, (3,)])}},
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_plain_values_come_back_equal_and_of_the_same_type(path, value):
    def check(a, b):
        assert type(a) is type(b)
        if isinstance(a, dict):
            assert [(type(k), k) for k in a] == [(type(k), k) for k in b]
            a, b = list(a.values()), list(b.values())
        if isinstance(a, list | tuple):
            assert len(a) == len(b)
            for x, y in zip(a, b, strict=True):
                check(x, y)
        elif isinstance(a, float):
            assert bits(a) == bits(b)
        else:
            assert a == b

    check(value, round_trip(value, path))
    check({"value": [value]}, round_trip({"value": [value]}, path))


def test_nan_and_infinities_keep_their_bits(path):
    payload = struct.unpack("<d", bytes.fromhex("010000000000f87f"))[0]
    values = [math.nan, -math.nan, payload, math.inf, -math.inf]
    assert list(map(bits, round_trip(values, path))) == list(map(bits, values))
    json.loads(json.dumps(json.loads(header_text(path))), parse_constant=pytest.fail)


def header_text(path):
    data = path.read_bytes()
    return data[8 : 8 + int.from_bytes(data[:8], "little")].decode()


def test_numpy_numbers_keep_their_type(path):
    values = [np.float32(0.1), np.int8(-3), np.bool_(True), np.float64(math.nan), np.uint64(2**63)]
    for value, back in zip(values, round_trip(values, path), strict=True):
        assert type(back) is type(value)
        assert back.tobytes() == value.tobytes()


def test_subclasses_come_back_as_the_plain_type(path):
    point = namedtuple("point", "x y")(1, 2)
    back = round_trip({"p": point, "o": OrderedDict(b=1, a=2)}, path)
    assert type(back["p"]) is tuple
    assert type(back["o"]) is dict
    assert list(back["o"]) == ["b", "a"]


def test_an_optimizers_state_survives(path):
    state = {
        "state": {0: {"step": 3, "exp_avg": tensor([1.0])}, 1: {}},
        "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.999), "params": [0, 1]}],
    }
    back = round_trip({"epoch": 1, "optimizer_state_dict": state}, path)["optimizer_state_dict"]
    assert list(back["state"]) == [0, 1]
    assert back["state"][0]["exp_avg"].tolist() == [1.0]
    assert back["param_groups"] == state["param_groups"]


def test_tied_tensors_are_stored_once_and_come_back_tied(path):
    big = tensor(np.ones((100, 100)))
    obj = {"a": big, "b": [big], "c": big.detach(), "array": big.array, "other": tensor([1.0])}
    back = round_trip(obj, path)
    assert back["a"] is back["b"][0] is back["c"]
    assert back["a"].array is back["array"]
    assert path.stat().st_size < 1.2 * 80_000
    view = round_trip([big, big[0]], path)  # other parts of the same memory are not tied
    assert tuple(view[1].shape) == (100,)


def test_names_are_dotted_and_readable_by_others(path):
    save({"model": {"conv.weight": tensor([1.0, 2.0]), "bias": np.ones(3, np.float16)}}, path)
    others = load_file(path)
    assert sorted(others) == ["model.bias", "model.conv.weight"]
    np.testing.assert_array_equal(others["model.conv.weight"], np.float32([1, 2]))


def test_names_that_collide_are_kept_apart(path):
    obj = {"a.b": np.ones(1), "a": {"b": np.zeros(1)}, "__metadata__": np.ones(2), 0: np.ones(3),
           "0": np.ones(4), "\ud800": np.ones(5), "": np.ones(6)}  # fmt: skip
    back = round_trip(obj, path)
    assert list(back) == list(obj)
    assert [array.size for array in (back["__metadata__"], back[0], back["0"])] == [2, 3, 4]
    assert back["a.b"][0] == 1
    assert back["a"]["b"][0] == 0
    load_file(path)


@pytest.mark.parametrize("dtype", ["float32", "int64", "bool", "float16"])
def test_files_of_others_load_as_a_flat_dict(path, dtype):
    arrays = {"b.c": np.arange(4).reshape(2, 2).astype(dtype), "a": np.array(1).astype(dtype)}
    save_file(arrays, path, metadata={"format": "pt"})
    back = load(path)
    assert {key: type(value) for key, value in back.items()} == {"a": Tensor, "b.c": Tensor}
    for key, array in arrays.items():
        np.testing.assert_array_equal(back[key].array, array)


def test_map_location(path):
    save({"x": tensor([1.0]), "y": np.ones(2)}, path)
    assert load(path)["x"].device == "cpu"
    back = load(path, map_location="strict")
    assert back["x"].device.type == "strict"
    assert type(back["y"]) is np.ndarray
    with Device("strict"):
        assert load(path)["x"].device.type == "strict"
    assert load(path, "cpu", weights_only=False)["x"].device == "cpu"
    with pytest.raises(DeviceError):
        load(path, map_location="abacus")


def test_tensors_of_other_devices_can_be_saved_and_stay_tied(path):
    x = tensor([1.0, 2.0], device="strict")
    back = round_trip([x, x, tensor([3.0], device="strict")], path)
    assert back[0] is back[1]
    assert [t.tolist() for t in back] == [[1.0, 2.0], [1.0, 2.0], [3.0]]


@pytest.mark.parametrize(
    ("obj", "words"),
    [
        (object(), "obj is of type builtins.object"),
        ({"a": [1, {2: {3}}]}, r"obj\['a'\]\[1\]\[2\] is of type builtins.set"),
        ({"f": len}, r"obj\['f'\]"),
        ({1.5: 1}, "a key of obj is 1.5"),
        ({"a": {True: 1}}, r"a key of obj\['a'\] is True"),
        ({None: 1}, "NoneType"),
        ({7**6000: 1}, "64 bits"),
        (1j, "complex"),
        (np.ones(2, complex), "complex128"),
        (np.array(["a"]), "<U1"),
        (np.array([None]), "object"),
        (np.str_("a"), "<U1"),
    ],
    ids=range(12),
)
def test_what_cannot_be_saved_is_named_and_nothing_is_written(path, obj, words):
    save({"old": 1}, path)
    with pytest.raises(ArgumentError, match=words):
        save(obj, path)
    assert load(path) == {"old": 1}
    assert os.listdir(path.parent) == [path.name]


def test_nesting_has_a_limit(path):
    deep, too_deep = 1, 1
    for _ in range(100):
        deep = [deep]
    for _ in range(101):
        too_deep = (too_deep,)
    assert round_trip(deep, path) == deep
    with pytest.raises(ArgumentError, match="100 deep"):
        save(too_deep, path)
    endless = {}
    endless["self"] = endless
    with pytest.raises(ArgumentError, match="100 deep"):
        save(endless, path)


def test_the_part_without_arrays_has_a_limit(path):
    with pytest.raises(ArgumentError, match="into arrays"):
        save("x" * (header.MAX_HEADER + 1), path)
    assert not path.exists()


def test_no_length_of_the_header_is_taken_for_a_pickle(path):
    lengths = set()
    for extra in range(0, 1024, 8):
        save("x" * extra, path)
        lengths.add(int.from_bytes(path.read_bytes()[:8], "little"))
        assert load(path) == "x" * extra
    assert {640, 1152} <= lengths


def test_paths_of_all_kinds(path, tmp_path):
    save(1, str(path))
    assert load(str(path)) == 1
    link = tmp_path / "link"
    link.symlink_to(path)
    save(2, link)  # writes where the link points to, as open() does
    assert link.is_symlink()
    assert load(path) == load(link) == 2
    long = tmp_path / ("n" * 251)
    save(3, long)
    assert load(long) == 3
    ordinary = tmp_path / "ordinary"
    ordinary.touch()
    assert path.stat().st_mode == ordinary.stat().st_mode


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not a safetensors file"),
        (b"\x08\0\0", "not a safetensors file"),
        (b"PK\x03\x04" + b"\0" * 100, "PyTorch or pickle"),
        (b"\x80\x02}q\x00.", "PyTorch or pickle"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 100, "not a safetensors file"),
        ((2**24 + 8).to_bytes(8, "little") + b" " * (2**24 + 8), "16,777,2"),
        ((2).to_bytes(8, "little") + b"{}", None),
        ((2).to_bytes(8, "little") + b"{}x", "1"),
    ],
    ids=["empty", "short", "zip", "pickle", "png", "long header", "no tensors", "trailing byte"],
)
def test_foreign_files(path, content, words):
    path.write_bytes(content)
    if words is None:
        assert load(path) == {}
        return
    with pytest.raises(CheckpointError, match=words) as caught:
        load(path)
    assert str(path) in str(caught.value)


def test_a_newer_format_is_recognised(path, monkeypatch):
    monkeypatch.setattr("tinyconv.serialization.files.FORMAT", 2)
    save(1, path)
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match="newer tinyconv"):
        load(path)


@pytest.mark.parametrize(
    "structure",
    ["", "{", "[1", '{"tensor":"y"}', '{"tensor":[]}', '{"tensor":1}', '{"pickle":"x"}', "{}",
     '{"dict":[["a",1],["a",2]]}', '{"dict":[["a"]]}', '{"dict":{"a":1}}', '{"dict":[[null,1]]}',
     '{"dict":[[{"tuple":[]},1]]}', '{"tuple":"ab"}', '{"float":"zz"}', '{"float":"00"}',
     '{"float":1}', '{"int":"x"}', '{"int":5}', '{"tensor":"x","array":"x"}', '{"scalar":{}}',
     "[" * 150 + "]" * 150, "[" * 10**5, '{"tuple":[' * 150 + "]}" * 150, "1" * 5000,
     '{"int":"' + "f" * 10 + 'g"}', '{"dict":[[["a"],1]]}'],
    ids=lambda text: text[:25],
)  # fmt: skip
def test_a_hostile_structure_is_refused(path, structure, monkeypatch):
    monkeypatch.setattr(
        "tinyconv.serialization.files.Encoder.encode",
        lambda self, obj: (self.arrays.update(x=np.ones(2)), structure)[1],
    )
    save(0, path)  # with a checksum that fits
    with pytest.raises(CheckpointError, match="structure"):
        load(path)


def test_parameters_come_back_as_plain_tensors(path):
    back = round_trip(tensor([1.0, 2.0], requires_grad=True), path)
    assert type(back) is Tensor
    assert not back.requires_grad
    assert back.is_leaf


def test_values_are_what_they_were_when_saved(path):
    x = tensor([1.0, 2.0])
    save(x, path)
    x.array[0] = 5.0
    assert load(path).tolist() == [1.0, 2.0]
