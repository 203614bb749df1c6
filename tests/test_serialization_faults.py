"""Crashes, full disks, damage and rivals: a save is whole or has not happened."""

import errno
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from tinyconv.errors import CheckpointError
from tinyconv.serialization import atomic, load, save

posix = pytest.mark.skipif(os.name == "nt", reason="needs fork, signals or resource limits")

#: Checkpoints of about 4 MB that carry their own proof: every element is the version.
ELEMENTS = 500_000


def checkpoint(version):
    return {"version": version, "x": np.full(ELEMENTS, version), "y": [np.full(7, -version)]}


def check(path):
    """Return the version of a checkpoint; fail if it is a mix."""
    obj = load(path)
    version = obj["version"]
    assert (obj["x"] == version).all()
    assert obj["x"].size == ELEMENTS
    assert (obj["y"][0] == -version).all()
    return version


def temporaries(folder):
    return [name for name in os.listdir(folder) if name.endswith(atomic._SUFFIX)]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.safetensors"


# -- K1, K6: killed and rival writers -------------------------------------------------------------

# Run in a process of its own without threads, so that it may fork.
KILLER = """
import os, random, signal, sys
sys.path[:0] = [{tests!r}, {root!r}]
from test_serialization_faults import check, checkpoint, save, temporaries
path, trials = {path!r}, {trials}
random.seed(1)
save(checkpoint(0), path)
version = stale = 0
for trial in range(trials):
    child = os.fork()
    if not child:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(0.0005, 0.06))  # kills: no handler
        while True:
            version += 1
            save(checkpoint(version), path)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGALRM, status
    found = check(path)
    assert found >= version, "a generation was lost"
    version = found
    assert len(temporaries(os.path.dirname(path))) <= 1
    stale += len(temporaries(os.path.dirname(path)))
save(checkpoint(version + 1), path)
assert check(path) == version + 1
assert temporaries(os.path.dirname(path)) == []
print("killed in the middle of a save:", stale)
"""


def run_killer(path, trials):
    tests = os.path.dirname(os.path.abspath(__file__))
    code = KILLER.format(tests=tests, root=os.path.dirname(tests), path=str(path), trials=trials)
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return int(result.stdout.rpartition(" ")[2])


@posix
def test_a_killed_save_costs_nothing(path):
    assert run_killer(path, 20) >= 3  # else no kill has hit a save


@posix
@pytest.mark.slow
def test_many_killed_saves_cost_nothing(path):
    assert run_killer(path, 200) >= 30


RIVAL = """
import sys
sys.path[:0] = [{tests!r}, {root!r}]
from test_serialization_faults import checkpoint, save
for version in range({start}, {start} + 15):
    save(checkpoint(version), {path!r})
"""


def test_of_two_writers_one_wins_and_readers_see_no_mix(path):
    tests = os.path.dirname(os.path.abspath(__file__))
    save(checkpoint(0), path)
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", RIVAL.format(
                tests=tests, root=os.path.dirname(tests), path=str(path), start=start)]
        )
        for start in (100, 200)
    ]  # fmt: skip
    while any(writer.poll() is None for writer in writers):
        check(path)
    assert [writer.returncode for writer in writers] == [0, 0]
    assert check(path) in (114, 214)
    assert temporaries(path.parent) == []


@posix
def test_leftovers_of_the_dead_are_removed_those_of_the_living_are_not(path):
    with atomic._temporary(os.path.realpath(path)) as living:
        stale = path.parent / f".{path.name}.{'0' * 16}{atomic._SUFFIX}"
        other = path.parent / f".other.{'0' * 16}{atomic._SUFFIX}"
        stale.touch()
        other.touch()
        save(1, path)
        left = {os.path.basename(living.name), other.name}
        assert set(temporaries(path.parent)) == left


@posix
def test_a_temporary_that_was_taken_for_a_leftover_is_made_anew(path, monkeypatch):
    made = []

    def steal(file, flags):
        """Another writer removes the first file between its creation and its lock."""
        made.append(file.name)
        if len(made) == 1:
            os.unlink(file.name)

    monkeypatch.setattr(atomic.fcntl, "flock", steal)
    save(5, path)
    assert len(set(made)) == 2
    assert load(path) == 5


# -- K3: disks that are full or broken ------------------------------------------------------------


def assert_fails_cleanly(path, words, number=None):
    with pytest.raises(CheckpointError, match=words) as caught:
        save(checkpoint(2), path)
    assert repr(str(path)) in str(caught.value)
    assert isinstance(caught.value, OSError)
    if number is not None:
        assert caught.value.errno == number
    assert check(path) == 1
    assert temporaries(path.parent) == []


@pytest.fixture
def saved(path):
    save(checkpoint(1), path)
    return path


@posix
def test_a_file_beyond_the_size_limit(saved):
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
    try:
        assert_fails_cleanly(saved, r"\(4,000,\d\d\d bytes\): File too large", errno.EFBIG)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
@pytest.mark.parametrize("size", [10, ELEMENTS])
def test_a_full_disk(saved, monkeypatch, size):
    def on_full_disk(target):
        path = atomic._temporary_path(target)
        os.symlink("/dev/full", path)
        full = open(path, "r+b", buffering=0)  # noqa: SIM115 - closed by the writer
        return FullFile(full, path)

    class FullFile:
        def __init__(self, file, name):
            self.name, self._file = name, file

        def __getattr__(self, name):
            return getattr(self._file, name)

        def seek(self, position):
            pass

    monkeypatch.setattr(atomic, "_open_temporary", on_full_disk)
    assert_fails_cleanly(saved, "No space left", errno.ENOSPC)


@pytest.mark.parametrize(
    ("function", "number", "words"),
    [
        ("fsync", errno.EIO, "Input/output error"),
        ("replace", errno.EXDEV, "Invalid cross-device link"),
        ("replace", errno.EACCES, "Permission denied"),
    ],
)
def test_system_calls_that_fail(saved, monkeypatch, function, number, words):
    def fail(*args):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(atomic.os, function, fail)
    assert_fails_cleanly(saved, words, number)


@posix
def test_a_folder_that_cannot_be_synchronised(saved, monkeypatch):
    real = os.fsync

    def fail_on_folders(descriptor):
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.EIO, "Input/output error")
        real(descriptor)

    monkeypatch.setattr(atomic.os, "fsync", fail_on_folders)
    with pytest.raises(CheckpointError, match="is written, but its folder"):
        save(checkpoint(2), saved)
    assert check(saved) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_folder_that_takes_no_files():
    with pytest.raises(CheckpointError, match=r"'/proc/x\.safetensors'"):
        save(1, "/proc/x.safetensors")


def test_targets_that_are_no_files(path):
    path.mkdir()
    with pytest.raises(CheckpointError, match="is a folder"):
        save(1, path)
    with pytest.raises(CheckpointError, match="no folder"):
        save(1, path / "missing" / "file")
    with pytest.raises(CheckpointError, match="not a regular file"):
        load(path)
    with pytest.raises(CheckpointError, match="No such file") as caught:
        load(path / "missing")
    assert caught.value.errno == errno.ENOENT


@posix
def test_devices_and_pipes_are_left_alone(path):
    os.mkfifo(path)
    with pytest.raises(CheckpointError, match="not a regular file"):
        save(1, path)
    with pytest.raises(CheckpointError, match="not a regular file"):
        load(path)  # and does not wait for a writer


def test_an_interrupt_in_the_middle_of_a_save(saved, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(atomic.os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save(checkpoint(2), saved)
    assert check(saved) == 1
    assert temporaries(saved.parent) == []


# -- K4: damage -----------------------------------------------------------------------------------

SMALL = {
    "epoch": 3,
    "loss": [0.5, float("nan")],
    "state": {0: np.arange(5, dtype=np.int32), "m": np.ones((2, 3), np.float16)},
    "flags": np.array([True, False, True]),
}


def damaged(path, data):
    path.write_bytes(data)
    try:
        load(path)
    except CheckpointError as error:
        return str(path) in str(error)
    return False


def test_every_truncation_is_found(path):
    save(SMALL, path)
    data = path.read_bytes()
    missed = [size for size in range(0, len(data), 3) if not damaged(path, data[:size])]
    assert missed == []
    assert damaged(path, data + b"\0")


def flips(path, bits):
    save(SMALL, path)
    data = path.read_bytes()
    missed = []
    for bit in bits(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        if not damaged(path, flipped):
            missed.append((bit // 8, bit % 8, data[bit // 8 - 10 : bit // 8 + 10]))
    return missed


def test_flipped_bits_are_found(path):
    assert flips(path, lambda size: range(0, size, 7)) == []


@pytest.mark.slow
def test_every_flipped_bit_is_found(path):
    assert flips(path, range) == []


def test_tensors_of_two_saves_are_not_mixed(path):
    save({"x": np.zeros(4), "step": 1}, path)
    old = path.read_bytes()
    save({"x": np.ones(4), "step": 1}, path)
    new = path.read_bytes()
    assert len(old) == len(new)
    assert damaged(path, new[:-32] + old[-32:])


@posix
def test_signals_are_what_the_killer_expects():
    """The harness of the kill test relies on the default action of the timer's signal."""
    assert signal.getsignal(signal.SIGALRM) == signal.SIG_DFL
