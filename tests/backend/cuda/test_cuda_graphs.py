"""Steps that are recorded once and run again: the same bits as steps that are run line by line."""

import numpy as np
import pytest
from cuda_emulator import COMPILER, MEMORY, emulated
from kernel_cases import random_array

from tinyconv.backend import cuda, random
from tinyconv.backend.cuda.driver import graphs
from tinyconv.backend.generator import Generator

pytestmark = pytest.mark.skipif(COMPILER is None, reason="needs g++")


@pytest.fixture(autouse=True, scope="module")
def emulator():
    with emulated() as runner:
        yield runner


class Training:
    """Weights that follow the dropped-out input: draws, an optimizer and its schedule."""

    def __init__(self):
        self.x = random_array((5, 8), "float32")
        self.weight = random_array((5, 8), "float32", 1)
        self.mean, self.square = np.zeros_like(self.x), np.zeros_like(self.x)
        self.step, self.lr, self.generator = 0, 0.1, Generator(7)

    def update(self):
        self.step += 1
        lists = [self.weight], [self.gradient], [self.mean], [self.square], None
        options = self.step, self.lr, 0.9, 0.99, 1e-8, 0.1, True, False
        cuda.override("adam")(MEMORY, *lists, *options)

    def run(self):
        for p in (0.5, 0.8):
            seed, draw = self.generator.next_draw()
            key = random.key_and_counter(seed, random.Stream.DROPOUT, draw)
            self.gradient, _ = cuda.override("dropout")(
                MEMORY, self.x, round(p * 2**32), 1 / p, *key
            )
        self.update()


def test_replays_are_the_steps_themselves():
    plain, recorded = Training(), Training()
    step = graphs.Recorded(recorded.run, recorded.update)
    for number in range(5):
        recorded.lr = plain.lr = 0.1 / (number + 1)
        plain.run()
        if number == 0:
            recorded.lr = 0.1
        step.replay()
        np.testing.assert_array_equal(recorded.weight, plain.weight)
        assert recorded.step == plain.step
        assert recorded.generator.get_state() == plain.generator.get_state()


def test_recording_runs_nothing():
    training = Training()
    before = training.weight.copy()
    graphs.Recorded(training.run, training.update)
    np.testing.assert_array_equal(training.weight, before)
    assert not graphs.recording()


def test_live_numbers_change_only_after_their_copy(emulator, monkeypatch):
    training, reading = Training(), []
    copy, update = emulator.copy, training.update

    def slow_copy(target, source):
        copy(target, source)
        reading.append(source)
        return reading.clear

    def again():
        assert not reading, "the GPU still reads the numbers of the step before"
        update()

    step = graphs.Recorded(training.run, again)
    monkeypatch.setattr(emulator, "copy", slow_copy)
    for _ in range(3):
        step.replay()
    assert len(reading) == 1


def test_new_inputs_are_read():
    plain, recorded = Training(), Training()
    step = graphs.Recorded(recorded.run, recorded.update)
    for seed in (3, 4):
        plain.x[:] = recorded.x[:] = random_array((5, 8), "float32", seed)
        plain.run()
        step.replay()
    np.testing.assert_array_equal(recorded.weight, plain.weight)


def test_an_error_while_recording_leaves_nothing_behind(emulator):
    def fails():
        raise ValueError("here")

    with pytest.raises(ValueError, match="here"):
        graphs.Recorded(fails, lambda: None)
    assert not graphs.recording()
    training = Training()
    before = training.weight.copy()
    training.run()
    assert (training.weight != before).any()
