"""Hostile safetensors files: an error of ours, or exactly what the reference library reads.

The cases run in a process of their own under limits of memory and time, so that a crash, a hang
or a huge allocation is seen. Run as a script, this file is that process.
"""

import json
import os
import random
import struct
import subprocess
import sys
import time

import numpy as np
import pytest
import safetensors

from tinyconv.errors import CheckpointError
from tinyconv.serialization import load, save

#: Reasons for which tinyconv refuses what the reference library reads.
STRICTER = (
    "twice",  # repeated names
    "start with",  # blanks before the header
    "not described by",  # unknown or missing fields, lists for dicts
    "has dtype",  # dtypes that NumPy lacks, or written as an object
    "not sound JSON",  # repeated keys
    "not a table",  # fields that are no strings or lists of naturals
    "is bool",  # bytes other than 0 and 1
    "impossible shape",  # dimensions beyond 2**63, none of whose elements are stored
    "more than",  # headers above the limit
    "checksum", "metadata are damaged", "its format", "structure",  # files that say they are ours
)  # fmt: skip


def outcome(path, data):
    """Return "refused", "same" or what is wrong with the way a file was read."""
    with open(path, "wb") as file:
        file.write(data)
    try:
        theirs = dict(safetensors.deserialize(data))
    except (safetensors.SafetensorError, ValueError):
        theirs = None
    start = time.process_time()
    try:
        ours = load(path)
    except CheckpointError as error:
        if theirs is not None and not any(reason in str(error) for reason in STRICTER):
            return f"refused what the reference reads: {error}"
        ours = None
    if time.process_time() - start > 5:
        return "took more than 5 s"
    if ours is None:
        return "refused"
    if theirs is None:
        return f"accepted what the reference refuses: {ours!r:.200}"
    if b'"tinyconv.' in data:
        return "same"  # it passed its checksum; the structure decides what it becomes
    if ours.keys() != theirs.keys():
        return f"other names: {list(ours)} {list(theirs)}"
    for name, info in theirs.items():
        array = ours[name].array
        if (list(array.shape), array.tobytes()) != (info["shape"], bytes(info["data"])):
            return f"other contents of {name}"
    return "same"


def seeds():
    """Return a foreign file and one of ours."""
    from safetensors.numpy import save as dump

    arrays = {
        "conv.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
        "mask": np.array([True, False]),
        "steps": np.array(7, dtype=np.int64),
        "half": np.ones((0, 3), np.float16),
    }
    path = os.path.join(sys.argv[1], "seed")
    save({"model": arrays, "epoch": 3, "lr": [0.1, {"a": (1, None)}]}, path)
    with open(path, "rb") as file:
        return [dump(arrays, {"format": "np"}), file.read()]


TOKENS = (
    b'" { } [ ] , : -1 1e400 NaN 0 18446744073709551616 null true "F32" "BOOL" "I64" "dtype" '
    b'"__metadata__":{}, \\u0000 \\ud800 "shape":[0] data_offsets'
).split() + [b"\xff", b"\xef\xbb\xbf", b" ", b"\n", b"\0"]


def mutants(count):
    rng = random.Random(7)
    originals = seeds()
    for _ in range(count):
        data = bytearray(rng.choice(originals))
        header = int.from_bytes(data[:8], "little")
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            place = rng.randrange(8, 8 + header)
            kind = rng.randrange(8)
            if kind == 0:
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            elif kind == 1:
                data[place] = rng.choice(b'0123456789"{}[],:-')
            elif kind == 2:  # a token in, with the length set right
                token = rng.choice(TOKENS)
                data[place:place] = token
                data[:8] = struct.pack("<Q", header + len(token))
            elif kind == 3:
                del data[rng.randrange(len(data)) :]
            elif kind == 4:
                lengths = (0, 1, header - 1, header + 1, 2**63, 2**64 - 1)
                data[:8] = struct.pack("<Q", rng.choice(lengths))
            elif kind == 5:  # splice
                other = rng.choice(originals)
                cut = rng.randrange(len(other))
                data[cut:] = other[cut:]
            elif kind == 6:  # repeat a piece of the header
                end = rng.randrange(place, 8 + header)
                data[place:place] = data[place:end]
                data[:8] = struct.pack("<Q", header + end - place)
            else:
                data += bytes(rng.randrange(1, 9))
            if len(data) < 16:
                break
            header = min(int.from_bytes(data[:8], "little"), len(data) - 9)
            if header < 1:
                break
        yield bytes(data)


def entry(dtype="F32", shape=(1,), offsets=(0, 4), **extra):
    """Return a tensor's description as JSON."""
    fields = {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets), **extra}
    return json.dumps(fields)


SOUND = entry()
BIG = [2**31, 2**32, 2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 10**30, 10**400]
HEADERS = [
    "", "{", "{}", "[]", "null", "1", '"a"', "{}{}", " {}", "{} ", "{}\0", "{} \n\t", "\ufeff{}",
    '{"a"}', '{"a":}', '{"a":1}', '{"a":null}', '{"a":[]}', '{"a":{}}', "{'a':1}",
    '{"a":["F32",[1],[0,4]]}', '{"a":' + "[" * 10**5, '{"a":' * 10**4,
    f'{{"a":{SOUND},"a":{SOUND}}}', f'{{"__metadata__":{{}},"__metadata__":{{}},"a":{SOUND}}}',
]  # fmt: skip
METADATA = [
    "null", "[]", "1", '"x"', '{"a":1}', '{"a":null}', '{"a":{}}', '{"a":"1","a":"2"}',
    '{"\\ud800":"x"}', '{"x":"\\ud800"}', '{"a":"\x01"}', '{"tinyconv.format":"1"}',
    '{"tinyconv.sha256":"0","tinyconv.format":"1","tinyconv.structure":"1"}',
    '{"tinyconv.structure":"' + "[" * 10**5 + '"}',
]  # fmt: skip
DTYPES = ["f32", "", "F33", "BF16", "F8_E4M3", "C64", "F4", None, 1, {"F32": None}, ["F32"]]
SHAPES = [
    [-1], [1.0], ["1"], [None], [True], [[1]], [2], [0], [1] * 65, [0] * 65, [2, 2],
    [4194305, 4194305, 211106198978564], [1] * 100_000,
]  # fmt: skip
OFFSETS = [
    (4, 0), (0, 8), (-4, 0), (0, 4.0), (0, 3), (4, 8), (0,), (0, 4, 4), (), ("0", "4"), (True, 4),
]  # fmt: skip
NUMBERS = ["NaN", "1e400", "Infinity", "-0", "01", "1.", "+1", "0x1", "9" * 5000]
ENTRIES = [
    *(entry(dtype=dtype) for dtype in DTYPES),
    *(entry(shape=shape) for shape in SHAPES),
    *(entry(offsets=offsets) for offsets in OFFSETS),
    *(entry(shape=[n]) for n in BIG),
    *(entry(shape=[n, n]) for n in BIG),
    *(entry(shape=[0, n], offsets=(0, 0)) for n in BIG),
    *(entry(shape=[n, 0], offsets=(0, 0)) for n in BIG),
    *(entry(shape=[n // 4], offsets=(0, n)) for n in BIG),
    *(SOUND.replace("[1]", f"[{number}]") for number in NUMBERS),
    *(SOUND.replace("[0,", f"[{number},") for number in NUMBERS),
    SOUND.replace("[1]", "[" * 5000 + "]" * 5000),
    SOUND.replace('"dtype"', '"dtype":"F32","dtype"'),
    SOUND.replace('"dtype"', '"\\u0064type"'),
    entry(extra=1), entry("BOOL", [4]), '{"dtype":"F32","shape":[1]}',
]  # fmt: skip
NAMES = ['"\\ud800"', '"\x00"', '"\\u0000"', '"' + "n" * 10**6 + '"', "a", '""']


def hostile():
    """Yield files with headers built on purpose, and a few bytes of tensors behind them."""
    yield from map(
        file_with,
        [
            "{" + ",".join(f'"{i}":{entry("F32", [0], (0, 0))}' for i in range(100_000)) + "}",
            "{" + ",".join(f'"{i}":{entry("U8", [1], (i, i + 1))}' for i in range(100_000)) + "}",
            '{"a":[' + "0," * 4_000_000 + "0]}",
            '{"a":"' + "x" * 15_000_000 + '"}',
        ],
        [b"", bytes(100_000), b"", b""],
    )
    texts = [
        *HEADERS,
        *(f'{{"__metadata__":{metadata},"a":{SOUND}}}' for metadata in METADATA),
        *(f'{{"a":{text}}}' for text in ENTRIES),
        *(f"{{{name}:{SOUND}}}" for name in NAMES),
        *(
            f'{{"a":{SOUND},"b":{entry(offsets=offsets)}}}'
            for offsets in ((0, 4), (2, 6), (4, 8), (8, 12), (0, 0))
        ),
    ]
    for text in texts:
        for tail in (b"", bytes(4), b"\2\1\0\1", bytes(8)):
            yield file_with(text, tail)


def file_with(header, tail):
    raw = header.encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(raw)) + raw + tail


def main(folder, count):
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
    resource.setrlimit(resource.RLIMIT_CPU, (500, 500))
    path = os.path.join(folder, "case.safetensors")
    counts = {"refused": 0, "same": 0}
    before = set(os.listdir(folder)) | {"seed", "case.safetensors"}
    for kind in (mutants(count), hostile()):
        for number, data in enumerate(kind):
            result = outcome(path, data)
            if result not in counts:
                print(f"case {number} ({data[:200]!r}): {result}")
                sys.exit(1)
            counts[result] += 1
    assert set(os.listdir(folder)) <= before
    print(json.dumps(counts))


def run(folder, count):
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    environment = {**os.environ, "PYTHONPATH": root, "OPENBLAS_NUM_THREADS": "1"}
    result = subprocess.run(
        [sys.executable, __file__, str(folder), str(count)],
        capture_output=True, text=True, timeout=600, env=environment,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    return json.loads(result.stdout)


needs_limits = pytest.mark.skipif(os.name == "nt", reason="needs resource limits")


@needs_limits
def test_hostile_files(tmp_path):
    counts = run(tmp_path, 2000)
    assert counts["refused"] > 2000
    assert counts["same"] > 50  # else the mutants are too wild to say anything


@needs_limits
@pytest.mark.slow
def test_many_hostile_files(tmp_path):
    run(tmp_path, 50_000)


def test_a_header_allocates_nothing_the_file_does_not_have(tmp_path):
    import tracemalloc

    path = tmp_path / "file"
    header = b'{"a":{"dtype":"F64","shape":[2000000000],"data_offsets":[0,16000000000]}}'
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(64))
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match="16,000,000,000"):
            load(path)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("piece", [b"[],", b"0,", b'"",', b"{},"])
def test_a_header_of_small_change_costs_no_memory(tmp_path, piece):
    import tracemalloc

    path = tmp_path / "file"
    header = b'{"a":[' + piece * 3_000_000 + b"0]}"
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match="not a table"):
            load(path)
        assert tracemalloc.get_traced_memory()[1] < len(header) + 64 * 2**20
    finally:
        tracemalloc.stop()


def test_loading_takes_little_more_memory_than_the_file(tmp_path):
    import tracemalloc

    path = tmp_path / "file"
    save({str(i): np.ones(2**20) for i in range(4)}, path)  # 32 MiB
    tracemalloc.start()
    try:
        load(path)
        assert tracemalloc.get_traced_memory()[1] < 34 * 2**20
    finally:
        tracemalloc.stop()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
