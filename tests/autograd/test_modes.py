"""Grad modes as context managers, decorators and around generators."""

import pytest
from autograd_helpers import host, leaf, tensor

from tinyconv.autograd import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)


def test_nesting():
    with no_grad():
        assert not is_grad_enabled()
        with enable_grad():
            assert is_grad_enabled()
            with no_grad():
                assert not is_grad_enabled()
        assert not is_grad_enabled()
    assert is_grad_enabled()


@pytest.mark.parametrize("mode", [no_grad, enable_grad, inference_mode])
def test_restored_after_an_exception(mode):
    with pytest.raises(ZeroDivisionError), mode():
        raise ZeroDivisionError
    assert is_grad_enabled()
    assert not is_inference_mode_enabled()


@pytest.mark.parametrize(
    "decorate", [no_grad, no_grad(), lambda f: set_grad_enabled(False)(f), inference_mode]
)
def test_decorator(decorate):
    @decorate
    def f(depth):
        """Text."""
        return is_grad_enabled() if depth == 0 else f(depth - 1)

    assert f.__name__ == "f"
    assert f(3) is False
    assert is_grad_enabled()


def test_one_object_may_be_entered_again():
    mode = no_grad()
    with mode:
        with mode:
            assert not is_grad_enabled()
        assert not is_grad_enabled()
    assert is_grad_enabled()


def test_set_grad_enabled():
    with set_grad_enabled(False):
        assert not is_grad_enabled()
    assert is_grad_enabled()
    set_grad_enabled(False)
    assert not is_grad_enabled()
    set_grad_enabled(True)
    assert is_grad_enabled()


def test_generator_runs_in_the_mode_and_its_caller_does_not():
    log = []

    @no_grad()
    def numbers():
        try:
            log.append(is_grad_enabled())
            got = yield 1
            log.append((got, is_grad_enabled()))
            try:
                yield 2
            except KeyError:
                log.append(("caught", is_grad_enabled()))
            yield 3
        finally:
            log.append(("closed", is_grad_enabled()))
        return 4

    generator = numbers()
    assert next(generator) == 1
    assert is_grad_enabled()
    assert generator.send("hello") == 2
    assert is_grad_enabled()
    assert generator.throw(KeyError()) == 3
    assert is_grad_enabled()
    generator.close()
    assert log == [False, ("hello", False), ("caught", False), ("closed", False)]
    assert is_grad_enabled()


def test_abandoned_generator_leaves_the_mode():
    @no_grad()
    def numbers():
        yield 1
        yield 2

    for _ in numbers():
        break
    assert is_grad_enabled()
    assert list(numbers()) == [1, 2]


def test_generator_result():
    @no_grad()
    def f():
        yield 1
        return 7

    def outer():
        value = yield from f()
        yield value

    assert list(outer()) == [1, 7]


def test_inference_mode():
    x = leaf([1.0])
    with inference_mode():
        assert is_inference_mode_enabled()
        y = x * 2
        assert y.is_inference()
        with enable_grad():
            assert not (x * 2).requires_grad
        with inference_mode(False):
            assert (x * 2).requires_grad
        view = x[:]
        assert not view.is_inference()
    assert not y.requires_grad
    assert not is_inference_mode_enabled()
    z = (x + y).sum()  # an op that saves nothing may take an inference tensor
    z.backward()
    assert host(x.grad).item() == 1.0


def test_no_grad_result_has_no_history():
    x = leaf([1.0])
    with no_grad():
        y = x * 2
    assert y.grad_fn is None
    assert not y.requires_grad
    assert tensor([1.0]).is_leaf
