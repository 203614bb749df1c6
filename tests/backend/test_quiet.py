"""Floating-point warnings are off inside ``quiet``, and only there."""

import threading
import warnings

import numpy as np
import pytest

from tinyconv.backend import quiet as module
from tinyconv.backend.quiet import quiet, quietly


@pytest.fixture(params=["numpy.ufunc.extobj", "a name of another NumPy"], autouse=True)
def variable(request, monkeypatch):
    found = module._find(request.param)
    for name, value in zip(("_variable", "_off"), found, strict=True):
        monkeypatch.setattr(module, name, value)


def test_a_function_that_is_quiet():
    @quietly
    def logarithm(x, /, *, shift=0):
        """Return the logarithm."""
        return np.log(x + shift)

    assert logarithm(np.zeros(1))[0] == -np.inf
    assert logarithm(np.zeros(1), shift=1)[0] == 0
    assert logarithm.__doc__ == "Return the logarithm."
    with pytest.raises(RuntimeWarning):
        np.log(np.zeros(1))


def test_no_warning_inside():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert quiet(np.log, np.zeros(1))[0] == -np.inf
        assert np.isnan(quiet(np.divide, np.zeros(1), np.zeros(1))[0])


def test_the_callers_state_is_left_alone():
    before = np.geterr()
    quiet(np.log, np.zeros(1))
    assert np.geterr() == before
    with pytest.raises(RuntimeWarning, match="divide by zero"):
        np.log(np.zeros(1))
    with np.errstate(all="raise"):
        assert quiet(np.log, np.zeros(1))[0] == -np.inf
        with pytest.raises(FloatingPointError):
            np.log(np.zeros(1))


def test_calls_nest():
    assert quiet(lambda: quiet(lambda: quiet(np.log, np.zeros(1))))[0] == -np.inf


def test_an_exception_leaves_the_context():
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            quiet(lambda: 1 / 0)
    with pytest.raises(RuntimeWarning):
        np.log(np.zeros(1))


def test_threads_do_not_share_a_context():
    inside, leave, results = threading.Barrier(4), threading.Barrier(4), []

    def meet():
        inside.wait(timeout=30)  # all four threads are inside at once
        results.append(np.log(np.zeros(1))[0])
        leave.wait(timeout=30)

    threads = [threading.Thread(target=quiet, args=(meet,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [-np.inf] * 4
