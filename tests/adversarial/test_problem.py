"""What a problem tells an attack about its model, against plain NumPy."""

import numpy as np
import pytest

import tinyconv as tc
from tinyconv import adversarial


def problem_of(model, x, y, **changes):
    settings = {
        "attack": "a", "norm": "linf", "eps": None, "bounds": (0, 1), "targeted": False,
        "mask": None, "eot": 1, "seed": 0, "index": np.arange(len(x)), **changes,
    }  # fmt: skip
    return adversarial.Problem(model, x, y, **settings)


@pytest.mark.parametrize("count", [None, 1, 3, 5, 99])
def test_the_likeliest_others_are_ranked_without_the_true_class(count):
    rng = np.random.default_rng(0)
    logits, y = rng.integers(0, 4, (40, 6)).astype(np.float32), rng.integers(0, 6, 40)
    logits[0, :] = -np.inf
    problem = problem_of(lambda x: x, tc.tensor(logits), tc.tensor(y))
    found = problem.likeliest_others(count)
    # Of equal logits, that of the smaller class comes first.
    ranked = [sorted(set(range(6)) - {t}, key=lambda k: (-row[k], k))
              for row, t in zip(logits, y, strict=True)]  # fmt: skip
    assert found.dtype == tc.int64
    assert found.tolist() == [others[:count] for others in ranked]
    assert problem.queries.tolist() == [[1, 0]] * 40
