"""Anomaly mode and the debug levels name the op, the module and the line."""

import subprocess
import sys

import numpy as np
import pytest
from autograd_helpers import host, leaf, tensor

from tinyconv import config
from tinyconv.autograd import (
    Function,
    Observer,
    detect_anomaly,
    is_anomaly_enabled,
    module_scope,
    no_grad,
    set_detect_anomaly,
)
from tinyconv.autograd.modes import state
from tinyconv.errors import AnomalyError, GradientError, InPlaceError


class BadBackward(Function):
    """x, with a gradient that is NaN where x is 0."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.wrap(x.array * 1)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g.wrap(x.array / x.array)


class Module:
    """As much of a module as observers need."""

    def __init__(self, function=None, **children):
        self.function, self.children = function, children

    def named_modules(self, prefix=""):
        yield prefix, self
        for name, child in self.children.items():
            yield from child.named_modules(f"{prefix}.{name}" if prefix else name)

    def __call__(self, x):
        with module_scope(self):
            if self.function:
                return self.function(x)
            for child in self.children.values():
                x = child(x)
            return x


@pytest.fixture(autouse=True)
def no_observers_left():
    yield
    assert state.observers == ()
    assert state.module_stack == ()


def test_forward_nan_is_reported_with_op_line_and_statistics(backend):
    x = leaf([[4.0, -1.0], [9.0, 1.0]])
    with pytest.raises(AnomalyError) as caught, detect_anomaly(), np.errstate(all="ignore"):
        (x * 2).sqrt()  # the line
    text = str(caught.value)
    assert text.startswith("Sqrt: forward made 1 NaN in output 0")
    assert "argument 0: shape (2, 2), float64, min -2, max 18, mean 6.5, 0 NaN, 0 Inf" in text
    assert "(x * 2).sqrt()  # the line" in text
    assert "test_anomaly.py" in text
    assert "autograd/function.py" not in text


def test_infinity_is_reported_unless_an_argument_has_one(backend):
    with detect_anomaly(), np.errstate(all="ignore"):
        with pytest.raises(AnomalyError, match="forward made 1 Inf in output 0"):
            leaf([0.0, 1.0]).log()
        assert np.isinf(host(tensor([-np.inf, 1.0]) * 2)).any()
        assert np.isinf(host(tensor([-1.0, 1.0]) * float("inf"))).any()
        with pytest.raises(AnomalyError, match="1 NaN"):
            tensor([np.inf, 1.0]) * 0


def test_nan_that_came_in_with_the_data_is_visible():
    message = r"Mul: .*\n  argument 0: .*max 1, mean 1, 2 NaN, 0 Inf"
    with pytest.raises(AnomalyError, match=message), detect_anomaly():
        tensor([np.nan, 1.0, np.nan]) * 2


def test_backward_nan_is_reported_where_the_op_was_called(backend):
    x = leaf([1.0, 0.0])
    with np.errstate(all="ignore"), detect_anomaly():
        y = BadBackward.apply(x * 1)  # called here
        loss = (y * 3).sum()
        with pytest.raises(AnomalyError) as caught:
            loss.backward()
    text = str(caught.value)
    assert text.startswith(
        "BadBackward: backward made 1 NaN in the gradient of argument 0\n"
        "  gradient of output 0: shape (2,), float64, min 3, max 3, mean 3, 0 NaN, 0 Inf\n"
        "  saved tensor 0: shape (2,), float64, min 0, max 1"
    )
    assert "y = BadBackward.apply(x * 1)  # called here" in text
    assert x.grad is None


def test_without_check_nan_only_lines_are_noted():
    with detect_anomaly(check_nan=False), np.errstate(all="ignore"):
        assert np.isnan(host(tensor([-1.0]).sqrt())).all()
        y = leaf([1.0]) * 1
        assert "test_anomaly.py" in str(y.grad_fn.created)


def test_in_place_error_shows_the_line_of_the_forward_pass():
    with detect_anomaly():
        y = leaf([1.0]) * 1
        z = y * y  # needs y
        with no_grad():
            y.add_(1)
        with pytest.raises(InPlaceError, match=r"computed here:\n(.*\n)*.*z = y \* y  # needs y"):
            z.sum().backward()


def test_error_in_backward_shows_the_line_of_the_forward_pass():
    class Fails(BadBackward):
        @staticmethod
        def backward(ctx, g):
            raise ZeroDivisionError("planted")

    with detect_anomaly():
        y = Fails.apply(leaf([1.0]))  # guilty
        with pytest.raises(ZeroDivisionError) as caught:
            y.sum().backward()
    notes = "\n".join(caught.value.__notes__)
    assert "in op FailsBackward(float64[1])" in notes
    assert "y = Fails.apply(leaf([1.0]))  # guilty" in notes


@pytest.mark.parametrize("in_backward", [False, True])
def test_module_path(in_backward):
    bad = BadBackward.apply if in_backward else (lambda x: x.sqrt())
    net = Module(first=Module(lambda x: x * 1), block=Module(deep=Module(bad)))
    with np.errstate(all="ignore"), detect_anomaly(), pytest.raises(AnomalyError) as caught:
        net(leaf([0.0 if in_backward else -1.0])).sum().backward()
    assert "in module Module.block.deep" in str(caught.value)


def test_twenty_planted_anomalies_are_found_where_they_are():
    for position in range(10):
        for in_backward in (False, True):

            def run(position=position, in_backward=in_backward):
                x = leaf([0.0])
                for n in range(10):
                    x = x * 1
                    if n == position:
                        x = BadBackward.apply(x) if in_backward else (x - 1).sqrt()
                x.sum().backward()

            ignore = np.errstate(all="ignore")
            with detect_anomaly(), ignore, pytest.raises(AnomalyError) as caught:
                run()
            name = "BadBackward: backward" if in_backward else "Sqrt: forward"
            assert str(caught.value).startswith(name)


def test_modes_nest_and_restore():
    assert not is_anomaly_enabled()
    with detect_anomaly():
        with detect_anomaly(check_nan=False):
            assert len(state.observers) == 1
        assert len(state.observers) == 2
        with set_detect_anomaly(False):
            assert not is_anomaly_enabled()
        assert is_anomaly_enabled()
    set_detect_anomaly(True)
    assert is_anomaly_enabled()
    set_detect_anomaly(False)
    assert not is_anomaly_enabled()


def test_ops_inside_a_backward_may_pass_through_nan():
    class Masked(BadBackward):
        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return (g / x * x).masked_fill(x == 0, 1.0)

    x = leaf([0.0, 2.0])
    with detect_anomaly(), np.errstate(all="ignore"):
        Masked.apply(x).sum().backward()
        np.testing.assert_array_equal(host(x.grad), [1.0, 1.0])
        z = leaf([0.0])
        Masked.apply(z).backward()
        assert host(z.grad).item() == 1.0
        with pytest.raises(AnomalyError):  # the ops of a forward pass are looked at again
            tensor([-1.0]).sqrt()


# -- observers and debug levels -----------------------------------------------------------------


def test_observer_hears_everything_in_order():
    log = []

    class Log(Observer):
        def before_forward(self, node, args):
            log.append(("before", node.name()))

        def after_forward(self, node, args, outputs):
            log.append(("after", node.name(), host(outputs).item()))

        def before_backward(self, node, grads):
            log.append(("backward", node.name(), host(grads[0]).item()))

        def after_backward(self, node, grads, results):
            log.append(("done", node.name(), host(results[0]).item()))

        def on_error(self, node, args, error, in_backward):
            log.append(("error", node.name(), in_backward))

    x = leaf([3.0])
    with Log():
        y = BadBackward.apply(x)
        y.backward()
    x * 2
    name = "BadBackwardBackward"
    assert log == [
        ("before", name), ("after", name, 3.0), ("backward", name, 1.0), ("done", name, 1.0)
    ]  # fmt: skip

    class Fails(Function):
        @staticmethod
        def forward(ctx, x):
            raise ZeroDivisionError

    log.clear()
    with Log(), pytest.raises(ZeroDivisionError):
        Fails.apply(x)
    assert log == [("before", "FailsBackward"), ("error", "FailsBackward", False)]


def test_level_0_costs_nothing():
    assert state.observers == ()
    assert "observers" not in state.__dict__


def test_level_1_adds_notes_to_errors():
    class Fails(Function):
        @staticmethod
        def forward(ctx, x, number):
            raise ZeroDivisionError("planted")

    net = Module(block=Module(lambda x: Fails.apply(x, 7)))
    with config.debug.override(1), pytest.raises(ZeroDivisionError) as caught:
        net(tensor(np.ones((2, 3))))
    notes = caught.value.__notes__
    assert notes[0] == "in op Fails(float64[2, 3], 7)"
    assert "in module Module.block" in notes
    with np.errstate(all="ignore"), config.debug.override(1):
        assert np.isnan(host(tensor([-1.0]).sqrt())).all()


def test_module_scope_names_the_module_of_any_error():
    def refuse(x):
        raise GradientError("planted")

    net = Module(a=Module(b=Module(refuse)))
    with config.debug.override(1), pytest.raises(GradientError) as caught:
        net(tensor([1.0]))
    assert caught.value.__notes__ == ["in module Module.a.b"]


def test_level_2_checks_values():
    with np.errstate(all="ignore"), config.debug.override(2), pytest.raises(AnomalyError):
        tensor([-1.0]).sqrt()


def test_level_3_prints_times(capsys):
    with config.debug.override(3):
        (leaf([[1.0, 2.0]]) * 2).sum().backward()
    lines = capsys.readouterr().err.splitlines()
    assert any(line.startswith("tinyconv: Mul ") and "ms  float64[1, 2]" in line for line in lines)
    assert any("MulBackward" in line for line in lines)


def test_setter_holds_for_other_threads():
    import threading

    seen = []
    config.debug.set(2)
    try:
        with config.debug.override(0):
            assert state.observers == ()
            thread = threading.Thread(target=lambda: seen.append(len(state.observers)))
            thread.start()
            thread.join()
        assert len(state.observers) == 2
        with detect_anomaly():
            assert is_anomaly_enabled()
    finally:
        config.debug.set(0)
    assert seen == [2]


def test_user_observer_survives_a_change_of_level():
    observer = Observer()
    with observer:
        with config.debug.override(1):
            assert len(state.observers) == 2
        assert state.observers == (observer,)


def test_environment_variable_is_honoured():
    code = """if True:
        import numpy as np
        import tinyconv
        from tinyconv.tensor import Tensor
        from tinyconv.backend import as_device
        try:
            Tensor(np.array([-1.0]), as_device()).log()
        except tinyconv.errors.AnomalyError as error:
            print(str(error).splitlines()[0])
    """
    import os

    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60,
        env={**os.environ, "TINYCONV_DEBUG": "2"},
    )  # fmt: skip
    assert run.stdout.strip() == "Log: forward made 1 NaN in output 0", run.stderr
