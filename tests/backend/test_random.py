"""Random numbers: the same bits everywhere, the right distributions, the generator's state."""

import copy
import pickle
import threading

import array_api_strict
import numpy as np
import pytest
from scipy import stats

from tinyconv import config
from tinyconv.backend import Backend, cpu, random
from tinyconv.backend import generator as generators
from tinyconv.backend.generator import Generator
from tinyconv.backend.random import Stream
from tinyconv.errors import ArgumentError

NUMPY = Backend("numpy", np)
NUMBA = Backend("cpu", np, cpu.override)
STRICT = Backend("strict", array_api_strict)

DRAWS = {
    "float16": lambda b, *k: random.uniform(b, (7, 3), "float16", *k),
    "float32": lambda b, *k: random.uniform(b, (7, 3), "float32", *k),
    "float64": lambda b, *k: random.uniform(b, (5,), "float64", *k),
    "normal32": lambda b, *k: random.normal(b, (3, 3), "float32", *k),
    "normal64": lambda b, *k: random.normal(b, (4, 2), "float64", *k),
    "integers": lambda b, *k: random.integers(b, -5, 1000, (9,), *k),
    "permutation": lambda b, *k: random.permutation(b, 50, *k),
    "bernoulli": lambda b, *k: random.bernoulli(b, (4, 5), 0.3, *k),
    "scalar": lambda b, *k: random.uniform(b, (), "float32", *k),
    "empty": lambda b, *k: random.normal(b, (0, 3), "float32", *k),
}


@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.parametrize("key", [(0, 0, 0), (-1, 6, 2**64 - 1), (2**63 + 5, Stream.SPLIT, 2**32)])
def test_same_bits_on_every_backend(name, key):
    expected = DRAWS[name](NUMPY, *key)
    # The standard has no half precision.
    for backend in (NUMBA,) if name == "float16" else (NUMBA, STRICT):
        actual = np.asarray(DRAWS[name](backend, *key))
        assert actual.dtype == expected.dtype
        assert actual.shape == expected.shape
        assert actual.tobytes() == expected.tobytes()


@pytest.mark.parametrize("kind", [random.uniform, random.normal])
@pytest.mark.parametrize("shape", [(), (1,), (3, 5), (70,), (0, 2)])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_draws_made_together_have_the_bits_that_they_have_alone(kind, shape, dtype):
    draws = [0, 2**64 - 1, 7, 2**32, 7]
    for backend in (NUMPY, NUMBA) if dtype == "float16" else (NUMPY, NUMBA, STRICT):
        together = np.asarray(kind(backend, shape, dtype, -1, Stream.ATTACK, draws))
        assert together.shape == (5, *shape)
        assert together.dtype == dtype
        for row, draw in zip(together, draws, strict=True):
            alone = np.asarray(kind(NUMPY, shape, dtype, -1, Stream.ATTACK, draw))
            assert row.tobytes() == alone.tobytes()


def test_a_list_of_draws_is_checked():
    with pytest.raises(ArgumentError, match="draw must be from 0"):
        random.words(NUMPY, 4, 0, 0, [3, 2**64])
    assert random.words(NUMPY, 6, 0, 0, []).shape == (0, 6)


@pytest.mark.parametrize("name", sorted(set(DRAWS) - {"empty"}))
def test_seed_stream_and_draw_all_matter(name):
    keys = [(1, 2, 3), (2, 2, 3), (1, 3, 3), (1, 2, 4), (1 + 2**32, 2, 3), (1, 2, 3 + 2**32)]
    assert len({DRAWS[name](NUMPY, *key).tobytes() for key in keys}) == len(keys)
    assert DRAWS[name](NUMPY, 1, 2, 3).tobytes() == DRAWS[name](NUMPY, 1, 2, 3).tobytes()


def test_known_words_and_their_conversions():
    # Seed 0, stream 0, draw 0 is the first known answer of Random123: 6627e8d5 e169c58d ...
    words = [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    np.testing.assert_array_equal(random.words(NUMPY, 4, 0, 0, 0), words)
    np.testing.assert_array_equal(
        random.uniform(NUMPY, (4,), "float32", 0, 0, 0), [(w >> 8) / 2**24 for w in words]
    )
    wide = [words[0] | words[1] << 32, words[2] | words[3] << 32]
    np.testing.assert_array_equal(
        random.uniform(NUMPY, (2,), "float64", 0, 0, 0), [(w >> 11) / 2**53 for w in wide]
    )
    np.testing.assert_array_equal(
        random.integers(NUMPY, 10, 1010, (2,), 0, 0, 0), [10 + w % 1000 for w in wide]
    )
    u, v = ((w >> 11) / 2**53 for w in wide)
    radius = np.sqrt(-2 * np.log(1 - u))
    np.testing.assert_allclose(
        random.normal(NUMPY, (2,), "float64", 0, 0, 0),
        [radius * np.cos(2 * np.pi * v), radius * np.sin(2 * np.pi * v)],
        rtol=1e-15,
    )


def test_key_and_counter_words():
    seed, draw = 0x299F31D0A4093822, 0x13198A2E85A308D3
    words = random.words(NUMPY, 8, seed, 0x03707344, draw)
    expected = NUMPY.philox(2, (0xA4093822, 0x299F31D0), (0x85A308D3, 0x13198A2E, 0x03707344))
    np.testing.assert_array_equal(words, expected)


def test_a_longer_draw_begins_with_the_shorter_one():
    np.testing.assert_array_equal(
        random.uniform(NUMPY, (5,), "float32", 3, 0, 0),
        random.uniform(NUMPY, (1000,), "float32", 3, 0, 0)[:5],
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_distributions(dtype):
    u = random.uniform(NUMBA, (100_000,), dtype, 1, 0, 0)
    assert u.min() >= 0
    assert u.max() < 1
    assert stats.kstest(u, "uniform").pvalue > 1e-3
    z = random.normal(NUMBA, (100_001,), dtype, 1, 0, 1)
    assert z.dtype == dtype
    assert stats.kstest(z, "norm").pvalue > 1e-3
    assert abs(np.corrcoef(z[:-1:2], z[1::2])[0, 1]) < 0.02


def test_integers_are_uniform_and_in_range():
    counts = np.bincount(random.integers(NUMBA, 0, 7, (70_000,), 5, 0, 0), minlength=7)
    assert len(counts) == 7
    assert stats.chisquare(counts).pvalue > 1e-3
    extreme = random.integers(NUMBA, -(2**63), 0, (1000,), 5, 0, 0)
    assert extreme.max() < 0
    assert extreme.min() < -(2**62)
    assert (random.integers(NUMBA, 2**63 - 1, 2**63, (3,), 5, 0, 0) == 2**63 - 1).all()


def test_permutations_are_permutations_and_uniform():
    for n in (0, 1, 2, 1000):
        order = random.permutation(NUMBA, n, 1, Stream.SHUFFLE, 0)
        assert order.dtype == np.int64
        np.testing.assert_array_equal(np.sort(order), np.arange(n))
    seen = [tuple(random.permutation(NUMBA, 3, 1, 0, draw)) for draw in range(3000)]
    counts = [seen.count(order) for order in set(seen)]
    assert len(counts) == 6
    assert stats.chisquare(counts).pvalue > 1e-3


def test_bernoulli():
    mask = random.bernoulli(NUMBA, (300, 300), 0.3, 1, Stream.DROPOUT, 0)
    assert mask.dtype == bool
    assert stats.binomtest(int(mask.sum()), mask.size, 0.3).pvalue > 1e-3
    for backend in (NUMPY, NUMBA, STRICT):
        assert np.asarray(random.bernoulli(backend, (1000,), 1.0, 1, 0, 0)).all()
        assert not np.asarray(random.bernoulli(backend, (1000,), 0.0, 1, 0, 0)).any()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: random.words(NUMPY, 4, 0, 0, -1), "draw"),
        (lambda: random.words(NUMPY, 4, 0, 0, 2**64), "draw"),
        (lambda: random.integers(NUMPY, 3, 3, (1,), 0, 0, 0), "low=3"),
        (lambda: random.integers(NUMPY, -(2**63), 1, (1,), 0, 0, 0), "apart"),
        (lambda: random.bernoulli(NUMPY, (1,), 1.5, 0, 0, 0), "keep_probability"),
        (lambda: random.bernoulli(NUMPY, (1,), float("nan"), 0, 0, 0), "keep_probability"),
    ],
)
def test_illegal_arguments(call, message):
    with pytest.raises(ArgumentError, match=message):
        call()


def test_generator_counts_draws():
    generator = Generator(7)
    results = [
        generator.uniform(NUMPY, (3,)),
        generator.normal(NUMPY, (3,), "float64"),
        generator.integers(NUMPY, 0, 9, (3,)),
        generator.permutation(NUMPY, 3, Stream.SHUFFLE),
        generator.bernoulli(NUMPY, (3,), 0.5),
    ]
    expected = [
        random.uniform(NUMPY, (3,), "float32", 7, Stream.USER, 0),
        random.normal(NUMPY, (3,), "float64", 7, Stream.USER, 1),
        random.integers(NUMPY, 0, 9, (3,), 7, Stream.USER, 2),
        random.permutation(NUMPY, 3, 7, Stream.SHUFFLE, 3),
        random.bernoulli(NUMPY, (3,), 0.5, 7, Stream.USER, 4),
    ]
    for actual, wanted in zip(results, expected, strict=True):
        np.testing.assert_array_equal(actual, wanted)
    assert generator.get_state() == (7, 5)


def test_generator_state_seed_and_copies():
    generator = Generator(-1)
    assert generator.initial_seed() == 2**64 - 1
    generator.next_draw()
    for twin in (copy.deepcopy(generator), pickle.loads(pickle.dumps(generator))):
        assert twin.get_state() == generator.get_state() == (2**64 - 1, 1)
    other = Generator(3)
    other.set_state(generator.get_state())
    np.testing.assert_array_equal(other.uniform(NUMPY, (4,)), generator.uniform(NUMPY, (4,)))
    assert other.manual_seed(2**64 + 9) is other
    assert other.get_state() == (9, 0)
    assert other.manual_seed(np.int64(4)).initial_seed() == 4
    seeds = {other.seed(), other.seed(), Generator().initial_seed(), Generator().initial_seed()}
    assert len(seeds) == 4
    assert other.initial_seed() in seeds
    with pytest.raises(TypeError):
        Generator(1.5)


@pytest.fixture
def fresh(monkeypatch):
    """Forget seeds given before."""
    monkeypatch.setattr(generators, "_process_seed", None)
    monkeypatch.setattr(generators, "_local", threading.local())


def in_thread(function):
    results = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join()
    return results[0]


@pytest.mark.usefixtures("fresh")
def test_default_generator_is_one_for_each_thread():
    assert generators.default_generator() is generators.default_generator()
    assert in_thread(generators.default_generator) is not generators.default_generator()


@pytest.mark.usefixtures("fresh")
def test_threads_start_from_the_process_seed():
    generator = generators.manual_seed(2**64 + 42)
    generator.next_draw()
    assert generator is generators.default_generator()
    assert generator.get_state() == (42, 1)
    assert in_thread(lambda: generators.default_generator().get_state()) == (42, 0)


@pytest.mark.usefixtures("fresh")
def test_config_seed():
    with config.seed.override(5):
        assert generators.default_generator().get_state() == (5, 0)


@pytest.mark.usefixtures("fresh")
def test_without_a_seed_threads_differ():
    with config.seed.override(None):
        seeds = {in_thread(lambda: generators.default_generator().initial_seed()) for _ in range(3)}
    assert len(seeds) == 3


def test_shared_generator_loses_no_draw():
    generator, draws = Generator(0), []
    threads = [
        threading.Thread(target=lambda: draws.extend(generator.next_draw() for _ in range(500)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(draws) == [(0, n) for n in range(2000)]
